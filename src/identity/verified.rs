//! Signed pins that held last, so that a client that comes again costs no signature: a browser asks for a page and then
//! for all that the page is made of.
//!
//! Only what held gets in, so that forgeries push nothing out. Values are compared in the same time wherever they differ,
//! so that the time it takes tells nothing about a signature.

use std::cell::RefCell;
use std::fmt;

use crate::identity::pin::Held;
use crate::rollout::slots::Slot;
use crate::rollout::version::VersionRef;

/// How many are kept in each VM; each takes some 150 bytes.
pub const PLACES: usize = 512;

/// The pins of all apps of a configuration.
#[derive(Default)]
pub struct Recent(RefCell<Vec<Option<Entry>>>);

struct Entry {
    app: String,
    value: Vec<u8>,
    known: Known,
}

/// What is known of a pin that held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// When it was made, in Unix seconds.
    pub issued: u64,
    /// The client's place.
    pub slot: Slot,
    /// The version it names, which is not retired.
    pub version: VersionRef,
}

impl Known {
    /// The pin as it holds, at an age in seconds.
    #[must_use]
    pub fn held(self, age: u64) -> Held {
        let Known { slot, version, .. } = self;
        Held { version, slot, age }
    }
}

impl Recent {
    /// What is known of an app's pin.
    #[must_use]
    pub fn find(&self, app: &str, value: &[u8]) -> Option<Known> {
        let places = self.0.borrow();
        let entry = places.get(place(value))?.as_ref()?;
        (entry.app == app && is_same(&entry.value, value)).then(|| entry.known.clone())
    }

    /// Keeps an app's pin, in place of one that stands where it would.
    pub fn keep(&self, app: &str, value: &[u8], known: Known) {
        let mut places = self.0.borrow_mut();
        if places.is_empty() {
            places.resize_with(PLACES, || None);
        }
        if let Some(place) = places.get_mut(place(value)) {
            *place = Some(Entry {
                app: app.to_owned(),
                value: value.to_vec(),
                known,
            });
        }
    }
}

/// Never shows a pin.
impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

/// Where a pin stands. Its end is a part of a signature, which is as good as chance.
fn place(value: &[u8]) -> usize {
    let end = value.last_chunk().copied().unwrap_or_default();
    // Fibonacci hashing: the upper bits of the product depend on all.
    (u64::from_le_bytes(end).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES.ilog2())) as usize
}

/// Whether two values are the same, without stopping where they differ; by words, as it stands on the way of most requests.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks(), b.as_chunks());
    let words = a_words.iter().zip(b_words);
    let words = words.map(|(a, b)| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b));
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| u64::from(a ^ b));
    a.len() == b.len() && words.chain(rest).fold(0, |all, differs| all | differs) == 0
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::rollout::slots::Share;
    use crate::rollout::version::{State, Version};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn known(issued: u64) -> Known {
        Known {
            issued,
            slot: Slot::new(7).unwrap(),
            version: Rc::new(Version {
                name: "v1".to_owned(),
                label: "v1".to_owned(),
                state: State::Active,
                share: Share::NONE,
                ramp: None,
                index: 0,
            }),
        }
    }

    #[test]
    fn only_the_very_pin_of_the_very_app_is_known() {
        let recent = Recent::default();
        let value = b"v1~1790000000~0~7~k1~tjthK6xHU0lP99phOIElrw";
        assert_eq!(recent.find("shop", value), None);
        recent.keep("shop", value, known(1));
        assert_eq!(recent.find("shop", value), Some(known(1)));
        assert_eq!(recent.find("cart", value), None);
        for i in 0..value.len() {
            let mut other = value.to_vec();
            other[i] ^= 1;
            assert_eq!(recent.find("shop", &other), None, "{i}");
            assert_eq!(recent.find("shop", &value[i + 1..]), None, "{i}");
        }
    }

    #[test]
    fn there_are_only_so_many_and_the_last_stay() {
        let recent = Recent::default();
        let values: Vec<_> = (0..10_000_u64).map(|i| format!("v1~{i}~{i:08}")).collect();
        for (value, issued) in values.iter().zip(0..) {
            recent.keep("shop", value.as_bytes(), known(issued));
            assert_eq!(recent.find("shop", value.as_bytes()), Some(known(issued)));
        }
        let left = values
            .iter()
            .filter(|value| recent.find("shop", value.as_bytes()).is_some());
        assert!((PLACES / 2..=PLACES).contains(&left.count()));
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
