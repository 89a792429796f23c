//! A cache of verified pins, so that the pin of a returning client is verified once: a browser
//! requests a page and then all parts of the page.
//!
//! Only verified pins enter the cache, so forged pins displace none. Values are compared in
//! constant time, so that the time of a comparison tells nothing about a signature.

use std::fmt;
use std::sync::Mutex;

use crate::rollout::slots::Slot;
use crate::rollout::version::VersionRef;

/// The number of pins that a cache keeps. Each pin takes some 150 bytes.
pub const CAPACITY: usize = 512;

/// The verified pins of all apps of a configuration.
///
/// A thread that finds the cache locked treats the pin as not cached, and does not wait.
#[derive(Default)]
pub struct PinCache(Mutex<Vec<Option<Entry>>>);

struct Entry {
    app: String,
    value: Vec<u8>,
    pin: VerifiedPin,
}

/// A pin whose seal verified, and whose epoch and version are the app's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPin {
    /// When the pin was issued, in Unix seconds.
    pub issued: u64,
    /// The client's slot.
    pub slot: Slot,
    /// The version that the pin names. The version is not retired.
    pub version: VersionRef,
}

impl PinCache {
    /// The app's pin of this value, if it is cached.
    #[must_use]
    pub fn get(&self, app: &str, value: &[u8]) -> Option<VerifiedPin> {
        let entries = self.0.try_lock().ok()?;
        let entry = entries.get(bucket(value))?.as_ref()?;
        (entry.app == app && is_same(&entry.value, value)).then(|| entry.pin.clone())
    }

    /// Caches an app's pin in place of the pin in the same bucket.
    pub fn insert(&self, app: &str, value: &[u8], pin: VerifiedPin) {
        let Ok(mut entries) = self.0.try_lock() else {
            return;
        };
        if entries.is_empty() {
            entries.resize_with(CAPACITY, || None);
        }
        if let Some(entry) = entries.get_mut(bucket(value)) {
            *entry = Some(Entry {
                app: app.to_owned(),
                value: value.to_vec(),
                pin,
            });
        }
    }
}

/// Writes no pin.
impl fmt::Debug for PinCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinCache").finish_non_exhaustive()
    }
}

/// The bucket of a pin. The end of a pin's value is part of a MAC, so buckets are evenly used.
fn bucket(value: &[u8]) -> usize {
    let end = value.last_chunk().copied().unwrap_or_default();
    // Fibonacci hashing: the upper bits of the product depend on all bits.
    (u64::from_le_bytes(end).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - CAPACITY.ilog2())) as usize
}

/// Whether two values are equal, in a time that depends on their lengths only. Compares words to be
/// fast, because most requests need this comparison.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks(), b.as_chunks());
    let words = a_words.iter().zip(b_words);
    let words = words.map(|(a, b)| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b));
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| u64::from(a ^ b));
    a.len() == b.len() && words.chain(rest).fold(0, |all, differs| all | differs) == 0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rollout::slots::Share;
    use crate::rollout::version::{State, Version};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn pin(issued: u64) -> VerifiedPin {
        VerifiedPin {
            issued,
            slot: Slot::new(7).unwrap(),
            version: Arc::new(Version {
                name: "v1".to_owned(),
                label: "v1".to_owned(),
                state: State::Active,
                share: Share::NONE,
                ramp: None,
                builds: Vec::new(),
                index: 0,
            }),
        }
    }

    #[test]
    fn only_the_very_pin_of_the_very_app_is_pin() {
        let cache = PinCache::default();
        let value = b"v1~1790000000~0~7~k1~tjthK6xHU0lP99phOIElrw";
        assert_eq!(cache.get("shop", value), None);
        cache.insert("shop", value, pin(1));
        assert_eq!(cache.get("shop", value), Some(pin(1)));
        assert_eq!(cache.get("cart", value), None);
        for i in 0..value.len() {
            let mut other = value.to_vec();
            other[i] ^= 1;
            assert_eq!(cache.get("shop", &other), None, "{i}");
            assert_eq!(cache.get("shop", &value[i + 1..]), None, "{i}");
        }
    }

    #[test]
    fn there_are_only_so_many_and_the_last_stay() {
        let cache = PinCache::default();
        let values: Vec<_> = (0..10_000_u64).map(|i| format!("v1~{i}~{i:08}")).collect();
        for (value, issued) in values.iter().zip(0..) {
            cache.insert("shop", value.as_bytes(), pin(issued));
            assert_eq!(cache.get("shop", value.as_bytes()), Some(pin(issued)));
        }
        let left = values
            .iter()
            .filter(|value| cache.get("shop", value.as_bytes()).is_some());
        assert!((CAPACITY / 2..=CAPACITY).contains(&left.count()));
    }

    #[test]
    fn values_of_every_length_are_compared_whole() {
        for length in 0..40 {
            let a = vec![b'a'; length];
            assert!(is_same(&a, &a.clone()));
            assert!(!is_same(&a, &[&a[..], b"a"].concat()));
            for i in 0..length {
                let mut b = a.clone();
                b[i] = b'b';
                assert!(!is_same(&a, &b), "{length} {i}");
            }
        }
    }
}
