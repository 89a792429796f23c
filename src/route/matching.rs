//! Match conditions on a request. Matching reads the request and nothing else.

use regex_lite::{Regex, RegexBuilder};

use super::cidr::Cidr;
use super::scope::{HostPattern, PathPrefix};
use crate::environment::Environment;
use crate::http::header::{HeaderName, Headers};
use crate::http::request::{Limit, Request};

/// The longest value that a regex is matched against, in bytes. A longer value does not match.
pub const REGEX_MAX_VALUE: usize = 1024;

/// The largest program that a regex may compile to, in bytes. The cost of a match grows with the
/// product of the lengths of program and value.
pub const REGEX_MAX_SIZE: usize = 32 * 1024;

/// The requests that may do something, such as ask for a version.
#[derive(Debug)]
pub enum Allow {
    /// Every request.
    Any,
    /// A request that meets any of these matches.
    Matching(Vec<Match>),
}

impl Allow {
    /// Whether the request is allowed.
    #[must_use]
    pub fn includes<H: Headers + ?Sized, E: Environment>(&self, request: &Request<'_, H, E>) -> bool {
        match self {
            Allow::Any => true,
            Allow::Matching(matches) => matches.iter().any(|each| each.holds(request)),
        }
    }
}

/// Conditions that must all hold.
#[derive(Debug, Default)]
pub struct Match {
    /// The conditions, in the order in which they are checked.
    pub conditions: Vec<Condition>,
}

impl Match {
    /// Whether all conditions hold.
    #[must_use]
    pub fn holds<H: Headers + ?Sized, E: Environment>(&self, request: &Request<'_, H, E>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(request))
    }
}

/// One condition of a match. This enum and [`Attribute`] list all kinds.
#[derive(Debug)]
pub enum Condition {
    /// The method is one of these.
    Methods(Vec<String>),
    /// The host is one of these.
    Hosts(Vec<HostPattern>),
    /// The path is under one of these.
    Paths(Vec<PathPrefix>),
    /// The client's address is in one of these blocks.
    SourceIps(Vec<Cidr>),
    /// The attribute has a value that matches.
    Value(Attribute, StringMatch),
    /// The header is absent, or its value does not match.
    WithoutHeader(HeaderName, StringMatch),
}

/// A named part of a request that has values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A header; its lines are joined with a comma.
    Header(HeaderName),
    /// A cookie; its first value counts.
    Cookie(String),
    /// A query parameter; its first value counts.
    QueryParam(String),
    /// A claim of a verified token; each item of a list counts.
    Claim(String),
}

impl Attribute {
    /// Whether the request has the attribute with a value that passes the test.
    pub(super) fn any<H: Headers + ?Sized, E: Environment>(
        &self,
        request: &Request<'_, H, E>,
        mut test: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        match self {
            Attribute::Header(name) => {
                let value = request.header(name.as_str());
                value.is_some_and(|value| test(&value))
            }
            Attribute::Cookie(name) => request.cookies(name).next().is_some_and(test),
            Attribute::QueryParam(name) => request.query_param(name).is_some_and(test),
            Attribute::Claim(name) => {
                let claim = request.claim(name);
                claim.is_some_and(|claim| claim.texts().any(test))
            }
        }
    }
}

impl Condition {
    fn holds<H: Headers + ?Sized, E: Environment>(&self, request: &Request<'_, H, E>) -> bool {
        let matches = |wanted: &StringMatch, value: &[u8]| {
            if wanted.ignores(value) {
                request.exceed(Limit::Regex);
            }
            wanted.matches(value)
        };
        match self {
            Condition::Methods(methods) => methods.iter().any(|method| method.as_bytes() == request.method()),
            Condition::Hosts(hosts) => hosts.iter().any(|host| host.matches(request.host())),
            Condition::Paths(paths) => paths.iter().any(|path| path.covers(request.path())),
            Condition::SourceIps(blocks) => request
                .client_address()
                .is_some_and(|address| blocks.iter().any(|block| block.contains(address))),
            Condition::Value(attribute, wanted) => attribute.any(request, |value| matches(wanted, value)),
            Condition::WithoutHeader(name, wanted) => {
                let value = request.header(name.as_str());
                !value.is_some_and(|value| matches(wanted, &value))
            }
        }
    }
}

/// A condition on a value. Values are bytes, and letter case counts.
#[derive(Debug)]
pub enum StringMatch {
    /// The value is exactly these bytes.
    Exact(String),
    /// The value starts with these bytes.
    Prefix(String),
    /// The regular expression matches the whole value. A value that is not UTF-8 or is longer than
    /// [`REGEX_MAX_VALUE`] does not match.
    Regex(Regex),
    /// The value is present; it may be empty.
    Present,
}

impl StringMatch {
    /// A regular expression that must match a value as a whole.
    ///
    /// # Errors
    /// Why the pattern does not compile.
    pub fn regex(pattern: &str) -> Result<Self, regex_lite::Error> {
        // The pattern must compile by itself: `a)|(b` would escape from the group below.
        Regex::new(pattern)?;
        RegexBuilder::new(&format!("^(?:{pattern})$"))
            .size_limit(REGEX_MAX_SIZE)
            .build()
            .map(StringMatch::Regex)
    }

    /// Whether the value matches.
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

    /// Whether the value is too long for this regex.
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
    fn each_kind_of_string_match() {
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
