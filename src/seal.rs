//! Seals: what proves that a pin or a token was made by a holder of a key.
//!
//! A seal is `KEYID~MAC`: the key's id, and the first 128 bits of HMAC-SHA-256 (RFC 2104) over what is sealed, in
//! base64url without padding (RFC 4648 section 5). This module knows keys and bytes, and not what is sealed.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The shortest key, in bytes: what SHA-256 gives out (RFC 2104 section 3).
pub const KEY_MIN_LENGTH: usize = 32;

/// A MAC's length in bytes.
const MAC_LENGTH: usize = 16;

/// Something that can be sealed: what its MAC is over.
pub trait Sealed {
    /// Writes it, with the app that it is for and the key that seals it. No two things may write the same.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(&self, app: &str, key_id: &str, out: &mut impl fmt::Write) -> fmt::Result;
}

/// Signing keys. The first signs, all verify.
#[derive(Debug)]
pub struct Keys {
    first: Key,
    others: Vec<Key>,
}

/// A key: its id, and HMAC's state after it has taken the key's bytes.
pub struct Key {
    id: String,
    state: Hmac<Sha256>,
}

/// Why a seal proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// It names a key that is not here.
    UnknownKey,
    /// Its MAC is another.
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

    /// What it is called.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn over(&self, app: &str, what: &impl Sealed) -> Hmac<Sha256> {
        let mut input = Input(self.state.clone());
        // Taking bytes in cannot fail.
        let _ = what.write(app, &self.id, &mut input);
        input.0
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

struct Input(Hmac<Sha256>);

impl fmt::Write for Input {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

impl Keys {
    /// At least one key.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Option<Self> {
        let mut keys = keys.into_iter();
        Some(Keys {
            first: keys.next()?,
            others: keys.collect(),
        })
    }

    /// Seals something for an app.
    #[must_use]
    pub fn seal(&self, app: &str, what: &impl Sealed) -> Seal<'_> {
        let mut mac = [0; MAC_LENGTH];
        let full = self.first.over(app, what).finalize().into_bytes();
        mac.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        Seal {
            key_id: &self.first.id,
            mac,
        }
    }

    /// Whether the seal proves that a key's holder made this for this app. Takes the same time for every MAC.
    ///
    /// # Errors
    /// Why it does not.
    pub fn verify(&self, app: &str, what: &impl Sealed, seal: &Seal<'_>) -> Result<(), Unproven> {
        let mut all = std::iter::once(&self.first).chain(&self.others);
        let key = all
            .find(|key| key.id == seal.key_id)
            .ok_or(Unproven::UnknownKey)?;
        let verified = key.over(app, what).verify_truncated_left(&seal.mac);
        verified.map_err(|_| Unproven::Forged)
    }
}

/// A seal as it is written: `KEYID~MAC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal<'a> {
    key_id: &'a str,
    mac: [u8; MAC_LENGTH],
}

impl<'a> Seal<'a> {
    /// Reads the two parts.
    #[must_use]
    pub fn parse(key_id: &'a str, mac: &str) -> Option<Self> {
        let mut bytes = [0; MAC_LENGTH];
        let read = Base64UrlUnpadded::decode(mac, &mut bytes).ok()?;
        (read.len() == MAC_LENGTH && crate::version::is_version_name(key_id))
            .then_some(Seal { key_id, mac: bytes })
    }

    /// The id of the key that it says made it.
    #[must_use]
    pub fn key_id(&self) -> &'a str {
        self.key_id
    }
}

impl fmt::Display for Seal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}~{}",
            self.key_id,
            Base64UrlUnpadded::encode_string(&self.mac)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    struct Text(&'static str);

    impl Sealed for Text {
        fn write(&self, app: &str, key_id: &str, out: &mut impl fmt::Write) -> fmt::Result {
            write!(out, "{app}|{}|{key_id}", self.0)
        }
    }

    fn key(id: &str, byte: u8) -> Key {
        Key::new(id, &[byte; KEY_MIN_LENGTH]).unwrap()
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
            (&new, &first, Err(Unproven::UnknownKey)),
            (&old, &second, Err(Unproven::UnknownKey)),
            (&both, &second, Ok(())),
            (&new, &second, Ok(())),
        ] {
            assert_eq!(keys.verify("a", &Text("x"), seal), expected);
        }
        assert_eq!(old.verify("b", &Text("x"), &first), Err(Unproven::Forged));
        assert_eq!(old.verify("a", &Text("y"), &first), Err(Unproven::Forged));
        let imposter = Keys::new(vec![key("k1", 3)]).unwrap();
        assert_eq!(imposter.verify("a", &Text("x"), &first), Err(Unproven::Forged));
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
