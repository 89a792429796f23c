//! A small fleet keeps the promises of a rollout.

use std::collections::BTreeMap;

use pinion_fleet::agreement::agreement;
use pinion_fleet::client::{Client, Kind};
use pinion_fleet::ejection;
use pinion_fleet::fleet::{BADLY, Clocks, fleet};
use pinion_fleet::ramp::{Plan, Seen};

/// A ramp that is steep enough for wrong clocks to affect some clients.
const RAMP: Plan = Plan {
    proxies: 20,
    clocks: Clocks::Agree,
    duration: 600,
    steps: None,
    kind: Kind::Keyed,
    clients: 4000,
    visits: 3,
    requests: 2,
};

/// The results of an even and a stepped ramp, and of both kinds of clients.
fn ramps(clocks: Clocks) -> impl Iterator<Item = (Plan, Seen)> {
    let kinds = [(Kind::Keyed, None), (Kind::Keyed, Some(12)), (Kind::Pinned, None)];
    kinds.into_iter().map(move |(kind, steps)| {
        let plan = Plan {
            clocks,
            kind,
            steps,
            ..RAMP
        };
        (plan, plan.run())
    })
}

#[test]
fn if_clocks_agree_each_client_moves_once_and_none_goes_back() {
    for (plan, seen) in ramps(Clocks::Agree) {
        assert_eq!((seen.flips, seen.flipped, seen.moved[2]), (0, 0, 0), "{plan:?}");
        let never = seen.moved[0] as f64 / plan.clients as f64;
        assert!(
            (0.003..0.02).contains(&never),
            "v2 has 1 % from the start, not {never}: {plan:?}"
        );
        assert!(seen.coin_flips > 100, "random decisions send many back: {plan:?}");
    }
}

#[test]
fn if_clocks_differ_only_clients_whose_slot_moved_between_two_clocks_go_back() {
    let mut flips = 0;
    for (plan, seen) in ramps(Clocks::Skewed) {
        assert_eq!((seen.stray, seen.rejected), (0, 0), "{plan:?}");
        assert!(
            seen.longest <= 2.0 * BADLY + 1.0,
            "{} s after: {plan:?}",
            seen.longest
        );
        assert!(
            seen.flips < seen.coin_flips / 10,
            "{} flips: {plan:?}",
            seen.flips
        );
        assert_eq!(seen.moved.iter().sum::<u64>(), plan.clients as u64);
        flips += seen.flips;
    }
    assert!(flips > 0, "clocks that differ by a minute must cause flips");
}

#[test]
fn all_proxies_whose_clocks_agree_give_a_key_the_same_version() {
    for clocks in [Clocks::Agree, Clocks::Skewed] {
        let fleet = fleet(&RAMP.config(), &clocks.offsets(RAMP.proxies));
        for number in 0..200 {
            let client = Client::new(Kind::Keyed, number);
            let time = 3.0 * number as f64;
            let mut by_clock = BTreeMap::new();
            for proxy in &fleet {
                let version = client.ask(proxy, time).version.index;
                assert_eq!(*by_clock.entry(proxy.clock(time)).or_insert(version), version);
            }
        }
    }
}

#[test]
fn the_disagreement_of_proxies_is_what_their_clocks_let_expect() {
    let keys = 1000;
    let skewed = Clocks::Skewed.offsets(RAMP.proxies);
    let agree = agreement(&RAMP.config(), &Clocks::Agree.offsets(RAMP.proxies), keys, 300.0);
    assert_eq!([agree.pair, agree.most, agree.all, agree.all_expected], [0.0; 4]);
    let differ = agreement(&RAMP.config(), &skewed, keys, 300.0);
    assert!((differ.all - differ.all_expected).abs() < 0.03, "{differ:?}");
    assert!(differ.most < 0.03 && differ.all > 0.05, "{differ:?}");
    // In the middle between two steps the clocks do not matter.
    let stepped = Plan {
        steps: Some(5),
        ..RAMP
    };
    let stepped = agreement(&stepped.config(), &skewed, keys, 300.0);
    assert_eq!([stepped.pair, stepped.most, stepped.all], [0.0; 3]);
}

#[test]
fn an_ejected_version_gets_one_trial_at_a_time_and_all_its_clients_back() {
    let plan = ejection::Plan {
        proxies: 5,
        keyed: 1500,
        pinned: 500,
        outage: 60.0..120.0,
        minutes: 4,
    };
    let seen = plan.run();
    for record in &seen.proxies {
        assert!((5..10).contains(&record.errors), "{record:?}");
        assert_eq!((record.early(), record.leaks()), (0, 0), "{record:?}");
        assert!(record.trials.len() >= 2, "{record:?}");
        let back = record.back.expect("v2 is back");
        assert!(back >= plan.outage.end, "{record:?}");
    }
    assert!(
        seen.fallbacks > 0 && seen.last_fallback < 180.0,
        "{}",
        seen.last_fallback
    );
    assert_eq!(seen.cookies, plan.pinned as u64);
    assert_eq!((seen.cookies_later, seen.changed, seen.elsewhere), (0, 0, 0));
}
