//! The command line: exit codes and output.

use std::path::Path;
use std::process::{Command, Output};

const KEY: &str = "a key of these tests, 32 bytes or more";

fn pinionctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinionctl"));
    command
        .args(arguments)
        .env("TEST_KEY", KEY)
        .env("SHORT_KEY", "short");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(both).unwrap()
}

fn file(name: &str, text: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn root(path: &str) -> String {
    format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_error_is_reported_with_its_line() {
    let path = file(
        "bad.yaml",
        "kind: Service\n---\nkind: WasmPlugin\nspec:\n  pluginConfig:\n    apps:\n    - name: shop\n      \
         versions:\n      - {name: v1}\n      - name: v2\n        weight: -1\n      rules:\n      - match:\n        \
         - claims:\n            https://example.com/role: {suffix: x}\n        version: v1\n      verions: []\n",
    );
    let output = pinionctl(&["check", &path]);
    assert_eq!(output.status.code(), Some(1));
    let known = "name, enabled, hosts, paths, versions, stable, rules, pin, override, inbound, routeHeader, responseHeader, \
                 outlierDetection, serverTiming, observe";
    let expected = [
        format!("{path}:11: spec.pluginConfig.apps[0].versions[1].weight: must be 0 to 100, is -1"),
        format!(
            "{path}:15: spec.pluginConfig.apps[0].rules[0].match[0].claims.https://example.com/role.suffix: \
             unknown field; known are exact, prefix, regex, present"
        ),
        format!("{path}:17: spec.pluginConfig.apps[0].verions: unknown field; known are {known}"),
        "3 errors: a proxy would refuse this".to_owned(),
    ];
    assert_eq!(said(&output).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_configurations_of_this_repository_pass() {
    let paths = [
        "tests/maximal-edge.json",
        "tests/maximal-workload.json",
        "wasmplugin/base/workload/plugin.yaml",
    ];
    let manifests = [
        "wasmplugin/blue-green/edge.yaml",
        "wasmplugin/blue-green/routing.yaml",
    ];
    let paths: Vec<_> = paths.iter().chain(&manifests).map(|path| root(path)).collect();
    let mut arguments = vec!["check", "--gateway"];
    arguments.extend(paths.iter().map(String::as_str));
    let output = pinionctl(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(said(&output).matches(": good").count(), 4);
}

#[test]
fn warnings_and_a_gateway_s_errors_are_reported() {
    let config = r#"{"apps": [{"name": "a", "inbound": "keep", "versions": [{"name": "v1"}, {"name": "v2", "weight": 1}]}]}"#;
    let path = file("keep.json", config);
    let sidecar = pinionctl(&["check", &path]);
    assert_eq!(sidecar.status.code(), Some(0));
    assert!(
        said(&sidecar).contains(":1: warning: apps[0].stable: is not given"),
        "{}",
        said(&sidecar)
    );
    let gateway = pinionctl(&["check", "--gateway", &path]);
    assert_eq!(gateway.status.code(), Some(1));
    assert!(said(&gateway).contains("apps[0].inbound: must be strip on a gateway"));
}

#[test]
fn a_file_without_a_configuration_is_an_error() {
    for (name, text, code, expected) in [
        (
            "other.yaml",
            "kind: Service\n",
            2,
            "there is no configuration in these files",
        ),
        ("broken.yaml", "a: [", 1, "1 error: a proxy would refuse this"),
        (
            "alias.yaml",
            "apps: !x []",
            1,
            "1 error: a proxy would refuse this",
        ),
    ] {
        let output = pinionctl(&["check", &file(name, text)]);
        assert_eq!(output.status.code(), Some(code), "{name}: {}", said(&output));
        assert!(said(&output).contains(expected), "{name}: {}", said(&output));
    }
    assert_eq!(pinionctl(&["check", "/nowhere.yaml"]).status.code(), Some(2));
}

#[test]
fn a_minted_value_verifies_only_for_its_app_and_key() {
    let key = ["--key-id", "k1", "--key-env", "TEST_KEY"];
    let token = pinionctl(
        &[
            &["token", "override", "--app", "shop", "--version", "v2"],
            &key[..],
        ]
        .concat(),
    );
    let pin = pinionctl(
        &[
            &[
                "token",
                "pin",
                "--app",
                "shop",
                "--version",
                "v2",
                "--slot",
                "99999",
            ],
            &key[..],
        ]
        .concat(),
    );
    let other = file("key", "another key of these tests, long enough\n");
    for minted in [&token, &pin] {
        assert_eq!(minted.status.code(), Some(0), "{}", said(minted));
        let value = said(minted).trim().to_owned();
        assert!(value.starts_with("v2~"), "{value}");
        for (arguments, code, expected) in [
            (
                &["--app", "shop", "--key-env", "TEST_KEY"][..],
                0,
                "of key k1, good for shop",
            ),
            (
                &["--app", "cart", "--key-env", "TEST_KEY"],
                1,
                "NOT VALID for cart",
            ),
            (&["--app", "shop", "--key-file", &other], 1, "NOT VALID for shop"),
            (&[], 0, "of key k1; give --app and its key"),
        ] {
            let output = pinionctl(&[&["inspect", &value], arguments].concat());
            assert_eq!(output.status.code(), Some(code), "{}", said(&output));
            assert!(said(&output).contains(expected), "{}", said(&output));
            assert!(!said(&output).contains(KEY));
        }
    }
}

#[test]
fn a_key_that_cannot_be_used_is_an_error_that_does_not_show_it() {
    let mint = [
        "token",
        "override",
        "--app",
        "shop",
        "--version",
        "v2",
        "--key-id",
        "k1",
    ];
    for (key, expected) in [
        (
            &["--key-env", "SHORT_KEY"][..],
            "SHORT_KEY must hold at least 32 bytes",
        ),
        (
            &["--key-env", "NO_KEY"],
            "there is no environment variable \"NO_KEY\"",
        ),
        (&["--key-file", "/nowhere"], "/nowhere: "),
        (&[], "give the key's source: --key-env or --key-file"),
    ] {
        let output = pinionctl(&[&mint, key].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
}

#[test]
fn a_value_that_is_neither_pin_nor_token_is_an_error() {
    let output = pinionctl(&["inspect", "nonsense"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said(&output), "neither a pin nor an override token\n");
}
