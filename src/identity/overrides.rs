//! Overrides: how a tester asks for a version, by name or by a signed token, and who may.
//!
//! It reads the header, then the query, then the cookie; the first that asks for something allowed counts.

use std::borrow::Cow;
use std::rc::Rc;

use crate::environment::Ambient;
use crate::http::cookie::CookieTemplate;
use crate::http::header::{HeaderName, Headers};
use crate::http::request::{Limit, Request, percent_decoded};
use crate::identity::pin::Signing;
use crate::identity::token::Token;
use crate::rollout::version::is_version_name;
use crate::route::matching::Who;

/// The longest value that is read, in bytes: a few apps' tokens. A longer one asks for nothing.
pub const MAX_VALUE: usize = 1024;

/// What ends the cookie, by query.
const OFF: &str = "off";

/// Lets testers choose.
#[derive(Debug)]
pub struct Override {
    /// The header that asks, for one app or for several.
    pub header: Option<HeaderName>,
    /// The query parameter that asks; it is taken out of the path.
    pub query: Option<String>,
    /// The session cookie that holds a token given by query.
    pub cookie: Option<CookieTemplate>,
    /// Who may ask by a bare name; none: only signed tokens count.
    pub allow: Option<Who>,
    /// What verifies tokens.
    pub signing: Option<Rc<Signing>>,
}

/// What a request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The name of a version, which the app may not have.
    pub version: Option<String>,
    /// What becomes of the cookie.
    pub cookie: Option<CookieChange>,
    /// Whether something was asked for that was not granted.
    pub denied: bool,
}

/// What becomes of the cookie that holds a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CookieChange {
    /// It holds this token, which was verified.
    Hold(String),
    /// It ends.
    End,
}

impl Override {
    /// What an allowed tester asks for in this app.
    #[must_use]
    #[inline(never)]
    pub fn asked<H: Headers + ?Sized, A: Ambient>(&self, app: &str, request: &Request<'_, H, A>) -> Asked {
        let by_header = self
            .header
            .as_ref()
            .and_then(|name| request.headers.joined(name.as_str()));
        let by_query = self
            .query
            .as_ref()
            .and_then(|name| request.query(name))
            .map(percent_decoded);
        let held = || {
            self.cookie
                .as_ref()
                .and_then(|cookie| request.cookies(&cookie.name).first().copied())
        };
        let off = by_query.as_deref() == Some(OFF.as_bytes());
        let asks = by_header.is_some() || (by_query.is_some() && !off);
        if let Some((version, _)) = by_header.and_then(|value| self.grant(&value, app, request)) {
            return Asked {
                version: Some(version),
                ..Asked::default()
            };
        }
        if off {
            return Asked {
                cookie: held().map(|_| CookieChange::End),
                denied: asks,
                ..Asked::default()
            };
        }
        if let Some((version, token)) = by_query.and_then(|value| self.grant(&value, app, request)) {
            let already = |token: &String| held() == Some(token.as_bytes());
            let hold = token.filter(|token| self.cookie.is_some() && !already(token));
            return Asked {
                version: Some(version),
                cookie: hold.map(CookieChange::Hold),
                denied: false,
            };
        }
        let held = held();
        let granted = held.and_then(|value| self.grant(value, app, request));
        Asked {
            denied: granted.is_none() && (asks || held.is_some()),
            version: granted.map(|(version, _)| version),
            cookie: None,
        }
    }

    /// The version that a value asks for, if it may, and the token if it is one.
    fn grant<H: Headers + ?Sized, A: Ambient>(
        &self,
        value: &[u8],
        app: &str,
        request: &Request<'_, H, A>,
    ) -> Option<(String, Option<String>)> {
        if value.len() > MAX_VALUE {
            request.exceed(Limit::Override);
            return None;
        }
        let asked = named(std::str::from_utf8(value).ok()?, app)?;
        if !asked.contains('~') {
            let allowed = self.allow.as_ref().is_some_and(|allow| allow.includes(request));
            return allowed.then(|| (asked.to_owned(), None));
        }
        let (token, seal) = Token::parse(asked)?;
        self.signing.as_ref()?.keys.verify(app, &token, &seal).ok()?;
        let lives = token.expires > request.ambient.now();
        lives.then(|| (token.version.to_owned(), Some(token.written(&seal))))
    }

    /// The path as it goes upstream, where it carries the query parameter.
    #[must_use]
    #[inline(never)]
    pub fn cleaned_path<'a>(&self, path: &'a [u8]) -> Option<Cow<'a, str>> {
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

/// What a value asks for in an app: `v2` or a token for any app, or a member of a Structured Fields dictionary (RFC 9651
/// section 3.2) such as `web-api="v2", cart="v1"`. A value that is neither asks for nothing.
///
/// Two things are read more widely than in the RFC, as app names may begin with a digit and version names with
/// anything: a key may begin with a digit, and a token with a digit, `.`, `_` or `-`. And one more narrowly: each member
/// must be a version's name or a token, without parameters; one that is not makes the whole value ask for nothing.
#[must_use]
pub fn named<'a>(value: &'a str, app: &str) -> Option<&'a str> {
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

/// A version's name, or what may be a token.
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
            assert_eq!(named(value, "shop"), expected, "{value:?}");
        }
    }

    #[test]
    fn the_parameter_is_taken_out_of_the_path() {
        let by_query = Override {
            header: None,
            query: Some("o".into()),
            cookie: None,
            allow: Some(Who::Any),
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
                by_query.cleaned_path(path.as_bytes()).as_deref(),
                expected,
                "{path:?}"
            );
        }
        assert_eq!(by_query.cleaned_path(b"/\xff?o=v2"), None);
    }
}
