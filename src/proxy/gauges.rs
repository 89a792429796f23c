//! The gauges of shares, which show the newest configuration.
//!
//! Several configurations live in one VM at a time: those of other plugins and, in a worker, old
//! configurations that serve their last streams. Each app belongs to the configuration that
//! published the app last. Only that configuration sets the app's gauges to 0 when it ends.
//!
//! Gauges belong to the process, and Envoy's main thread has a VM too. That VM serves no stream, so
//! its configurations come and go with each update. A stream may keep a worker's configuration
//! alive, and Envoy takes such a configuration back into use without a callback. So a VM that has
//! served a stream leaves the gauges to the other VMs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::metrics::Metric;
use crate::app::{App, Edge};

/// The id of a configuration's root context.
pub type Owner = u32;

/// The new value of a gauge.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    /// [`Metric::ShareSlots`].
    pub name: String,
    /// The value in slots.
    pub slots: u32,
}

/// The configuration that each app's gauges belong to, in one VM.
#[derive(Debug, Default)]
pub struct Shares {
    apps: BTreeMap<String, Published>,
    /// Whether this VM has served a stream.
    serves: bool,
}

#[derive(Debug)]
struct Published {
    owner: Owner,
    versions: Vec<String>,
}

impl Shares {
    /// Records that this VM serves streams.
    pub fn serve(&mut self) {
        self.serves = true;
    }

    /// The gauges of a new configuration, to which its apps belong from now on. A removed version
    /// goes to 0, and so does every version of an app that is not enabled.
    pub fn publish(&mut self, owner: Owner, edge: &Edge, now: u64) -> Vec<Reading> {
        let mut readings = Vec::new();
        for app in edge.apps() {
            let versions = app.versions.iter().map(|version| version.name.clone()).collect();
            let before = self.apps.insert(app.name.clone(), Published { owner, versions });
            let gone = before.iter().flat_map(|before| &before.versions);
            let gone = gone.filter(|name| app.versions.iter().all(|version| version.name != **name));
            readings.extend(gone.map(|version| reading(&app.name, version, 0)));
            readings.extend(shown(app, now));
        }
        self.visible(readings)
    }

    /// The gauges of the apps with a ramp that no newer configuration has taken over.
    pub fn refresh(&self, owner: Owner, edge: &Edge, now: u64) -> Vec<Reading> {
        if self.serves {
            return Vec::new();
        }
        let ours = |app: &&Arc<App>| {
            self.apps
                .get(&app.name)
                .is_some_and(|published| published.owner == owner)
        };
        let moving = edge
            .apps()
            .filter(|app| app.schedule.end().is_some())
            .filter(ours);
        moving.flat_map(|app| shown(app, now)).collect()
    }

    /// The gauges of a configuration that ends: 0 for the apps that no newer configuration has
    /// taken over.
    pub fn withdraw(&mut self, owner: Owner) -> Vec<Reading> {
        let mut readings = Vec::new();
        self.apps.retain(|app, published| {
            if published.owner == owner {
                readings.extend(published.versions.iter().map(|version| reading(app, version, 0)));
            }
            published.owner != owner
        });
        self.visible(readings)
    }

    fn visible(&self, readings: Vec<Reading>) -> Vec<Reading> {
        if self.serves { Vec::new() } else { readings }
    }
}

/// An app's gauges at a time in Unix seconds.
fn shown(app: &App, now: u64) -> impl Iterator<Item = Reading> {
    app.versions.iter().map(move |version| {
        let slots = if app.enabled {
            app.schedule.share(version, || now).slots()
        } else {
            0
        };
        reading(&app.name, &version.name, slots)
    })
}

fn reading(app: &str, version: &str, slots: u32) -> Reading {
    Reading {
        name: Metric::ShareSlots { app, version }.name(),
        slots,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, NoProxyInfo, Role};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn edge(json: &str) -> Edge {
        match Config::parse(json.as_bytes(), &NoProxyInfo).unwrap().role {
            Role::Edge(edge) => edge,
            Role::Workload(_) => panic!("not an edge"),
        }
    }

    fn shown(readings: Vec<Reading>) -> Vec<(String, u32)> {
        let label = |name: &str, tag: &str| {
            let (_, rest) = name.split_once(&format!("{tag}=.=")).unwrap();
            rest.split_once(';').unwrap().0.to_owned()
        };
        let show = |reading: Reading| {
            let app = label(&reading.name, "pin_app");
            (
                format!("{app} {}", label(&reading.name, "pin_version")),
                reading.slots,
            )
        };
        readings.into_iter().map(show).collect()
    }

    #[test]
    fn the_gauges_show_the_newest_configuration() {
        let first = edge(
            r#"{"apps": [
                {"name": "a", "hosts": ["a"], "versions": [{"name": "v1"}, {"name": "v2", "weight": 10}]},
                {"name": "b", "hosts": ["b"], "versions": [{"name": "v1"}]}
            ]}"#,
        );
        let second =
            edge(r#"{"apps": [{"name": "a", "versions": [{"name": "v1"}, {"name": "v3", "weight": 1}]}]}"#);
        let other = edge(r#"{"apps": [{"name": "c", "enabled": false, "versions": [{"name": "v1"}]}]}"#);
        let mut shares = Shares::default();
        let published = shown(shares.publish(1, &first, 0));
        assert_eq!(
            published,
            [
                ("a v1".into(), 90_000),
                ("a v2".into(), 10_000),
                ("b v1".into(), 100_000)
            ]
        );
        assert_eq!(shown(shares.publish(2, &other, 0)), [("c v1".into(), 0)]);
        let published = shown(shares.publish(3, &second, 0));
        assert_eq!(
            published,
            [
                ("a v2".into(), 0),
                ("a v1".into(), 99_000),
                ("a v3".into(), 1_000)
            ]
        );
        // The first configuration still has the app b; the app a belongs to the third.
        assert_eq!(shown(shares.withdraw(1)), [("b v1".into(), 0)]);
        assert_eq!(shown(shares.withdraw(1)), []);
        assert_eq!(
            shown(shares.withdraw(3)),
            [("a v1".into(), 0), ("a v3".into(), 0)]
        );
    }

    #[test]
    fn a_vm_that_serves_streams_leaves_the_gauges_alone() {
        let edge = edge(
            r#"{"apps": [{"name": "a", "stable": "v1", "versions": [{"name": "v1"},
                {"name": "v2", "weight": 0, "ramp": {"to": 1, "start": "2999-01-01T00:00:00Z", "duration": "1h"}}]}]}"#,
        );
        let mut shares = Shares::default();
        let all = [("a v1".into(), 100_000), ("a v2".into(), 0)];
        assert_eq!(shown(shares.publish(1, &edge, 0)), all);
        assert_eq!(shown(shares.refresh(1, &edge, 0)), all);
        shares.serve();
        assert_eq!(shown(shares.publish(2, &edge, 0)), []);
        assert_eq!(shares.refresh(2, &edge, 0), []);
        assert_eq!(shown(shares.withdraw(2)), []);
    }
}
