//! Whole random requests and answers through the SDK's dispatcher, against what must hold of every one.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pinion_testing::case::{Answerer, Lines};
use pinion_testing::host::Plugin;

const NOW: u64 = 1_790_000_000;
const EDGE: &str = r#"{"apps": [{
    "name": "shop", "hosts": ["shop.org", "*.shop.org"],
    "versions": [{"name": "v1", "label": "1.0"}, {"name": "v2", "weight": 10}, {"name": "dark", "weight": 0, "label": "2.0"}, {"name": "gone", "state": "retired"}],
    "stable": "v1",
    "rules": [{"match": [{"headers": {"end-user": {"exact": "tester"}}}], "version": "dark"}],
    "pin": {"header": "x-pin", "query": "p", "follow": "version", "key": [{"header": "x-user"}]},
    "override": {"header": "x-override", "query": "o", "cookie": "c", "allow": [{"headers": {"x-tester": {"exact": "yes"}}}]}
}]}"#;

const NAMES: [&str; 14] = [
    "cookie", "x-app-version", "x-pin", "x-user", "x-override", "x-tester", "end-user", "x-mirrored", "x-pinion-mirror",
    "origin", "access-control-request-method", "x-forwarded-proto", "cache-control", "expires",
];

#[derive(Arbitrary, Debug)]
struct Input {
    options: bool,
    in_app: bool,
    host: Vec<u8>,
    path: Vec<u8>,
    headers: Vec<(u8, Vec<u8>)>,
    answer: Vec<(u8, Vec<u8>)>,
}

fn named(lines: Vec<(u8, Vec<u8>)>) -> Lines {
    // Envoy takes no CR, LF or NUL in a value.
    let clean = |value: Vec<u8>| value.into_iter().filter(|b| !b"\r\n\0".contains(b)).collect();
    lines.into_iter().map(|(i, value)| (NAMES[usize::from(i) % NAMES.len()].to_owned(), clean(value))).collect()
}

fn all<'a>(lines: &'a Lines, name: &str) -> Vec<&'a [u8]> {
    lines.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_slice()).collect()
}

fuzz_target!(|input: Input| {
    let plugin = Plugin::start(pinion::proxy::start, EDGE.as_bytes(), NOW).expect("it is good");
    let method: &[u8] = if input.options { b"OPTIONS" } else { b"GET" };
    let host = if input.in_app { b"shop.org".to_vec() } else { input.host };
    let mut request = vec![
        (":method".to_owned(), method.to_vec()),
        (":authority".to_owned(), host),
        (":path".to_owned(), [b"/", input.path.as_slice()].concat()),
    ];
    request.extend(named(input.headers));
    let has = |name: &str, wanted: &[u8]| all(&request, name) == [wanted];
    let forced = has("end-user", b"tester") || has("x-tester", b"yes");
    let said = all(&named(input.answer.clone()), "x-app-version").len();
    let seen = plugin.exchange(request, Answerer::ViaUpstream, named(input.answer));
    let routes = all(&seen.upstream, "x-app-version");
    assert!(if input.in_app { routes.len() == 1 } else { routes.len() <= 1 });
    for route in routes {
        assert!([&b"v1"[..], b"v2", b"dark"].contains(&route));
        assert!(route != b"dark" || forced, "a dark version was reached by neither rule nor override");
    }
    assert!(all(&seen.upstream, "x-mirrored").is_empty() && all(&seen.upstream, "x-pinion-mirror").is_empty());
    for cookie in all(&seen.response, "set-cookie") {
        let cookie = std::str::from_utf8(cookie).expect("made here");
        let pin = cookie.strip_prefix("pinion-shop=v1~1790000000~0~").or(cookie.strip_prefix("pinion-shop=v2~1790000000~0~"));
        assert!(pin.is_some() || cookie.starts_with("c=; "), "{cookie}");
    }
    let stamps = all(&seen.response, "x-app-version");
    assert!(stamps.len() >= said && (said > 0 || stamps.iter().all(|stamp| [&b"1.0"[..], b"v2", b"2.0"].contains(stamp))));
});
