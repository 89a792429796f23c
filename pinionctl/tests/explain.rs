//! The text of `explain`. `agreement.rs` shows that it agrees with the filter.

mod common;

use common::{file, run};

const AT: &str = "2026-11-21T12:00:00Z";

const SHOP: &str = r#"apps:
- name: shop
  hosts: ["shop.example.com"]
  versions:
  - {name: v1, label: "1.0"}
  - {name: v2, label: "2.0", weight: 10}
  - {name: v0, state: draining}
  stable: v1
  rules:
  - match:
    - headers: {end-user: {exact: tester}}
    version: v2
  - match:
    - paths: ["/half"]
    split: [{version: v1, weight: 50}, {version: v2, weight: 50}]
"#;

/// The output for a request under a configuration.
fn said(name: &str, config: &str, request: &str, more: &[&str]) -> String {
    let config = file(&format!("{name}.yaml"), config);
    let request = file(&format!("{name}.http"), request);
    let arguments = ["explain", "--config", &config, "--request", &request, "--at", AT];
    let (code, said) = run(&[&arguments[..], more].concat());
    assert_eq!(code, Some(0), "{said}");
    said
}

#[test]
fn each_step_has_a_line() {
    let pinned =
        "GET / HTTP/1.1\r\nHost: Shop.example.com:8080\r\nCookie: pinion-shop=v1~1795262300~0~48280\r\n\r\n";
    assert_eq!(
        said("pinned", SHOP, pinned, &[]),
        r#"app="shop", version="v1", reason=pin, slot=48280, override=unconfigured, inbound=stripped, rule=unmatched, key=unconfigured, pin=held

shop: version v1, shown as "1.0", at 2026-11-21T12:00:00Z
  override not configured, so that nobody can ask
  inbound  strip: what x-app-version says counts for nothing
  rule     none of the 2 matches
  key      not configured
  pin      decides: it holds slot 48280, which is v1's
  draw     not looked at
to the request
  set      x-app-version: v1
to the response, if the upstream's is an empty 200
  set      x-app-version: 1.0
"#
    );
    let split = "> GET /half HTTP/2\n> Host: shop.example.com\n> Cookie: pinion-shop=v9~1~0~1\n> x-mirrored: true\n>\n";
    assert_eq!(
        said("split", SHOP, split, &["--draw", "20000", "--scheme", "https"]),
        r#"app="shop", version="v2", reason=rule, slot=20000, override=unconfigured, inbound=stripped, rule=1, key=unconfigured, pin=expired

shop: version v2, shown as "2.0", at 2026-11-21T12:00:00Z
  override not configured, so that nobody can ask
  inbound  strip: what x-app-version says counts for nothing
  rule     decides: rules[1] matches, and its split gives the slot below to v2
  key      not configured
  pin      is rejected (expired): it is older than 86400 seconds
  draw     for the split: slot 20000, which is v1's, as --draw says
to the request
  remove   x-mirrored
  set      x-app-version: v2
  set      cookie: pinion-shop=v1~1795262400~0~20000
to the response, if the upstream's is an empty 200
  set      x-app-version: 2.0
  set      cache-control: private
  append   set-cookie: pinion-shop=v1~1795262400~0~20000; Path=/; Max-Age=172800; SameSite=Lax; HttpOnly; Secure
"#
    );
}

#[test]
fn the_lines_give_the_reasons() {
    let config = |more: &str| format!("{SHOP}  {more}\n");
    let keys = "pin: {key: [{header: x-user-id}, {claim: sub}, {sourceIp: true}]}";
    let outlier = "outlierDetection: {consecutiveGatewayErrors: 5}";
    let get = |headers: &str| format!("GET / HTTP/1.1\nHost: shop.example.com\n{headers}");
    let over = "override: {header: x-version, allow: [{methods: [PUT]}]}";
    for (more, request, arguments, expected) in [
        (
            "",
            get("end-user: tester"),
            &[][..],
            "  rule     decides: rules[0] matches\n  key      not looked at\n",
        ),
        (
            "",
            get("cookie: pinion-shop=v0~1795262399~0~5"),
            &[],
            "decides: it holds slot 5, which is v2's, but the pin's version is draining and keeps its clients\n",
        ),
        (
            "pin: {follow: version}",
            get("cookie: pinion-shop=v1~1795262399~0~5"),
            &[],
            "decides: it holds slot 5, which is v2's, but with pin.follow: version the client stays\n",
        ),
        (
            "pin: {header: x-pin}",
            get("x-pin: v1~1795262399~0~5\nsec-fetch-mode: cors"),
            &[],
            "decides: it holds slot 5, which is v2's, but the page that loads this came from the pin's version\n",
        ),
        (
            "",
            get("cookie: pinion-shop=v1~1795262399~7~5"),
            &["--draw", "5"],
            "  pin      is rejected (epoch): its epoch is not 0\n",
        ),
        (
            "",
            get("cookie: pinion-shop=v9~1795262399~0~5"),
            &["--draw", "5"],
            "is rejected (unknown): it names a version that shop does not have\n",
        ),
        (
            "",
            get(""),
            &["--draw", "5"],
            "  pin      the request has none\n  draw     decides: slot 5, which is v2's, as --draw says\n",
        ),
        ("", get(""), &[], ", at random: --draw chooses another\n"),
        (
            keys,
            get(""),
            &["--claim", "sub=alice"],
            "  key      decides: claim sub (key[1]) gives slot 47051, which is v1's\n  pin      not looked at\n",
        ),
        (
            keys,
            get(""),
            &[],
            "  key      the request has no header x-user-id, no claim sub, no client's address\n",
        ),
        (
            keys,
            get(""),
            &["--source", "192.0.2.1"],
            "  key      decides: client's address (key[2]) gives slot ",
        ),
        (
            over,
            get("x-version: v2"),
            &[],
            "  override denied: the client is not allowed to ask, or the value is malformed\n",
        ),
        (
            over,
            get("x-version: v2").replace("GET", "PUT"),
            &[],
            "  override decides: an allowed client asks for v2\n",
        ),
        (
            over,
            get("x-version: v3").replace("GET", "PUT"),
            &[],
            "  override the request asks for a version that shop does not have, or for a retired one\n",
        ),
        (
            "inbound: keep",
            get("x-app-version: v2"),
            &[],
            "  inbound  decides: x-app-version names v2\n",
        ),
        (
            "inbound: keep",
            get(""),
            &[],
            "  inbound  the request has no x-app-version\n",
        ),
        (
            "",
            get("origin: a\naccess-control-request-method: b").replace("GET", "OPTIONS"),
            &[],
            "  draw     decides: a CORS preflight gets no slot and no pin, and goes to v1\n",
        ),
        (
            outlier,
            get(""),
            &[],
            "  health   only the proxy knows which versions are ejected; here all count as healthy\n",
        ),
        (
            "observe: true",
            get(""),
            &[],
            "  observe  in observe mode no header changes, and the filter sends no explanation\n\
            to the request\n  nothing is done\n",
        ),
    ] {
        let said = said("lines", &config(more), &request, arguments);
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

#[test]
fn a_request_of_no_app_is_explained() {
    let config = r#"{"apps": [
        {"name": "shop", "hosts": ["shop.example.com"], "paths": ["/cart", "/pay"], "versions": [{"name": "v1"}]},
        {"name": "rest", "versions": [{"name": "v1"}]},
        {"name": "test", "hosts": ["*.test.example.com"], "versions": [{"name": "v1"}]},
        {"name": "off", "hosts": ["off.example.com"], "enabled": false, "versions": [{"name": "v1"}]}]}"#;
    let request = "GET /carts?a HTTP/1.1\nHost: shop.example.com\nx-app-version: v1\n";
    assert_eq!(
        said("none", config, request, &[]),
        "app=none

no app has host shop.example.com and path /carts
  shop: is for this host, but for other paths: /cart, /pay
  rest: matches, but a more specific host has apps, and none of them is for this path
  test: is for other hosts: *.test.example.com
  off: is for other hosts: off.example.com
to the request
  remove   x-app-version
to the response, if the upstream's is an empty 200
  nothing is done
"
    );
    let off = said("off", config, "GET / HTTP/1.1\nHost: off.example.com\n", &[]);
    assert!(
        off.starts_with(
            "app=none\n\noff is not enabled: the filter removes its route header and does nothing else\n"
        ),
        "{off}"
    );
}

#[test]
fn keys_come_from_the_environment_and_are_never_shown() {
    let config = |variable: &str| format!("keys: [{{id: k1, env: {variable}}}]\n{SHOP}");
    let request = "GET / HTTP/1.1\nHost: shop.example.com\n";
    let there = said("key", &config("PINION_KEY"), request, &["--draw", "5"]);
    assert!(
        there.contains("set-cookie: pinion-shop=v2~1795262400~0~5~k1~") && !there.contains("note:"),
        "{there}"
    );
    assert!(!there.contains("the first key"), "{there}");
    let gone = said("no-key", &config("PINION_KEY_GONE"), request, &["--draw", "5"]);
    let note = "\nnote: the environment variable PINION_KEY_GONE is missing: signatures of its key cannot be verified, and those \
                shown here are not real\n";
    assert!(gone.ends_with(note), "{gone}");
    let config = file("short.yaml", config("PINION_SHORT_KEY"));
    let short = run(&["explain", "--config", &config, "--request", "-"]);
    let expected = format!(
        "pinionctl: a proxy would refuse this\n{config}:1: keys[0].env: \"PINION_SHORT_KEY\" must hold at least 32 bytes, holds 31\n"
    );
    assert_eq!(short, (Some(2), expected));
}

#[test]
fn what_cannot_be_explained_is_an_error() {
    let (shop, request) = (
        file("shop.yaml", SHOP),
        file("get.http", "GET / HTTP/1.1\nHost: a\n"),
    );
    let keep = file("keep.yaml", format!("{SHOP}  inbound: keep\n"));
    let bad = file("bad.http", "GET /\n");
    let two = file("two.yaml", format!("{SHOP}---\n{SHOP}"));
    let service = file("service.yaml", "kind: Service\n");
    for (config, request, more, expected) in [
        (
            &shop,
            &bad,
            &[][..],
            format!("pinionctl: {bad}: the first line must be a request line such as: GET /path HTTP/1.1\n"),
        ),
        (
            &two,
            &request,
            &[],
            format!("pinionctl: {two}: holds 2 configurations; give a file with one\n"),
        ),
        (
            &service,
            &request,
            &[],
            format!("pinionctl: {service}: there is no configuration in it\n"),
        ),
        (
            &keep,
            &request,
            &["--gateway"],
            format!(
                "pinionctl: a proxy would refuse this\n{keep}:16: apps[0].inbound: must be strip on a gateway"
            ),
        ),
        (
            &shop,
            &request,
            &["--at", "noon"],
            "error: invalid value 'noon' for '--at <TIME>': must be a time such as".to_owned(),
        ),
        (
            &shop,
            &request,
            &["--draw", "100000"],
            "error: invalid value '100000' for '--draw <SLOT>'".to_owned(),
        ),
        (
            &shop,
            &request,
            &["--claim", "sub"],
            "error: invalid value 'sub' for '--claim <NAME=VALUE>': must be NAME=VALUE".to_owned(),
        ),
    ] {
        let (code, said) = run(&[&["explain", "--config", config, "--request", request], more].concat());
        assert_eq!(code, Some(2));
        assert!(said.starts_with(&expected), "{expected}\n{said}");
    }
}
