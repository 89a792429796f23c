//! Cookies (RFC 6265bis): those that a client sent, and the `Set-Cookie` values of a response.
//!
//! A malformed cookie counts as absent. This module knows nothing of pins.

use std::fmt::Write;

use memchr::memchr;

use super::header::{Headers, trim_ows};
use super::multimap::Multimap;

/// The largest number of bytes that are read, over all `cookie` lines.
pub const MAX_BYTES: usize = 32 * 1024;
/// The largest number of cookies that are read, over all `cookie` lines.
pub const MAX_PAIRS: usize = 512;

/// All cookies of a request, over all `cookie` lines. None if they exceed [`MAX_BYTES`] or
/// [`MAX_PAIRS`].
///
/// A cookie without `=` has no name and is skipped. Double quotes around a value are removed, as
/// Envoy does.
pub fn parse<H: Headers + ?Sized>(headers: &H) -> Option<Multimap<'_>> {
    let mut cookies = Multimap::default();
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
            let (pair, behind) = split_once(line, b';');
            rest = behind;
            if let (name, Some(value)) = split_once(pair, b'=') {
                cookies.push(trim_ows(name), unquoted(trim_ows(value)));
            }
        }
    }
    Some(cookies)
}

/// The bytes before the first separator, and the bytes after it if there is a separator.
fn split_once(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match memchr(separator, text).and_then(|at| text.split_at_checked(at)) {
        Some((before, behind)) => (before, behind.get(1..)),
        None => (text, None),
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// The longest host name (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 253;

/// The most labels of a domain whose cookies are expired.
const MAX_LABELS: usize = 5;

/// When a cookie carries `Secure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// If the client's request came by https.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The scheme of the client's request, by Envoy's `x-forwarded-proto`.
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

/// A cookie's name and attributes, to which a response adds the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieTemplate {
    /// The cookie's name, a token.
    pub name: String,
    /// The cookie's `SameSite`.
    pub same_site: SameSite,
    path: String,
    domain: Option<String>,
    is_partitioned: bool,
    secure: Secure,
    attributes: String,
}

/// The attributes of a cookie.
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
    /// The attributes of a session cookie for the whole host, which scripts cannot read.
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
    /// A template with its attributes written out.
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
            same_site: given.same_site,
            path: given.path.to_owned(),
            domain: given.domain.map(str::to_owned),
            is_partitioned: given.partitioned,
            secure: given.secure,
            attributes,
        }
    }

    /// The cookie's `Path`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The cookie's `Domain`, if it has one.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The `Set-Cookie` value that sets the cookie, for a client whose request came by `scheme`.
    #[must_use]
    pub fn set(&self, value: &str, scheme: Scheme) -> String {
        let secured = self.secured(scheme);
        [&self.name, "=", value, &self.attributes, secured].concat()
    }

    /// The `Set-Cookie` value that expires the cookie.
    #[must_use]
    pub fn expire(&self, scheme: Scheme) -> String {
        format!(
            "{}={}; Max-Age=0{}",
            self.name,
            self.attributes,
            self.secured(scheme)
        )
    }

    /// The `Set-Cookie` values that expire cookies of the same name with another domain or path,
    /// which a browser may have kept from an earlier configuration: those of the host itself and of
    /// its parent domains, at `/`.
    pub fn expire_others<'a>(&'a self, host: &'a str, scheme: Scheme) -> impl Iterator<Item = String> + 'a {
        let parents = std::iter::successors(Some(host), |host| Some(host.split_once('.')?.1));
        // A browser refuses a domain of one label. The client may choose the host, so only a few plain domains are written.
        let is_plain = host.len() <= MAX_HOST
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        let depth = host.split('.').count();
        let domains = parents.skip(depth.saturating_sub(MAX_LABELS));
        let domains = domains.filter(move |domain| is_plain && domain.contains('.'));
        let all = std::iter::once(None).chain(domains.map(Some));
        let ours = (self.domain.as_deref(), self.path.as_str());
        all.filter(move |domain| (*domain, "/") != ours)
            .map(move |domain| {
                let domain = domain.map_or_else(String::new, |domain| format!("; Domain={domain}"));
                let partitioned = if self.is_partitioned {
                    "; SameSite=None; Partitioned"
                } else {
                    ""
                };
                format!(
                    "{}=; Max-Age=0; Path=/{domain}{partitioned}{}",
                    self.name,
                    self.secured(scheme)
                )
            })
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
        let cookies = parse(headers.as_slice()).unwrap();
        cookies
            .values(name)
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
            assert_eq!(parse(headers.as_slice()).is_some(), expected);
        }
    }

    #[test]
    fn other_cookies_of_the_name_are_expired() {
        let of = |domain, path| {
            let attributes = Attributes {
                domain,
                path,
                ..Attributes::SESSION
            };
            CookieTemplate::new("p".into(), &attributes)
        };
        fn expired(template: CookieTemplate, host: &str) -> Vec<String> {
            template.expire_others(host, Scheme::Http).collect()
        }
        let (host, shop, parent) = (
            "p=; Max-Age=0; Path=/".to_owned(),
            "p=; Max-Age=0; Path=/; Domain=shop.example.com".to_owned(),
            "p=; Max-Age=0; Path=/; Domain=example.com".to_owned(),
        );
        assert_eq!(
            expired(of(None, "/"), "shop.example.com"),
            [shop.clone(), parent.clone()]
        );
        assert_eq!(
            expired(of(Some("example.com"), "/"), "shop.example.com"),
            [host.clone(), shop.clone()]
        );
        assert_eq!(
            expired(of(None, "/a"), "shop.example.com"),
            [host.clone(), shop, parent]
        );
        assert_eq!(expired(of(None, "/a"), "localhost"), std::slice::from_ref(&host));
        assert_eq!(expired(of(None, "/a"), "[::1]"), [host]);
        let of_parent = |host: &str| expired(of(None, "/"), host).len();
        assert_eq!(of_parent("a.b.c.d.e"), 4);
        assert_eq!(of_parent(&"a.".repeat(100)), 4);
        for odd in [
            "evil;expires=x.example.com",
            "\u{e9}.example.com",
            &"a.".repeat(127),
        ] {
            assert_eq!(of_parent(odd), 0, "{odd}");
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
