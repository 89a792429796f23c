//! The environment of the request that is explained. All versions count as healthy.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use pinion::environment::{Claim, Contended, Environment, LocalStore, SharedStore};
use pinion::rollout::slots::Slot;
use serde_json::Value;

/// The environment as the arguments give it.
#[derive(Default)]
pub(super) struct World {
    pub(super) now: u64,
    pub(super) slot: Option<Slot>,
    pub(super) claims: BTreeMap<String, Claim>,
    pub(super) source: Option<IpAddr>,
    /// Whether the decision drew a slot.
    pub(super) drew: Cell<bool>,
    pub(super) health: LocalStore,
}

impl Environment for World {
    fn now(&self) -> u64 {
        self.now
    }
    fn random(&self) -> u64 {
        self.drew.set(true);
        let slot = self.slot.map(|slot| u64::from(slot.number()));
        slot.unwrap_or_else(|| getrandom::u64().unwrap_or_default())
    }
    fn claim(&self, name: &str) -> Option<Claim> {
        self.claims.get(name).cloned()
    }
    fn client_address(&self) -> Option<IpAddr> {
        self.source
    }
}

impl SharedStore for World {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.health.get(key)
    }
    fn compare_and_set(&self, key: &str, value: &[u8], expected: Option<u32>) -> Result<(), Contended> {
        self.health.compare_and_set(key, value, expected)
    }
}

/// The claim of `plan=gold` or of a list such as `groups=["a", "b"]`. For the filter an empty string is no claim.
pub(super) fn claim(text: &str) -> Result<(String, Option<Claim>), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    let claim = match serde_json::from_str(value) {
        Ok(Value::Array(items)) => {
            let text = |item: &Value| item.as_str().map(|text| text.as_bytes().to_vec());
            let texts: Option<_> = items.iter().map(text).collect();
            Some(Claim::List(texts.ok_or("a list must be one of strings")?))
        }
        _ => (!value.is_empty()).then(|| Claim::Text(value.as_bytes().to_vec())),
    };
    Ok((name.to_owned(), claim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_the_one_that_the_filter_reads() {
        for (text, name, texts) in [
            ("plan=gold", "plan", &["gold"][..]),
            ("a=b=c", "a", &["b=c"]),
            (r#"groups=["a", "b c"]"#, "groups", &["a", "b c"]),
            ("groups=[]", "groups", &[]),
            ("groups=[a", "groups", &["[a"]),
            ("level=5", "level", &["5"]),
        ] {
            let (found, claim) = claim(text).unwrap();
            let expected: Vec<_> = texts.iter().map(|text| text.as_bytes()).collect();
            let claim = claim.unwrap();
            assert_eq!((found.as_str(), claim.texts().collect()), (name, expected));
        }
        assert_eq!(claim("plan"), Err("must be NAME=VALUE".to_owned()));
        assert_eq!(claim("a=[1]"), Err("a list must be one of strings".to_owned()));
    }
}
