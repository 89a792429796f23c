//! Sends sequences of random requests and responses through the module's entry points, and checks what holds for all of
//! them: at an edge with unsigned pins, at an edge with signed pins, and at a workload.
#![no_main]

use std::thread::LocalKey;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pinion_testing::case::{Answerer, Lines};
use pinion_testing::host::{self, Plugin};

const NOW: u64 = 1_790_000_000;
const APP: &str = r#""name": "shop", "hosts": ["shop.org", "*.shop.org"],
    "versions": [{"name": "v1", "label": "1.0"}, {"name": "v2", "weight": 10}, {"name": "dark", "weight": 0, "label": "2.0"}, {"name": "gone", "state": "retired"}],
    "stable": "v1",
    "rules": [{"match": [{"headers": {"end-user": {"exact": "tester"}}}], "version": "dark"}],
    "pin": {"header": "x-pin", "query": "p", "follow": "version", "key": [{"header": "x-user"}]},
    "outlierDetection": {"consecutiveGatewayErrors": 1, "baseEjectionTime": "30s"}"#;
const EXPLAIN: &str = r#""explain": {"allow": "any"}"#;
const ALLOWED: &str = r#""allow": [{"headers": {"x-tester": {"exact": "yes"}}}]"#;
const OVERRIDE: &str = r#""header": "x-override", "query": "o", "cookie": "c""#;
const WORKLOAD: &str = r#"{"stamp": {"from": {"value": "v1"}, "label": {"value": "1.0"}}, "mirror": {"block": [{"paths": ["/payments"]}]}}"#;

thread_local! {
    static PLAIN: Plugin = started(&format!(r#"{{{EXPLAIN}, "apps": [{{{APP}, "override": {{{OVERRIDE}, {ALLOWED}}}}}]}}"#));
    static SIGNED: Plugin = started(&format!(
        r#"{{{EXPLAIN}, "keys": [{{"id": "k1", "env": "PINION_KEY"}}], "apps": [{{{APP}, "override": {{{OVERRIDE}}}}}]}}"#
    ));
    static AT_WORKLOAD: Plugin = started(WORKLOAD);
}

fn started(config: &str) -> Plugin {
    Plugin::start(pinion::proxy::start, config.as_bytes(), NOW).expect("it is good")
}

const NAMES: [&str; 16] = [
    "cookie", "x-app-version", "x-pin", "x-user", "x-override", "x-tester", "end-user", "x-mirrored", "x-pinion-mirror",
    "origin", "access-control-request-method", "x-forwarded-proto", "cache-control", "expires", "sec-fetch-mode",
    "x-pinion-explain",
];

#[derive(Arbitrary, Debug)]
enum Place {
    Plain,
    Signed,
    Workload,
}

#[derive(Arbitrary, Debug)]
struct Input {
    place: Place,
    options: bool,
    later: u8,
    fails: bool,
    in_app: bool,
    host: Vec<u8>,
    path: Vec<u8>,
    headers: Vec<(u8, Vec<u8>)>,
    answer: Vec<(u8, Vec<u8>)>,
}

impl Input {
    fn request(&self) -> Lines {
        let method: &[u8] = if self.options { b"OPTIONS" } else { b"GET" };
        let host = if self.in_app { b"shop.org" } else { self.host.as_slice() };
        let mut request = vec![
            (":method".to_owned(), method.to_vec()),
            (":authority".to_owned(), host.to_vec()),
            (":path".to_owned(), [b"/", self.path.as_slice()].concat()),
        ];
        request.extend(named(&self.headers));
        request
    }

    fn answer(&self) -> Lines {
        let status: &[u8] = if self.fails { b"503" } else { b"200" };
        let mut answer = vec![(":status".to_owned(), status.to_vec())];
        answer.extend(named(&self.answer));
        answer
    }
}

fn named(lines: &[(u8, Vec<u8>)]) -> Lines {
    // Envoy accepts no CR, LF or NUL in a value.
    let clean = |value: &Vec<u8>| value.iter().copied().filter(|b| !b"\r\n\0".contains(b)).collect();
    lines.iter().map(|(i, value)| (NAMES[usize::from(*i) % NAMES.len()].to_owned(), clean(value))).collect()
}

fn all<'a>(lines: &'a Lines, name: &str) -> Vec<&'a [u8]> {
    lines.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_slice()).collect()
}

fuzz_target!(|inputs: Vec<Input>| {
    host::forget();
    let mut now = NOW;
    for input in inputs.into_iter().take(8) {
        now += u64::from(input.later);
        host::set_time(now);
        match input.place {
            Place::Plain => at_edge(&PLAIN, &input),
            Place::Signed => at_edge(&SIGNED, &input),
            Place::Workload => at_workload(&input),
        }
    }
});

fn at_edge(plugin: &'static LocalKey<Plugin>, input: &Input) {
    let signed = matches!(input.place, Place::Signed);
    let request = input.request();
    let has = |name: &str, wanted: &[u8]| all(&request, name) == [wanted];
    let forced = has("end-user", b"tester") || (!signed && has("x-tester", b"yes"));
    let said = all(&named(&input.answer), "x-app-version").len();
    let seen = plugin.with(|plugin| plugin.exchange(request.clone(), Answerer::ViaUpstream, input.answer()));
    let routes = all(&seen.upstream, "x-app-version");
    assert!(if input.in_app { routes.len() == 1 } else { routes.len() <= 1 });
    for route in routes {
        assert!([&b"v1"[..], b"v2", b"dark"].contains(&route));
        assert!(route != b"dark" || forced, "a dark version was reached by neither rule nor override");
    }
    assert!(all(&seen.upstream, "x-mirrored").is_empty() && all(&seen.upstream, "x-pinion-mirror").is_empty());
    for cookie in all(&seen.response, "set-cookie") {
        let cookie = std::str::from_utf8(cookie).expect("made here");
        let pin = cookie.strip_prefix("pinion-shop=v1~179000").or(cookie.strip_prefix("pinion-shop=v2~179000"));
        match pin {
            Some(rest) => assert_eq!(rest.contains("~k1~"), signed, "{cookie}"),
            // No client has a token, so the cookie of a token can only be deleted.
            None => assert!(cookie.starts_with("c=; "), "{cookie}"),
        }
    }
    for decision in all(&seen.response, "x-pinion-decision") {
        let ours = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"\"=, ".contains(b);
        assert!(decision.starts_with(b"app=") && decision.iter().all(ours));
    }
    let stamps = all(&seen.response, "x-app-version");
    assert!(stamps.len() >= said && (said > 0 || stamps.iter().all(|stamp| [&b"1.0"[..], b"v2", b"2.0"].contains(stamp))));
}

fn at_workload(input: &Input) {
    let seen = AT_WORKLOAD.with(|plugin| plugin.exchange(input.request(), Answerer::ViaUpstream, input.answer()));
    let tags = all(&seen.upstream, "x-mirrored");
    assert!(tags.is_empty() || tags == [b"true"]);
    assert!(!seen.blocked || tags == [b"true"], "a live request was blocked");
    assert!(seen.blocked || all(&seen.response, "x-app-version") == [b"1.0"]);
}
