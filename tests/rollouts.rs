//! Rollouts through the module's entry points, as time goes by: gauges that follow a ramp, versions that are ejected and come
//! back; and what must hold of any ramp.
#![cfg(all(feature = "proxy", not(target_arch = "wasm32")))]

use pinion::app::App;
use pinion::config::{Config, NoProxyInfo, Role};
use pinion::rollout::slots::{SLOTS, Slot};
use pinion_testing::case::{Answerer, Lines, Seen};
use pinion_testing::host::{self, Plugin};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: u64 = 1_790_000_000;
/// [`NOW`].
const START: &str = "2026-09-21T14:13:20Z";

fn start(config: &Value) -> Plugin {
    Plugin::start(pinion::proxy::start, config.to_string().as_bytes(), NOW)
        .unwrap_or_else(|logs| panic!("{logs:#?}"))
}

fn lines(pairs: &[(&str, &str)]) -> Lines {
    let line = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    pairs.iter().map(line).collect()
}

fn first<'a>(lines: &'a Lines, name: &str) -> Option<&'a str> {
    let (_, value) = lines.iter().find(|(field, _)| field == name)?;
    std::str::from_utf8(value).ok()
}

/// What a client at a slot sees: the version it went to, and whether it got a cookie.
fn ask(plugin: &Plugin, pin: &str, by: Answerer, status: &str) -> (String, bool) {
    let cookie = format!("pinion-shop={pin}");
    let request = lines(&[
        (":method", "GET"),
        (":authority", "shop.org"),
        (":path", "/"),
        ("cookie", &cookie),
    ]);
    let Seen {
        upstream, response, ..
    } = plugin.exchange(request, by, lines(&[(":status", status)]));
    let version = first(&upstream, "x-app-version").unwrap().to_owned();
    (version, first(&response, "set-cookie").is_some())
}

fn metrics(end: &str) -> Vec<String> {
    let metrics = host::metrics().into_iter();
    let chosen = metrics.filter(|(name, _)| name.ends_with(end));
    chosen.map(|(name, value)| format!("{name} {value}")).collect()
}

#[test]
fn the_gauges_follow_a_ramp_and_only_the_newest_configuration_s() {
    let config = |to: u32| {
        let ramp = json!({"to": to, "start": START, "duration": "100s", "steps": 10});
        json!({"apps": [
            {"name": "shop", "versions": [{"name": "v1"}, {"name": "v2", "weight": 0, "ramp": ramp}], "stable": "v1"},
            {"name": "still", "hosts": ["still.org"], "versions": [{"name": "v1"}]},
        ]})
    };
    let shown = |v1: u32, v2: u32| {
        [
            format!("pin_app=.=shop;.;pin_version=.=v1;.;pinion_share_slots {v1}"),
            format!("pin_app=.=shop;.;pin_version=.=v2;.;pinion_share_slots {v2}"),
            "pin_app=.=still;.;pin_version=.=v1;.;pinion_share_slots 100000".to_owned(),
        ]
    };
    let old = start(&config(100));
    assert_eq!(metrics("_slots"), shown(100_000, 0));
    host::set_time(NOW + 49);
    old.tick();
    assert_eq!(metrics("_slots"), shown(60_000, 40_000));
    let new = start(&config(50));
    assert_eq!(metrics("_slots"), shown(100_000, 0));
    host::set_time(NOW + 1000);
    old.tick();
    assert_eq!(
        metrics("_slots"),
        shown(100_000, 0),
        "an old configuration keeps its hands off"
    );
    assert!(new.tick_period().is_some());
    new.tick();
    assert_eq!(metrics("_slots"), shown(50_000, 50_000));
    // All has arrived: there is nothing to look at any more.
    assert!(new.tick_period().is_none() && old.tick_period().is_none());
}

fn watched(versions: Value) -> Value {
    json!({"apps": [{"name": "shop", "versions": versions, "stable": "v1",
        "outlierDetection": {"consecutiveGatewayErrors": 2, "baseEjectionTime": "10s"}}]})
}

#[test]
fn an_ejected_version_s_clients_go_to_the_fallback_and_come_back_with_their_pins() {
    let plugin = start(&watched(json!([{"name": "v1"}, {"name": "v2", "weight": 20}])));
    let (two, one) = (format!("v2~{NOW}~0~5"), format!("v1~{NOW}~0~50000"));
    let via = Answerer::ViaUpstream;
    assert_eq!(ask(&plugin, &two, via, "503"), ("v2".to_owned(), false));
    assert_eq!(
        ask(&plugin, &two, Answerer::NoHealthyUpstream, "503"),
        ("v2".to_owned(), false)
    );
    assert_eq!(ask(&plugin, &two, via, "200"), ("v1".to_owned(), false));
    assert_eq!(ask(&plugin, &one, via, "200"), ("v1".to_owned(), false));
    // A new client gets a pin to the version that serves it.
    let seen = plugin.exchange(
        lines(&[
            (":method", "GET"),
            (":authority", "a"),
            (":path", "/"),
            ("x", "y"),
        ]),
        via,
        lines(&[(":status", "200")]),
    );
    assert_eq!(first(&seen.upstream, "x-app-version"), Some("v1"));
    assert!(
        first(&seen.response, "set-cookie")
            .unwrap()
            .starts_with("pinion-shop=v1~")
    );
    host::set_time(NOW + 11);
    assert_eq!(ask(&plugin, &two, via, "200"), ("v2".to_owned(), false));
    assert_eq!(ask(&plugin, &two, via, "200"), ("v2".to_owned(), false));
    assert_eq!(
        metrics("ejections_total"),
        ["pin_app=.=shop;.;pin_version=.=v2;.;pinion_ejections_total 1"]
    );
    let fallbacks = "pin_app=.=shop;.;pin_version=.=v1;.;pin_reason=.=fallback;.;pinion_requests_total";
    let counted = host::metrics().get(fallbacks).copied().unwrap();
    assert!((1..=2).contains(&counted), "{counted}");
    let logs = host::logs();
    let said: Vec<_> = logs[logs.len() - 2..].iter().map(String::as_str).collect();
    let expected = [
        "shop: version v2 is ejected for 10 s: too many consecutive errors",
        "shop: version v2 has recovered",
    ];
    assert_eq!(said, expected);
}

/// All ejections of this thread so far.
fn ejections() -> i64 {
    let metrics = host::metrics().into_iter();
    metrics
        .filter(|(name, _)| name.ends_with("ejections_total"))
        .map(|(_, value)| value)
        .sum()
}

#[test]
fn fallbacks_are_followed_as_long_as_they_serve_somebody() {
    for (versions, goes) in [
        (
            json!([{"name": "v1"}, {"name": "v2", "weight": 20, "fallback": "v3"}, {"name": "v3", "weight": 20}]),
            ["v2", "v3", "v1"],
        ),
        (
            json!([{"name": "v1"}, {"name": "v2", "weight": 20}, {"name": "v3", "weight": 20}]),
            ["v2", "v1", "v1"],
        ),
        // One that nobody is to come to is passed over.
        (
            json!([{"name": "v1"}, {"name": "v2", "weight": 20, "fallback": "v3"}, {"name": "v3", "weight": 0, "ramp": {"to": 10, "start": "2999-01-01T00:00:00Z", "duration": "1h"}}]),
            ["v2", "v1", "v1"],
        ),
        // The last that has a share is left with its own, and so is one whose clients nobody could take.
        (
            json!([{"name": "v1"}, {"name": "v2", "weight": 50, "fallback": "v3"}, {"name": "v3", "weight": 50}]),
            ["v2", "v3", "v3"],
        ),
        (
            json!([{"name": "v1"}, {"name": "v2", "weight": 100}]),
            ["v2", "v2", "v2"],
        ),
    ] {
        let config = watched(versions);
        let plugin = start(&config);
        let pin = format!("v2~{NOW}~0~5");
        let three = format!("v3~{NOW}~0~99999");
        let fail = |pin: &str| {
            for _ in 0..2 {
                ask(&plugin, pin, Answerer::ViaUpstream, "503");
            }
        };
        let now = || ask(&plugin, &pin, Answerer::DirectResponse, "200").0;
        let ejected = ejections();
        let before = now();
        fail(&pin);
        let first = now();
        fail(&three);
        assert_eq!([before, first, now()], goes, "{config}");
        assert_eq!(ejections() > ejected, goes != ["v2"; 3], "{config}");
        host::forget();
    }
}

#[test]
fn each_app_counts_and_ejects_by_itself() {
    let app = |name: &str, more: Value| {
        let mut app = json!({"name": name, "hosts": [name], "versions": [{"name": "v1"}, {"name": "v2", "weight": 50}], "stable": "v1",
            "outlierDetection": {"consecutiveGatewayErrors": 1}});
        app.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        app
    };
    let seen = json!({"observe": true});
    let config = json!({"explain": {"allow": "any"}, "apps": [app("a", json!({})), app("b", json!({})), app("c", seen)]});
    let plugin = start(&config);
    let ask = |host: &str, status: &str| {
        let cookie = format!("pinion-{host}=v2~{NOW}~0~5");
        let request = [
            (":method", "GET"),
            (":authority", host),
            (":path", "/"),
            ("cookie", &cookie),
            ("x-pinion-explain", "1"),
        ];
        plugin.exchange(
            lines(&request),
            Answerer::ViaUpstream,
            lines(&[(":status", status)]),
        )
    };
    for host in ["a", "c", "c"] {
        ask(host, "503");
    }
    let version = |host| first(&ask(host, "200").upstream, "x-app-version").map(str::to_owned);
    assert_eq!(
        [version("a"), version("b"), version("c")],
        [Some("v1".to_owned()), Some("v2".to_owned()), None]
    );
    let why = ask("a", "200").response;
    let why = first(&why, "x-pinion-decision").unwrap().to_owned();
    assert!(
        why.contains("version=\"v1\", reason=fallback") && why.ends_with("ejected=\"v2\""),
        "{why}"
    );
    assert_eq!(
        metrics("_total"),
        [
            "pin_app=.=a;.;pin_version=.=v1;.;pin_reason=.=fallback;.;pinion_requests_total 2",
            "pin_app=.=a;.;pin_version=.=v2;.;pin_reason=.=pin;.;pinion_requests_total 1",
            "pin_app=.=a;.;pin_version=.=v2;.;pinion_ejections_total 1",
            "pin_app=.=b;.;pin_version=.=v2;.;pin_reason=.=pin;.;pinion_requests_total 1",
            "pin_app=.=c;.;pin_version=.=v2;.;pin_reason=.=pin;.;pinion_requests_total 3",
        ]
    );
    // A change of configuration ends no ejection.
    let _again = start(&config);
    assert_eq!(version("a"), Some("v1".to_owned()));
}

#[test]
fn the_gauges_follow_until_the_last_ramp_has_arrived() {
    let version = |name: &str, duration: &str| json!({"name": name, "weight": 0, "ramp": {"to": 10, "start": START, "duration": duration, "holdAt": 5}});
    let versions = [json!({"name": "v1"}), version("v2", "10s"), version("v3", "100s")];
    let plugin = start(&json!({"apps": [{"name": "shop", "versions": versions, "stable": "v1"}]}));
    assert!(
        host::logs()[0].ends_with("shop (v1 100%, v2 0% to 5%, v3 0% to 5%)"),
        "{:?}",
        host::logs()
    );
    host::set_time(NOW + 20);
    plugin.tick();
    host::set_time(NOW + 40);
    plugin.tick();
    let shares: Vec<_> = metrics("_slots")
        .iter()
        .map(|gauge| gauge.rsplit(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(shares, ["91000", "5000", "4000"]);
    host::set_time(NOW + 100);
    plugin.tick();
    assert!(plugin.tick_period().is_none());
}

#[test]
fn what_ramps_and_ejections_cost_in_host_calls() {
    let ramp = json!({"to": 100, "start": START, "duration": "100s"});
    let app = |more: Value| {
        let mut app = json!({"name": "shop", "versions": [{"name": "v1"}, {"name": "v2", "weight": 1}], "stable": "v1", "pin": {"key": [{"header": "x-user"}]}});
        app.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"apps": [app]})
    };
    let keyed = || {
        lines(&[
            (":method", "GET"),
            (":authority", "a"),
            (":path", "/"),
            ("x-user", "bob"),
        ])
    };
    let answer = || lines(&[(":status", "200"), ("x-envoy-upstream-service-time", "1")]);
    for (config, asked, answered) in [
        (app(json!({})), &["map 0"][..], &[][..]),
        (
            app(json!({"versions": [{"name": "v1"}, {"name": "v2", "weight": 1, "ramp": ramp}]})),
            &["map 0", "time"],
            &[],
        ),
        (
            app(
                json!({"versions": [{"name": "v1"}, {"name": "v2", "weight": 99.999}], "outlierDetection": {}}),
            ),
            &["map 0", "get"],
            &["get"],
        ),
    ] {
        let plugin = start(&config);
        for _ in 0..2 {
            plugin.exchange(keyed(), Answerer::ViaUpstream, answer());
        }
        let routed = ["add 0 x-app-version", "increment", "map 2"];
        let stamped = ["add 2 x-app-version"];
        let expected = [asked, &routed, answered, &stamped].concat();
        assert_eq!(host::calls(), expected, "{config}");
    }
}

#[test]
fn expiring_duplicate_cookies_does_not_lengthen_the_life_of_a_pin() {
    let versions = json!([{"name": "v1"}, {"name": "old", "state": "draining"}]);
    let plugin = start(&json!({"apps": [{"name": "shop", "stable": "v1", "versions": versions}]}));
    let pin = format!("pinion-shop=old~{}~0~5", NOW - 80_000);
    let request = lines(&[
        (":method", "GET"),
        (":path", "/"),
        ("sec-fetch-mode", "navigate"),
        ("cookie", &format!("{pin}; {pin}")),
    ]);
    let seen = plugin.exchange(request, Answerer::ViaUpstream, lines(&[(":status", "200")]));
    assert!(first(&seen.response, "set-cookie").is_some_and(|cookie| cookie.starts_with(&pin)));
}

#[test]
fn an_ejected_version_gets_no_new_clients() {
    let plugin = start(&watched(json!([{"name": "v1"}, {"name": "v2", "weight": 99}])));
    let pin = format!("v2~{NOW}~0~5");
    for _ in 0..2 {
        ask(&plugin, &pin, Answerer::ViaUpstream, "503");
    }
    let cookies: Vec<_> = (0..50)
        .map(|_| {
            let request = lines(&[(":method", "GET"), (":authority", "a"), (":path", "/")]);
            let seen = plugin.exchange(request, Answerer::ViaUpstream, lines(&[(":status", "200")]));
            assert_eq!(first(&seen.upstream, "x-app-version"), Some("v1"));
            first(&seen.response, "set-cookie").unwrap().to_owned()
        })
        .collect();
    // A client whose slot lies in the share of the ejected version is not moved there.
    let moved = plugin.exchange(
        lines(&[
            (":method", "GET"),
            (":authority", "a"),
            (":path", "/"),
            ("cookie", &format!("pinion-shop=v1~{NOW}~0~5")),
        ]),
        Answerer::ViaUpstream,
        lines(&[(":status", "200")]),
    );
    assert_eq!(first(&moved.upstream, "x-app-version"), Some("v1"));
    assert_eq!(first(&moved.response, "set-cookie"), None);
    // v1 has the slots from 99,000 on: these clients stay there when v2 has recovered.
    for cookie in &cookies {
        let slot = cookie.split(['~', ';']).nth(3).unwrap().parse::<u32>().unwrap();
        assert!(
            cookie.starts_with("pinion-shop=v1~") && slot >= 99_000,
            "{cookie}"
        );
    }
}

#[test]
fn the_gauges_tick_each_second_while_a_ramp_is_under_way() {
    let config = |version: Value| json!({"apps": [{"name": "shop", "versions": [{"name": "v1"}, version], "stable": "v1"}]});
    let constant = start(&config(json!({"name": "v2", "weight": 10})));
    assert_eq!(constant.tick_period(), None);
    let ramp = json!({"to": 50, "start": START, "duration": "100s"});
    let ramped = start(&config(json!({"name": "v2", "weight": 0, "ramp": ramp})));
    assert_eq!(ramped.tick_period(), Some(1000));
    host::set_time(NOW + 99);
    ramped.tick();
    assert_eq!(ramped.tick_period(), Some(1000));
    host::set_time(NOW + 100);
    ramped.tick();
    assert_eq!(ramped.tick_period(), None);
}

#[test]
fn new_clients_draw_slots_of_their_own() {
    let plugin = start(&json!({"apps": [{"name": "shop", "versions": [{"name": "v1"}]}]}));
    let request = || lines(&[(":method", "GET"), (":path", "/")]);
    let mut slots: Vec<_> = (0..300)
        .map(|_| {
            let seen = plugin.exchange(request(), Answerer::ViaUpstream, lines(&[(":status", "200")]));
            let cookie = first(&seen.response, "set-cookie").unwrap();
            cookie.split(['~', ';']).nth(3).unwrap().parse::<u32>().unwrap()
        })
        .collect();
    // 300 fair draws of 100,000 slots have less than 5 collisions but for one run in some thousands.
    slots.sort_unstable();
    slots.dedup();
    assert!(slots.len() > 295, "{} slots", slots.len());
    assert!(slots.first() < Some(&10_000) && slots.last() > Some(&90_000));
}

/// An app whose versions beside the stable one are on ramps, each at most at its part of the whole.
fn ramping() -> impl Strategy<Value = (Value, bool)> {
    let ramp = (
        0_u32..=25_000,
        0_u32..=25_000,
        0_u64..100,
        1_u64..100,
        prop::option::of(1_u32..20),
    );
    (prop::collection::vec(ramp, 1..4), any::<bool>()).prop_map(|(ramps, rising)| {
        let version = |(i, (a, b, start, duration, steps)): (usize, (u32, u32, u64, u64, Option<u32>))| {
            let (from, to) = if rising { (a.min(b), a.max(b)) } else { (a.max(b), a.min(b)) };
            let start = format!("2026-09-21T14:{:02}:{:02}Z", 13 + (20 + start) / 60, (20 + start) % 60);
            let mut version = json!({"name": format!("v{i}"), "weight": f64::from(from) / 1000.0});
            if from != to {
                version["ramp"] = json!({"to": f64::from(to) / 1000.0, "start": start, "duration": format!("{duration}s"), "steps": steps});
            }
            version
        };
        let mut versions: Vec<_> = ramps.into_iter().enumerate().map(version).collect();
        versions.insert(0, json!({"name": "stable"}));
        (json!({"apps": [{"name": "shop", "versions": versions, "stable": "stable"}]}), rising)
    })
}

fn with_app<T>(config: &Value, look: impl FnOnce(&App) -> T) -> T {
    let config = Config::parse(config.to_string().as_bytes(), &NoProxyInfo).unwrap();
    let Role::Edge(edge) = config.role else {
        panic!("an edge")
    };
    let app = edge.apps().next().unwrap();
    look(app)
}

proptest! {
    #[test]
    fn while_shares_rise_nobody_goes_back((config, rising) in ramping(), at in 0_u64..220, later in 0_u64..220) {
        let (early, late) = (NOW + at.min(later), NOW + at.max(later));
        with_app(&config, |app| {
            let (before, after) = (app.schedule.layout(early), app.schedule.layout(late));
            let stable = app.schedule.stable();
            let mut moved = 0;
            for slot in (0..SLOTS).filter_map(Slot::new) {
                let (from, to) = (before.owner(slot), after.owner(slot));
                moved += u32::from(from != to);
                if rising {
                    prop_assert!(from == to || from == stable, "{from} lost slot {} to {to}", slot.number());
                } else {
                    prop_assert!(from == to || to == stable, "{to} gained slot {} from {from}", slot.number());
                }
            }
            // None of these ramps meet, so that what moves is what the shares change by, and no more.
            let change = |version: &pinion::rollout::version::VersionRef| version.share_at(early).slots().abs_diff(version.share_at(late).slots());
            let changed: u32 = app.versions.iter().filter(|version| *version != stable).map(change).sum();
            prop_assert_eq!(moved, changed);
            Ok(())
        })?;
    }

    #[test]
    fn shares_are_whole_at_every_time((config, _) in ramping(), at in 0_u64..220) {
        with_app(&config, |app| {
            let shares = app.versions.iter().map(|version| app.schedule.share(version, || NOW + at).slots());
            prop_assert_eq!(shares.sum::<u32>(), SLOTS);
            let layout = app.schedule.layout(NOW + at);
            let mut start = 0;
            let mut owned = std::collections::BTreeMap::new();
            for (end, owner) in layout.runs() {
                *owned.entry(owner.index).or_insert(0) += end - start;
                start = end;
            }
            for version in &app.versions {
                let owns = owned.get(&version.index).copied().unwrap_or_default();
                prop_assert_eq!(owns, app.schedule.share(version, || NOW + at).slots());
            }
            Ok(())
        })?;
    }
}
