//! How an app keeps its clients on their versions: where pins travel, how long they last, and which
//! are valid.

use std::sync::Arc;

use super::client_key::{ClientKey, InitialSlot};
use super::pin::{Pin, Rejection};
use super::seal::Keys;
use super::verified::{PinCache, VerifiedPin};
use crate::http::cookie::CookieTemplate;
use crate::http::header::HeaderName;
use crate::rollout::slots::Slot;
use crate::rollout::version::{State, VersionRef};

/// How far a pin's issue time may be ahead of this proxy's clock, in seconds, because the clocks of
/// proxies differ.
pub const CLOCK_SKEW: u64 = 60;

/// How an app keeps its clients on their versions.
#[derive(Debug)]
pub struct Pinning {
    /// What a pin keeps.
    pub follow: Follow,
    /// How long a pin is valid, in seconds.
    pub ttl: u32,
    /// A pin of another epoch is rejected.
    pub epoch: u32,
    /// Whether a pin is renewed once half its TTL is over.
    pub renew: bool,
    /// The cookie that carries the pin.
    pub cookie: Option<CookieTemplate>,
    /// The header that may carry the pin.
    pub header: Option<HeaderName>,
    /// The query parameter that may carry the pin.
    pub query: Option<String>,
    /// Where a client's key is. The slot is the hash of the first key that the request has, and the
    /// client needs no pin.
    pub keys: Vec<ClientKey>,
    /// Where the first slot of a client without a pin comes from. The first item whose parts the
    /// request has counts. If the request has the parts of no item, the client draws a random slot.
    pub initial: Vec<InitialSlot>,
    /// Where a request carries the id of the build that its page came from.
    pub build: Option<BuildId>,
    /// What happens to a new pin on a response that a shared cache may reuse without revalidation.
    pub cacheable: Cacheable,
    /// The keys that seal pins. If there are keys, an unsealed pin is rejected.
    pub signing: Option<Arc<Signing>>,
}

/// The signing keys of a configuration, and the pins that they verified last.
#[derive(Debug)]
pub struct Signing {
    /// The keys that seal and verify.
    pub keys: Keys,
    cache: PinCache,
}

impl From<Keys> for Signing {
    fn from(keys: Keys) -> Self {
        Signing {
            keys,
            cache: PinCache::default(),
        }
    }
}

/// Where a request carries a build id, as frameworks send it (Next.js: `?dpl=` and
/// `x-deployment-id`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildId {
    /// The request header.
    pub header: Option<HeaderName>,
    /// The query parameter.
    pub query: Option<String>,
}

/// What happens to a new pin on a response that a shared cache may reuse without revalidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cacheable {
    /// The response stays as it is, and the pin is withheld.
    Withhold,
    /// The response becomes `private` and carries the pin.
    Private,
}

/// What a pin keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// The slot. The client's version is the current owner of the slot.
    Weights,
    /// The version, until the pin expires.
    Version,
}

/// When a pin expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// When its TTL is over.
    AtTtl,
    /// When its version has no share and is not draining.
    WithVersion,
}

/// A pin that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidPin {
    /// The version that the pin names.
    pub version: VersionRef,
    /// The client's slot.
    pub slot: Slot,
    /// The pin's age in seconds.
    pub age: u64,
}

impl ValidPin {
    fn new(pin: VerifiedPin, age: u64) -> Self {
        let VerifiedPin { version, slot, .. } = pin;
        ValidPin { version, slot, age }
    }

    /// Whether the pin's TTL is over.
    #[must_use]
    pub fn is_past_ttl(&self, pinning: &Pinning) -> bool {
        self.age >= u64::from(pinning.ttl)
    }
}

impl Pinning {
    /// The pin of a value, if it is valid for an app with these versions at `now`, in Unix seconds.
    /// `expiry` is asked only for a pin whose TTL is over.
    ///
    /// # Errors
    /// Why the pin is rejected.
    pub fn check(
        &self,
        value: &[u8],
        app: &str,
        versions: &[VersionRef],
        now: u64,
        expiry: impl FnOnce() -> Expiry,
    ) -> Result<ValidPin, Rejection> {
        let cached = self
            .signing
            .as_ref()
            .and_then(|signing| signing.cache.get(app, value));
        if let Some(pin) = cached {
            let age = self.age(pin.issued, now, expiry)?;
            return Ok(ValidPin::new(pin, age));
        }
        self.verify(value, app, versions, |issued| self.age(issued, now, expiry))
    }

    /// The pin of a value that is not in the cache, if it is valid.
    #[inline(never)]
    fn verify(
        &self,
        value: &[u8],
        app: &str,
        versions: &[VersionRef],
        age: impl FnOnce(u64) -> Result<u64, Rejection>,
    ) -> Result<ValidPin, Rejection> {
        let signing = self.signing.as_deref();
        let (pin, seal) = Pin::parse(value).ok_or(Rejection::Malformed)?;
        match (signing, seal) {
            (None, None) => {}
            // Without keys this filter writes no seal.
            (None, Some(_)) => return Err(Rejection::Malformed),
            (Some(_), None) => return Err(Rejection::Unsigned),
            (Some(signing), Some(seal)) => signing.keys.verify(app, &pin, &seal)?,
        }
        if pin.epoch != self.epoch {
            return Err(Rejection::Epoch);
        }
        let age = age(pin.issued)?;
        let mut versions = versions.iter();
        let version = versions
            .find(|version| version.name == pin.version)
            .ok_or(Rejection::Unknown)?;
        if version.state == State::Retired {
            return Err(Rejection::Retired);
        }
        let verified = VerifiedPin {
            issued: pin.issued,
            slot: pin.slot,
            version: version.clone(),
        };
        if let Some(signing) = signing {
            signing.cache.insert(app, value, verified.clone());
        }
        Ok(ValidPin::new(verified, age))
    }

    /// The keys that seal pins, if any are configured.
    #[must_use]
    pub fn signing_keys(&self) -> Option<&Keys> {
        self.signing.as_ref().map(|signing| &signing.keys)
    }

    fn age(&self, issued: u64, now: u64, expiry: impl FnOnce() -> Expiry) -> Result<u64, Rejection> {
        if issued > now.saturating_add(CLOCK_SKEW) {
            return Err(Rejection::Future);
        }
        let age = now.saturating_sub(issued);
        if age >= u64::from(self.ttl) && expiry() == Expiry::AtTtl {
            return Err(Rejection::Expired);
        }
        Ok(age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::seal::Key;
    use crate::rollout::slots::Share;
    use crate::rollout::version::{State, Version};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_pin_is_valid_or_rejected() {
        let version = |index, name: &str, state| {
            Arc::new(Version {
                name: name.to_owned(),
                label: name.to_owned(),
                state,
                share: Share::NONE,
                ramp: None,
                builds: Vec::new(),
                index,
            })
        };
        let versions = [
            version(0, "v1", State::Active),
            version(1, "v2", State::Draining),
            version(2, "v3", State::Retired),
        ];
        let pinning = Pinning {
            follow: Follow::Weights,
            ttl: 100,
            epoch: 7,
            renew: false,
            cookie: None,
            header: None,
            query: None,
            keys: Vec::new(),
            initial: Vec::new(),
            build: None,
            cacheable: Cacheable::Withhold,
            signing: None,
        };
        for (pin, expected) in [
            ("v1~1000~7~5", Ok(("v1", 0))),
            ("v2~1000~7~5", Ok(("v2", 0))),
            ("v1~901~7~5", Ok(("v1", 99))),
            ("v1~900~7~5", Err(Rejection::Expired)),
            ("v1~1060~7~5", Ok(("v1", 0))),
            ("v1~1061~7~5", Err(Rejection::Future)),
            ("v1~18446744073709551615~7~5", Err(Rejection::Future)),
            ("v1~1000~6~5", Err(Rejection::Epoch)),
            ("v4~1000~7~5", Err(Rejection::Unknown)),
            ("v3~1000~7~5", Err(Rejection::Retired)),
        ] {
            let valid = pinning.check(pin.as_bytes(), "shop", &versions, 1000, || Expiry::AtTtl);
            let valid = valid.as_ref().map(|pin| (pin.version.name.as_str(), pin.age));
            assert_eq!(valid.map_err(|cause| *cause), expected, "{pin}");
        }
    }

    fn signed() -> (Pinning, [VersionRef; 1], String) {
        let version = Arc::new(Version {
            name: "v1".to_owned(),
            label: "v1".to_owned(),
            state: State::Active,
            share: Share::ALL,
            ramp: None,
            builds: Vec::new(),
            index: 0,
        });
        let keys = Keys::new(vec![Key::new("k1", &[7; 32]).unwrap()]).unwrap();
        let pin = Pin {
            version: "v1",
            issued: 1000,
            epoch: 7,
            slot: Slot::new(5).unwrap(),
        };
        let value = pin.encode("shop", Some(&keys));
        let pinning = Pinning {
            follow: Follow::Weights,
            ttl: 100,
            epoch: 7,
            renew: false,
            cookie: None,
            header: None,
            query: None,
            keys: Vec::new(),
            initial: Vec::new(),
            build: None,
            cacheable: Cacheable::Withhold,
            signing: Some(Arc::new(keys.into())),
        };
        (pinning, [version], value)
    }

    #[test]
    fn a_cached_pin_ages_and_expires_as_any_other() {
        let (pinning, versions, value) = signed();
        let check = |now| {
            let valid = pinning.check(value.as_bytes(), "shop", &versions, now, || Expiry::AtTtl);
            valid.map(|pin| pin.age)
        };
        for (now, expected) in [
            (1000, Ok(0)),
            (1001, Ok(1)),
            (1099, Ok(99)),
            (1100, Err(Rejection::Expired)),
            (939, Err(Rejection::Future)),
            (940, Ok(0)),
        ] {
            assert_eq!(check(now), expected, "{now}");
            let cached = pinning
                .signing
                .as_ref()
                .unwrap()
                .cache
                .get("shop", value.as_bytes());
            assert!(cached.is_some());
        }
    }
}
