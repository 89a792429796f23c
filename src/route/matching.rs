//! Rules: what a request must look like, and where it then goes. Matching reads the request and nothing else.

use regex_lite::{Regex, RegexBuilder};

use crate::claim;
use crate::environment::Ambient;
use crate::http::header::{HeaderName, Headers};
use crate::http::request::{Limit, Request};
use crate::rollout::slots::Layout;
use crate::rollout::version::VersionRef;
use crate::route::cidr::Cidr;
use crate::route::scope::{HostPattern, PathPrefix};

/// The longest value a regex is shown, in bytes; a longer one does not match.
pub const REGEX_MAX_VALUE: usize = 1024;

/// The largest program a regex may compile to, in bytes: what a match may cost grows with program times value.
pub const REGEX_MAX_SIZE: usize = 32 * 1024;

/// Sends the requests it matches to a version or a split.
#[derive(Debug)]
pub struct Rule {
    /// Any of them is enough; none at all matches every request.
    pub matches: Vec<Match>,
    /// Where they go.
    pub target: Target,
}

/// Where a rule sends a request.
#[derive(Debug)]
pub enum Target {
    /// To one version.
    Version(VersionRef),
    /// By the client's slot.
    Split(Layout<VersionRef>),
}

impl Rule {
    /// Whether any of the matches holds.
    #[must_use]
    pub fn applies<H: Headers + ?Sized, A: Ambient>(&self, request: &Request<'_, H, A>) -> bool {
        self.matches.is_empty() || self.matches.iter().any(|m| m.holds(request))
    }
}

/// Whom something is for.
#[derive(Debug)]
pub enum Who {
    /// Everybody.
    Any,
    /// A request that matches any of these.
    Matching(Vec<Match>),
}

impl Who {
    /// Whether the request is one of theirs.
    #[must_use]
    pub fn includes<H: Headers + ?Sized, A: Ambient>(&self, request: &Request<'_, H, A>) -> bool {
        match self {
            Who::Any => true,
            Who::Matching(matches) => matches.iter().any(|m| m.holds(request)),
        }
    }
}

/// Conditions that must all hold.
#[derive(Debug, Default)]
pub struct Match {
    /// Each header must be as told.
    pub headers: Vec<(HeaderName, StringMatch)>,
    /// No header may be as told.
    pub without_headers: Vec<(HeaderName, StringMatch)>,
    /// Each cookie's first value must be as told.
    pub cookies: Vec<(String, StringMatch)>,
    /// Each query parameter's first value must be as told.
    pub query_params: Vec<(String, StringMatch)>,
    /// Each claim of a verified token must be as told; of a list, one item.
    pub claims: Vec<(String, StringMatch)>,
    /// The method must be one of these, if there are any.
    pub methods: Vec<String>,
    /// The host must be one of these, if there are any.
    pub hosts: Vec<HostPattern>,
    /// The path must be under one of these, if there are any.
    pub paths: Vec<PathPrefix>,
    /// The client's address must be in one of these, if there are any.
    pub source_ips: Vec<Cidr>,
}

impl Match {
    /// Whether all of it holds.
    #[must_use]
    pub fn holds<H: Headers + ?Sized, A: Ambient>(&self, request: &Request<'_, H, A>) -> bool {
        let is = |wanted: &StringMatch, value: &[u8]| {
            if wanted.ignores(value) {
                request.exceed(Limit::Regex);
            }
            wanted.matches(value)
        };
        let header = |(name, wanted): &(HeaderName, StringMatch)| {
            let value = request.headers.joined(name.as_str());
            value.is_some_and(|value| is(wanted, &value))
        };
        let cookie = |(name, wanted): &(String, StringMatch)| {
            let value = request.cookies(name).first().copied();
            value.is_some_and(|value| is(wanted, value))
        };
        let parameter = |(name, wanted): &(String, StringMatch)| {
            request.query(name).is_some_and(|value| is(wanted, value))
        };
        let claim = |(name, wanted): &(String, StringMatch)| {
            let value = request.ambient.claim(name);
            value.is_some_and(|value| claim::texts(&value).into_iter().any(|text| is(wanted, text)))
        };
        one_of(&self.methods, |method| method.as_bytes() == request.method())
            && one_of(&self.hosts, |host| host.matches(&request.host))
            && one_of(&self.paths, |path| path.covers(request.path()))
            && self.comes_from(request)
            && self.headers.iter().all(header)
            && !self.without_headers.iter().any(header)
            && self.cookies.iter().all(cookie)
            && self.query_params.iter().all(parameter)
            && self.claims.iter().all(claim)
    }
}

impl Match {
    fn comes_from<H: Headers + ?Sized, A: Ambient>(&self, request: &Request<'_, H, A>) -> bool {
        let within = |address| self.source_ips.iter().any(|block| block.contains(address));
        self.source_ips.is_empty() || request.ambient.source().is_some_and(within)
    }
}

fn one_of<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(is)
}

/// What a value must be. Values are bytes, and letter case counts.
#[derive(Debug)]
pub enum StringMatch {
    /// These bytes.
    Exact(String),
    /// These bytes at its start.
    Prefix(String),
    /// A regular expression over the whole of it. What is not UTF-8 or longer than [`REGEX_MAX_VALUE`] never matches.
    Regex(Regex),
    /// Anything, even nothing, as long as it is there.
    Present,
}

impl StringMatch {
    /// Compiles a regular expression that must match a value as a whole.
    ///
    /// # Errors
    /// Why it can't be compiled.
    pub fn regex(pattern: &str) -> Result<Self, regex_lite::Error> {
        // By itself first: `a)|(b` would escape from the group below.
        Regex::new(pattern)?;
        RegexBuilder::new(&format!("^(?:{pattern})$"))
            .size_limit(REGEX_MAX_SIZE)
            .build()
            .map(StringMatch::Regex)
    }

    /// Whether the value is as told.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            StringMatch::Exact(wanted) => value == wanted.as_bytes(),
            StringMatch::Prefix(wanted) => value.starts_with(wanted.as_bytes()),
            StringMatch::Regex(regex) => {
                !self.ignores(value) && std::str::from_utf8(value).is_ok_and(|value| regex.is_match(value))
            }
            StringMatch::Present => true,
        }
    }

    /// Whether the value is too long to be looked at.
    #[must_use]
    pub fn ignores(&self, value: &[u8]) -> bool {
        matches!(self, StringMatch::Regex(_)) && value.len() > REGEX_MAX_VALUE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_value_is_matched_as_told() {
        let regex = |pattern| StringMatch::regex(pattern).unwrap();
        let long = "a".repeat(REGEX_MAX_VALUE);
        let longer = "a".repeat(REGEX_MAX_VALUE + 1);
        for (wanted, value, expected) in [
            (StringMatch::Exact("a".into()), &b"a"[..], true),
            (StringMatch::Exact("a".into()), b"A", false),
            (StringMatch::Exact("a".into()), b"ab", false),
            (StringMatch::Prefix("a".into()), b"ab", true),
            (StringMatch::Prefix("a".into()), b"ba", false),
            (StringMatch::Prefix("a".into()), b"a\xff", true),
            (StringMatch::Present, b"", true),
            (regex("a|b"), b"b", true),
            (regex("a|b"), b"ab", false),
            (regex("a.*"), b"xab", false),
            (regex("a"), b"a\n", false),
            (regex("(?i)abc"), b"ABC", true),
            (regex(".*"), b"\xff", false),
            (regex("a*"), long.as_bytes(), true),
            (regex("a*"), longer.as_bytes(), false),
        ] {
            let shown = String::from_utf8_lossy(value)
                .chars()
                .take(20)
                .collect::<String>();
            assert_eq!(wanted.matches(value), expected, "{wanted:?} {shown}");
        }
    }

    #[test]
    fn a_pattern_cannot_escape_from_its_group() {
        assert!(StringMatch::regex("a)|(b").is_err());
        assert!(StringMatch::regex("(").is_err());
    }
}
