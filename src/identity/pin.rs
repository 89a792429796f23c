//! The pin: what a client carries to keep its place, and when it holds.
//!
//! Its value is `VERSION~ISSUED~EPOCH~SLOT`, and where there are signing keys `~KEYID~MAC` follows. This module reads and writes it and judges it against an app's versions;
//! where it travels and which version follows from it, [`policy`](crate::decision) says.

use std::fmt;
use std::rc::Rc;

use crate::claim;
use crate::environment::Ambient;
use crate::http::cookie::CookieTemplate;
use crate::http::header::{HeaderName, Headers};
use crate::http::request::Request;
use crate::identity::seal::{Keys, Seal, Sealed, Unproven};
use crate::identity::verified::{Known, Recent};
use crate::rollout::slots::Slot;
use crate::rollout::version::{State, VersionRef, is_version_name};

/// How far a pin's time may lie ahead, in seconds: the proxies of a fleet don't share one clock.
pub const CLOCK_SKEW: u64 = 60;

/// How an app holds its clients.
#[derive(Debug)]
pub struct Pinning {
    /// What stays: the slot or the version.
    pub follow: Follow,
    /// How long a pin holds, in seconds.
    pub ttl: u32,
    /// A pin of another epoch does not hold.
    pub epoch: u32,
    /// When a pin is issued again.
    pub renewal: Renewal,
    /// The cookie it travels in.
    pub cookie: Option<CookieTemplate>,
    /// The header it may travel in.
    pub header: Option<HeaderName>,
    /// The query parameter it may travel in.
    pub query: Option<String>,
    /// What a slot is hashed from, instead of a pin; the first that is there counts.
    pub keys: Vec<Key>,
    /// What seals pins; with it, one that is not sealed does not hold.
    pub signing: Option<Rc<Signing>>,
}

/// What seals the pins of a configuration, and those that held last.
#[derive(Debug)]
pub struct Signing {
    /// They seal and verify.
    pub keys: Keys,
    recent: Recent,
}

impl From<Keys> for Signing {
    fn from(keys: Keys) -> Self {
        Signing {
            keys,
            recent: Recent::default(),
        }
    }
}

impl Pinning {
    /// Judges a pin as it is carried, against an app and its versions. When pins end is asked only for one whose time to
    /// live is over.
    ///
    /// # Errors
    /// Why it does not hold.
    pub fn check(
        &self,
        value: &[u8],
        app: &str,
        versions: &[VersionRef],
        now: u64,
        ends: impl FnOnce() -> Ends,
    ) -> Result<Held, Rejection> {
        let signing = self.signing.as_deref();
        let known = signing.and_then(|signing| signing.recent.find(app, value));
        let age = |issued| self.age(issued, now, ends);
        match known {
            Some(known) => age(known.issued).map(|age| known.held(age)),
            None => self.check_anew(value, app, versions, age),
        }
    }

    /// The same, of a pin that is not known.
    #[inline(never)]
    fn check_anew(
        &self,
        value: &[u8],
        app: &str,
        versions: &[VersionRef],
        age: impl FnOnce(u64) -> Result<u64, Rejection>,
    ) -> Result<Held, Rejection> {
        let signing = self.signing.as_deref();
        let (pin, seal) = Pin::parse(value).ok_or(Rejection::Malformed)?;
        match (signing, seal) {
            (None, None) => {}
            // Where nothing is signed, this filter did not write a seal.
            (None, Some(_)) => return Err(Rejection::Malformed),
            (Some(_), None) => return Err(Rejection::Unsigned),
            (Some(signing), Some(seal)) => signing.keys.verify(app, &pin, &seal)?,
        }
        if pin.epoch != self.epoch {
            return Err(Rejection::Epoch);
        }
        let age = age(pin.issued)?;
        let mut versions = versions.iter();
        let version = versions
            .find(|version| version.name == pin.version)
            .ok_or(Rejection::Unknown)?;
        if version.state == State::Retired {
            return Err(Rejection::Retired);
        }
        let known = Known {
            issued: pin.issued,
            slot: pin.slot,
            version: version.clone(),
        };
        if let Some(signing) = signing {
            signing.recent.keep(app, value, known.clone());
        }
        Ok(known.held(age))
    }

    /// What seals its pins, where anything does.
    #[must_use]
    pub fn keys(&self) -> Option<&Keys> {
        self.signing.as_ref().map(|signing| &signing.keys)
    }

    fn age(&self, issued: u64, now: u64, ends: impl FnOnce() -> Ends) -> Result<u64, Rejection> {
        if issued > now.saturating_add(CLOCK_SKEW) {
            return Err(Rejection::Future);
        }
        let age = now.saturating_sub(issued);
        if age >= u64::from(self.ttl) && ends() == Ends::AtTtl {
            return Err(Rejection::Expired);
        }
        Ok(age)
    }
}

/// What a pin keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// The slot: the version is where the slot lies now.
    Weights,
    /// The version, until the pin ends.
    Version,
}

/// When a pin is issued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Past half its time to live.
    HalfLife,
    /// Never.
    Never,
}

/// Where a client's key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// In a header; repeated lines are joined.
    Header(HeaderName),
    /// In a cookie.
    Cookie(String),
    /// In a claim of a verified token, which must be a string.
    Claim(String),
    /// The client's address, as far as Envoy trusts it.
    SourceIp,
}

impl Key {
    /// The slot of the client's key, if it is there and not empty.
    #[must_use]
    pub fn slot<H: Headers + ?Sized, A: Ambient>(
        &self,
        app: &str,
        epoch: u32,
        request: &Request<'_, H, A>,
    ) -> Option<Slot> {
        let slot = |key: &[u8]| (!key.is_empty()).then(|| Slot::of_key(app, epoch, key));
        match self {
            Key::Header(name) => slot(&request.headers.joined(name.as_str())?),
            Key::Cookie(name) => request.cookies(name).find_map(|value| slot(value)),
            Key::Claim(name) => slot(claim::text(&request.ambient.claim(name)?)?),
            Key::SourceIp => slot(request.ambient.source()?.to_canonical().to_string().as_bytes()),
        }
    }
}

/// A pin as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin<'a> {
    /// The version's name.
    pub version: &'a str,
    /// When it was made, in Unix seconds.
    pub issued: u64,
    /// The app's epoch then.
    pub epoch: u32,
    /// The client's place.
    pub slot: Slot,
}

impl<'a> Pin<'a> {
    /// Reads a pin and its seal; anything that this filter would not have written is none.
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

    /// The pin's value, sealed where there are keys.
    #[must_use]
    pub fn written(&self, app: &str, keys: Option<&Keys>) -> String {
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

/// Digits without sign or leading zeros.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with(b"0")) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A pin that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The version it names.
    pub version: VersionRef,
    /// The client's place.
    pub slot: Slot,
    /// How old it is, in seconds.
    pub age: u64,
}

impl Held {
    /// Whether its time to live is over.
    #[must_use]
    pub fn is_over(&self, pinning: &Pinning) -> bool {
        self.age >= u64::from(pinning.ttl)
    }
}

/// When a pin ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// With its time to live.
    AtTtl,
    /// When its version does.
    WithVersion,
}

/// Why a pin does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// There are too many cookies, and none was read.
    Oversized,
    /// This filter did not write it.
    Malformed,
    /// It has no seal, where pins are sealed.
    Unsigned,
    /// Its seal names a key that is not here.
    UnknownKey,
    /// Its seal proves nothing: the pin was changed, or made for another app.
    Forged,
    /// Its epoch is not the app's.
    Epoch,
    /// Its time to live is over.
    Expired,
    /// It was made later than now.
    Future,
    /// It names no version of the app.
    Unknown,
    /// It names a retired version.
    Retired,
}

impl From<Unproven> for Rejection {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::UnknownKey => Rejection::UnknownKey,
            Unproven::Forged => Rejection::Forged,
        }
    }
}

impl Rejection {
    /// The cause's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Rejection::Oversized => "oversized",
            Rejection::Malformed => "malformed",
            Rejection::Unsigned => "unsigned",
            Rejection::UnknownKey => "key",
            Rejection::Forged => "forged",
            Rejection::Epoch => "epoch",
            Rejection::Expired => "expired",
            Rejection::Future => "future",
            Rejection::Unknown => "unknown",
            Rejection::Retired => "retired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::slots::Share;
    use crate::rollout::version::Version;
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

    #[test]
    fn a_pin_holds_or_says_why_not() {
        let version = |index, name: &str, state| {
            Rc::new(Version {
                name: name.to_owned(),
                label: name.to_owned(),
                state,
                share: Share::NONE,
                ramp: None,
                index,
            })
        };
        let versions = [
            version(0, "v1", State::Active),
            version(1, "v2", State::Draining),
            version(2, "v3", State::Retired),
        ];
        let pinning = Pinning {
            follow: Follow::Weights,
            ttl: 100,
            epoch: 7,
            renewal: Renewal::Never,
            cookie: None,
            header: None,
            query: None,
            keys: Vec::new(),
            signing: None,
        };
        for (pin, expected) in [
            ("v1~1000~7~5", Ok(("v1", 0))),
            ("v2~1000~7~5", Ok(("v2", 0))),
            ("v1~901~7~5", Ok(("v1", 99))),
            ("v1~900~7~5", Err(Rejection::Expired)),
            ("v1~1060~7~5", Ok(("v1", 0))),
            ("v1~1061~7~5", Err(Rejection::Future)),
            ("v1~18446744073709551615~7~5", Err(Rejection::Future)),
            ("v1~1000~6~5", Err(Rejection::Epoch)),
            ("v4~1000~7~5", Err(Rejection::Unknown)),
            ("v3~1000~7~5", Err(Rejection::Retired)),
        ] {
            let held = pinning.check(pin.as_bytes(), "shop", &versions, 1000, || Ends::AtTtl);
            let held = held.as_ref().map(|held| (held.version.name.as_str(), held.age));
            assert_eq!(held.map_err(|cause| *cause), expected, "{pin}");
        }
    }
}
