//! Parses arbitrary bytes, and valid configurations with changed values. The result is a configuration or errors.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pinion::config::{Config, Role, ProxyInfo};
use serde_json::{Value, json};

const GOOD: [&str; 2] = [
    include_str!("../../tests/maximal-edge.json"),
    include_str!("../../tests/maximal-workload.json"),
];

/// A proxy that has all environment variables and labels.
struct Rich;

impl ProxyInfo for Rich {
    fn node_id(&self) -> Option<String> {
        Some("sidecar~".to_owned())
    }
    fn node_label(&self, _: &str) -> Option<String> {
        Some("v1".to_owned())
    }
    fn env(&self, _: &str) -> Option<Vec<u8>> {
        Some(vec![b'k'; 32])
    }
    fn plugin(&self) -> String {
        String::new()
    }
}

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Bytes(&'a [u8]),
    /// Values by their number in the document, and their changes.
    Changed(bool, Vec<(u16, Change<'a>)>),
}

#[derive(Arbitrary, Debug)]
enum Change<'a> {
    Null,
    Flag(bool),
    Number(f64),
    Whole(i32),
    Text(&'a str),
    /// New leading digits, with the rest of the old text: durations, weights, addresses.
    Digits(u64),
    Twice,
    Emptied,
}

impl Change<'_> {
    fn make(&self, value: &mut Value) {
        let changed = match self {
            Change::Null => Value::Null,
            Change::Flag(flag) => json!(flag),
            Change::Number(number) => json!(number),
            Change::Whole(number) => json!(number),
            Change::Text(text) => json!(text),
            Change::Digits(digits) => {
                let text = value.as_str().unwrap_or_default();
                json!(format!("{digits}{}", text.trim_start_matches(|c: char| c.is_ascii_digit())))
            }
            Change::Twice => match &*value {
                Value::Array(items) => json!([items.as_slice(), items.as_slice()].concat()),
                other => json!([other, other]),
            },
            Change::Emptied => match value {
                Value::Array(_) => json!([]),
                Value::Object(_) => json!({}),
                _ => json!(""),
            },
        };
        *value = changed;
    }
}

/// The n-th value of a document, in document order.
fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, left)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, left)),
        _ => None,
    }
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Bytes(json) => judge(json),
    Input::Changed(which, changes) => {
        let mut document: Value = serde_json::from_str(GOOD[usize::from(which)]).expect("it is good");
        // Each change may double the document.
        for (number, change) in changes.into_iter().take(8) {
            if let Some(value) = nth(&mut document, &mut usize::from(number % 256)) {
                change.make(value);
            }
        }
        judge(document.to_string().as_bytes());
    }
});

fn judge(json: &[u8]) {
    match Config::parse(json, &Rich) {
        Ok(config) => {
            if let Role::Edge(edge) = config.role {
                for app in edge.apps() {
                    assert!(app.versions.iter().any(|version| version == app.schedule.stable()));
                    let (end, _) = app.schedule.layout(0).runs().last().map(|(end, owner)| (end, owner.clone())).expect("every slot is somebody's");
                    assert_eq!(end, pinion::rollout::slots::SLOTS);
                }
            }
        }
        Err(errors) => assert!(errors.iter().count() > 0),
    }
}
