//! Cookies: a borrowed view of what a client sent, and the `Set-Cookie` that holds a pin.
//!
//! It follows RFC 6265bis, and reads what is malformed as absent. It knows nothing of pins.

use std::fmt::Write;

use memchr::memchr;

use crate::http::few::Few;
use crate::http::header::{Headers, trim_ows};

/// The longest cookies that are read: bytes over all lines, and pairs.
pub const MAX_BYTES: usize = 32 * 1024;
/// See [`MAX_BYTES`].
pub const MAX_PAIRS: usize = 512;

/// The values of a cookie in the order of arrival, over all `cookie` lines. None: there are too many cookies for any to be
/// read.
///
/// A pair without `=` has no name and is passed over; double quotes around a value are taken off, as Envoy does.
pub fn values<'a, H: Headers + ?Sized>(headers: &'a H, name: &str) -> Option<Few<&'a [u8]>> {
    let mut values = Few::default();
    let (mut bytes, mut pairs) = (0, 0);
    for line in headers.lines("cookie") {
        bytes += line.len();
        if bytes > MAX_BYTES {
            return None;
        }
        let mut rest = Some(line);
        while let Some(line) = rest {
            pairs += 1;
            if pairs > MAX_PAIRS {
                return None;
            }
            let pair = match memchr(b';', line).and_then(|end| line.split_at_checked(end)) {
                Some((pair, behind)) => {
                    rest = behind.get(1..);
                    pair
                }
                None => {
                    rest = None;
                    line
                }
            };
            if let Some(value) = value(pair, name) {
                values.push(value);
            }
        }
    }
    Some(values)
}

/// The value of a pair, if it has that name.
fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let rest = trim_ows(pair).strip_prefix(name.as_bytes())?;
    let value = trim_ows(rest).strip_prefix(b"=")?;
    Some(unquoted(trim_ows(value)))
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// When a cookie carries `Secure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// On those to a client that came by https.
    Auto,
    /// On every response.
    Always,
    /// On none.
    Never,
}

/// How the client's request came, by Envoy's `x-forwarded-proto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the two schemes of RFC 9110")]
pub enum Scheme {
    Http,
    Https,
}

/// The `SameSite` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "RFC 6265bis section 5.6.7 names and explains them")]
pub enum SameSite {
    Lax,
    Strict,
    None,
}

/// A cookie's name and attributes, ready to be written with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieTemplate {
    /// A token.
    pub name: String,
    secure: Secure,
    attributes: String,
}

/// What a cookie's attributes are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "RFC 6265bis section 4.1.2 names and explains them")]
pub struct Attributes<'a> {
    pub max_age: Option<u32>,
    pub path: &'a str,
    pub domain: Option<&'a str>,
    pub secure: Secure,
    pub http_only: bool,
    pub same_site: SameSite,
    pub partitioned: bool,
}

impl Attributes<'_> {
    /// A cookie for the whole host, until the browser is closed, that scripts can't read.
    pub const SESSION: Self = Attributes {
        max_age: None,
        path: "/",
        domain: None,
        secure: Secure::Auto,
        http_only: true,
        same_site: SameSite::Lax,
        partitioned: false,
    };
}

impl CookieTemplate {
    /// Puts the attributes together once, for every cookie to come.
    #[must_use]
    pub fn new(name: String, given: &Attributes<'_>) -> Self {
        let mut attributes = String::new();
        // Writing to a String cannot fail.
        let _ = write!(attributes, "; Path={}", given.path);
        if let Some(seconds) = given.max_age {
            let _ = write!(attributes, "; Max-Age={seconds}");
        }
        if let Some(domain) = given.domain {
            let _ = write!(attributes, "; Domain={domain}");
        }
        attributes.push_str(match given.same_site {
            SameSite::Lax => "; SameSite=Lax",
            SameSite::Strict => "; SameSite=Strict",
            SameSite::None => "; SameSite=None",
        });
        if given.http_only {
            attributes.push_str("; HttpOnly");
        }
        if given.partitioned {
            attributes.push_str("; Partitioned");
        }
        CookieTemplate {
            name,
            secure: given.secure,
            attributes,
        }
    }

    /// The value of a `Set-Cookie` header, for a client whose request came by `scheme`.
    #[must_use]
    pub fn set(&self, value: &str, scheme: Scheme) -> String {
        let secured = self.secured(scheme);
        let size = self.name.len() + 1 + value.len() + self.attributes.len() + secured.len();
        // Not `concat`, whose code a new client's request would run through for this alone.
        let mut cookie = String::with_capacity(size);
        cookie.extend([&self.name, "=", value]);
        cookie.extend([&self.attributes, secured]);
        cookie
    }

    /// The value of a `Set-Cookie` header that ends the cookie.
    #[must_use]
    pub fn end(&self, scheme: Scheme) -> String {
        format!(
            "{}={}; Max-Age=0{}",
            self.name,
            self.attributes,
            self.secured(scheme)
        )
    }

    fn secured(&self, scheme: Scheme) -> &'static str {
        match (self.secure, scheme) {
            (Secure::Always, _) | (Secure::Auto, Scheme::Https) => "; Secure",
            (Secure::Never, _) | (Secure::Auto, Scheme::Http) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(lines: &[&str], name: &str) -> Vec<String> {
        let headers: Vec<_> = lines.iter().map(|line| ("cookie", line)).collect();
        let values = values(headers.as_slice(), name).unwrap();
        values
            .iter()
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    #[test]
    fn cookies_are_found_wherever_they_stand() {
        for (lines, expected) in [
            (&["p=1"][..], &["1"][..]),
            (&["a=0; p=1"], &["1"]),
            (&["a=0;p=1;b=2"], &["1"]),
            (&["p=1; p=2"], &["1", "2"]),
            (&["a=0", "p=1"], &["1"]),
            (&["p=1", "p=2"], &["1", "2"]),
            (&["p = 1 "], &["1"]),
            (&["p=\"1\""], &["1"]),
            (&["p=\""], &["\""]),
            (&["p="], &[""]),
            (&["p=a=b"], &["a=b"]),
            (&["p"], &[]),
            (&["=p"], &[]),
            (&["P=1"], &[]),
            (&["pp=1; xp=2"], &[]),
            (&[";;; ;p=1"], &["1"]),
            (&[""], &[]),
        ] {
            assert_eq!(read(lines, "p"), expected, "{lines:?}");
        }
    }

    #[test]
    fn too_many_cookies_are_not_read() {
        let pairs = |count: usize| vec!["a=b"; count].join(";");
        let bytes = |count: usize| "x".repeat(count);
        for (lines, expected) in [
            (vec![], true),
            (vec![pairs(MAX_PAIRS)], true),
            (vec![pairs(MAX_PAIRS + 1)], false),
            (vec![pairs(MAX_PAIRS), pairs(1)], false),
            (vec![bytes(MAX_BYTES)], true),
            (vec![bytes(MAX_BYTES + 1)], false),
            (vec![bytes(MAX_BYTES), bytes(1)], false),
        ] {
            let headers: Vec<_> = lines.iter().map(|line| ("cookie", line)).collect();
            assert_eq!(values(headers.as_slice(), "a").is_some(), expected);
        }
    }

    #[test]
    fn a_cookie_carries_the_attributes_it_was_given() {
        let plain = Attributes {
            max_age: Some(86_400),
            ..Attributes::SESSION
        };
        let template = CookieTemplate::new("p".into(), &plain);
        assert_eq!(
            template.set("v", Scheme::Http),
            "p=v; Path=/; Max-Age=86400; SameSite=Lax; HttpOnly"
        );
        assert_eq!(
            template.set("v", Scheme::Https),
            "p=v; Path=/; Max-Age=86400; SameSite=Lax; HttpOnly; Secure"
        );
        let all = Attributes {
            max_age: Some(1),
            path: "/a",
            domain: Some("example.com"),
            secure: Secure::Always,
            http_only: false,
            same_site: SameSite::None,
            partitioned: true,
        };
        assert_eq!(
            CookieTemplate::new("p".into(), &all).set("v", Scheme::Http),
            "p=v; Path=/a; Max-Age=1; Domain=example.com; SameSite=None; Partitioned; Secure"
        );
        let never = Attributes {
            secure: Secure::Never,
            same_site: SameSite::Strict,
            ..plain
        };
        assert_eq!(
            CookieTemplate::new("p".into(), &never).set("v", Scheme::Https),
            "p=v; Path=/; Max-Age=86400; SameSite=Strict; HttpOnly"
        );
    }
}
