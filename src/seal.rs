//! Seals: what proves that a pin or a token was made by a holder of a key.
//!
//! A seal is `KEYID~MAC`: the key's id, and the first 128 bits of HMAC-SHA-256 (RFC 2104) over what is sealed, in
//! base64url without padding (RFC 4648 section 5). This module knows keys and bytes, and not what is sealed.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use ctutils::CtEq;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The shortest key, in bytes: what SHA-256 gives out (RFC 2104 section 3).
pub const KEY_MIN_LENGTH: usize = 32;

/// A MAC's length in bytes.
const MAC_LENGTH: usize = 16;

/// A MAC as it is written.
type Written = [u8; 22];

/// Something that can be sealed: what its MAC is over.
pub trait Sealed {
    /// Writes it, with the app that it is for and the key that seals it. No two things may write the same.
    fn write(&self, app: &str, key_id: &str, out: &mut String);
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

    /// The MAC over something that is sealed for an app.
    fn mac(&self, app: &str, what: &impl Sealed) -> Written {
        // App, version and key id have at most 63 bytes each; most are short.
        let mut message = String::with_capacity(96);
        what.write(app, &self.id, &mut message);
        let mut state = self.state.clone();
        state.update(message.as_bytes());
        let full = state.finalize().into_bytes();
        written(full.first_chunk().unwrap_or(&[0; MAC_LENGTH]))
    }
}

/// A MAC in base64url, without padding; in the same time for each.
fn written(mac: &[u8; MAC_LENGTH]) -> Written {
    let mut written = Written::default();
    // It has the right length, so that this cannot fail.
    let _ = Base64UrlUnpadded::encode(mac, &mut written);
    written
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
        Seal {
            key_id: &self.first.id,
            mac: self.first.mac(app, what),
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
        if key.mac(app, what).ct_eq(&seal.mac).to_bool() {
            Ok(())
        } else {
            Err(Unproven::Forged)
        }
    }
}

/// A seal as it is written: `KEYID~MAC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal<'a> {
    key_id: &'a str,
    mac: Written,
}

/// Whether a MAC could be written so: in the right letters, with nothing in the last one's bits that are left over.
fn is_written(mac: &Written) -> bool {
    mac.iter()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && matches!(mac, [.., b'A' | b'Q' | b'g' | b'w'])
}

impl<'a> Seal<'a> {
    /// Reads the two parts.
    #[must_use]
    pub fn parse(key_id: &'a str, mac: &str) -> Option<Self> {
        let mac = mac.as_bytes().try_into().ok()?;
        (is_written(&mac) && crate::version::is_version_name(key_id)).then_some(Seal { key_id, mac })
    }

    /// The MAC, as it is written.
    #[must_use]
    pub fn mac(&self) -> &str {
        std::str::from_utf8(&self.mac).unwrap_or_default()
    }

    /// The id of the key that it says made it.
    #[must_use]
    pub fn key_id(&self) -> &'a str {
        self.key_id
    }
}

impl fmt::Display for Seal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        [self.key_id, "~", self.mac()]
            .iter()
            .try_for_each(|part| f.write_str(part))
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
        assert_eq!(&written(&counted), b"AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(&written(&[0xff; MAC_LENGTH]), b"_____________________w");
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
