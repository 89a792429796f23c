//! Seals: signatures of pins and tokens.
//!
//! A seal is `KEYID~MAC`: the key's id, and the first 128 bits of HMAC-SHA-256 (RFC 2104) over the
//! sealed text, in base64url without padding (RFC 4648 section 5). This module knows keys and
//! bytes, but neither pins nor tokens.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use crate::rollout::version::is_version_name;

/// The length of the shortest key in bytes: the output length of SHA-256 (RFC 2104 section 3).
pub const KEY_MIN_LENGTH: usize = 32;

type Mac = [u8; 16];

/// A value that can be sealed.
pub trait Sealed {
    /// Writes the text that the MAC covers, for an app and a key. No two values may write the same
    /// text.
    fn write(&self, app: &str, key_id: &str, out: &mut String);
}

/// Signing keys. The first key signs, and all keys verify.
#[derive(Debug)]
pub struct Keys {
    first: Key,
    others: Vec<Key>,
}

/// A signing key: its id, and the HMAC state after the key's bytes.
pub struct Key {
    id: String,
    state: Hmac<Sha256>,
}

/// Why a seal does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealError {
    /// The seal names a key that is not configured.
    UnknownKey,
    /// The MAC differs.
    Forged,
}

impl Key {
    /// A key of at least [`KEY_MIN_LENGTH`] bytes.
    #[must_use]
    pub fn new(id: &str, bytes: &[u8]) -> Option<Self> {
        if bytes.len() < KEY_MIN_LENGTH {
            return None;
        }
        Some(Key {
            id: id.to_owned(),
            state: Hmac::new_from_slice(bytes).ok()?,
        })
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The HMAC state after a value that is sealed for an app.
    fn state(&self, app: &str, value: &impl Sealed) -> Hmac<Sha256> {
        // App, version and key id have at most 63 bytes each; most are short.
        let mut message = String::with_capacity(96);
        value.write(app, &self.id, &mut message);
        let mut state = self.state.clone();
        state.update(message.as_bytes());
        state
    }
}

/// Never shows the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// A set of keys. None without a key.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Option<Self> {
        let mut keys = keys.into_iter();
        Some(Keys {
            first: keys.next()?,
            others: keys.collect(),
        })
    }

    /// The seal of a value for an app, by the first key.
    #[must_use]
    pub fn seal(&self, app: &str, value: &impl Sealed) -> Seal<'_> {
        let full = self.first.state(app, value).finalize().into_bytes();
        Seal {
            key_id: &self.first.id,
            // The output of SHA-256 is twice as long as this MAC.
            mac: full.first_chunk().copied().unwrap_or_default(),
        }
    }

    /// Verifies in constant time that a holder of a key sealed this value for this app.
    ///
    /// # Errors
    /// Why the seal does not verify.
    pub fn verify(&self, app: &str, value: &impl Sealed, seal: &Seal<'_>) -> Result<(), SealError> {
        let mut all = std::iter::once(&self.first).chain(&self.others);
        let key = all
            .find(|key| key.id == seal.key_id)
            .ok_or(SealError::UnknownKey)?;
        let state = key.state(app, value);
        state
            .verify_truncated_left(&seal.mac)
            .map_err(|_| SealError::Forged)
    }
}

/// A seal, written as `KEYID~MAC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal<'a> {
    key_id: &'a str,
    mac: Mac,
}

impl<'a> Seal<'a> {
    /// The seal of its two parts. None if either part is malformed.
    #[must_use]
    pub fn parse(key_id: &'a str, mac: &str) -> Option<Self> {
        let mut bytes = Mac::default();
        let length = URL_SAFE_NO_PAD.decode_slice(mac, &mut bytes).ok()?;
        let well_formed = length == bytes.len() && is_version_name(key_id);
        well_formed.then_some(Seal { key_id, mac: bytes })
    }

    /// Appends the seal to a text.
    pub fn write(&self, out: &mut String) {
        out.extend([self.key_id, "~"]);
        URL_SAFE_NO_PAD.encode_string(self.mac, out);
    }

    /// The id of the key that the seal names.
    #[must_use]
    pub fn key_id(&self) -> &'a str {
        self.key_id
    }
}

impl fmt::Display for Seal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    struct Text(&'static str);

    impl Sealed for Text {
        fn write(&self, app: &str, key_id: &str, out: &mut String) {
            out.extend([app, "|", self.0, "|", key_id]);
        }
    }

    fn key(id: &str, byte: u8) -> Key {
        Key::new(id, &[byte; KEY_MIN_LENGTH]).unwrap()
    }

    #[test]
    fn a_mac_is_written_in_base64url() {
        let counted = std::array::from_fn(|i| i as u8);
        for (mac, letters) in [
            (counted, "AAECAwQFBgcICQoLDA0ODw"),
            (counted.map(|i| (17 * i) ^ 15), "Dx4tPEtaaXiHlqW0w9Lh8A"),
            (counted.map(|i| 255 - i), "__79_Pv6-fj39vX08_Lx8A"),
            ([0xff; 16], "_____________________w"),
        ] {
            let seal = Seal { key_id: "k", mac };
            assert_eq!(seal.to_string(), format!("k~{letters}"));
            assert_eq!(Seal::parse("k", letters), Some(seal));
        }
    }

    #[test]
    fn the_first_key_seals_and_all_verify() {
        let old = Keys::new(vec![key("k1", 1)]).unwrap();
        let both = Keys::new(vec![key("k1", 1), key("k2", 2)]).unwrap();
        let turned = Keys::new(vec![key("k2", 2), key("k1", 1)]).unwrap();
        let new = Keys::new(vec![key("k2", 2)]).unwrap();
        let (first, second) = (old.seal("a", &Text("x")), turned.seal("a", &Text("x")));
        assert_eq!((first.key_id(), second.key_id()), ("k1", "k2"));
        for (keys, seal, expected) in [
            (&old, &first, Ok(())),
            (&both, &first, Ok(())),
            (&turned, &first, Ok(())),
            (&new, &first, Err(SealError::UnknownKey)),
            (&old, &second, Err(SealError::UnknownKey)),
            (&both, &second, Ok(())),
            (&new, &second, Ok(())),
        ] {
            assert_eq!(keys.verify("a", &Text("x"), seal), expected);
        }
        assert_eq!(old.verify("b", &Text("x"), &first), Err(SealError::Forged));
        assert_eq!(old.verify("a", &Text("y"), &first), Err(SealError::Forged));
        let imposter = Keys::new(vec![key("k1", 3)]).unwrap();
        assert_eq!(imposter.verify("a", &Text("x"), &first), Err(SealError::Forged));
    }

    #[test]
    fn a_seal_is_written_as_it_is_read() {
        let keys = Keys::new(vec![key("k1", 1)]).unwrap();
        let written = keys.seal("a", &Text("x")).to_string();
        let (id, mac) = written.split_once('~').unwrap();
        assert_eq!((id, mac.len()), ("k1", 22));
        assert_eq!(Seal::parse(id, mac), Some(keys.seal("a", &Text("x"))));
        for (id, mac) in [
            ("k1", ""),
            ("k1", "AAAA"),
            ("k1", "AAAAAAAAAAAAAAAAAAAAAA=="),
            ("k1", "AAAAAAAAAAAAAAAAAAAAAB"),
            ("k1", "AAAAAAAAAAAAAAAAAAAAAAAAAA"),
            ("k1", "++++++++++++++++++++++"),
            ("", "AAAAAAAAAAAAAAAAAAAAAA"),
            ("k 1", "AAAAAAAAAAAAAAAAAAAAAA"),
        ] {
            assert_eq!(Seal::parse(id, mac), None, "{id:?} {mac:?}");
        }
    }

    #[test]
    fn a_key_is_long_and_never_shown() {
        assert!(Key::new("k", &[7; KEY_MIN_LENGTH - 1]).is_none());
        let shown = format!("{:?}", key("k1", b'S'));
        assert_eq!(shown, "Key { id: \"k1\", .. }");
    }
}
