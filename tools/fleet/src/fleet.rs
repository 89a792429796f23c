//! Proxies and their clocks. A proxy is the core's own [`Edge`] with its own clock and its own store. Proxies share
//! nothing but the configuration.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use pinion::app::{App, Edge};
use pinion::config::{Config, NoProxyInfo, Role, parse_timestamp};
use pinion::environment::{Claim, Contended, Environment, LocalStore, SharedStore};

use crate::random::Random;

/// The start of simulated time.
pub const START: &str = "2026-11-21T09:00:00Z";

/// The distribution of the proxies' clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clocks {
    /// All clocks show the same time.
    Agree,
    /// A standard deviation of one second, and one clock in a hundred is wrong by half a minute.
    Skewed,
}

/// The error of a badly wrong clock, in seconds.
pub const BADLY: f64 = 30.0;

impl Clocks {
    /// The seconds by which each proxy's clock is ahead.
    #[must_use]
    pub fn offsets(self, proxies: usize) -> Vec<f64> {
        let mut offsets = vec![0.0; proxies];
        if self == Clocks::Skewed {
            for (i, offset) in offsets.iter_mut().enumerate() {
                *offset = Random::of(0xc10c, i).normal();
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
    /// The validated configuration.
    pub edge: Edge,
    /// The health of the versions, as the proxy's workers share it.
    pub store: LocalStore,
    start: u64,
    offset: f64,
}

impl Proxy {
    /// A proxy with this configuration.
    ///
    /// # Panics
    /// If the configuration is wrong.
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
        let store = LocalStore::default();
        for app in edge.apps() {
            if let Some(watch) = &app.outlier_detection {
                watch.prepare(&store);
            }
        }
        let start = parse_timestamp(START).unwrap_or_default();
        Proxy {
            edge,
            store,
            start,
            offset,
        }
    }

    /// The time of the proxy's clock in Unix seconds, at a time after the start.
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

    /// The share of v2 at a time after the start, by the proxy's clock: 0 to 1.
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

/// The environment of a request at a proxy.
pub struct Moment<'a> {
    /// The proxy's clock, in Unix seconds.
    pub now: u64,
    /// The generator from which new clients draw their slots.
    pub random: &'a RefCell<Random>,
    /// The proxy's store.
    pub store: &'a LocalStore,
}

impl Environment for Moment<'_> {
    fn now(&self) -> u64 {
        self.now
    }
    fn random(&self) -> u64 {
        self.random.borrow_mut().bits()
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
        self.store.get(key)
    }
    fn compare_and_set(&self, key: &str, value: &[u8], expected: Option<u32>) -> Result<(), Contended> {
        self.store.compare_and_set(key, value, expected)
    }
}
