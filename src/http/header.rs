//! Header fields (RFC 9110 section 5): their names, and a view of a message's headers.
//!
//! Values are bytes: RFC 9110 section 5.5 lets them be any octets but CR, LF and NUL, and so does
//! Envoy.

use std::borrow::Cow;
use std::fmt;

use smallvec::SmallVec;

/// The headers of one message.
pub trait Headers {
    /// Each line's name and value, in the order of arrival. Names are in lower case, as in HTTP/2.
    fn all(&self) -> impl Iterator<Item = (&[u8], &[u8])>;

    /// The values of a field, a line each, in the order of arrival.
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.all()
            .filter(move |(field, _)| *field == name.as_bytes())
            .map(|(_, value)| value)
    }

    /// The first line of a field.
    fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.lines(name).next()
    }

    /// The field's whole value: its lines joined with a comma (RFC 9110 section 5.3). None if the
    /// field is absent.
    fn joined<'a>(&'a self, name: &'a str) -> Option<Cow<'a, [u8]>> {
        join(self.lines(name))
    }
}

/// The lines of a field, joined with a comma. None if there is no line.
pub(crate) fn join<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> Option<Cow<'a, [u8]>> {
    let mut value = Cow::Borrowed(lines.next()?);
    for line in lines {
        let value = value.to_mut();
        value.push(b',');
        value.extend_from_slice(line);
    }
    Some(value)
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    fn all(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter()
            .map(|(name, value)| (name.as_ref().as_bytes(), value.as_ref()))
    }
}

/// A field name in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderName(Cow<'static, str>);

/// The request header that tells an app of a mirrored request: `true` on a mirrored request, absent
/// from any other.
pub const MIRRORED: HeaderName = HeaderName::from_static("x-mirrored");

/// The request header that a sender's mirror policy sets on the copy only.
pub const MIRROR_MARK: HeaderName = HeaderName::from_static("x-pinion-mirror");

impl HeaderName {
    /// A name that the source code fixes. The name must be a token in lower case.
    pub(crate) const fn from_static(name: &'static str) -> Self {
        HeaderName(Cow::Borrowed(name))
    }

    /// The name of a token (RFC 9110 section 5.1), folded to lower case. None if the text is not a
    /// token.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        is_token(name).then(|| HeaderName(Cow::Owned(name.to_ascii_lowercase())))
    }

    /// The name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the field frames the message, or has another meaning that a pin, a version or a
    /// label would break.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.as_str().starts_with("x-envoy-")
            || matches!(
                self.as_str(),
                "host"
                    | "age"
                    | "authorization"
                    | "cache-control"
                    | "connection"
                    | "content-encoding"
                    | "content-length"
                    | "content-type"
                    | "cookie"
                    | "date"
                    | "etag"
                    | "expires"
                    | "keep-alive"
                    | "location"
                    | "origin"
                    | "proxy-authorization"
                    | "sec-fetch-mode"
                    | "proxy-connection"
                    | "set-cookie"
                    | "te"
                    | "trailer"
                    | "transfer-encoding"
                    | "upgrade"
                    | "vary"
                    | "www-authenticate"
                    | "forwarded"
                    | "x-forwarded-client-cert"
                    | "x-forwarded-for"
                    | "x-forwarded-host"
                    | "x-forwarded-proto"
                    | "x-request-id"
            )
    }
}

/// A set of field names. Most lookups miss, and miss fast.
///
/// `_` counts as `-`, as it does for CGI (RFC 3875 section 4.1.18), WSGI and PHP.
#[derive(Debug, Default)]
pub struct HeaderNames {
    /// Folded, in order of length, then of bytes.
    names: Vec<Folded>,
    /// The [`fingerprint`] of each name.
    fingerprints: u64,
}

impl HeaderNames {
    /// Adds a name to the set.
    pub fn insert(&mut self, name: &HeaderName) {
        let name = folded(name.as_str().as_bytes());
        if let Err(index) = self.find(&name) {
            self.fingerprints |= fingerprint(&name);
            self.names.insert(index, name);
        }
    }

    /// Whether the set has a name.
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        // Folding changes neither the length nor, in most names, the last byte.
        let is_possible = self.fingerprints & fingerprint(name) != 0 || name.ends_with(b"_");
        is_possible && self.find(&folded(name)).is_ok()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        let order = |known: &Folded| {
            known
                .len()
                .cmp(&name.len())
                .then_with(|| known.as_slice().cmp(name))
        };
        self.names.binary_search_by(order)
    }
}

/// A name with `-` in place of `_`.
type Folded = SmallVec<[u8; 32]>;

fn folded(name: &[u8]) -> Folded {
    name.iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect()
}

/// Whether two names are one to an app that reads `_` as `-`.
pub(crate) fn is_same_field(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && folded(a) == folded(b)
}

/// One of 64 bits, chosen by a name's length and last byte: a small Bloom filter over names.
pub(crate) fn fingerprint(name: &[u8]) -> u64 {
    let last = name.last().copied().map_or(0, usize::from);
    1 << (name.len().wrapping_add(last) % 64)
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the text is a token (RFC 9110 section 5.6.2): a field name, a method, a cookie's name.
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The value without optional white space (RFC 9110 section 5.6.3) at its ends.
#[must_use]
pub fn trim_ows(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn repeated_lines_are_joined_with_a_comma() {
        let headers = [("a", "1"), ("b", "2"), ("a", "\u{e9}")];
        assert_eq!(headers.joined("a").as_deref(), Some("1,\u{e9}".as_bytes()));
        assert_eq!(headers.joined("b").as_deref(), Some(&b"2"[..]));
        assert_eq!(headers.joined("c"), None);
        assert_eq!(Headers::first(headers.as_slice(), "a"), Some(&b"1"[..]));
    }

    #[test]
    fn names_are_tokens_in_lower_case() {
        assert_eq!(HeaderName::new("X-App").unwrap().as_str(), "x-app");
        for bad in ["", ":path", "a b", "a:", "é", "a\n"] {
            assert_eq!(HeaderName::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_found_among_others() {
        let mut names = HeaderNames::default();
        assert!(names.is_empty() && !names.contains(b""));
        let long = "x".repeat(100);
        for name in ["x-b", "x-long", "x-a", "x-b", "x_c", "x-", &long] {
            names.insert(&HeaderName::new(name).unwrap());
        }
        for name in [
            "x-a", "x-b", "x_b", "x-long", "x_long", "x-c", "x_c", "x-", "x_", &long,
        ] {
            assert!(names.contains(name.as_bytes()), "{name}");
        }
        for name in ["", "x", "x-d", "X-a", "x-lonh", &long[1..], &format!("{long}x")] {
            assert!(!names.contains(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn an_underscore_counts_as_a_hyphen() {
        assert!(is_same_field(b"x-app_version", b"x_app-version"));
        assert!(!is_same_field(b"x-app", b"x-app-") && !is_same_field(b"x-a", b"x-b"));
    }

    #[test]
    fn white_space_goes_from_both_ends() {
        for (value, expected) in [
            (" \ta b\t ", "a b"),
            ("", ""),
            ("  ", ""),
            ("a", "a"),
            ("\na\n", "\na\n"),
        ] {
            assert_eq!(trim_ows(value.as_bytes()), expected.as_bytes(), "{value:?}");
        }
    }
}
