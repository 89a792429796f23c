//! Mirrored requests: how to distinguish the copy that Envoy sends to a mirror from a live request.
//!
//! This module reads the signals of a request and says what they mean.
//! [`workload`](crate::workload) acts on that.

use std::borrow::Cow;

use crate::environment::Environment;
use crate::http::authority::split_port;
use crate::http::header::{HeaderName, Headers};
use crate::http::request::Request;
use crate::route::scope::PathPrefix;

/// How a workload treats mirrored requests.
#[derive(Debug)]
pub struct Mirror {
    /// The header that tells the app of a mirrored request.
    pub header: HeaderName,
    /// The signals of a mirrored request.
    pub detect: Detect,
    /// Whether the app sees the host without the suffix.
    pub restore_host: bool,
    /// The mirrored requests that never reach the app.
    pub block: Vec<Block>,
}

/// The signals of a mirrored request.
#[derive(Debug)]
pub struct Detect {
    /// A header that only copies carry (Envoy's
    /// `request_mirror_policies.request_headers_mutations`).
    pub header: Option<HeaderName>,
    /// The suffix that Envoy appends to a copy's host, before the port.
    pub host_suffix: Option<String>,
    /// The route header, and this workload's version if it is known. The route header of a copy
    /// names another version.
    pub other_version: Option<(HeaderName, Option<String>)>,
    /// Whether this workload gets copies only.
    pub always: bool,
}

/// What the signals of a request mean.
#[derive(Debug, PartialEq, Eq)]
pub enum Signal<'a> {
    /// The request is a copy. The value is the authority without the suffix, if the host has the
    /// suffix.
    Mirrored(Option<Cow<'a, str>>),
    /// The request is either a copy, or a live request that an outdated route sent here.
    OtherVersion,
}

/// Mirrored requests that the filter answers itself.
#[derive(Debug)]
pub struct Block {
    /// The methods that the block covers. An empty list covers every method.
    pub methods: Vec<String>,
    /// The paths that the block covers. An empty list covers every path.
    pub paths: Vec<PathPrefix>,
}

impl Detect {
    /// Whether no signal is configured.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.header.is_none() && self.host_suffix.is_none() && self.other_version.is_none() && !self.always
    }

    /// What the request's signals mean. None if the request has no signal.
    #[must_use]
    pub fn signal<'a, H: Headers + ?Sized, A: Environment>(
        &self,
        request: &Request<'a, H, A>,
    ) -> Option<Signal<'a>> {
        let original = self.host_suffix.as_deref().and_then(|suffix| {
            let authority = request.headers().first(":authority")?;
            without_suffix(authority, suffix)
        });
        let marked = |name: &HeaderName| request.headers().first(name.as_str()).is_some();
        if original.is_some() || self.always || self.header.as_ref().is_some_and(marked) {
            return Some(Signal::Mirrored(original));
        }
        let (route, version) = self.other_version.as_ref()?;
        let routed = request.headers().joined(route.as_str())?;
        let other = !routed.is_empty() && *routed != *version.as_ref()?.as_bytes();
        other.then_some(Signal::OtherVersion)
    }
}

/// The authority without the suffix before its port. None if the suffix is absent.
fn without_suffix<'a>(authority: &'a [u8], suffix: &str) -> Option<Cow<'a, str>> {
    let (host, port) = split_port(std::str::from_utf8(authority).ok()?.as_bytes());
    let (original, end) = host.split_at_checked(host.len().checked_sub(suffix.len())?)?;
    if original.is_empty() || !end.eq_ignore_ascii_case(suffix.as_bytes()) {
        return None;
    }
    // Each part is cut at an ASCII byte, and so is still UTF-8.
    let (original, port) = (
        std::str::from_utf8(original).ok()?,
        std::str::from_utf8(port).ok()?,
    );
    Some(if port.is_empty() {
        Cow::Borrowed(original)
    } else {
        Cow::Owned(format!("{original}{port}"))
    })
}

impl Block {
    /// Whether the block covers this request.
    #[must_use]
    pub fn covers<H: Headers + ?Sized, A: Environment>(&self, request: &Request<'_, H, A>) -> bool {
        let method = request.method();
        (self.methods.is_empty() || self.methods.iter().any(|wanted| wanted.as_bytes() == method))
            && (self.paths.is_empty() || self.paths.iter().any(|prefix| prefix.covers(request.path())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::FixedEnvironment;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_suffix_is_taken_from_before_the_port() {
        for (authority, expected) in [
            ("shop.example.com-shadow", Some("shop.example.com")),
            ("shop.example.com-shadow:8080", Some("shop.example.com:8080")),
            ("Shop.example.com-SHADOW:8080", Some("Shop.example.com:8080")),
            ("[::1]-shadow:8080", Some("[::1]:8080")),
            ("[::1]-shadow", Some("[::1]")),
            ("shop.example.com", None),
            ("shop.example.com:8080-shadow", Some("shop.example.com:8080")),
            ("shop-shadow.example.com", None),
            ("-shadow", None),
            ("-shadow:80", None),
            ("é-shadow", Some("é")),
            ("", None),
        ] {
            assert_eq!(
                without_suffix(authority.as_bytes(), "-shadow").as_deref(),
                expected,
                "{authority:?}"
            );
        }
        assert_eq!(without_suffix(b"\xff-shadow", "-shadow"), None);
    }

    #[test]
    fn a_block_covers_methods_by_letter_case_and_paths_by_segment() {
        let block = Block {
            methods: vec!["POST".into()],
            paths: vec![PathPrefix::parse("/mail").unwrap()],
        };
        for (method, path, expected) in [
            ("POST", "/mail", true),
            ("POST", "/mail/1?x", true),
            ("post", "/mail", false),
            ("POST", "/mails", false),
            ("GET", "/mail", false),
        ] {
            let headers = [(":method", method), (":path", path)];
            let still = FixedEnvironment::default();
            let request = Request::new(headers.as_slice(), &still);
            assert_eq!(block.covers(&request), expected, "{method} {path}");
        }
    }
}
