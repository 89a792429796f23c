//! What a decision takes from the world around it, beyond the message in hand.

use std::net::IpAddr;

use crate::assign::Slot;

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

/// A world where nothing moves, for tests.
#[cfg(test)]
pub(crate) struct Still;

#[cfg(test)]
impl Ambient for Still {
    fn now(&self) -> u64 {
        0
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
