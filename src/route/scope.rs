//! Which app a request belongs to, by its host and path, in Envoy's own order: the most specific
//! host, then the longest path. This module knows hosts and paths, but not apps.

use std::fmt;
use std::net::Ipv6Addr;

use hashbrown::HashMap;

use crate::http::header::fingerprint;

/// The hosts that a scope or a rule names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostPattern {
    /// `*`: every host.
    Any,
    /// `*.example.com`: every host below `example.com`. The value is `.example.com`.
    Suffix(String),
    /// One host.
    Exact(String),
}

impl HostPattern {
    /// Reads `*`, `*.example.com` or `example.com`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "*" {
            return Ok(HostPattern::Any);
        }
        let lower = text.to_ascii_lowercase();
        let (wild, name) = match lower.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') => (true, rest),
            Some(_) => return Err("must have the wildcard as its first label: *.example.com"),
            None => (false, lower.as_str()),
        };
        if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return match address.parse::<Ipv6Addr>() {
                Ok(_) => Ok(HostPattern::Exact(lower)),
                Err(_) => Err("must be an IPv6 address in brackets"),
            };
        }
        let bare = if wild {
            name.strip_prefix('.').unwrap_or(name)
        } else {
            name
        };
        if bare.contains(':') {
            return Err("must be without a port");
        }
        let labels = bare.strip_suffix('.').unwrap_or(bare).split('.');
        let valid = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !labels.clone().all(valid) {
            return Err("must be a host name, *.example.com or *");
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_owned();
        Ok(if wild {
            HostPattern::Suffix(name)
        } else {
            HostPattern::Exact(name)
        })
    }

    /// Whether a host can match both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &HostPattern) -> bool {
        use HostPattern::{Any, Exact, Suffix};
        match (self, other) {
            (Any, _) | (_, Any) => true,
            (Exact(host), pattern) | (pattern, Exact(host)) => pattern.matches(host.as_bytes()),
            (Suffix(a), Suffix(b)) => a.ends_with(b.as_str()) || b.ends_with(a.as_str()),
        }
    }

    /// Whether the pattern matches this normalized host.
    #[must_use]
    pub fn matches(&self, host: &[u8]) -> bool {
        match self {
            HostPattern::Any => true,
            HostPattern::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_bytes()),
            HostPattern::Exact(name) => host == name.as_bytes(),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Any => f.write_str("*"),
            HostPattern::Suffix(suffix) => write!(f, "*{suffix}"),
            HostPattern::Exact(name) => f.write_str(name),
        }
    }
}

/// A path and all paths below, in whole segments: `/a` covers `/a` and `/a/b`, not `/ab`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathPrefix(String);

impl PathPrefix {
    /// Every path.
    pub const ROOT: PathPrefix = PathPrefix(String::new());

    /// Reads `/` or `/some/segments`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "/" {
            return Ok(PathPrefix::ROOT);
        }
        if !text.starts_with('/') {
            return Err("must start with /");
        }
        if text.ends_with('/') {
            return Err("must not end with /: it covers whole segments already");
        }
        if text.contains(['?', '#']) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("must be a path as Envoy routes on it: percent-encoded, without query or fragment");
        }
        Ok(PathPrefix(text.to_owned()))
    }

    /// Whether the prefix covers this path, which has no query.
    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        match path.strip_prefix(self.0.as_bytes()) {
            Some(rest) => matches!(rest.first(), None | Some(b'/')) || self.0.is_empty(),
            None => false,
        }
    }

    /// The prefix as it is written in a configuration.
    #[must_use]
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }
}

/// A map from hosts and paths to values.
#[derive(Debug)]
pub struct ScopeMap<T> {
    exact: HashMap<Vec<u8>, Paths<T>>,
    /// The [`fingerprint`] of each exact host. If there are few exact hosts, the fingerprint rules
    /// out most other hosts.
    fingerprints: u64,
    suffix: HashMap<Vec<u8>, Paths<T>>,
    any: Paths<T>,
}

/// The longest path first.
type Paths<T> = Vec<(PathPrefix, T)>;

impl<T> Default for ScopeMap<T> {
    fn default() -> Self {
        ScopeMap {
            exact: HashMap::new(),
            fingerprints: 0,
            suffix: HashMap::new(),
            any: Vec::new(),
        }
    }
}

impl<T> ScopeMap<T> {
    /// Adds a value.
    ///
    /// # Errors
    /// The value that this host and path already have. That value stays.
    pub fn insert(&mut self, host: &HostPattern, path: &PathPrefix, value: T) -> Result<(), &T> {
        let paths = match host {
            HostPattern::Any => &mut self.any,
            HostPattern::Suffix(suffix) => self.suffix.entry(suffix.clone().into_bytes()).or_default(),
            HostPattern::Exact(name) => {
                self.fingerprints |= fingerprint(name.as_bytes());
                self.exact.entry(name.clone().into_bytes()).or_default()
            }
        };
        let order =
            |(other, _): &(PathPrefix, T)| path.0.len().cmp(&other.0.len()).then_with(|| other.cmp(path));
        match paths.binary_search_by(order) {
            Ok(found) => paths.get(found).map_or(Ok(()), |(_, taken)| Err(taken)),
            Err(place) => {
                paths.insert(place, (path.clone(), value));
                Ok(())
            }
        }
    }

    /// The value of the most specific host's longest path. A host that has values, but none for
    /// this path, does not fall back to a wider host, as in Envoy's virtual hosts. The path is read
    /// only if it matters.
    #[must_use]
    pub fn find<'p>(&self, host: &[u8], path: impl Fn() -> &'p [u8]) -> Option<&T> {
        let mut paths = self.paths(host).iter();
        let (_, value) = paths.find(|(prefix, _)| *prefix == PathPrefix::ROOT || prefix.covers(path()))?;
        Some(value)
    }

    fn paths(&self, host: &[u8]) -> &Paths<T> {
        if self.fingerprints & fingerprint(host) != 0
            && let Some(paths) = self.exact.get(host)
        {
            return paths;
        }
        if !self.suffix.is_empty() {
            let mut rest = host.get(1..).unwrap_or_default();
            while let Some(dot) = rest.iter().position(|b| *b == b'.') {
                let suffix = rest.get(dot..).unwrap_or_default();
                if let Some(paths) = self.suffix.get(suffix) {
                    return paths;
                }
                rest = suffix.get(1..).unwrap_or_default();
            }
        }
        &self.any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn host_patterns_say_what_is_wrong() {
        for (text, expected) in [
            ("*", Ok(HostPattern::Any)),
            ("A.example.com", Ok(HostPattern::Exact("a.example.com".into()))),
            ("a.example.com.", Ok(HostPattern::Exact("a.example.com".into()))),
            ("*.Example.com", Ok(HostPattern::Suffix(".example.com".into()))),
            ("[::1]", Ok(HostPattern::Exact("[::1]".into()))),
            (
                "*a.com",
                Err("must have the wildcard as its first label: *.example.com"),
            ),
            ("a.*.com", Err("must be a host name, *.example.com or *")),
            ("a.com:80", Err("must be without a port")),
            ("", Err("must be a host name, *.example.com or *")),
            ("a..b", Err("must be a host name, *.example.com or *")),
            ("*.", Err("must be a host name, *.example.com or *")),
            (".example.com", Err("must be a host name, *.example.com or *")),
            ("[::g]", Err("must be an IPv6 address in brackets")),
            ("http://a", Err("must be without a port")),
            ("a/b", Err("must be a host name, *.example.com or *")),
        ] {
            assert_eq!(HostPattern::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn wildcards_name_what_is_below() {
        let below = HostPattern::parse("*.example.com").unwrap();
        for (host, expected) in [
            ("a.example.com", true),
            ("b.a.example.com", true),
            ("example.com", false),
            (".example.com", false),
            ("aexample.com", false),
        ] {
            assert_eq!(below.matches(host.as_bytes()), expected, "{host}");
        }
    }

    #[test]
    fn paths_are_whole_segments() {
        let prefix = PathPrefix::parse("/web-api/v1").unwrap();
        for (path, expected) in [
            ("/web-api/v1", true),
            ("/web-api/v1/", true),
            ("/web-api/v1/x", true),
            ("/web-api/v10", false),
            ("/web-api/v1;x", false),
            ("/web-api/v1%2Fx", false),
            ("/web-api", false),
            ("/Web-api/v1", false),
            ("", false),
        ] {
            assert_eq!(prefix.covers(path.as_bytes()), expected, "{path:?}");
            assert!(PathPrefix::ROOT.covers(path.as_bytes()));
        }
        for (text, reason) in [
            ("a", "must start with /"),
            ("", "must start with /"),
            ("/a/", "must not end with /: it covers whole segments already"),
            (
                "/a?b",
                "must be a path as Envoy routes on it: percent-encoded, without query or fragment",
            ),
            (
                "/é",
                "must be a path as Envoy routes on it: percent-encoded, without query or fragment",
            ),
        ] {
            assert_eq!(PathPrefix::parse(text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn the_most_specific_host_then_the_longest_path_wins() {
        let mut map = ScopeMap::default();
        for (host, path, value) in [
            ("*", "/", "any"),
            ("*.example.com", "/", "example"),
            ("*.shop.example.com", "/a", "below shop"),
            ("shop.example.com", "/a", "shop a"),
            ("shop.example.com", "/a/b", "shop a b"),
        ] {
            let (host, path) = (
                HostPattern::parse(host).unwrap(),
                PathPrefix::parse(path).unwrap(),
            );
            assert_eq!(map.insert(&host, &path, value), Ok(()));
        }
        for (host, path, expected) in [
            ("other.org", "/", Some("any")),
            ("example.com", "/a", Some("any")),
            ("x.example.com", "/a", Some("example")),
            ("x.shop.example.com", "/a", Some("below shop")),
            ("x.shop.example.com", "/b", None),
            ("shop.example.com", "/a/c", Some("shop a")),
            ("shop.example.com", "/a/b/c", Some("shop a b")),
            ("shop.example.com", "/", None),
            (".shop.example.com", "/a", Some("example")),
            ("", "/", Some("any")),
        ] {
            assert_eq!(
                map.find(host.as_bytes(), || path.as_bytes()),
                expected.as_ref(),
                "{host} {path}"
            );
        }
        let taken = map.insert(&HostPattern::Any, &PathPrefix::ROOT, "again");
        assert_eq!(taken, Err(&"any"));
    }
}
