//! Override tokens: a version for a tester, signed and with an expiry time.
//!
//! A token's value is `VERSION~EXPIRES~override~KEYID~MAC`, EXPIRES in Unix seconds.

use super::pin::decimal;
use super::seal::{Seal, Sealed};
use crate::rollout::version::is_version_name;

/// The part of a token at the place of a pin's epoch, so that a pin is never taken for a token, or
/// a token for a pin.
const MARK: &str = "override";

/// A token without its seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// The version's name.
    pub version: &'a str,
    /// When the token expires, in Unix seconds.
    pub expires: u64,
}

impl<'a> Token<'a> {
    /// The token of a value and its seal. None for a value that this filter would not have written.
    #[must_use]
    pub fn parse(value: &'a str) -> Option<(Self, Seal<'a>)> {
        let mut parts = value.split('~');
        let token = Token {
            version: parts.next().filter(|name| is_version_name(name))?,
            expires: decimal(parts.next()?.as_bytes())?,
        };
        parts.next().filter(|mark| *mark == MARK)?;
        let seal = Seal::parse(parts.next()?, parts.next()?)?;
        parts.next().is_none().then_some((token, seal))
    }

    /// The token's value with a seal.
    #[must_use]
    pub fn encode(&self, seal: &Seal<'_>) -> String {
        format!("{}~{}~{MARK}~{seal}", self.version, self.expires)
    }
}

impl Sealed for Token<'_> {
    fn write(&self, app: &str, key_id: &str, out: &mut String) {
        let mut expires = itoa::Buffer::new();
        out.extend(["pinion1-override|", app, "|", self.version, "|"]);
        out.extend([expires.format(self.expires), "|", key_id]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn only_what_is_written_here_is_read() {
        let value = "v2~1790000000~override~k1~AAAAAAAAAAAAAAAAAAAAAA";
        let (token, seal) = Token::parse(value).unwrap();
        assert_eq!(
            (token.version, token.expires, seal.key_id()),
            ("v2", 1_790_000_000, "k1")
        );
        assert_eq!(token.encode(&seal), value);
        for bad in [
            "",
            "v2",
            "v2~1790000000~override",
            "v2~1790000000~override~k1",
            "v2~1790000000~override~k1~AAAA",
            "v2~1790000000~override~k1~AAAAAAAAAAAAAAAAAAAAAA~",
            "v2~1790000000~0~5~k1~AAAAAAAAAAAAAAAAAAAAAA",
            "v2~1790000000~0~k1~AAAAAAAAAAAAAAAAAAAAAA",
            "v2~~override~k1~AAAAAAAAAAAAAAAAAAAAAA",
            "v 2~1~override~k1~AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(Token::parse(bad), None, "{bad:?}");
        }
    }
}
