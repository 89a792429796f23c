//! Overrides: how a tester asks for a version by name, and who may.

use crate::ambient::Ambient;
use crate::header::{HeaderName, Headers};
use crate::request::Request;
use crate::rule::Match;
use crate::version::is_version_name;

/// Lets testers choose.
#[derive(Debug)]
pub struct Override {
    /// The header that names a version, or one for each of several apps.
    pub header: HeaderName,
    /// Who may use it.
    pub allow: Allow,
}

/// Who may name a version.
#[derive(Debug)]
pub enum Allow {
    /// Everybody.
    Any,
    /// A request that matches any of these.
    Matching(Vec<Match>),
}

impl Override {
    /// The version's name that an allowed tester asks for in this app.
    #[must_use]
    pub fn wanted<H: Headers + ?Sized, A: Ambient>(
        &self,
        app: &str,
        request: &Request<'_, H, A>,
    ) -> Option<String> {
        let value = request.headers.joined(self.header.as_str())?;
        let allowed = match &self.allow {
            Allow::Any => true,
            Allow::Matching(matches) => matches.iter().any(|m| m.holds(request)),
        };
        let value = allowed.then(|| std::str::from_utf8(&value).ok())??;
        named(value, app).map(str::to_owned)
    }
}

/// The version that the value names for an app: `v2` for any app, or a member of a Structured Fields dictionary
/// (RFC 9651 section 3.2) such as `web-api="v2", cart="v1"`. A value that is neither names none.
///
/// Two things are read more widely than in the RFC, as app names may begin with a digit and version names with
/// anything: a key may begin with a digit, and a token with a digit, `.`, `_` or `-`. And one more narrowly: each member
/// must name a version, without parameters; one that does not makes the whole value name none.
#[must_use]
pub fn named<'a>(value: &'a str, app: &str) -> Option<&'a str> {
    let value = trimmed(value);
    if is_version_name(value) {
        return Some(value);
    }
    let mut found = None;
    let mut rest = value;
    loop {
        let (key, member) = rest.split_once('=')?;
        if !is_key(key) {
            return None;
        }
        let (version, after) = match member.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => member.split_at(member.find([',', ' ', '\t', ';']).unwrap_or(member.len())),
        };
        if !is_version_name(version) {
            return None;
        }
        if key == app {
            found = Some(version);
        }
        let after = trimmed(after);
        if after.is_empty() {
            return found;
        }
        rest = trimmed(after.strip_prefix(',')?);
    }
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
}
