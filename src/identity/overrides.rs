//! Overrides: how a tester asks for a version, by name or by a signed token, and who may ask.
//!
//! The header is read first, then the query, then the cookie. The first value that asks for an
//! allowed version counts.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode;

use super::pinning::Signing;
use super::token::Token;
use crate::environment::Environment;
use crate::http::cookie::CookieTemplate;
use crate::http::header::{HeaderName, Headers};
use crate::http::request::{Limit, Request};
use crate::rollout::version::is_version_name;
use crate::route::matching::Allow;

/// The length of the longest value that is read, in bytes: the tokens of a few apps. A longer value
/// is ignored.
pub const MAX_VALUE: usize = 1024;

/// The query value that expires the override cookie.
const OFF: &str = "off";

/// How testers ask for a version.
#[derive(Debug)]
pub struct Override {
    /// The header that asks, for one app or for several.
    pub header: Option<HeaderName>,
    /// The query parameter that asks. The path goes upstream without this parameter.
    pub query: Option<String>,
    /// The session cookie that holds what the query asked for.
    pub cookie: Option<CookieTemplate>,
    /// The requests that may ask by a bare name. None: only signed tokens count.
    pub allow: Option<Allow>,
    /// The keys that verify tokens.
    pub signing: Option<Arc<Signing>>,
}

/// The version that a request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The name of a version. The app may not have this version.
    pub version: Option<String>,
    /// The change of the override cookie.
    pub cookie: Option<CookieChange>,
    /// Whether the request asked for a version and was not allowed to.
    pub denied: bool,
}

/// A change of the override cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CookieChange {
    /// The cookie is set to this version's name or this token, which was verified.
    Set(String),
    /// The cookie is expired.
    Expire,
}

/// A version that a value asks for, and is allowed to.
struct Grant {
    version: String,
    /// The version's name or the token, as the override cookie holds it.
    value: String,
}

impl Override {
    /// The version that the request asks for in this app.
    #[must_use]
    #[inline(never)]
    pub fn asked<H: Headers + ?Sized, E: Environment>(
        &self,
        app: &str,
        request: &Request<'_, H, E>,
    ) -> Asked {
        let by_header = self
            .header
            .as_ref()
            .and_then(|name| request.headers().joined(name.as_str()));
        let by_query: Option<Cow<'_, [u8]>> = self
            .query
            .as_ref()
            .and_then(|name| request.query_param(name))
            .map(|value| percent_decode(value).into());
        // Some clients percent-encode `~`.
        let held = || -> Option<Cow<'_, [u8]>> {
            let value = request.cookies(&self.cookie.as_ref()?.name).next()?;
            Some(percent_decode(value).into())
        };
        let off = by_query.as_deref() == Some(OFF.as_bytes());
        let asks = by_header.is_some() || (by_query.is_some() && !off);
        if let Some(grant) = by_header.and_then(|value| self.grant(&value, app, request)) {
            return Asked {
                version: Some(grant.version),
                ..Asked::default()
            };
        }
        if off {
            return Asked {
                cookie: held().map(|_| CookieChange::Expire),
                denied: asks,
                ..Asked::default()
            };
        }
        if let Some(grant) = by_query.and_then(|value| self.grant(&value, app, request)) {
            let is_set = self.cookie.is_some() && held().as_deref() != Some(grant.value.as_bytes());
            return Asked {
                version: Some(grant.version),
                cookie: is_set.then_some(CookieChange::Set(grant.value)),
                denied: false,
            };
        }
        let held = held();
        let grant = held.as_deref().and_then(|value| self.grant(value, app, request));
        Asked {
            denied: grant.is_none() && (asks || held.is_some()),
            version: grant.map(|grant| grant.version),
            cookie: None,
        }
    }

    /// The version that a value asks for. None if the value is malformed or not allowed.
    fn grant<H: Headers + ?Sized, E: Environment>(
        &self,
        value: &[u8],
        app: &str,
        request: &Request<'_, H, E>,
    ) -> Option<Grant> {
        if value.len() > MAX_VALUE {
            request.exceed(Limit::Override);
            return None;
        }
        let asked = member(std::str::from_utf8(value).ok()?, app)?;
        if !asked.contains('~') {
            let allowed = self.allow.as_ref().is_some_and(|allow| allow.includes(request));
            return allowed.then(|| Grant {
                version: asked.to_owned(),
                value: asked.to_owned(),
            });
        }
        let (token, seal) = Token::parse(asked)?;
        self.signing.as_ref()?.keys.verify(app, &token, &seal).ok()?;
        (token.expires > request.now()).then(|| Grant {
            version: token.version.to_owned(),
            value: token.encode(&seal),
        })
    }

    /// The path without the query parameter. None if the path does not have this parameter.
    #[must_use]
    #[inline(never)]
    pub fn path_without_query<'a>(&self, path: &'a [u8]) -> Option<Cow<'a, str>> {
        let name = self.query.as_ref()?.as_bytes();
        let (before, query) = std::str::from_utf8(path).ok()?.split_once('?')?;
        let is_ours = |pair: &&str| pair.split('=').next().map(str::as_bytes) == Some(name);
        if !query.split('&').any(|pair| is_ours(&pair)) {
            return None;
        }
        let rest: Vec<_> = query.split('&').filter(|pair| !is_ours(pair)).collect();
        Some(if rest.is_empty() {
            Cow::Borrowed(before)
        } else {
            Cow::Owned(format!("{before}?{}", rest.join("&")))
        })
    }
}

/// The version's name or the token that a value has for an app: `v2` or a token for any app, or the
/// app's member of a Structured Fields dictionary (RFC 9651 section 3.2) such as
/// `web-api="v2", cart="v1"`. None for any other value.
///
/// The syntax is wider than the RFC's in two points: a key may begin with a digit, as app names
/// may, and a token with a digit, `.`, `_` or `-`, as version names may. The syntax is narrower in
/// one point: each member must be a version's name or a token, without parameters. Any other member
/// makes the whole value malformed.
#[must_use]
pub fn member<'a>(value: &'a str, app: &str) -> Option<&'a str> {
    let value = trimmed(value);
    if is_request(value) {
        return Some(value);
    }
    let mut found = None;
    let mut rest = value;
    loop {
        let (key, member) = rest.split_once('=')?;
        if !is_key(key) {
            return None;
        }
        let (asked, after) = match member.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => member.split_at(member.find([',', ' ', '\t', ';']).unwrap_or(member.len())),
        };
        if !is_request(asked) {
            return None;
        }
        if key == app {
            found = Some(asked);
        }
        let after = trimmed(after);
        if after.is_empty() {
            return found;
        }
        rest = trimmed(after.strip_prefix(',')?);
    }
}

/// Whether the text is a version's name or has the form of a token.
fn is_request(text: &str) -> bool {
    is_version_name(text) || (text.contains('~') && text.split('~').all(is_version_name))
}

fn trimmed(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::FixedEnvironment;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_version_is_named_for_all_apps_or_for_one() {
        for (value, expected) in [
            ("v2", Some("v2")),
            (" v2\t", Some("v2")),
            ("2.0-SNAPSHOT", Some("2.0-SNAPSHOT")),
            ("v2~1~override~k~m", Some("v2~1~override~k~m")),
            ("shop=\"v2~1~override~k~m\", cart=v1", Some("v2~1~override~k~m")),
            ("v2~", None),
            ("shop=\"v2\"", Some("v2")),
            ("shop=v2", Some("v2")),
            ("cart=\"v1\", shop=\"v2\"", Some("v2")),
            ("cart=\"v1\",shop=\"v2\"", Some("v2")),
            ("shop=\"v2\" \t,\t cart=\"v1\"", Some("v2")),
            ("shop=\"v1\", shop=\"v2\"", Some("v2")),
            ("cart=\"v1\"", None),
            ("shop=\"v2\",", None),
            ("shop=\"v2\" cart=\"v1\"", None),
            ("shop=\"v2\";q=1", None),
            ("shop=\"v2", None),
            ("shop=", None),
            ("=v2", None),
            ("Shop=\"v2\"", None),
            ("shop=\"v 2\"", None),
            ("shop=\"\"", None),
            ("v1, v2", None),
            ("v1, shop=v2", None),
            ("", None),
            (",", None),
        ] {
            assert_eq!(member(value, "shop"), expected, "{value:?}");
        }
    }

    #[test]
    fn the_parameter_is_taken_out_of_the_path() {
        let by_query = Override {
            header: None,
            query: Some("o".into()),
            cookie: None,
            allow: Some(Allow::Any),
            signing: None,
        };
        for (path, expected) in [
            ("/a?o=v2", Some("/a")),
            ("/a?o", Some("/a")),
            ("/a?x=1&o=v2&y=2", Some("/a?x=1&y=2")),
            ("/a?o=1&x&o=2", Some("/a?x")),
            ("/a?o=v2&", Some("/a?")),
            ("/a?oo=1&x=o", None),
            ("/a?", None),
            ("/a", None),
            ("/o=v2", None),
        ] {
            assert_eq!(
                by_query.path_without_query(path.as_bytes()).as_deref(),
                expected,
                "{path:?}"
            );
        }
        assert_eq!(by_query.path_without_query(b"/\xff?o=v2"), None);
    }

    #[test]
    fn a_value_is_read_up_to_the_limit() {
        let by_header = Override {
            header: HeaderName::new("x-override"),
            query: None,
            cookie: None,
            allow: Some(Allow::Any),
            signing: None,
        };
        for (length, expected) in [(MAX_VALUE, Some("v2")), (MAX_VALUE + 1, None)] {
            let value = format!("{:>length$}", "v2");
            let headers = [("x-override", value)];
            let environment = FixedEnvironment::default();
            let request = Request::new(headers.as_slice(), &environment);
            let asked = by_header.asked("shop", &request);
            assert_eq!(asked.version.as_deref(), expected, "{length}");
            assert_eq!(request.exceeded().contains(Limit::Override), expected.is_none());
        }
    }
}
