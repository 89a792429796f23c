//! The world around the request that is explained: as told, and every version healthy.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use pinion::environment::Ambient;
use pinion::rollout::outlier::{Contended, Local, Memory};
use pinion::rollout::slots::Slot;
use serde_json::Value;

/// What was told of it.
#[derive(Default)]
pub(super) struct World {
    pub(super) now: u64,
    pub(super) slot: Option<Slot>,
    pub(super) claims: BTreeMap<String, Vec<u8>>,
    pub(super) source: Option<IpAddr>,
    /// Whether a slot was drawn.
    pub(super) drew: Cell<bool>,
    pub(super) health: Local,
}

impl Ambient for World {
    fn now(&self) -> u64 {
        self.now
    }
    fn draw(&self) -> Slot {
        self.drew.set(true);
        self.slot
            .unwrap_or_else(|| Slot::from_random(getrandom::u64().unwrap_or_default()))
    }
    fn claim(&self, name: &str) -> Option<Vec<u8>> {
        self.claims.get(name).cloned()
    }
    fn source(&self) -> Option<IpAddr> {
        self.source
    }
}

impl Memory for World {
    fn recall(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.health.recall(key)
    }
    fn remember(&self, key: &str, value: &[u8], mark: Option<u32>) -> Result<(), Contended> {
        self.health.remember(key, value, mark)
    }
}

/// A claim as it is given: `plan=gold`, or a list: `groups=["a", "b"]`; as Envoy hands it to a filter.
pub(super) fn claim(text: &str) -> Result<(String, Vec<u8>), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    let bytes = match serde_json::from_str(value) {
        Ok(Value::Array(items)) => list(&items).ok_or("a list must be one of strings")?,
        _ => value.as_bytes().to_vec(),
    };
    Ok((name.to_owned(), bytes))
}

/// A list is a map of its items to nothing, in the serialization that `pinion::claim` reads.
fn list(items: &[Value]) -> Option<Vec<u8>> {
    let items: Vec<_> = items.iter().map(Value::as_str).collect::<Option<_>>()?;
    let word = |number: usize| u32::try_from(number).ok().map(u32::to_le_bytes);
    let mut out = word(items.len())?.to_vec();
    for item in &items {
        out.extend(word(item.len())?);
        out.extend([0; 4]);
    }
    for item in items {
        out.extend(item.as_bytes());
        out.extend([0, 0]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_what_the_core_reads() {
        for (text, name, texts) in [
            ("plan=gold", "plan", &["gold"][..]),
            ("a=b=c", "a", &["b=c"]),
            (r#"groups=["a", "b c"]"#, "groups", &["a", "b c"]),
            ("groups=[]", "groups", &[]),
            ("groups=[a", "groups", &["[a"]),
            ("level=5", "level", &["5"]),
        ] {
            let (found, bytes) = claim(text).unwrap();
            let expected: Vec<_> = texts.iter().map(|text| text.as_bytes()).collect();
            assert_eq!((found.as_str(), pinion::claim::texts(&bytes)), (name, expected));
        }
        assert_eq!(claim("plan"), Err("must be NAME=VALUE".to_owned()));
        assert_eq!(claim("a=[1]"), Err("a list must be one of strings".to_owned()));
    }
}
