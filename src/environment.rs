//! What a decision takes from outside the message: the time, random numbers, verified claims, the
//! client's address, and state that the workers of a proxy share.
//!
//! A host implements [`Environment`], and [`SharedStore`] for outlier detection. The decision knows
//! nothing of the host.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The environment of a request. A decision asks only for what it needs.
pub trait Environment {
    /// Unix seconds.
    fn now(&self) -> u64;
    /// A number drawn uniformly from all 64-bit numbers.
    fn random(&self) -> u64;
    /// A claim of a JWT that the proxy verified. None if the token lacks the claim or was not
    /// verified.
    fn claim(&self, name: &str) -> Option<Claim>;
    /// The client's address, as far as Envoy trusts it.
    fn client_address(&self) -> Option<IpAddr>;
}

/// The value of a claim, decoded by the host. A claim of any other JSON type counts as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A string that is not empty.
    Text(Vec<u8>),
    /// The strings of a list.
    List(Vec<Vec<u8>>),
}

impl Claim {
    /// The string, or each string of the list.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let texts = match self {
            Claim::Text(text) => std::slice::from_ref(text),
            Claim::List(texts) => texts,
        };
        texts.iter().map(Vec::as_slice)
    }

    /// The string. None for a list.
    #[must_use]
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Claim::Text(text) => Some(text),
            Claim::List(_) => None,
        }
    }
}

/// A key-value store that the workers of a proxy share. Each value has a version number for
/// compare-and-set.
pub trait SharedStore {
    /// The value of a key and its version number.
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)>;
    /// Writes a value if the key's version number is still `expected`. With None the write is
    /// unconditional.
    ///
    /// # Errors
    /// [`Contended`] if another worker changed the value first.
    fn compare_and_set(&self, key: &str, value: &[u8], expected: Option<u32>) -> Result<(), Contended>;
}

/// Another worker changed the value first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contended;

/// A store that only this thread uses, for tools and tests.
#[derive(Debug, Default)]
pub struct LocalStore(RefCell<BTreeMap<String, (Vec<u8>, u32)>>);

impl SharedStore for LocalStore {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.0.borrow().get(key).cloned()
    }

    fn compare_and_set(&self, key: &str, value: &[u8], expected: Option<u32>) -> Result<(), Contended> {
        let mut values = self.0.borrow_mut();
        let current = values.get(key).map(|(_, version)| *version);
        if expected.is_some() && expected != current {
            return Err(Contended);
        }
        let next = current.map_or(1, |current| current.wrapping_add(1));
        values.insert(key.to_owned(), (value.to_vec(), next));
        Ok(())
    }
}

/// An environment for tests: the time stands still, the random number is 0, no claim and no address
/// is known.
#[derive(Debug, Default)]
pub struct FixedEnvironment {
    now: u64,
    store: LocalStore,
}

impl FixedEnvironment {
    /// Such an environment at a time in Unix seconds.
    #[must_use]
    pub fn at(now: u64) -> Self {
        FixedEnvironment {
            now,
            store: LocalStore::default(),
        }
    }
}

impl Environment for FixedEnvironment {
    fn now(&self) -> u64 {
        self.now
    }
    fn random(&self) -> u64 {
        0
    }
    fn claim(&self, _: &str) -> Option<Claim> {
        None
    }
    fn client_address(&self) -> Option<IpAddr> {
        None
    }
}

impl SharedStore for FixedEnvironment {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.store.get(key)
    }
    fn compare_and_set(&self, key: &str, value: &[u8], expected: Option<u32>) -> Result<(), Contended> {
        self.store.compare_and_set(key, value, expected)
    }
}
