//! What must hold for any input: bytes that nobody expected, and any configuration that is taken.
#![cfg(all(feature = "proxy", not(target_arch = "wasm32")))]

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use pinion::config::{Config, NoProxyInfo, Role};
use pinion::environment::Claim;
use pinion::environment::FixedEnvironment;
use pinion::http::authority::normalized_host;
use pinion::http::cacheability::{self, Cacheability};
use pinion::http::cookie;
use pinion::http::edit::Edit;
use pinion::http::header::{HeaderName, trim_ows};
use pinion::http::request::Request;
use pinion::identity::overrides::member;
use pinion::identity::pin::Pin;
use pinion::identity::token::Token;
use pinion::proxy::claims;
use pinion::rollout::slots::{Layout, SLOTS, Share, Slot};
use pinion::route::cidr::Cidr;
use pinion::route::matching::{Attribute, Condition, Match, StringMatch};
use pinion::route::rules::{Rule, Rules};
use pinion::route::scope::{HostPattern, PathPrefix};
use pinion_testing::case::{Answerer, Lines};
use pinion_testing::host::Plugin;
use proptest::collection::vec;
use proptest::prelude::*;

const NOW: u64 = 1_790_000_000;
const EDGE: &str = include_str!("maximal-edge.json");
const WORKLOAD: &str = include_str!("maximal-workload.json");

/// Bytes that are near to what a parser looks for.
fn near(alphabet: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(alphabet).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

const PIN: &[&str] = &[
    "v1",
    "v2",
    "~",
    "~0",
    "1790000000",
    "~99999",
    "~100000",
    "-",
    "~k1",
    "~AAAAAAAAAAAAAAAAAAAAAA",
    "~override",
];
const COOKIE: &[&str] = &[
    "p",
    "=",
    ";",
    " ",
    "\"",
    "v1~1790000000~1~5",
    "group",
    "beta",
    ",",
];
const TARGET: &[&str] = &[
    "/",
    "web-api",
    "/v1",
    "?",
    "&",
    "dpl=",
    "%7E",
    "%",
    "..",
    "#",
    "v1~1790000000~1~5",
];
const HOST: &[&str] = &[
    "shop.example.com",
    "SHOP",
    ".",
    ":",
    "8080",
    "[",
    "]",
    "::1",
    "*",
    "test.",
];
const CACHE: &[&str] = &[
    "public", "private", "no-store", "max-age", "=", "0", "60", ",", " ", "\"", "\\",
];
const OVERRIDE: &[&str] = &["v2", "web-api", "=", "\"", ",", " ", ";", "cart"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_configuration_panics(json in near(&["{", "}", "[", "]", "\"apps\"", ":", "\"name\"", "1", "null", ",", "\"versions\""])) {
        let _ = Config::parse(&json, &NoProxyInfo);
    }

    #[test]
    fn a_configuration_with_one_value_changed_is_taken_or_refused_with_reasons(
        maximal in prop::sample::select(&[EDGE, WORKLOAD][..]),
        place in any::<prop::sample::Index>(),
        value in prop::sample::select(&["null", "0", "-1", "1.5", "\"\"", "\"x\"", "[]", "{}", "true", "[[]]", "\"*\""][..]),
    ) {
        let mut config: serde_json::Value = serde_json::from_str(maximal).unwrap();
        let mut pointers = Vec::new();
        collect(&config, "", &mut pointers);
        let pointer = place.get(&pointers);
        *config.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
        match Config::parse(config.to_string().as_bytes(), &NoProxyInfo) {
            Ok(config) => match config.role {
                Role::Edge(edge) => prop_assert!(edge.apps().all(|app| !app.versions.is_empty())),
                Role::Workload(_) => {}
            },
            Err(errors) => prop_assert!(errors.iter().count() > 0),
        }
    }

    #[test]
    fn a_pin_that_is_read_is_one_that_is_written(value in near(PIN)) {
        if let Some((pin, seal)) = Pin::parse(&value) {
            let seal = seal.map(|seal| format!("~{seal}")).unwrap_or_default();
            prop_assert_eq!(format!("{pin}{seal}").into_bytes(), value);
        }
    }

    #[test]
    fn a_pin_that_is_written_is_read(version in "[A-Za-z0-9._-]{1,63}", issued: u64, epoch: u32, slot in 0..SLOTS) {
        let pin = Pin { version: &version, issued, epoch, slot: Slot::new(slot).unwrap() };
        let written = pin.to_string();
        prop_assert_eq!(Pin::parse(written.as_bytes()), Some((pin, None)));
    }

    #[test]
    fn a_token_that_is_read_is_one_that_is_written(value in near(PIN)) {
        if let Some((token, seal)) = std::str::from_utf8(&value).ok().and_then(Token::parse) {
            prop_assert_eq!(token.encode(&seal).into_bytes(), value);
        }
    }

    #[test]
    fn a_claim_is_text_or_nothing(claim in vec(any::<u8>(), 0..64), items in vec("[ -~]{0,12}", 0..5)) {
        if let Some(claim) = claims::decode(&claim) {
            prop_assert!(claim.texts().all(|text| !text.iter().any(u8::is_ascii_control)));
        }
        let list: Vec<_> = items.iter().map(|item| (item, Vec::new())).collect();
        let list = pinion_testing::case::serialized(&list);
        let texts = items.iter().map(|item| item.as_bytes().to_vec()).collect();
        prop_assert_eq!(claims::decode(&list), Some(Claim::List(texts)));
    }

    #[test]
    fn a_block_has_its_own_network(address: [u8; 16], prefix in 0_u32..=128, other: [u8; 16]) {
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        let network = u128::from_be_bytes(address) & mask;
        let block: Cidr = format!("{}/{prefix}", Ipv6Addr::from(network)).parse().unwrap();
        let other = u128::from_be_bytes(other);
        let inside = Ipv6Addr::from(network | (other & !mask));
        // An address that came as IPv4 is one, and in no block of IPv6.
        prop_assert_eq!(block.contains(inside.into()), inside.to_ipv4_mapped().is_none());
        let other = Ipv6Addr::from(other);
        prop_assert_eq!(block.contains(other.into()), u128::from(other) & mask == network && other.to_ipv4_mapped().is_none());
    }

    #[test]
    fn a_shared_lifetime_is_fresh_unless_the_line_forbids(before in near(CACHE), after in near(CACHE)) {
        let line = [&before[..], b", s-maxage=60, ", &after].concat();
        let forbids = ["private", "no-store", "no-cache", "\""]
            .iter()
            .any(|word| line.to_ascii_lowercase().windows(word.len()).any(|part| part == word.as_bytes()));
        if !forbids {
            let found = cacheability::of([("cache-control", line)].as_slice(), || NOW);
            prop_assert!(matches!(found, Cacheability::Fresh(_)));
        }
    }

    #[test]
    fn a_response_that_was_made_private_is_private(lines in vec((0..5_usize, near(CACHE)), 0..4)) {
        const FIELDS: [&str; 5] = ["cache-control", "cdn-cache-control", "surrogate-control", "expires", "x-accel-expires"];
        let mut response: Vec<_> = lines.into_iter().map(|(field, value)| (FIELDS[field], value)).collect();
        let before = response.clone();
        for edit in cacheability::make_private(before.as_slice()) {
            match edit {
                Edit::Replace(name, value) => {
                    response.retain(|(field, _)| *field != name);
                    let field = FIELDS.into_iter().find(|field| *field == name).unwrap();
                    response.push((field, value.as_bytes().to_vec()));
                }
                Edit::Remove(name) => response.retain(|(field, _)| *field != name),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(cacheability::of(response.as_slice(), || NOW), Cacheability::Private);
    }

    #[test]
    fn a_cookie_is_found_among_any_others(before in near(COOKIE), after in near(COOKIE), value in "[a-z0-9~]{1,20}") {
        let line = [&before[..], b"; found=", value.as_bytes(), b" ;", &after].concat();
        let headers = [("cookie", before.clone()), ("cookie", line)];
        let values: Vec<_> = cookie::parse(headers.as_slice()).unwrap().values("found").collect();
        prop_assert!(values.contains(&value.as_bytes()), "{values:?}");
    }

    #[test]
    fn an_override_that_is_read_names_a_version(value in near(OVERRIDE)) {
        if let Some(name) = std::str::from_utf8(&value).ok().and_then(|value| member(value, "web-api")) {
            prop_assert!(name.split('~').all(pinion::rollout::version::is_version_name));
        }
    }

    #[test]
    fn a_target_is_taken_apart_without_loss(target in near(TARGET)) {
        let headers = [(":path", &target)];
        let still = FixedEnvironment::at(NOW);
        let request = Request::new(headers.as_slice(), &still);
        prop_assert!(target.starts_with(request.path()));
        prop_assert!(!request.path().contains(&b'?'));
        let _ = request.query_param("dpl");

        prop_assert!(trim_ows(&target).len() <= target.len());
    }

    #[test]
    fn a_host_is_normalized_once(authority in near(HOST)) {
        let host = normalized_host(&authority);
        prop_assert!(!host.iter().any(u8::is_ascii_uppercase));
        if let Ok(pattern) = std::str::from_utf8(&authority).map_err(|_| "").and_then(HostPattern::parse)
            && let HostPattern::Exact(name) = &pattern
        {
            prop_assert!(pattern.matches(name.as_bytes()));
        }
    }

    #[test]
    fn a_path_covers_itself_and_what_is_below(path in "(/[a-z0-9%._-]{1,6}){1,4}", below in "[!-~]{0,8}") {
        let prefix = PathPrefix::parse(&path).unwrap();
        let covers = |path: String| prefix.covers(path.as_bytes());
        let inside = covers(format!("{path}/{below}"));
        let beside = covers(format!("{path}x{below}"));
        prop_assert!(covers(path.clone()) && inside && !beside);
    }

    #[test]
    fn every_share_is_as_large_as_it_says(weights in vec(0_u32..=30_000, 0..12)) {
        let mut left = SLOTS;
        let others: Vec<_> = weights.iter().enumerate().map(|(i, weight)| {
            let weight = (*weight).min(left);
            left -= weight;
            (i + 1, Share::from_percent(f64::from(weight) / 1000.0).unwrap())
        }).collect();
        let layout = Layout::new(0, &others);
        let mut counts = vec![0; others.len() + 1];
        let mut start = 0;
        for (end, owner) in layout.runs() {
            prop_assert!(end > start);
            prop_assert_eq!(layout.owner(Slot::new(start).unwrap()), owner);
            prop_assert_eq!(layout.owner(Slot::new(end - 1).unwrap()), owner);
            counts[*owner] += end - start;
            start = end;
        }
        prop_assert_eq!(start, SLOTS);
        prop_assert_eq!(counts[0], left);
        for (i, share) in &others {
            prop_assert_eq!(counts[*i], share.slots());
        }
    }

    /// Versions that don't meet don't move each other: with up to four that stay below 20 % each, a change of one
    /// moves slots between that one and the stable version only, and as many as it changed by.
    #[test]
    fn a_changed_share_moves_only_itself(shares in vec(0_u32..=20_000, 1..=4), which in any::<prop::sample::Index>(), to in 0_u32..=20_000) {
        let which = which.index(shares.len());
        let layout = |shares: &[u32]| {
            let share = |share: &u32| Share::from_percent(f64::from(*share) / 1000.0).unwrap();
            Layout::new(0, &shares.iter().map(share).enumerate().map(|(i, share)| (i + 1, share)).collect::<Vec<_>>())
        };
        let mut after = shares.clone();
        after[which] = to;
        let (before, after) = (layout(&shares), layout(&after));
        let slots = (0..SLOTS).step_by(7).chain([0, SLOTS - 1]);
        let moved: BTreeSet<_> = slots
            .map(|slot| Slot::new(slot).unwrap())
            .map(|slot| (*before.owner(slot), *after.owner(slot)))
            .filter(|(from, to)| from != to)
            .collect();
        let rising = [(0, which + 1)].into();
        let falling = [(which + 1, 0)].into();
        prop_assert!(moved.is_empty() || moved == rising || moved == falling, "{moved:?}");
    }
}

/// What a header must be, of few words, so that requests meet it: the header's name, the way, the word.
type Wanted = (usize, usize, usize);

const NAMES: [&str; 3] = ["end-user", "x-plan", "x-region"];
const WORDS: [&str; 4] = ["a", "ab", "b", ""];

fn rule(matches: &[Vec<Wanted>]) -> Rule<()> {
    let wanted = |&(name, way, word): &Wanted| {
        let word = WORDS[word].to_owned();
        let wanted = match way {
            0 => StringMatch::Present,
            1 => StringMatch::Prefix(word),
            _ => StringMatch::Exact(word),
        };
        Condition::Value(Attribute::Header(HeaderName::new(NAMES[name]).unwrap()), wanted)
    };
    let one = |headers: &Vec<Wanted>| Match {
        conditions: headers.iter().map(wanted).collect(),
    };
    Rule {
        matches: matches.iter().map(one).collect(),
        target: (),
    }
}

proptest! {
    #[test]
    fn the_first_rule_that_applies_is_found_as_if_all_were_tried(
        rules in vec(vec(vec((0..3_usize, 0..6_usize, 0..4_usize), 1..3), 1..3), 0..150),
        sent in vec((0..3_usize, 0..4_usize), 0..5),
        catch_all in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut rules = rules;
        if let Some(at) = catch_all {
            rules.insert(at.index(rules.len() + 1), Vec::new());
        }
        let headers: Vec<_> = sent.iter().map(|(name, word)| (NAMES[*name], WORDS[*word])).collect();
        let still = FixedEnvironment::at(NOW);
        let request = Request::new(headers.as_slice(), &still);
        let expected = rules.iter().position(|matches| rule(matches).applies(&request));
        let indexed = Rules::from(rules.iter().map(|matches| rule(matches)).collect::<Vec<_>>());
        prop_assert_eq!(indexed.first(&request).map(|(index, _)| index), expected);
        prop_assert_eq!((indexed.len(), indexed.is_empty()), (rules.len(), rules.is_empty()));
    }
}

fn collect(value: &serde_json::Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    match value {
        serde_json::Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(name, field)| collect(field, &format!("{pointer}/{name}"), found));
        }
        serde_json::Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(i, item)| collect(item, &format!("{pointer}/{i}"), found));
        }
        _ => {}
    }
}

/// A request whose every part is near to something that the filter reads.
fn request() -> impl Strategy<Value = Lines> {
    let name = prop::sample::select(
        &[
            "cookie",
            "end-user",
            "x-user-id",
            "x-version-pin",
            "x-version-override",
            "x-tester",
            "x-bot",
        ][..],
    );
    let marks = prop::sample::select(
        &[
            "x-route-version",
            "x-mirrored",
            "x-pinion-mirror",
            "x-served-version",
        ][..],
    );
    let value = prop_oneof![near(COOKIE), near(PIN), near(OVERRIDE), vec(any::<u8>(), 0..40)];
    let further = vec((prop_oneof![3 => name, 1 => marks], value), 0..8);
    (near(HOST), near(TARGET), further).prop_map(|(host, target, further)| {
        let mut lines = vec![
            (":method".to_owned(), b"GET".to_vec()),
            (":authority".to_owned(), host),
            (":path".to_owned(), target),
        ];
        lines.extend(further.into_iter().map(|(name, value)| (name.to_owned(), value)));
        lines
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a client sends: no panic, at most one route header and that of a version, no mirror mark of its own,
    /// and no byte of its own in the response.
    #[test]
    fn any_request_is_decided(mut lines in request(), scoped: bool) {
        let plugin = Plugin::start(pinion::proxy::start, EDGE.as_bytes(), NOW).unwrap();
        if scoped {
            lines[1].1 = b"shop.example.com".to_vec();
            lines[2].1.insert(0, b'/');
        }
        let seen = plugin.exchange(lines, Answerer::ViaUpstream, vec![(":status".to_owned(), b"200".to_vec())]);
        let all = |lines: &Lines, name: &str| -> Vec<String> {
            let values = lines.iter().filter(|(field, _)| field == name);
            values.map(|(_, value)| String::from_utf8(value.clone()).unwrap()).collect()
        };
        let route = all(&seen.upstream, "x-route-version");
        prop_assert!(if scoped { route.len() == 1 } else { route.len() <= 1 }, "{route:?}");
        prop_assert!(route.iter().all(|version| ["v1", "v2"].contains(&version.as_str())), "{route:?}");
        prop_assert_eq!(all(&seen.upstream, "x-mirrored"), Vec::<String>::new());
        prop_assert_eq!(all(&seen.upstream, "x-pinion-mirror"), Vec::<String>::new());
        for (name, value) in &seen.response {
            let value = std::str::from_utf8(value).unwrap();
            let ours = match name.as_str() {
                ":status" => value == "200",
                "x-served-version" => ["1.0-SNAPSHOT", "2.0-SNAPSHOT"].contains(&value),
                "set-cookie" => value.strip_prefix("p=").and_then(|value| value.split_once(';')).is_some_and(|(pin, _)| is_pin(pin)),
                "x-version-pin" => is_pin(value),
                "cache-control" => value == "private",
                "server-timing" => ["version;desc=\"1.0-SNAPSHOT\"", "version;desc=\"2.0-SNAPSHOT\""].contains(&value),
                _ => false,
            };
            prop_assert!(ours, "{name}: {value}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever reaches a workload: no panic, the tag says `true` or is not there, and the stamp is its own.
    #[test]
    fn any_request_is_judged(lines in request()) {
        let plugin = Plugin::start(pinion::proxy::start, WORKLOAD.as_bytes(), NOW).unwrap();
        let seen = plugin.exchange(lines, Answerer::ViaUpstream, vec![("x-app-version".to_owned(), b"?".to_vec())]);
        let tags: Vec<_> = seen.upstream.iter().filter(|(name, _)| name == "x-mirrored").map(|(_, value)| value).collect();
        prop_assert!(seen.blocked || tags.is_empty() || tags == [b"true"], "{tags:?}");
        prop_assert_eq!(seen.response, vec![("x-app-version".to_owned(), b"2.0-SNAPSHOT".to_vec())]);
    }
}

fn is_pin(value: &str) -> bool {
    Pin::parse(value.as_bytes())
        .is_some_and(|(pin, _)| pin.issued == NOW && pin.epoch == 1 && ["v1", "v2"].contains(&pin.version))
}
