//! A read-only list of names and values that answers many lookups fast: headers, cookies, query
//! parameters.

use std::cell::{Cell, OnceCell};
use std::cmp::Ordering;

use smallvec::SmallVec;

/// A name and a value.
type Pair<'m> = (&'m [u8], &'m [u8]);

/// How many lookups scan the whole list before an index is built. Most requests need fewer, and an
/// index costs more than these scans.
const SCANS: u8 = 4;

/// Borrowed names and values in the order of arrival. A name may have several values.
#[derive(Debug, Default)]
pub struct Multimap<'m> {
    pairs: SmallVec<[Pair<'m>; 8]>,
    scans: Cell<u8>,
    /// The pairs sorted as [`order`] says; pairs of one name stay in the order of arrival.
    sorted: OnceCell<Box<[Pair<'m>]>>,
}

impl<'m> FromIterator<Pair<'m>> for Multimap<'m> {
    fn from_iter<I: IntoIterator<Item = Pair<'m>>>(pairs: I) -> Self {
        Multimap {
            pairs: pairs.into_iter().collect(),
            ..Multimap::default()
        }
    }
}

impl<'m> Multimap<'m> {
    /// Adds a pair behind the others, before the first lookup.
    pub fn push(&mut self, name: &'m [u8], value: &'m [u8]) {
        self.pairs.push((name, value));
    }

    /// The values of a name in the order of arrival. Names are compared byte by byte.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'m [u8]> + 'a {
        let name = name.as_bytes();
        let is_scan = self.sorted.get().is_none() && self.scans.get() < SCANS;
        let candidates = if is_scan {
            self.scans.set(self.scans.get() + 1);
            &self.pairs[..]
        } else {
            self.starting_at(name)
        };
        let is_named = move |pair: &&Pair<'m>| pair.0 == name;
        // In the index, all pairs of the name come first.
        let candidates = candidates
            .iter()
            .take_while(move |pair| is_scan || is_named(pair));
        candidates.filter(is_named).map(|(_, value)| *value)
    }

    /// The pairs of a name and all behind it, by the index.
    fn starting_at(&self, name: &[u8]) -> &[Pair<'m>] {
        let sorted = self.sorted.get_or_init(|| {
            let mut pairs: Box<[_]> = self.pairs.as_slice().into();
            pairs.sort_by(|(a, _), (b, _)| order(a, b));
            pairs
        });
        let start = sorted.partition_point(|(other, _)| order(other, name).is_lt());
        sorted.get(start..).unwrap_or_default()
    }
}

/// The order of names in the index. Names differ in length more often than not, and lengths are
/// compared fast.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn values_are_the_same_with_and_without_an_index() {
        let pairs = [
            ("b", "1"),
            ("a", "2"),
            ("b", "3"),
            ("", "4"),
            ("c", ""),
            ("a", "5"),
        ];
        let map: Multimap<'_> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        for _ in 0..=SCANS {
            for name in ["a", "b", "c", "d", "", "aa"] {
                let found: Vec<_> = map.values(name).collect();
                let expected: Vec<_> = pairs
                    .iter()
                    .filter(|(other, _)| *other == name)
                    .map(|(_, value)| value.as_bytes())
                    .collect();
                assert_eq!(found, expected, "{name:?}");
            }
        }
        assert!(map.sorted.get().is_some());
    }
}
