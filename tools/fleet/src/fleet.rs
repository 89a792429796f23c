//! Proxies and their clocks. A proxy is the core's own [`Edge`], read from the configuration as a real one
//! reads it, with a clock and a memory of its own; proxies share nothing.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use pinion::app::{App, Edge};
use pinion::config::{Config, NoProxyInfo, Role, parse_timestamp};
use pinion::environment::{Claim, Contended, Environment, LocalStore, SharedStore};

use crate::chance::Chance;

/// When simulated time is 0.
pub const START: &str = "2026-11-21T09:00:00Z";

/// How the proxies' clocks stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clocks {
    /// All show the same.
    Agree,
    /// One second's deviation, and a hundredth of them off by half a minute.
    Skewed,
}

/// How far a clock that is badly off is off, in seconds.
pub const BADLY: f64 = 30.0;

impl Clocks {
    /// How far each proxy's clock is ahead, in seconds.
    #[must_use]
    pub fn offsets(self, proxies: usize) -> Vec<f64> {
        let mut offsets = vec![0.0; proxies];
        if self == Clocks::Skewed {
            for (i, offset) in offsets.iter_mut().enumerate() {
                *offset = Chance::of(0xc10c, i).normal();
            }
            for (i, offset) in offsets.iter_mut().take((proxies / 100).max(2)).enumerate() {
                *offset = if i % 2 == 0 { BADLY } else { -BADLY };
            }
        }
        offsets
    }
}

/// One proxy of the fleet.
#[derive(Debug)]
pub struct Proxy {
    /// What it read from the configuration.
    pub edge: Edge,
    /// What its workers know of the versions' health.
    pub memory: LocalStore,
    start: u64,
    offset: f64,
}

impl Proxy {
    /// A proxy that has read the configuration.
    ///
    /// # Panics
    /// If it refuses it.
    #[must_use]
    pub fn new(config: &str, offset: f64) -> Self {
        let edge = match Config::parse(config.as_bytes(), &NoProxyInfo) {
            Ok(Config {
                role: Role::Edge(edge),
                ..
            }) => edge,
            Ok(_) => panic!("not an edge: {config}"),
            Err(errors) => panic!("{errors}"),
        };
        let memory = LocalStore::default();
        for app in edge.apps() {
            if let Some(watch) = &app.outlier_detection {
                watch.prepare(&memory);
            }
        }
        let start = parse_timestamp(START).unwrap_or_default();
        Proxy {
            edge,
            memory,
            start,
            offset,
        }
    }

    /// What its clock shows, in Unix seconds, at a time after the start.
    #[must_use]
    pub fn clock(&self, time: f64) -> u64 {
        (self.start as f64 + time + self.offset) as u64
    }

    /// The only app.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        self.edge.apps().next().expect("an app")
    }

    /// v2's share at a time by its clock, of 1.
    #[must_use]
    pub fn share(&self, time: f64) -> f64 {
        let app = self.app();
        app.schedule
            .share(&app.versions[1], || self.clock(time))
            .percent()
            / 100.0
    }
}

/// A fleet with these clocks.
#[must_use]
pub fn fleet(config: &str, offsets: &[f64]) -> Vec<Proxy> {
    offsets.iter().map(|offset| Proxy::new(config, *offset)).collect()
}

/// What a proxy knows of the world when a request comes.
pub struct Moment<'a> {
    /// Its clock, in Unix seconds.
    pub now: u64,
    /// Where a new client's place is drawn from.
    pub chance: &'a RefCell<Chance>,
    /// What it remembers.
    pub memory: &'a LocalStore,
}

impl Environment for Moment<'_> {
    fn now(&self) -> u64 {
        self.now
    }
    fn random(&self) -> u64 {
        self.chance.borrow_mut().bits()
    }
    fn claim(&self, _: &str) -> Option<Claim> {
        None
    }
    fn client_address(&self) -> Option<IpAddr> {
        None
    }
}

impl SharedStore for Moment<'_> {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.memory.get(key)
    }
    fn compare_and_set(&self, key: &str, value: &[u8], expected: Option<u32>) -> Result<(), Contended> {
        self.memory.compare_and_set(key, value, expected)
    }
}
