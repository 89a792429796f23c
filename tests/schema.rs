//! The JSON Schema of the configuration says what the filter's own types say.
#![cfg(not(target_arch = "wasm32"))]

mod common;

use std::collections::BTreeSet;

use common::Around;
use pinion::config::Config;
use pinion_testing::{case, refusal};
use serde_json::{Value, json};

const MAXIMA: [&str; 2] = [
    include_str!("maximal-edge.json"),
    include_str!("maximal-workload.json"),
];

fn schema() -> Value {
    serde_json::from_str(include_str!("../docs/config.schema.json")).unwrap()
}

fn errors(config: &str) -> Vec<String> {
    match Config::parse(config.as_bytes(), &Around(case::NODE_ID)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_schema_refuses_what_a_schema_can() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for refusal in refusal::all() {
        let config = serde_json::from_str(&refusal.text());
        let taken = config.map_or(true, |config| validator.is_valid(&config));
        assert_eq!(taken, refusal.beyond_schema, "{}", refusal.name);
    }
}

#[test]
fn the_schema_takes_what_the_filter_takes() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let maxima = MAXIMA.map(|maximal| serde_json::from_str(maximal).unwrap());
    let cases = case::groups().into_iter().map(|(_, group)| group.config);
    for config in cases.chain(maxima) {
        assert_eq!(errors(&config.to_string()), Vec::<String>::new(), "{config}");
        if let Err(error) = validator.validate(&config) {
            panic!("{config}: {error} at {}", error.instance_path());
        }
    }
}

#[test]
fn more_than_a_proxy_should_be_given_is_refused_by_both() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let app = |i: usize, versions: usize, rules: usize| {
        let version = |i: usize| json!({"name": format!("v{i}")});
        let versions: Vec<_> = (0..versions).map(version).collect();
        let rules = vec![json!({"version": "v0"}); rules];
        json!({"name": format!("a{i}"), "hosts": [format!("h{i}")], "versions": versions, "rules": rules})
    };
    let apps = |count: usize| json!({"apps": (0..count).map(|i| app(i, 1, 0)).collect::<Vec<_>>()});
    let key = |i: usize| json!({"id": format!("k{i}"), "env": "PINION_KEY"});
    let keys = |count: usize| json!({"keys": (0..count).map(key).collect::<Vec<_>>()});
    for (config, refused) in [
        (apps(2000), &[][..]),
        (apps(2001), &["apps: must have at most 2000 items, has 2001"]),
        (json!({"apps": [app(0, 32, 500)]}), &[]),
        (
            json!({"apps": [app(0, 33, 0)]}),
            &["apps[0].versions: must have at most 32 items, has 33"],
        ),
        (
            json!({"apps": [app(0, 1, 501)]}),
            &["apps[0].rules: must have at most 500 items, has 501"],
        ),
        (keys(8), &[]),
        (keys(9), &["keys: must have at most 8 items, has 9"]),
    ] {
        assert_eq!(errors(&config.to_string()), refused);
        assert_eq!(validator.is_valid(&config), refused.is_empty(), "{refused:?}");
    }
}

/// In every object of a configuration that has all fields, the filter knows those that the schema has, and no other.
#[test]
fn the_schema_has_the_fields_that_the_filter_knows() {
    let mut compared = BTreeSet::new();
    for maximal in MAXIMA {
        compare_fields(&serde_json::from_str(maximal).unwrap(), &mut compared);
    }
    for field in ["apps[0].pin.cookie.partitioned", "mirror.detect.always"] {
        assert!(compared.contains(field), "{compared:?}");
    }
}

fn compare_fields(maximal: &Value, compared: &mut BTreeSet<String>) {
    let schema = schema();
    let mut objects = Vec::new();
    collect_objects(maximal, "", &mut objects);
    for pointer in objects {
        let mut config = maximal.clone();
        let object = config.pointer_mut(&pointer).unwrap();
        object["unheard-of"] = json!({"exact": "of"});
        let refused = errors(&config.to_string());
        let known = refused
            .iter()
            .find_map(|error| error.split_once("unheard-of: unknown field; known are "));
        let Some((path, known)) = known else {
            // An object whose names are the user's own.
            assert_eq!(refused, Vec::<String>::new(), "{pointer}");
            continue;
        };
        let known: BTreeSet<&str> = known.split(", ").collect();
        let properties = properties(&schema, &pointer);
        let properties: BTreeSet<&str> = properties.iter().map(String::as_str).collect();
        assert_eq!(known, properties, "{path}");
        let given: BTreeSet<&str> = maximal
            .pointer(&pointer)
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        compared.extend(given.iter().map(|field| format!("{path}{field}")));
    }
}

fn collect_objects(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.push(pointer.to_owned());
            for (name, field) in fields {
                collect_objects(field, &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                collect_objects(item, &format!("{pointer}/{i}"), found);
            }
        }
        _ => {}
    }
}

/// The properties that the schema allows at a place of the configuration.
fn properties(schema: &Value, pointer: &str) -> Vec<String> {
    let mut at = schema;
    for step in pointer.split('/').skip(1) {
        at = resolve(schema, at);
        at = if step.parse::<usize>().is_ok() {
            &at["items"]
        } else if at["properties"][step].is_object() {
            &at["properties"][step]
        } else {
            &at["additionalProperties"]
        };
    }
    let at = resolve(schema, at);
    let properties = at["properties"]
        .as_object()
        .unwrap_or_else(|| panic!("{pointer}: {at}"));
    properties.keys().cloned().collect()
}

fn resolve<'a>(schema: &'a Value, mut at: &'a Value) -> &'a Value {
    loop {
        let alternatives = at["oneOf"].as_array().filter(|_| at["properties"].is_null());
        let last = alternatives.and_then(|any| any.last());
        match (at["$ref"].as_str(), last) {
            (Some(reference), _) => at = schema.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
            (None, Some(last)) => at = last,
            (None, None) => return at,
        }
    }
}
