//! `explain` and the filter agree: every named case goes through both. The filter runs through its entry points.

mod common;

use common::{file, run};
use pinion_testing::case::{self, Answerer, Case, Lines, Seen};
use pinion_testing::host::{self, Plugin};
use serde_json::{Value, json};

const NOW: u64 = 1_790_000_000;
const AT: &str = "2026-09-21T14:13:20Z";

#[test]
fn explain_agrees_with_the_filter_on_every_case() {
    let (mut compared, mut observed) = (0, 0);
    for (name, group) in case::groups() {
        let mut config = group.config.clone();
        if config.get("stamp").or(config.get("mirror")).is_some() {
            assert!(
                group
                    .cases
                    .iter()
                    .all(|case| answer_of(&config, case).1.is_none())
            );
            let (code, said) = run(&["explain", "--config", &written(&config), "--request", "/nowhere"]);
            assert_eq!(code, Some(2), "{name}: {}", group.about);
            assert!(
                said.ends_with("is a workload's configuration, which decides no version; give an edge's\n"),
                "{said}"
            );
            continue;
        }
        config["explain"] = json!({"allow": "any"});
        for case in &group.cases {
            let what = format!("{name}: {}: {}", group.about, case.name);
            if compare(&config, case, &what) {
                compared += 1;
                continue;
            }
            // The app is in observe mode, so the filter sends no explanation. The case is repeated in enforce mode.
            observed += 1;
            let mut enforced = config.clone();
            for app in enforced["apps"].as_array_mut().unwrap() {
                app["observe"] = json!(false);
            }
            assert!(compare(&enforced, case, &what), "{what}");
        }
    }
    assert!(compared > 200 && observed > 0, "{compared} {observed}");
}

/// Whether the filter sends an explanation. Asserts that `explain` says the same and lists the same edits.
fn compare(config: &Value, case: &Case, what: &str) -> bool {
    let (seen, answer) = answer_of(config, case);
    let slot = answer.as_deref().and_then(|answer| {
        let (_, rest) = answer.split_once("slot=")?;
        Some(rest.split(',').next().unwrap().to_owned())
    });
    let (config, request) = (written(config), file("case.http", head(case)));
    let claims: Vec<_> = case.claims.iter().filter_map(claim).collect();
    let mut arguments = vec!["explain", "--config", &config, "--request", &request, "--at", AT];
    arguments.extend(["--source", &case.source]);
    arguments.extend(claims.iter().flat_map(|claim| ["--claim", claim]));
    // `explain` gets the slot that the filter drew.
    arguments.extend(slot.iter().flat_map(|slot| ["--draw", slot]));
    let (code, said) = run(&arguments);
    assert_eq!(code, Some(0), "{what}\n{said}");
    let is_observed = said.contains("\n  observe  ");
    assert_eq!(answer.is_none(), is_observed, "{what}\n{said}");
    if let Some(answer) = &answer {
        assert_eq!(said.lines().next(), Some(answer.as_str()), "{what}");
    }
    let (_, edits) = said.split_once("\nto the request\n").unwrap();
    let (request, response) = edits
        .split_once("to the response, if the upstream's is an empty 200\n")
        .unwrap();
    assert_edits(request, &seen.upstream, what);
    if case.answer.by == Answerer::ViaUpstream && case.answer.headers.is_empty() {
        assert_edits(response, &seen.response, what);
    }
    answer.is_some()
}

/// What the filter does with a case, and its explanation.
fn answer_of(config: &Value, case: &Case) -> (Seen, Option<String>) {
    host::forget();
    let plugin = Plugin::start(pinion::proxy::start, config.to_string().as_bytes(), NOW)
        .unwrap_or_else(|logs| panic!("{logs:#?}"));
    let lines = asking(case);
    // A response that a shared cache may store carries no explanation.
    let mut answer = case.answer_lines();
    answer.retain(|(name, _)| !["cache-control", "expires"].contains(&name.as_str()));
    let seen = plugin.from(case).exchange(lines, case.answer.by, answer);
    let answers = values(&seen.response, "x-pinion-decision");
    assert!(answers.len() <= 1);
    (seen, answers.into_iter().next())
}

/// The case's request, with the header that asks for an explanation.
fn asking(case: &Case) -> Lines {
    let mut lines = case.request_lines(NOW);
    lines.push(("x-pinion-explain".to_owned(), b"1".to_vec()));
    lines
}

/// The case's request as a client sends it.
fn head(case: &Case) -> Vec<u8> {
    let lines = asking(case);
    let pseudo = |name: &str| &lines.iter().find(|(field, _)| field == name).unwrap().1[..];
    let mut head = [
        pseudo(":method"),
        b" ",
        pseudo(":path"),
        b" HTTP/1.1\r\nHost: ",
        pseudo(":authority"),
    ]
    .concat();
    for (name, value) in lines.iter().filter(|(name, _)| !name.starts_with(':')) {
        head.extend([b"\r\n", name.as_bytes(), b": ", value].concat());
    }
    head.extend(b"\r\n\r\n");
    head
}

/// A claim as `--claim` takes it. None if the claim is neither a string nor a list: for the filter it is absent. Items of a
/// list that are not strings are left out.
fn claim((name, value): (&String, &Value)) -> Option<String> {
    match value {
        Value::String(text) => Some(format!("{name}={text}")),
        Value::Array(items) => {
            let texts: Vec<_> = items.iter().filter(|item| item.is_string()).collect();
            Some(format!("{name}={}", json!(texts)))
        }
        _ => None,
    }
}

fn written(config: &Value) -> String {
    file("case.json", config.to_string())
}

fn values(lines: &Lines, name: &str) -> Vec<String> {
    let values = lines.iter().filter(|(field, _)| field == name);
    values
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}

/// Compares the edits that `explain` lists with a message as the filter left it.
fn assert_edits(told: &str, seen: &Lines, what: &str) {
    for line in told.lines() {
        if line == "  nothing is done" || line.starts_with("note: ") {
            continue;
        }
        let (edit, rest) = line.trim_start().split_once(' ').unwrap();
        let (name, value) = rest.trim_start().split_once(": ").unwrap_or((rest.trim(), ""));
        let found = values(seen, name);
        match edit {
            "set" => assert_eq!(found, [value], "{what}: {line}"),
            "append" => assert!(
                found.iter().any(|found| found == value),
                "{what}: {line}: {found:?}"
            ),
            "remove" => assert!(found.is_empty(), "{what}: {line}"),
            other => panic!("{what}: {other}"),
        }
    }
}
