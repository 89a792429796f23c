//! A request as a decision reads it. Each part is read from the host or parsed at most once,
//! however many rules ask.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use strum::VariantArray;

use super::authority::normalized_host;
use super::cookie::{self, Scheme};
use super::fetch::{self, FetchKind};
use super::header::{Headers, join};
use super::multimap::Multimap;
use crate::environment::{Claim, Environment};

/// A borrowed view of one request and its environment.
#[derive(Debug)]
pub struct Request<'h, H: ?Sized, E> {
    headers: &'h H,
    environment: &'h E,
    host: Cow<'h, [u8]>,
    method: OnceCell<&'h [u8]>,
    target: OnceCell<Target<'h>>,
    header_scans: Cell<u8>,
    header_fields: OnceCell<Multimap<'h>>,
    cookies: OnceCell<Option<Multimap<'h>>>,
    query_params: OnceCell<Multimap<'h>>,
    claims: RefCell<Vec<(String, Option<Rc<Claim>>)>>,
    client_address: OnceCell<Option<IpAddr>>,
    now: OnceCell<u64>,
    fetch_kind: OnceCell<FetchKind>,
    exceeded: Cell<Limits>,
}

/// How many lookups of headers scan all headers before they are indexed.
const HEADER_SCANS: u8 = 4;

/// The path that Envoy routes on, and the query.
#[derive(Debug, Clone, Copy)]
struct Target<'h> {
    path: &'h [u8],
    query: &'h [u8],
}

/// A limit on what is read of a request. A part that exceeds the limit is not read, and is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Limit {
    /// [`MAX_BYTES`](crate::http::cookie::MAX_BYTES) and
    /// [`MAX_PAIRS`](crate::http::cookie::MAX_PAIRS) of cookies.
    Cookies,
    /// [`MAX_VALUE`](crate::identity::overrides::MAX_VALUE) bytes of an override.
    Override,
    /// [`REGEX_MAX_VALUE`](crate::route::matching::REGEX_MAX_VALUE) bytes of a value that a regex
    /// matches.
    Regex,
}

impl Limit {
    /// The limit's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A set of limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits(u8);

impl Limits {
    fn bit(limit: Limit) -> u8 {
        1 << limit as u8
    }

    /// This set and one more limit.
    #[must_use]
    pub fn with(self, limit: Limit) -> Self {
        Limits(self.0 | Limits::bit(limit))
    }

    /// Whether the limit is in the set.
    #[must_use]
    pub fn contains(self, limit: Limit) -> bool {
        self.0 & Limits::bit(limit) != 0
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each limit of the set.
    pub fn iter(self) -> impl Iterator<Item = Limit> {
        let all = Limit::VARIANTS.iter().copied();
        all.filter(move |limit| self.contains(*limit))
    }
}

impl<'h, H: Headers + ?Sized, E: Environment> Request<'h, H, E> {
    /// A request of these headers. A missing host counts as empty.
    #[must_use]
    pub fn new(headers: &'h H, environment: &'h E) -> Self {
        Request {
            headers,
            environment,
            host: normalized_host(headers.first(":authority").unwrap_or_default()),
            method: OnceCell::new(),
            target: OnceCell::new(),
            header_scans: Cell::default(),
            header_fields: OnceCell::new(),
            cookies: OnceCell::new(),
            query_params: OnceCell::new(),
            claims: RefCell::default(),
            client_address: OnceCell::new(),
            now: OnceCell::new(),
            fetch_kind: OnceCell::new(),
            exceeded: Cell::default(),
        }
    }

    /// All headers, including pseudo-headers.
    #[must_use]
    pub fn headers(&self) -> &'h H {
        self.headers
    }

    /// The normalized host.
    #[must_use]
    pub fn host(&self) -> &[u8] {
        &self.host
    }

    /// The method, as the client sent it.
    #[must_use]
    pub fn method(&self) -> &'h [u8] {
        self.method
            .get_or_init(|| self.headers.first(":method").unwrap_or_default())
    }

    /// The path that Envoy routes on, without its query. A missing path (`CONNECT` has none) counts
    /// as empty.
    #[must_use]
    pub fn path(&self) -> &'h [u8] {
        self.target().path
    }

    fn target(&self) -> Target<'h> {
        *self.target.get_or_init(|| Target::of(self.headers))
    }

    /// The value of a header, its lines joined with a comma. None if the header is absent.
    #[must_use]
    pub fn header<'a>(&'a self, name: &'a str) -> Option<Cow<'a, [u8]>> {
        // Most requests need few lookups, and a scan of the headers costs less than a list of them.
        if self.header_scans.get() < HEADER_SCANS {
            self.header_scans.set(self.header_scans.get() + 1);
            return self.headers.joined(name);
        }
        let fields = self.header_fields.get_or_init(|| self.headers.all().collect());
        join(fields.values(name))
    }

    /// The values of a cookie in the order of arrival. Empty if the request's cookies exceed the
    /// limit.
    pub fn cookies<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'h [u8]> + 'a {
        let cookies = self.cookies.get_or_init(|| {
            let cookies = cookie::parse(self.headers);
            if cookies.is_none() {
                self.exceed(Limit::Cookies);
            }
            cookies
        });
        cookies.iter().flat_map(|cookies| cookies.values(name))
    }

    /// The first value of a query parameter, not percent-decoded, as Envoy and Istio match it.
    #[must_use]
    pub fn query_param(&self, name: &str) -> Option<&'h [u8]> {
        let params = self.query_params.get_or_init(|| self.target().params().collect());
        params.values(name).next()
    }

    /// A claim of a JWT that the proxy verified.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<Rc<Claim>> {
        let mut claims = self.claims.borrow_mut();
        if let Some((_, known)) = claims.iter().find(|(known, _)| known == name) {
            return known.clone();
        }
        let claim = self.environment.claim(name).map(Rc::new);
        claims.push((name.to_owned(), claim.clone()));
        claim
    }

    /// The client's address, as far as Envoy trusts it.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        *self
            .client_address
            .get_or_init(|| self.environment.client_address())
    }

    /// The time in Unix seconds. The same for the whole request.
    #[must_use]
    pub fn now(&self) -> u64 {
        *self.now.get_or_init(|| self.environment.now())
    }

    /// A random number, different at each call.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.environment.random()
    }

    /// Whether Envoy has followed a redirect itself (an internal redirect). Envoy's router then
    /// leaves the original URL in a header.
    #[must_use]
    pub fn is_internally_redirected(&self) -> bool {
        self.headers.first("x-envoy-original-url").is_some()
    }

    /// Records that a limit was exceeded.
    pub fn exceed(&self, limit: Limit) {
        self.exceeded.set(self.exceeded.get().with(limit));
    }

    /// The limits that were exceeded so far.
    #[must_use]
    pub fn exceeded(&self) -> Limits {
        self.exceeded.get()
    }

    /// What the client does with the response.
    #[must_use]
    pub fn fetch_kind(&self) -> FetchKind {
        *self.fetch_kind.get_or_init(|| fetch::kind(self.headers))
    }

    /// Whether this is a CORS preflight (Fetch standard): a browser sends it without cookies.
    #[must_use]
    pub fn is_preflight(&self) -> bool {
        self.method() == b"OPTIONS"
            && self.headers.first("origin").is_some()
            && self.headers.first("access-control-request-method").is_some()
    }

    /// The scheme of the client's request, by Envoy's `x-forwarded-proto`.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match self.headers.first("x-forwarded-proto") {
            Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Scheme::Https,
            _ => Scheme::Http,
        }
    }
}

impl<'h> Target<'h> {
    fn of<H: Headers + ?Sized>(headers: &'h H) -> Self {
        let target = headers.first(":path").unwrap_or_default();
        let mark = target.iter().position(|b| *b == b'?');
        let (path, query) = match mark.and_then(|mark| target.split_at_checked(mark)) {
            Some((path, query)) => (path, query.get(1..).unwrap_or_default()),
            None => (target, &[][..]),
        };
        Target { path, query }
    }

    /// Each query parameter's name and value. A parameter without a name is skipped.
    fn params(self) -> impl Iterator<Item = (&'h [u8], &'h [u8])> {
        let pairs = self.query.split(|b| *b == b'&').map(|pair| {
            let eq = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at_checked(eq).unwrap_or_default();
            (name, value.get(1..).unwrap_or_default())
        });
        pairs.filter(|(name, _)| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::FixedEnvironment;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn path_and_query_are_read_from_the_target() {
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
            let still = FixedEnvironment::default();
            let request = Request::new(headers.as_slice(), &still);
            assert_eq!(request.path(), path.as_bytes(), "{target:?}");
            assert_eq!(request.query_param("a"), a.map(str::as_bytes), "{target:?}");
        }
    }

    #[test]
    fn a_preflight_has_a_method_and_two_headers() {
        let full = [
            (":method", "OPTIONS"),
            ("origin", "https://a"),
            ("access-control-request-method", "PUT"),
        ];
        assert!(Request::new(full.as_slice(), &FixedEnvironment::default()).is_preflight());
        for missing in 0..full.len() {
            let mut some = full.to_vec();
            some.remove(missing);
            assert!(!Request::new(some.as_slice(), &FixedEnvironment::default()).is_preflight());
        }
    }
}
