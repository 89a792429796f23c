//! What a decision takes from the world around it, beyond the message in hand.

use std::net::IpAddr;

use crate::rollout::outlier::{Contended, Local, Memory};
use crate::rollout::slots::Slot;

/// The world around a request. Each thing is asked for only if it is needed.
pub trait Ambient {
    /// Unix seconds.
    fn now(&self) -> u64;
    /// A fair draw.
    fn draw(&self) -> Slot;
    /// A claim of a token that the proxy verified, as the host writes it. A token that was not verified has none.
    fn claim(&self, name: &str) -> Option<Vec<u8>>;
    /// The client's address, as far as Envoy trusts it.
    fn source(&self) -> Option<IpAddr>;
}

/// A world that stands still, for tests: everybody draws slot 0, and a client is nobody from nowhere.
#[derive(Debug, Default)]
pub struct Still {
    now: u64,
    memory: Local,
}

impl Still {
    /// Such a world at a time, in Unix seconds.
    #[must_use]
    pub fn at(now: u64) -> Self {
        Still {
            now,
            memory: Local::default(),
        }
    }
}

impl Ambient for Still {
    fn now(&self) -> u64 {
        self.now
    }
    fn draw(&self) -> Slot {
        Slot::from_random(0)
    }
    fn claim(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn source(&self) -> Option<IpAddr> {
        None
    }
}

impl Memory for Still {
    fn recall(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.memory.recall(key)
    }
    fn remember(&self, key: &str, value: &[u8], mark: Option<u32>) -> Result<(), Contended> {
        self.memory.remember(key, value, mark)
    }
}
