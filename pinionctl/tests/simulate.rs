//! The tables of `simulate`, for ramps and for changes. `counted.rs` shows that the counts are right.

mod common;

use common::{file, run};
use serde_json::{Value, json};

const AT: &str = "2026-11-20T12:00:00Z";

fn shop(more: &Value) -> Value {
    let mut app =
        json!({"name": "shop", "versions": [{"name": "v1"}, {"name": "v2", "weight": 10}], "stable": "v1"});
    let fields = more.as_object().unwrap().clone();
    app.as_object_mut().unwrap().extend(fields);
    json!({"apps": [app]})
}

fn weights(versions: &Value) -> Value {
    shop(&json!({"versions": versions}))
}

/// The output for a change of configuration.
fn change(name: &str, before: &Value, after: &Value) -> String {
    let before = file(&format!("{name}-before.json"), before.to_string());
    let after = file(&format!("{name}-after.json"), after.to_string());
    let (code, said) = run(&["simulate", "--config", &before, "--to", &after, "--at", AT]);
    assert_eq!(code, Some(0), "{said}");
    said
}

#[test]
fn a_ramp_has_a_line_for_each_step() {
    let ramp =
        json!({"to": 100, "start": "2026-11-20T09:00:00Z", "duration": "6h", "steps": 4, "holdAt": 70});
    let config =
        weights(&json!([{"name": "v1"}, {"name": "version-2", "weight": 20, "ramp": ramp}, {"name": "v3"}]));
    let path = file("ramp.json", config.to_string());
    let svg = file("ramp.svg", "");
    let expected = "shop: shares in percent
  time                       v1  version-2       v3
  2026-11-20T09:00:00Z   80.000     20.000    0.000
  2026-11-20T10:30:00Z   60.000     40.000    0.000
  2026-11-20T12:00:00Z   40.000     60.000    0.000
  2026-11-20T13:30:00Z   30.000     70.000    0.000
  2026-11-20T15:00:00Z   30.000     70.000    0.000
";
    let said = run(&["simulate", "--config", &path, "--svg", &svg]);
    assert_eq!(said, (Some(0), expected.to_owned()));
    let picture = std::fs::read_to_string(&svg).unwrap();
    assert!(
        picture.starts_with("<svg ") && picture.ends_with("</svg>\n"),
        "{picture}"
    );
    assert_eq!(picture.matches("<polygon ").count(), 3);
    assert!(picture.contains("\nversion-2\n") && picture.contains("\nhours from 2026-11-20T09:00:00Z\n"));
    let part = [
        "--from",
        "2026-11-20T12:00:00+01:00",
        "--until",
        "2026-11-20T12:30:00Z",
    ];
    let (code, said) = run(&[&["simulate", "--config", &path], &part[..]].concat());
    let times = "  2026-11-20T11:00:00Z   60.000     40.000    0.000
  2026-11-20T12:00:00Z   40.000     60.000    0.000
  2026-11-20T12:30:00Z   40.000     60.000    0.000
";
    assert!(code == Some(0) && said.ends_with(times), "{said}");
}

#[test]
fn an_even_ramp_is_shown_in_twelve_parts_and_with_its_hold() {
    let ramp = json!({"to": 50, "start": "2026-11-20T09:00:00Z", "duration": "1h", "holdAt": 26});
    let config = weights(&json!([{"name": "v1"}, {"name": "v2", "ramp": ramp}]));
    let (_, said) = run(&["simulate", "--config", &file("even.json", config.to_string())]);
    let rows: Vec<_> = said.lines().skip(2).map(|line| &line[13..]).collect();
    let expected = [
        "09:00:00Z  100.000    0.000",
        "09:05:00Z   95.834    4.166",
        "09:10:00Z   91.667    8.333",
        "09:15:00Z   87.500   12.500",
        "09:20:00Z   83.334   16.666",
        "09:25:00Z   79.167   20.833",
        "09:30:00Z   75.000   25.000",
        "09:31:12Z   74.000   26.000",
        "09:35:00Z   74.000   26.000",
    ];
    assert_eq!(rows[..9], expected);
    assert_eq!(rows.len(), 14);
}

#[test]
fn a_rising_share_moves_that_share() {
    let after =
        weights(&json!([{"name": "v1"}, {"name": "v2", "weight": 22.5}, {"name": "v3", "weight": 5}]));
    assert_eq!(
        change("rising", &shop(&json!({})), &after),
        "at 2026-11-20T12:00:00Z
shop
  version             before     after
  v1                90.000 %  72.500 %
  v2                10.000 %  22.500 %
  v3                       -   5.000 %  new
  with a pin: 17,500 (17.5 %) of 100,000 change version
    v1 to v2: 12,500 (12.5 %)
    v1 to v3: 5,000 (5 %)
"
    );
}

#[test]
fn the_moves_of_clients_are_reported() {
    let shop_10 = shop(&json!({}));
    let version = json!({"pin": {"follow": "version"}});
    let versions =
        |weight: i32, state: &str| json!([{"name": "v1"}, {"name": "v2", "weight": weight, "state": state}]);
    let both = |versions: Value, pin: Value| shop(&json!({"versions": versions, "pin": pin}));
    let keyed =
        |epoch: i32, header: &str| shop(&json!({"pin": {"epoch": epoch, "key": [{"header": header}]}}));
    let ramp = json!({"to": 100, "start": "2026-11-20T09:00:00Z", "duration": "6h"});
    for (before, after, expected) in [
        // With pin.follow: version a change of weights moves no pin, unless the version loses its whole share.
        (
            shop(&version),
            both(versions(60, "active"), version["pin"].clone()),
            "  with a pin: 0 (0 %) of 100,000 change version\n",
        ),
        (
            shop(&version),
            both(versions(0, "active"), version["pin"].clone()),
            "    v2 to v1: 10,000 (10 %)\n",
        ),
        (
            shop_10.clone(),
            weights(&versions(0, "draining")),
            "  v2                10.000 %   0.000 %  now draining\n  with a pin: 0 (0 %) of 100,000 change version\n",
        ),
        (
            shop_10.clone(),
            weights(&versions(0, "retired")),
            "  v2                10.000 %   0.000 %  now retired\n  with a pin, at v2: 10,000 get a new slot (retired)\n\
            \x20 with a pin: about 10,000 (10 %) of 100,000 change version\n    v2 to v1: about 10,000 (10 %)\n",
        ),
        (
            shop_10.clone(),
            weights(&json!([{"name": "v1"}])),
            "  v2                10.000 %         -  removed\n  with a pin, at v2: 10,000 get a new slot (unknown)\n",
        ),
        (
            weights(&versions(0, "draining")),
            weights(&versions(0, "draining")),
            "  with a pin to v2, which was draining: stay\n",
        ),
        (
            weights(&versions(0, "draining")),
            weights(&versions(10, "active")),
            "  v2                 0.000 %  10.000 %  active again\n  with a pin: 10,000 (10 %) of 100,000 change version\n\
            \x20   v1 to v2: 10,000 (10 %)\n  with a pin to v2, which was draining: go to the versions of their slots\n",
        ),
        (
            weights(&versions(0, "draining")),
            weights(&versions(0, "retired")),
            "which was draining: get a new slot (retired)\n",
        ),
        (
            shop_10.clone(),
            shop(&json!({"pin": {"epoch": 1}})),
            "  with a pin, at v1: 90,000 get a new slot (epoch)\n  with a pin, at v2: 10,000 get a new slot (epoch)\n\
            \x20 with a pin: about 18,000 (18 %) of 100,000 change version\n    v1 to v2: about 9,000 (9 %)\n    v2 to v1: about 9,000 (9 %)\n",
        ),
        (
            keyed(0, "x-user"),
            keyed(0, "x-user"),
            "  with a key: 0 (0 %) of 100,000 change version\n",
        ),
        (
            keyed(0, "x-user"),
            keyed(1, "x-user"),
            "  with a key, at v1: 90,000 get a new slot (epoch)\n",
        ),
        (
            keyed(0, "x-user"),
            keyed(0, "x-account"),
            "  with a key, at v1: 90,000 get a new slot (pin.key changed)\n",
        ),
        (
            shop_10.clone(),
            weights(&json!([{"name": "v1"}, {"name": "v2", "weight": 10, "ramp": ramp}])),
            "    v1 to v2: 45,000 (45 %)\n",
        ),
        (
            shop_10.clone(),
            shop(&json!({"enabled": false})),
            "  the app is not enabled: it decides no request\n",
        ),
        (
            shop_10.clone(),
            shop(&json!({"observe": true})),
            "  the app is in observe mode: it changes no header\n",
        ),
        (
            shop_10.clone(),
            json!({"apps": [{"name": "cart", "versions": [{"name": "v1"}]}]}),
            "-after.json\n",
        ),
    ] {
        let said = change("told", &before, &after);
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

#[test]
fn a_change_of_signing_keys_counts() {
    let signed = |keys: Value| {
        let mut config = shop(&json!({}));
        config["keys"] = keys;
        config
    };
    let (one, old) = (
        json!({"id": "k1", "env": "PINION_KEY"}),
        json!({"id": "k0", "env": "PINION_OLD_KEY"}),
    );
    let none = "  with a pin: 0 (0 %) of 100,000 change version\n";
    for (before, after, expected) in [
        (
            shop(&json!({})),
            signed(json!([one])),
            "  with a pin, at v1: 90,000 get a new slot (unsigned)\n",
        ),
        (signed(json!([old])), signed(json!([one, old])), none),
        (
            signed(json!([old])),
            signed(json!([one])),
            "  with a pin, at v1: 90,000 get a new slot (key)\n",
        ),
        // Missing keys count as equal if they have the same variable.
        (
            signed(json!([{"id": "k", "env": "GONE"}])),
            signed(json!([{"id": "k", "env": "GONE"}])),
            none,
        ),
        (
            signed(json!([{"id": "k", "env": "GONE"}])),
            signed(json!([{"id": "k", "env": "OTHER"}])),
            "(forged)\n",
        ),
    ] {
        let said = change("keys", &before, &after);
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

#[test]
fn apps_of_only_one_file_are_named_and_one_app_can_be_selected() {
    let app = |name: &str| json!({"name": name, "hosts": [name], "versions": [{"name": "v1"}]});
    let before = file(
        "apps-before.json",
        json!({"apps": [app("a"), app("b")]}).to_string(),
    );
    let after = file(
        "apps-after.json",
        json!({"apps": [app("b"), app("c")]}).to_string(),
    );
    let svg = file("apps.svg", "");
    let arguments = [
        "simulate", "--config", &before, "--to", &after, "--at", AT, "--svg", &svg,
    ];
    let table = "b\n  version             before     after\n  v1               100.000 % 100.000 %\n  \
                 with a pin: 0 (0 %) of 100,000 change version\n";
    let expected = format!("at {AT}\na: only in {before}\n{table}c: only in {after}\n");
    assert_eq!(run(&arguments), (Some(0), expected));
    let picture = std::fs::read_to_string(&svg).unwrap();
    assert!(picture.contains("\nb: returning clients in percent, before and after\n"));
    let chosen = run(&[&arguments[..], &["--app", "b"]].concat());
    assert_eq!(chosen, (Some(0), format!("at {AT}\n{table}")));
    let none = run(&[&arguments[..], &["--app", "d"]].concat());
    assert_eq!(none, (Some(2), "pinionctl: there is no app \"d\"\n".to_owned()));
}
