//! The value of a pin: `VERSION~ISSUED~EPOCH~SLOT`, followed by `~KEYID~MAC` if signing keys are
//! configured.
//!
//! This module encodes and parses the value. [`pinning`](crate::identity::pinning) decides whether
//! a pin is valid.

use std::fmt;

use super::seal::{Keys, Seal, SealError, Sealed};
use crate::rollout::slots::Slot;
use crate::rollout::version::is_version_name;

/// The parts of a pin's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin<'a> {
    /// The version's name.
    pub version: &'a str,
    /// When the pin was issued, in Unix seconds.
    pub issued: u64,
    /// The app's epoch when the pin was issued.
    pub epoch: u32,
    /// The client's slot.
    pub slot: Slot,
}

impl<'a> Pin<'a> {
    /// The parts of a value and its seal. None for a value that this filter would not have written.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<(Self, Option<Seal<'a>>)> {
        let mut parts = value.split(|b| *b == b'~');
        let text = |part: &'a [u8]| std::str::from_utf8(part).ok();
        let pin = Pin {
            version: text(parts.next()?).filter(|name| is_version_name(name))?,
            issued: decimal(parts.next()?)?,
            epoch: u32::try_from(decimal(parts.next()?)?).ok()?,
            slot: Slot::new(u32::try_from(decimal(parts.next()?)?).ok()?)?,
        };
        match (parts.next(), parts.next(), parts.next()) {
            (None, _, _) => Some((pin, None)),
            (Some(key_id), Some(mac), None) => Some((pin, Some(Seal::parse(text(key_id)?, text(mac)?)?))),
            _ => None,
        }
    }

    /// The pin's value, sealed if there are keys.
    #[must_use]
    pub fn encode(&self, app: &str, keys: Option<&Keys>) -> String {
        let mut text = self.unsealed();
        if let Some(keys) = keys {
            text.push('~');
            keys.seal(app, self).write(&mut text);
        }
        text
    }

    fn unsealed(&self) -> String {
        let mut text = String::with_capacity(96);
        self.write_parts("~", &mut text);
        text
    }

    fn write_parts(&self, separator: &str, out: &mut String) {
        let mut digits = itoa::Buffer::new();
        out.extend([self.version, separator, digits.format(self.issued), separator]);
        out.extend([digits.format(u64::from(self.epoch)), separator]);
        out.push_str(digits.format(u64::from(self.slot.number())));
    }
}

impl Sealed for Pin<'_> {
    fn write(&self, app: &str, key_id: &str, out: &mut String) {
        out.extend(["pinion1|", app, "|"]);
        self.write_parts("|", out);
        out.extend(["|", key_id]);
    }
}

impl fmt::Display for Pin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.unsealed())
    }
}

/// The number of decimal digits without a sign or leading zeros.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with(b"0")) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Why a pin is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Rejection {
    /// The cookies exceed the limits, so no cookie was read.
    Oversized,
    /// This filter never writes such a value.
    Malformed,
    /// The pin has no seal, but keys are configured.
    Unsigned,
    /// The seal names a key that is not configured.
    #[strum(serialize = "key")]
    UnknownKey,
    /// The seal does not verify: the pin was changed, or made for another app.
    Forged,
    /// The pin's epoch differs from the app's epoch.
    Epoch,
    /// The pin's TTL is over.
    Expired,
    /// The pin was issued later than now.
    Future,
    /// The pin names no version of the app.
    Unknown,
    /// The pin names a retired version.
    Retired,
}

impl From<SealError> for Rejection {
    fn from(unproven: SealError) -> Self {
        match unproven {
            SealError::UnknownKey => Rejection::UnknownKey,
            SealError::Forged => Rejection::Forged,
        }
    }
}

impl Rejection {
    /// The cause's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn only_what_is_written_here_is_read() {
        let (pin, seal) = Pin::parse(b"v1~1700000000~0~99999").unwrap();
        assert_eq!(seal, None);
        assert_eq!((pin.version, pin.issued, pin.epoch), ("v1", 1_700_000_000, 0));
        assert_eq!(pin.slot.number(), 99_999);
        assert_eq!(pin.to_string(), "v1~1700000000~0~99999");
        for bad in [
            "",
            "v1",
            "v1~1~0",
            "v1~1~0~1~",
            "v1~1~0~1~k~m",
            "v1~1~0~100000",
            "v1~1~0~-1",
            "v1~+1~0~1",
            "v1~01~0~1",
            "v1~~0~1",
            "v1~1~4294967296~1",
            "v1~18446744073709551616~0~1",
            "~1~0~1",
            "v 1~1~0~1",
            " v1~1~0~1",
            "v1~1~0~1 ",
            "v1~1~0~1\u{663}",
        ] {
            assert_eq!(Pin::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Pin::parse(b"v1\xff~1~0~1"), None);
    }
}
