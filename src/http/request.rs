//! A request as the decision sees it: host, path and query taken apart once, the rest read when asked for.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use crate::environment::Ambient;
use crate::http::cookie::{self, Scheme};
use crate::http::few::Few;
use crate::http::header::Headers;
use crate::route::scope::normalized_host;

/// A borrowed view of one request.
#[derive(Debug)]
pub struct Request<'h, H: ?Sized, A> {
    /// All its headers, pseudo-headers among them.
    pub headers: &'h H,
    /// The host, normalized.
    pub host: Cow<'h, [u8]>,
    target: OnceCell<Target<'h>>,
    /// What else a decision may ask for.
    pub ambient: &'h A,
    exceeded: Cell<Limits>,
}

/// What Envoy routes on, and its query.
#[derive(Debug, Clone, Copy)]
struct Target<'h> {
    path: &'h [u8],
    query: &'h [u8],
}

/// What a client can send too much of: it is not read then, and that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`MAX_BYTES`](crate::http::cookie::MAX_BYTES) and [`MAX_PAIRS`](crate::http::cookie::MAX_PAIRS).
    Cookies,
    /// [`MAX_VALUE`](crate::identity::overrides::MAX_VALUE) of an override.
    Override,
    /// [`REGEX_MAX_VALUE`](crate::route::matching::REGEX_MAX_VALUE).
    Regex,
}

impl Limit {
    const ALL: [Limit; 3] = [Limit::Cookies, Limit::Override, Limit::Regex];

    /// The limit's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Limit::Cookies => "cookies",
            Limit::Override => "override",
            Limit::Regex => "regex",
        }
    }
}

/// Some of the limits, each once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits(u8);

impl Limits {
    fn bit(limit: Limit) -> u8 {
        1 << limit as u8
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, limit: Limit) -> Self {
        Limits(self.0 | Limits::bit(limit))
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contains(self, limit: Limit) -> bool {
        self.0 & Limits::bit(limit) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Limit> {
        Limit::ALL.into_iter().filter(move |limit| self.contains(*limit))
    }
}

/// What a browser does with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchMode {
    /// It becomes a part of a page that is there: a script, an image, an API call.
    SubResource,
    /// It becomes a page, or the client did not say.
    Other,
}

impl<'h, H: Headers + ?Sized, A: Ambient> Request<'h, H, A> {
    /// A request of these headers. A host that is missing is empty.
    #[must_use]
    pub fn new(headers: &'h H, ambient: &'h A) -> Self {
        Request {
            headers,
            host: normalized_host(headers.first(":authority").unwrap_or_default()),
            target: OnceCell::new(),
            ambient,
            exceeded: Cell::default(),
        }
    }

    /// The path that Envoy routes on, without its query. One that is missing (a `CONNECT` has none) is empty.
    #[must_use]
    pub fn path(&self) -> &'h [u8] {
        self.target().path
    }

    fn target(&self) -> Target<'h> {
        *self.target.get_or_init(|| Target::of(self.headers))
    }

    /// The values of a cookie, in the order of arrival; none at all where there are too many cookies.
    pub fn cookies(&self, name: &str) -> Few<&'h [u8]> {
        cookie::values(self.headers, name).unwrap_or_else(|| {
            self.exceed(Limit::Cookies);
            Few::default()
        })
    }

    /// Notes that something was not read, as it is too much.
    pub fn exceed(&self, limit: Limit) {
        self.exceeded.set(self.exceeded.get().with(limit));
    }

    /// The limits that were exceeded so far.
    #[must_use]
    pub fn exceeded(&self) -> Limits {
        self.exceeded.get()
    }

    /// The method, as it was sent.
    #[must_use]
    pub fn method(&self) -> &'h [u8] {
        self.headers.first(":method").unwrap_or_default()
    }

    /// The first value of a query parameter, not decoded, as Envoy and Istio match it.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&'h [u8]> {
        self.target().query.split(|b| *b == b'&').find_map(|pair| {
            let eq = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let (key, value) = pair.split_at_checked(eq)?;
            (key == name.as_bytes()).then(|| value.get(1..).unwrap_or_default())
        })
    }

    /// What a browser says that it will do with the response (Fetch Metadata Request Headers, W3C).
    #[must_use]
    pub fn fetch_mode(&self) -> FetchMode {
        match self.headers.first("sec-fetch-mode") {
            Some(mode) if mode != b"navigate" && mode != b"nested-navigate" => FetchMode::SubResource,
            _ => FetchMode::Other,
        }
    }

    /// Whether this is a CORS preflight (Fetch standard): a browser sends it without cookies.
    #[must_use]
    pub fn is_preflight(&self) -> bool {
        self.method() == b"OPTIONS"
            && self.headers.first("origin").is_some()
            && self.headers.first("access-control-request-method").is_some()
    }

    /// How the client came, as Envoy says.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match self.headers.first("x-forwarded-proto") {
            Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Scheme::Https,
            _ => Scheme::Http,
        }
    }
}

impl<'h> Target<'h> {
    #[inline(never)]
    fn of<H: Headers + ?Sized>(headers: &'h H) -> Self {
        let target = headers.first(":path").unwrap_or_default();
        let mark = target.iter().position(|b| *b == b'?');
        let (path, query) = match mark.and_then(|mark| target.split_at_checked(mark)) {
            Some((path, query)) => (path, query.get(1..).unwrap_or_default()),
            None => (target, &[][..]),
        };
        Target { path, query }
    }
}

/// Undoes percent-encoding; a `%` that begins no escape stays.
#[must_use]
pub fn percent_decoded(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'%') {
        return Cow::Borrowed(value);
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, tail)) = rest.split_first() {
        let escape = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex(*high)
                .zip(hex(*low))
                .map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        let (byte, after) = escape.unwrap_or((*first, tail));
        decoded.push(byte);
        rest = after;
    }
    Cow::Owned(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Still;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_target_is_taken_apart() {
        for (target, path, a) in [
            ("/p?a=1", "/p", Some("1")),
            ("/p?b=0&a=1&a=2", "/p", Some("1")),
            ("/p?a", "/p", Some("")),
            ("/p?a=", "/p", Some("")),
            ("/p?a=b=c", "/p", Some("b=c")),
            ("/p?aa=1&A=2", "/p", None),
            ("/p?a=%31", "/p", Some("%31")),
            ("/p??a=1", "/p", None),
            ("/p", "/p", None),
            ("?a=1", "", Some("1")),
            ("", "", None),
        ] {
            let headers = [(":path", target)];
            let still = Still::default();
            let request = Request::new(headers.as_slice(), &still);
            assert_eq!(request.path(), path.as_bytes(), "{target:?}");
            assert_eq!(request.query("a"), a.map(str::as_bytes), "{target:?}");
        }
    }

    #[test]
    fn a_preflight_has_a_method_and_two_headers() {
        let full = [
            (":method", "OPTIONS"),
            ("origin", "https://a"),
            ("access-control-request-method", "PUT"),
        ];
        assert!(Request::new(full.as_slice(), &Still::default()).is_preflight());
        for missing in 0..full.len() {
            let mut some = full.to_vec();
            some.remove(missing);
            assert!(!Request::new(some.as_slice(), &Still::default()).is_preflight());
        }
    }

    #[test]
    fn escapes_are_undone() {
        for (value, expected) in [
            ("v1%7E1", "v1~1"),
            ("%7e", "~"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
            ("%+1", "%+1"),
            ("a+b", "a+b"),
        ] {
            assert_eq!(
                &*percent_decoded(value.as_bytes()),
                expected.as_bytes(),
                "{value:?}"
            );
        }
    }
}
