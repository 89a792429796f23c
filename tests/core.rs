//! The core without a host: the named cases, the refusals and the public vectors, in native code and in wasm32.

mod common;

use std::collections::BTreeMap;
use std::net::IpAddr;

use common::Around;
use pinion::app::Edge;
use pinion::config::{Config, Role};
use pinion::decision;
use pinion::environment::{Claim, Contended, Environment, SharedStore};
use pinion::http::edit::{Edit, Edits};
use pinion::identity::pin::Pin;
use pinion::identity::seal::{Key, Keys};
use pinion::identity::token::Token;
use pinion::rollout::slots::{Layout, Share, Slot};
use pinion::workload::stamp::Stamp;
use pinion::workload::{MirrorOutcome, Workload};
use pinion_testing::case::{self, Answerer, Case, Lines, Seen};
use pinion_testing::{refusal, vector};
use serde_json::Value;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: u64 = 1_790_000_000;

/// The world of a case: a clock that stands, a draw that is always the same, and what the case says.
struct World<'a>(&'a Case);

impl SharedStore for World<'_> {
    fn get(&self, _: &str) -> Option<(Vec<u8>, u32)> {
        None
    }
    fn compare_and_set(&self, _: &str, _: &[u8], _: Option<u32>) -> Result<(), Contended> {
        Ok(())
    }
}

impl Environment for World<'_> {
    fn now(&self) -> u64 {
        NOW
    }
    fn random(&self) -> u64 {
        0x5eed
    }
    fn claim(&self, name: &str) -> Option<Claim> {
        let text = |value: &Value| value.as_str().map(|text| text.as_bytes().to_vec());
        match self.0.claims.get(name)? {
            Value::Array(items) => items.iter().map(text).collect::<Option<_>>().map(Claim::List),
            value => text(value).filter(|text| !text.is_empty()).map(Claim::Text),
        }
    }
    fn client_address(&self) -> Option<IpAddr> {
        self.0.source.parse().ok()
    }
}

fn apply(edits: &Edits<'_>, lines: &mut Lines) {
    edits.iter().for_each(|edit| match edit {
        Edit::Add(name, value) => {
            assert!(lines.iter().all(|(field, _)| field != name), "{name} is there");
            lines.push((name.to_string(), value.as_bytes().to_vec()));
        }
        Edit::Append(name, value) => lines.push((name.to_string(), value.as_bytes().to_vec())),
        Edit::Replace(name, value) => {
            lines.retain(|(field, _)| field != name);
            lines.push((name.to_string(), value.as_bytes().to_vec()));
        }
        Edit::Remove(name) => lines.retain(|(field, _)| field != name),
    });
}

fn run(config: &Config, case: &Case, now: u64) -> Seen {
    match &config.role {
        Role::Edge(edge) => at_edge(edge, case, now),
        Role::Workload(workload) => at_workload(workload, case, now),
    }
}

fn at_edge(edge: &Edge, case: &Case, now: u64) -> Seen {
    let world = World(case);
    let request = case.request_lines(now);
    let decision = decision::decide(edge, request.as_slice(), &world);
    let edits = decision::request_edits(edge, request.as_slice(), decision.as_ref());
    let asks = decision::is_explained(edge, request.as_slice(), decision.as_ref(), &world);
    let mut upstream = request.clone();
    apply(&edits, &mut upstream);
    let mut response = case.answer_lines();
    let mut filter_state = BTreeMap::new();
    if let Some(decision) = &decision {
        if case.answer.by == Answerer::ViaUpstream {
            let answer = response.clone();
            let stamp = decision::stamp(decision, answer.as_slice(), || NOW);
            apply(&stamp.edits, &mut response);
        }
        if edge.access_log {
            filter_state.insert("pinion_app".to_owned(), decision.app.name.clone());
            filter_state.insert("pinion_reason".to_owned(), decision.reason.as_str().to_owned());
        }
    }
    if asks {
        let stamped = response.clone();
        let edits = decision::explanation(decision.as_ref(), stamped.as_slice(), || NOW);
        apply(&edits, &mut response);
    }
    Seen {
        upstream,
        response,
        filter_state,
        blocked: false,
    }
}

fn at_workload(workload: &Workload, case: &Case, now: u64) -> Seen {
    let world = World(case);
    let request = case.request_lines(now);
    let verdict = workload.judge(request.as_slice(), &world);
    let blocked = verdict.outcome == MirrorOutcome::Blocked;
    let mut upstream = request.clone();
    apply(&verdict.edits, &mut upstream);
    let mut response = case.answer_lines();
    if case.answer.by == Answerer::ViaUpstream && !blocked {
        apply(
            &workload.stamp.as_ref().map(Stamp::edit).into_iter().collect(),
            &mut response,
        );
    }
    Seen {
        upstream,
        response,
        filter_state: BTreeMap::new(),
        blocked,
    }
}

#[test]
fn every_case_holds_in_the_core() {
    case::run_all(
        |group, case, now| {
            let config = group.config.to_string();
            run(
                &Config::parse(config.as_bytes(), &Around(case::NODE_ID)).unwrap(),
                case,
                now,
            )
        },
        NOW,
    );
}

#[test]
fn a_bad_configuration_is_refused_with_all_its_errors() {
    refusal::check_all(
        |refusal| match Config::parse(refusal.text().as_bytes(), &Around(&refusal.node)) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        },
    );
}

#[test]
fn what_can_be_served_but_should_be_known_is_warned_of() {
    for (config, warnings) in [
        (
            r#"{"stamp": {"from": {"nodeLabel": "version"}, "label": {"env": "APP_VERSION"}}}"#,
            &[][..],
        ),
        (
            r#"{"stamp": {"from": {"nodeLabel": "release"}, "label": {"env": "NONE"}}}"#,
            &["stamp.from: there is no label \"release\" of this node"],
        ),
        (
            r#"{"stamp": {"from": {"nodeLabel": "version"}, "label": {"env": "NONE"}}}"#,
            &["stamp.label: there is no environment variable \"NONE\""],
        ),
        (
            r#"{"stamp": {"from": {"nodeLabel": "odd"}}}"#,
            &["stamp.from: the label \"odd\" of this node is not 1 to 128 visible ASCII characters"],
        ),
        (
            r#"{"apps": [{"name": "shop", "versions": [{"name": "v1"}, {"name": "v2", "weight": 10}]}]}"#,
            &[
                "apps[0].stable: is not given, and is \"v1\" as the largest share; \
               name it, so that clients don't move back when another grows larger",
            ],
        ),
        (
            r#"{"apps": [{"name": "shop", "versions": [{"name": "v1"}, {"name": "v2", "weight": 10}], "stable": "v1"}]}"#,
            &[],
        ),
        (
            r#"{"apps": [{"name": "shop", "versions": [{"name": "v1"}, {"name": "v2"}]}]}"#,
            &[],
        ),
        (
            r#"{"stamp": {"from": {"env": "EMPTY"}}}"#,
            &["stamp.from: the environment variable \"EMPTY\" is not 1 to 128 visible ASCII characters"],
        ),
    ] {
        let config = Config::parse(config.as_bytes(), &Around("")).unwrap();
        let said: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(said, warnings);
    }
}

#[test]
fn keys_have_the_published_slots() {
    let vectors = vector::slots();
    assert!(vectors.len() > 50);
    for vector in vectors {
        let slot = Slot::of_key(&vector.app, vector.epoch, &vector.key());
        assert_eq!(slot.number(), vector.slot, "{vector:?}");
    }
}

#[test]
fn clients_without_a_pin_have_the_published_slots() {
    let vectors = vector::initial();
    assert!(vectors.len() > 50);
    for vector in vectors {
        let slot = Slot::of_parts(&vector.app, vector.epoch, vector.bucket, &vector.parts());
        assert_eq!(slot.number(), vector.slot, "{vector:?}");
    }
}

#[test]
fn shares_have_the_published_layout() {
    let vectors = vector::layouts();
    assert!(vectors.len() > 10);
    for vector in vectors {
        let share = |(name, weight): &(String, f64)| (name.clone(), Share::from_percent(*weight).unwrap());
        let others: Vec<_> = vector.others.iter().map(share).collect();
        let layout = Layout::new("stable".to_owned(), &others);
        let runs: Vec<_> = layout.runs().map(|(end, owner)| (end, owner.clone())).collect();
        assert_eq!(runs, vector.runs, "{:?}", vector.others);
    }
}

#[test]
fn pins_and_tokens_have_the_published_seals() {
    let vectors = vector::seals();
    assert!(vectors.len() > 20);
    for vector in vectors {
        let keys = Keys::new(vec![Key::new(&vector.id, &vector.key()).unwrap()]).unwrap();
        if let Some(value) = &vector.pin {
            let (pin, seal) = Pin::parse(value.as_bytes()).unwrap();
            assert_eq!(keys.verify(&vector.app, &pin, &seal.unwrap()), Ok(()), "{value}");
            assert_eq!(pin.encode(&vector.app, Some(&keys)), *value);
        }
        if let Some(value) = &vector.token {
            let (token, seal) = Token::parse(value).unwrap();
            assert_eq!(keys.verify(&vector.app, &token, &seal), Ok(()), "{value}");
            assert_eq!(token.encode(&keys.seal(&vector.app, &token)), *value);
        }
    }
}

#[test]
fn threads_can_share_a_configuration() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Config>();
}
