//! `simulate` counts what the filter decides for requests with these pins.

mod common;

use std::collections::BTreeMap;

use common::{file, run};
use pinion::app::Edge;
use pinion::config::{Config, NoProxyInfo, Role};
use pinion::decision;
use pinion::environment::FixedEnvironment;
use pinion::identity::pin::{Pin, Rejection};
use pinion::rollout::slots::{SLOTS, Slot};
use serde_json::{Value, json};

const AT: &str = "2026-11-20T12:00:00Z";
const NOW: u64 = 1_795_176_000;

fn edge(config: &Value) -> Edge {
    match Config::parse(config.to_string().as_bytes(), &NoProxyInfo)
        .unwrap()
        .role
    {
        Role::Edge(edge) => edge,
        Role::Workload(_) => panic!("apps are an edge's"),
    }
}

/// The old and the new version of a client at a slot. The client returns with a pin of the old configuration.
fn decided(old: &Edge, new: &Edge, slot: Slot) -> (String, Result<String, &'static str>) {
    let (before, after) = (old.apps().next().unwrap(), new.apps().next().unwrap());
    let version = before.schedule.owner(slot, || NOW);
    let pin = Pin {
        version: &version.name,
        issued: NOW,
        epoch: before.pinning.epoch,
        slot,
    };
    let cookie = format!("pinion-shop={pin}");
    let headers = [
        (":method", "GET"),
        (":authority", "a"),
        (":path", "/"),
        ("cookie", &cookie),
    ];
    let decision = decision::decide(new, headers.as_slice(), &FixedEnvironment::at(NOW)).unwrap();
    let to = match decision.rejection() {
        Some(cause) => Err(cause.as_str()),
        None => Ok(decision.version.name.clone()),
    };
    let alone = decision::returning(after, pin.to_string().as_bytes(), NOW).map_err(Rejection::as_str);
    assert_eq!(alone.map(|version| version.name.clone()), to, "{pin}");
    (version.name.clone(), to)
}

#[test]
fn the_counts_are_those_of_single_requests() {
    let ramp = json!({"to": 90, "start": "2026-11-20T09:00:00Z", "duration": "6h", "steps": 7});
    let configs = ["weights", "version"].map(|follow| {
        [
            json!([{"name": "v1"}, {"name": "v2", "weight": 45}, {"name": "v3", "weight": 20}, {"name": "v4", "weight": 25}]),
            json!([{"name": "v1"}, {"name": "v2", "weight": 7}, {"name": "v3", "state": "draining"}, {"name": "v4", "state": "retired"}]),
            json!([{"name": "v1"}, {"name": "v3", "weight": 10, "ramp": ramp}]),
        ]
        .map(|versions| json!({"apps": [{"name": "shop", "versions": versions, "stable": "v1", "pin": {"follow": follow}}]}))
    });
    for (before, after) in configs
        .iter()
        .flat_map(|all| [(&all[0], &all[1]), (&all[0], &all[2]), (&all[2], &all[0])])
    {
        let (old, new) = (edge(before), edge(after));
        let mut counted: BTreeMap<_, u64> = BTreeMap::new();
        for slot in (0..SLOTS).filter_map(Slot::new) {
            *counted.entry(decided(&old, &new, slot)).or_default() += 1;
        }
        let paths = [("before", before), ("after", after)]
            .map(|(name, config)| file(&format!("{name}.json"), config.to_string()));
        let (code, said) = run(&["simulate", "--config", &paths[0], "--to", &paths[1], "--at", AT]);
        assert_eq!(code, Some(0), "{said}");
        let redrawn: Vec<_> = counted
            .keys()
            .filter(|(_, to)| to.is_err())
            .map(|(from, _)| from.clone())
            .collect();
        for ((from, to), count) in &counted {
            let line = match to {
                Err(cause) => format!(
                    "  with a pin, at {from}: {} get a new slot ({})\n",
                    grouped(*count),
                    cause
                ),
                Ok(to) if from != to && !redrawn.contains(from) => {
                    format!("    {from} to {to}: {} (", grouped(*count))
                }
                Ok(_) => continue,
            };
            assert!(said.contains(&line), "{line}\n{said}");
        }
        let known = counted
            .iter()
            .filter(|((from, to), _)| to.as_ref().is_ok_and(|to| from != to));
        let sum = format!("  with a pin: {} (", grouped(known.map(|(_, count)| count).sum()));
        assert!(!redrawn.is_empty() || said.contains(&sum), "{sum}\n{said}");
    }
}

fn grouped(count: u64) -> String {
    match count {
        1000.. => format!("{},{:03}", count / 1000, count % 1000),
        _ => count.to_string(),
    }
}
