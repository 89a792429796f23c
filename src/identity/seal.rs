//! Seals: what proves that a pin or a token was made by a holder of a key.
//!
//! A seal is `KEYID~MAC`: the key's id, and the first 128 bits of HMAC-SHA-256 (RFC 2104) over what is sealed, in
//! base64url without padding (RFC 4648 section 5). This module knows keys and bytes, and not what is sealed.

use std::fmt;

use ctutils::CtEq;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

/// The shortest key, in bytes: what SHA-256 gives out (RFC 2104 section 3).
pub const KEY_MIN_LENGTH: usize = 32;

type Mac = [u8; 16];

/// The letters of base64url, each at its number.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

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
    fn mac(&self, app: &str, what: &impl Sealed) -> Mac {
        // App, version and key id have at most 63 bytes each; most are short.
        let mut message = String::with_capacity(96);
        what.write(app, &self.id, &mut message);
        let mut state = self.state.clone();
        state.update(message.as_bytes());
        let full = state.finalize().into_bytes();
        // It has twice as many bytes, so that none is ever missing.
        full.first_chunk().copied().unwrap_or_default()
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

/// A seal, which is written as `KEYID~MAC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal<'a> {
    key_id: &'a str,
    mac: Mac,
}

impl<'a> Seal<'a> {
    /// Reads the two parts.
    #[must_use]
    pub fn parse(key_id: &'a str, mac: &str) -> Option<Self> {
        let mac = read(mac.as_bytes().try_into().ok()?)?;
        crate::rollout::version::is_version_name(key_id).then_some(Seal { key_id, mac })
    }

    /// Adds it to a text, as it is written.
    pub fn write(&self, out: &mut String) {
        let letters = written(&self.mac);
        let mac = std::str::from_utf8(&letters).unwrap_or_default();
        out.extend([self.key_id, "~", mac]);
    }

    /// The id of the key that it says made it.
    #[must_use]
    pub fn key_id(&self) -> &'a str {
        self.key_id
    }
}

/// A MAC's letters: six bits each, and four bits of nothing behind them all.
///
/// A seal that is written is on its way to a client, and one that is read came from there: neither is a secret that the
/// time it takes could tell of.
fn written(mac: &Mac) -> [u8; 22] {
    let (threes, last) = mac.as_chunks();
    let ends = [last.first().copied().unwrap_or_default(), 0, 0];
    let mut letters = [0; 24];
    for (four, [a, b, c]) in letters
        .as_chunks_mut()
        .0
        .iter_mut()
        .zip(threes.iter().chain([&ends]))
    {
        let bits = u32::from_be_bytes([0, *a, *b, *c]);
        *four = [18, 12, 6, 0].map(|behind| {
            let six = (bits >> behind) % 64;
            LETTERS.get(six as usize).copied().unwrap_or_default()
        });
    }
    *letters.first_chunk().unwrap_or(&[0; 22])
}

/// The MAC of these letters, if it would be written so.
fn read(letters: &[u8; 22]) -> Option<Mac> {
    let [letters @ .., last] = letters;
    let bits = letters
        .iter()
        .try_fold(0, |bits, letter| Some((bits << 6) | u128::from(number(*letter)?)))?;
    let last = number(*last)?;
    (last % 16 == 0).then(|| ((bits << 2) | u128::from(last / 16)).to_be_bytes())
}

/// A letter's place among all.
fn number(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
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
            (counted, b"AAECAwQFBgcICQoLDA0ODw"),
            (counted.map(|i| (17 * i) ^ 15), b"Dx4tPEtaaXiHlqW0w9Lh8A"),
            (counted.map(|i| 255 - i), b"__79_Pv6-fj39vX08_Lx8A"),
            ([0xff; 16], b"_____________________w"),
        ] {
            assert_eq!(&written(&mac), letters);
            assert_eq!(read(letters), Some(mac));
        }
    }

    #[test]
    fn each_letter_is_read_as_it_is_written() {
        let numbers: Vec<_> = (0..=u8::MAX)
            .filter_map(|letter| Some((number(letter)?, letter)))
            .collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        let expected: Vec<_> = (0..).zip(LETTERS.iter().copied()).collect();
        assert_eq!(sorted, expected);
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
