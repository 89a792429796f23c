//! The filter through the module's entry points, in native code: the named cases, what is counted and logged, and what
//! an exchange costs in host calls.
#![cfg(all(feature = "proxy", not(target_arch = "wasm32")))]

use pinion::config::{Config, NoProxyInfo};
use pinion_testing::case::{self, Answerer, Lines};
use pinion_testing::host::{self, Plugin};
use serde_json::json;

const NOW: u64 = 1_790_000_000;

fn start(config: &serde_json::Value) -> Plugin {
    Plugin::start(pinion::proxy::start, config.to_string().as_bytes(), NOW)
        .unwrap_or_else(|logs| panic!("{logs:#?}"))
}

fn lines(pairs: &[(&str, &str)]) -> Lines {
    let line = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    pairs.iter().map(line).collect()
}

fn request(more: &[(&str, &str)]) -> Lines {
    let mut all = lines(&[
        (":method", "GET"),
        (":authority", "shop.example.com"),
        (":path", "/"),
        ("x-forwarded-proto", "http"),
        ("user-agent", "test"),
    ]);
    all.extend(lines(more));
    all
}

/// What Envoy makes of an upstream's answer.
fn answer(more: &[(&str, &str)]) -> Lines {
    let mut all = lines(&[(":status", "200"), ("x-envoy-upstream-service-time", "1")]);
    all.extend(lines(more));
    all
}

/// What stands in metrics whose name ends so.
fn metrics(end: &str) -> Vec<String> {
    let metrics = host::metrics().into_iter();
    let chosen = metrics.filter(|(name, _)| name.ends_with(end));
    chosen.map(|(name, value)| format!("{name} {value}")).collect()
}

#[test]
fn a_client_s_route_header_is_worth_nothing_even_where_headers_can_t_be_read() {
    let plugin = start(
        &json!({"apps": [{"name": "shop", "versions": [{"name": "v1"}, {"name": "v2", "weight": 0}]}]}),
    );
    let forged = || request(&[("x-app-version", "v2")]);
    host::withhold(true);
    let seen = plugin.exchange(forged(), Answerer::ViaUpstream, answer(&[]));
    host::withhold(false);
    let routed = |seen: &case::Seen| -> Lines {
        let lines = seen.upstream.iter().filter(|(name, _)| name != "cookie");
        lines.cloned().collect()
    };
    let read = plugin.exchange(forged(), Answerer::ViaUpstream, answer(&[]));
    assert_eq!(routed(&seen), routed(&read));
    assert_eq!(
        seen.upstream
            .iter()
            .filter(|(name, _)| name == "x-app-version")
            .count(),
        1
    );
}

#[test]
fn streams_that_overlap_are_kept_apart_however_many_there_are() {
    let versions: Vec<_> = (0..20)
        .map(|i| json!({"name": format!("v{i}"), "weight": 5}))
        .collect();
    let plugin =
        start(&json!({"apps": [{"name": "shop", "pin": {"follow": "version"}, "versions": versions}]}));
    for count in [1, 64, 65, 300] {
        let pins = (0..count).map(|i| format!("pinion-shop=v{}~{NOW}~0~{i}", i % 20));
        let requests = pins.map(|pin| request(&[("cookie", &pin)])).collect();
        let stamps = plugin.overlapping(requests, &answer(&[]));
        for (i, stamped) in stamps.iter().enumerate() {
            let expected = answer(&[("x-app-version", &format!("v{}", i % 20))]);
            assert_eq!(*stamped, expected, "{i} of {count}");
        }
    }
}

#[test]
fn every_case_holds_through_the_entry_points() {
    case::run_all(
        |group, case, now| {
            let plugin = start(&group.config);
            plugin.from(case);
            plugin.exchange(case.request_lines(now), case.answer.by, case.answer_lines())
        },
        NOW,
    );
}

#[test]
fn every_case_file_is_compiled_in() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut there: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    there.sort();
    let known: Vec<_> = case::FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(there, known);
}

#[test]
fn a_refused_configuration_is_logged_error_by_error() {
    let config = json!({"apps": [{"name": "A", "versions": []}]});
    let logs = Plugin::start(pinion::proxy::start, config.to_string().as_bytes(), NOW)
        .err()
        .unwrap();
    assert_eq!(
        logs,
        [
            "configuration refused: apps[0].name: must be 1 to 63 small letters, digits or inner hyphens, is \"A\"",
            "configuration refused: apps[0].versions: must have at least one item",
        ]
    );
}

#[test]
fn a_configuration_taken_is_logged_once_with_digest_apps_and_versions() {
    let config = json!({"apps": [
        {"name": "shop", "hosts": ["a.org"], "versions": [{"name": "v1"}, {"name": "v2", "weight": 12.5}], "stable": "v1"},
        {"name": "cart", "hosts": ["b.org"], "enabled": false, "versions": [{"name": "v1"}]},
    ]});
    let _plugin = start(&config);
    let digest = Config::parse(config.to_string().as_bytes(), &NoProxyInfo)
        .unwrap()
        .digest;
    assert_eq!(digest.len(), 12);
    let apps = "shop (v1 87.5%, v2 12.5%), cart (off: v1 100%)";
    assert_eq!(
        host::logs(),
        [format!("configuration {digest} taken, apps: {apps}")]
    );
}

#[test]
fn a_log_line_names_ten_apps() {
    let app =
        |i: i32| json!({"name": format!("a{i}"), "hosts": [format!("a{i}")], "versions": [{"name": "v1"}]});
    let _plugin = start(&json!({"apps": (0..11).map(app).collect::<Vec<_>>()}));
    let logs = host::logs();
    assert!(logs[0].ends_with("a9 (v1 100%), and 1 more"), "{logs:?}");
}

#[test]
fn a_workload_logs_what_it_is_and_what_it_lacks() {
    let mirror = json!({"block": [{"paths": ["/mail"]}]});
    let config = json!({"stamp": {"from": {"nodeLabel": "release"}}, "mirror": mirror});
    let _plugin = start(&config);
    let logs = host::logs();
    assert!(
        logs[0].ends_with("taken, workload: no stamp, mirrored requests tagged, some blocked"),
        "{logs:?}"
    );
    assert_eq!(
        logs[1..],
        ["stamp.from: there is no label \"release\" of this node"]
    );
}

#[test]
fn pins_that_do_not_hold_are_counted_wherever_they_are_looked_at() {
    let plugin = start(&json!({"apps": [{
        "name": "shop",
        "versions": [{"name": "v1"}, {"name": "v2"}],
        "rules": [{"match": [{"paths": ["/split"]}], "split": [{"version": "v2", "weight": 100}]}],
    }]}));
    let bad = ("cookie", "pinion-shop=nonsense");
    let mut split = request(&[bad]);
    split[2].1 = b"/split".to_vec();
    let mut preflight = request(&[
        bad,
        ("origin", "https://a.org"),
        ("access-control-request-method", "PUT"),
    ]);
    preflight[0].1 = b"OPTIONS".to_vec();
    let many = format!("pinion-shop=v1~{NOW}~0~5{}", ";a=b".repeat(600));
    for request in [split, preflight, request(&[("cookie", &many)])] {
        plugin.exchange(request, Answerer::ViaUpstream, answer(&[]));
    }
    let rejected = [
        "pin_app=.=shop;.;pin_cause=.=malformed;.;pinion_pins_rejected_total 2",
        "pin_app=.=shop;.;pin_cause=.=oversized;.;pinion_pins_rejected_total 1",
    ];
    assert_eq!(metrics("rejected_total"), rejected);
}

#[test]
fn what_is_too_much_is_ignored_and_counted_once_a_request() {
    let regex = json!({"headers": {"end-user": {"regex": "a+"}}});
    let plugin = start(&json!({"apps": [{
        "name": "shop",
        "versions": [{"name": "v1"}, {"name": "dark", "weight": 0}],
        "stable": "v1",
        "rules": [{"match": [regex, regex, {"cookies": {"group": {"exact": "beta"}}}], "version": "dark"}],
        "override": {"header": "x-override", "query": "o", "allow": "any"},
    }]}));
    let long = |count: usize| "a".repeat(count);
    let cookies = |count: usize| format!("group=beta{}", "; a=b".repeat(count - 1));
    let dark = |count: usize| format!("dark{}", " ".repeat(count - 4));
    for (name, within, beyond) in [
        ("end-user", long(1024), long(1025)),
        ("cookie", cookies(512), cookies(513)),
        ("x-override", dark(1024), dark(1025)),
    ] {
        for (value, version) in [(within, "dark"), (beyond, "v1")] {
            let seen = plugin.exchange(request(&[(name, &value)]), Answerer::ViaUpstream, answer(&[]));
            let route = seen.upstream.iter().find(|(name, _)| name == "x-app-version");
            assert_eq!(
                route.map(|(_, value)| value.as_slice()),
                Some(version.as_bytes()),
                "{name}"
            );
        }
    }
    let counted = [
        "pin_app=.=shop;.;pin_cause=.=cookies;.;pinion_limits_exceeded_total 1",
        "pin_app=.=shop;.;pin_cause=.=override;.;pinion_limits_exceeded_total 1",
        "pin_app=.=shop;.;pin_cause=.=regex;.;pinion_limits_exceeded_total 1",
    ];
    assert_eq!(metrics("exceeded_total"), counted);
}

#[test]
fn a_pin_at_exactly_half_its_time_is_not_renewed() {
    let plugin = start(
        &json!({"apps": [{"name": "shop", "versions": [{"name": "v1"}], "pin": {"cookie": {"ttl": "100s"}}}]}),
    );
    for (age, renewed) in [(50, false), (51, true)] {
        let pin = format!("pinion-shop=v1~{}~0~5", NOW - age);
        let seen = plugin.exchange(request(&[("cookie", &pin)]), Answerer::ViaUpstream, answer(&[]));
        assert_eq!(
            seen.response.iter().any(|(name, _)| name == "set-cookie"),
            renewed,
            "{age}"
        );
    }
}

#[test]
fn what_is_counted() {
    let plugin = start(&json!({"apps": [{
        "name": "shop",
        "versions": [{"name": "v1", "label": "1.0"}, {"name": "v2", "weight": 0}],
        "stable": "v1",
        "rules": [{"match": [{"headers": {"end-user": {"exact": "tester"}}}], "version": "v2"}],
        "pin": {"key": [{"header": "x-user-id"}]},
        "override": {"header": "x-override", "allow": "any"},
    }]}));
    let pinned = format!("pinion-shop=v1~{NOW}~0~5");
    let expired = format!("pinion-shop=v1~{}~0~5; pinion-shop=v9~{NOW}~0~5", NOW - 90_000);
    for (headers, says) in [
        (&[("x-override", "v2")][..], None),
        (&[("end-user", "tester")], Some("v2")),
        (&[("x-user-id", "alice")], Some("1.0")),
        (&[("cookie", &pinned)], Some("v1")),
        (&[("cookie", &pinned)], Some("v2")),
        (&[("cookie", &expired)], Some("0.9")),
        (&[("cookie", "pinion-shop=nonsense")], None),
        (&[], None),
    ] {
        let says = says.map(|says| ("x-app-version", says));
        plugin.exchange(request(headers), Answerer::ViaUpstream, answer(says.as_slice()));
    }
    // What Envoy answers itself is no mismatch.
    plugin.exchange(
        request(&[]),
        Answerer::DirectResponse,
        lines(&[(":status", "200"), ("x-app-version", "v9")]),
    );
    let counted = metrics("_total");
    assert_eq!(
        counted,
        [
            "pin_app=.=shop;.;pin_cause=.=expired;.;pinion_pins_rejected_total 1",
            "pin_app=.=shop;.;pin_cause=.=malformed;.;pinion_pins_rejected_total 1",
            "pin_app=.=shop;.;pin_version=.=v1;.;pin_reason=.=draw;.;pinion_requests_total 4",
            "pin_app=.=shop;.;pin_version=.=v1;.;pin_reason=.=key;.;pinion_requests_total 1",
            "pin_app=.=shop;.;pin_version=.=v1;.;pin_reason=.=pin;.;pinion_requests_total 2",
            "pin_app=.=shop;.;pin_version=.=v1;.;pinion_version_mismatch_total 2",
            "pin_app=.=shop;.;pin_version=.=v2;.;pin_reason=.=override;.;pinion_requests_total 1",
            "pin_app=.=shop;.;pin_version=.=v2;.;pin_reason=.=rule;.;pinion_requests_total 1",
        ]
    );
}

#[test]
fn the_gauges_show_the_newest_configuration() {
    let config = |weight: u32, version: &str| json!({"apps": [{"name": "shop", "versions": [{"name": "v1"}, {"name": version, "weight": weight}]}]});
    let old = start(&config(10, "v2"));
    let new = start(&config(20, "v3"));
    let shown = [
        "pin_app=.=shop;.;pin_version=.=v1;.;pinion_share_slots 80000",
        "pin_app=.=shop;.;pin_version=.=v2;.;pinion_share_slots 0",
        "pin_app=.=shop;.;pin_version=.=v3;.;pinion_share_slots 20000",
    ];
    assert_eq!(metrics("_slots"), shown);
    drop(old);
    assert_eq!(
        metrics("_slots"),
        shown,
        "an old configuration keeps its hands off"
    );
    drop(new);
    assert!(metrics("_slots").iter().all(|gauge| gauge.ends_with(" 0")));
}

#[test]
fn mirrored_requests_are_counted_by_what_became_of_them() {
    let plugin = start(&json!({"mirror": {"block": [{"paths": ["/mail"]}]}}));
    let at = |path| lines(&[(":method", "GET"), (":authority", "a-shadow"), (":path", path)]);
    for request in [at("/"), at("/x"), at("/mail"), request(&[])] {
        plugin.exchange(request, Answerer::ViaUpstream, answer(&[]));
    }
    let counted = [
        "pin_outcome=.=blocked;.;pinion_mirrored_total 1",
        "pin_outcome=.=tagged;.;pinion_mirrored_total 2",
    ];
    assert_eq!(metrics("_total"), counted);
}

/// Host calls are what the filter costs. A change here is a change of its price.
#[test]
fn an_exchange_costs_these_host_calls() {
    let plugin = start(&json!({"apps": [{
        "name": "shop",
        "hosts": ["shop.example.com"],
        "versions": [{"name": "v1"}, {"name": "dark", "weight": 0}],
        "stable": "v1",
        "rules": [{"match": [{"headers": {"end-user": {"exact": "tester"}}}], "version": "dark"}],
    }]}));
    let pinned = format!("a=b; pinion-shop=v1~{NOW}~0~5");
    let elsewhere = lines(&[(":method", "GET"), (":authority", "other.org"), (":path", "/")]);
    let run = |request: &Lines, by| {
        let answer = || match by {
            Answerer::ViaUpstream => answer(&[]),
            _ => lines(&[(":status", "503")]),
        };
        // The first exchange of its kind also defines its counters.
        plugin.exchange(request.clone(), by, answer());
        plugin.exchange(request.clone(), by, answer());
        host::calls()
    };
    let stamped = ["map 2", "add 2 x-app-version"];
    let given = [
        "map 2",
        "add 2 x-app-version",
        "add 2 cache-control",
        "add 2 set-cookie",
    ];
    for (what, request, by, calls) in [
        (
            "a pinned client",
            request(&[("cookie", &pinned)]),
            Answerer::ViaUpstream,
            [
                &["map 0", "time", "add 0 x-app-version", "increment"][..],
                &stamped,
            ]
            .concat(),
        ),
        (
            "a new client",
            request(&[]),
            Answerer::ViaUpstream,
            [&["map 0", "time", "add 0 x-app-version", "increment"][..], &given].concat(),
        ),
        (
            "a rule",
            request(&[("end-user", "tester")]),
            Answerer::ViaUpstream,
            [&["map 0", "add 0 x-app-version", "increment"][..], &stamped].concat(),
        ),
        (
            "Envoy's own answer",
            request(&[("end-user", "tester")]),
            Answerer::NoHealthyUpstream,
            vec![
                "map 0",
                "add 0 x-app-version",
                "increment",
                "map 2",
                "property response.code_details",
            ],
        ),
        ("no app", elsewhere, Answerer::ViaUpstream, vec!["map 0"]),
    ] {
        assert_eq!(run(&request, by), calls, "{what}");
    }
}

#[test]
fn an_exchange_at_a_workload_costs_these_host_calls() {
    let stamp = start(&json!({"stamp": {"from": {"nodeLabel": "version"}}}));
    stamp.exchange(request(&[]), Answerer::ViaUpstream, answer(&[]));
    let stamped = ["map 2", "add 2 x-app-version"];
    assert_eq!(host::calls(), stamped);
    let both = start(
        &json!({"stamp": {"from": {"nodeLabel": "version"}}, "mirror": {"block": [{"paths": ["/mail"]}]}}),
    );
    let shadow = |path| lines(&[(":method", "GET"), (":authority", "a-shadow"), (":path", path)]);
    for (what, request, calls) in [
        (
            "a live request",
            request(&[]),
            [&["map 0"][..], &stamped].concat(),
        ),
        (
            "a mirrored request",
            shadow("/"),
            [
                &["map 0", "add 0 x-mirrored", "replace 0 :authority", "increment"][..],
                &stamped,
            ]
            .concat(),
        ),
        (
            "a blocked request",
            shadow("/mail"),
            vec![
                "map 0",
                "add 0 x-mirrored",
                "increment",
                "answer",
                "map 2",
                "property response.code_details",
            ],
        ),
    ] {
        // The first exchange of its kind also defines its counters.
        both.exchange(request.clone(), Answerer::ViaUpstream, answer(&[]));
        both.exchange(request, Answerer::ViaUpstream, answer(&[]));
        assert_eq!(host::calls(), calls, "{what}");
    }
}

#[test]
fn an_upstream_that_says_several_versions_is_none_of_them() {
    let plugin = start(&json!({"apps": [{"name": "shop", "versions": [{"name": "v1"}]}]}));
    for said in [&["v1"][..], &["v1", "v0"], &["v0", "v1"], &["v1", "v1"]] {
        let stamps: Vec<_> = said.iter().map(|said| ("x-app-version", *said)).collect();
        let seen = plugin.exchange(request(&[]), Answerer::ViaUpstream, answer(&stamps));
        let kept = seen.response.iter().filter(|(name, _)| name == "x-app-version");
        assert!(
            kept.map(|(_, value)| value.as_slice())
                .eq(said.iter().map(|said| said.as_bytes()))
        );
    }
    let mismatches = ["pin_app=.=shop;.;pin_version=.=v1;.;pinion_version_mismatch_total 3"];
    assert_eq!(metrics("mismatch_total"), mismatches);
}

#[test]
fn a_response_to_a_request_that_was_never_seen_stays_as_it_is() {
    let plugin = start(&json!({"apps": [{"name": "shop", "versions": [{"name": "v1"}]}]}));
    let said = answer(&[("x", "y")]);
    let seen = plugin.answer_only(Answerer::ViaUpstream, said.clone());
    assert_eq!(seen, said);
}

/// Envoy removes `x-envoy-original-url` from external requests, so that named cases cannot send the header to a real proxy.
#[test]
fn after_an_internal_redirect_the_pin_of_the_first_pass_counts_and_still_reaches_the_client() {
    let versions = json!([{"name": "v1"}, {"name": "v2", "weight": 50}, {"name": "dark", "weight": 0}]);
    let plugin = start(&json!({"apps": [{"name": "shop", "stable": "v1", "versions": versions}]}));
    let part = ("sec-fetch-mode", "no-cors");
    for (what, pin, headers, version, given) in [
        ("the second pass", format!("v2~{NOW}~0~5"), &[][..], "v2", true),
        (
            "a part of a page",
            format!("v2~{}~0~5", NOW - 1),
            &[part],
            "v2",
            true,
        ),
        (
            "a part of a page whose slot is another version's now",
            format!("v2~{}~0~90000", NOW - 5),
            &[part],
            "v2",
            false,
        ),
        (
            "a pin that the client has had for long",
            format!("v2~{}~0~5", NOW - 100),
            &[],
            "v2",
            false,
        ),
        (
            "no client reaches a dark version so",
            format!("dark~{NOW}~0~5"),
            &[],
            "v2",
            true,
        ),
    ] {
        let cookie = format!("pinion-shop={pin}");
        let mut lines = request(&[
            ("cookie", &cookie),
            ("x-envoy-original-url", "http://shop.example.com/old"),
        ]);
        lines.extend(self::lines(headers));
        let seen = plugin.exchange(lines, Answerer::ViaUpstream, answer(&[]));
        let value = |lines: &Lines, name: &str| {
            let line = lines.iter().find(|(field, _)| field == name);
            line.map(|(_, value)| String::from_utf8(value.clone()).unwrap())
        };
        assert_eq!(
            value(&seen.upstream, "x-app-version").as_deref(),
            Some(version),
            "{what}"
        );
        assert_eq!(value(&seen.response, "set-cookie").is_some(), given, "{what}");
    }
}

/// Envoy passes `Connection` on for an upgrade only, whose response has no body that named cases could read.
#[test]
fn the_next_hop_is_not_told_to_remove_what_the_filter_sets() {
    let plugin =
        start(&json!({"apps": [{"name": "shop", "versions": [{"name": "v1"}], "pin": {"header": "x-pin"}}]}));
    for (sent, expected) in [
        ("Upgrade, X-App-Version,cookie , x-pin, keep", "Upgrade, keep"),
        ("Upgrade,keep", "Upgrade,keep"),
    ] {
        let lines = request(&[("connection", sent), ("upgrade", "websocket"), ("cookie", "a=1")]);
        let seen = plugin.exchange(lines, Answerer::ViaUpstream, answer(&[]));
        let connection = seen.upstream.iter().find(|(name, _)| name == "connection");
        assert_eq!(connection.unwrap().1, expected.as_bytes());
    }
}
