//! Cookie attributes, for `pin.cookie` and `override.cookie`, and what browsers refuse.

use super::decode::{Checked, Cursor, Fields};
use crate::http::cookie::{Attributes, SameSite, Secure};
use crate::route::scope::{HostPattern, PathPrefix};

/// Reads the attributes of a cookie, and returns them with its name.
pub(super) fn attributes<'a>(
    fields: &mut Fields<'a, '_>,
    name: Checked<String>,
) -> Checked<(String, Attributes<'a>)> {
    let path = fields.or("path", "/", cookie_path);
    let domain = fields.optional("domain", domain);
    let same_site = fields.or("sameSite", SameSite::Lax, |word| {
        word.word(&[
            ("Lax", SameSite::Lax),
            ("Strict", SameSite::Strict),
            ("None", SameSite::None),
        ])
    });
    let secure = fields.or("secure", Secure::Auto, |secure| match secure.as_string() {
        Some("auto") => Ok(Secure::Auto),
        Some(other) => secure.fail(format!("must be auto, true or false, is {other:?}")),
        None if secure.boolean()? => Ok(Secure::Always),
        None => Ok(Secure::Never),
    });
    let http_only = fields.or("httpOnly", true, |flag| flag.boolean());
    let partitioned = fields.or("partitioned", false, |flag| flag.boolean());
    let name = name?;
    let mut attributes = Attributes {
        max_age: None,
        path: path?,
        domain: domain?,
        secure: secure?,
        http_only: http_only?,
        same_site: same_site?,
        partitioned: partitioned?,
    };
    let mut result = Ok(());
    for (field, reason) in refused_by_browsers(&name, &attributes) {
        result = fields.fail(field, reason);
    }
    result?;
    if attributes.secure == Secure::Auto && needs_secure(&name, &attributes) {
        attributes.secure = Secure::Always;
    }
    Ok((name, attributes))
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.to_ascii_lowercase().starts_with(prefix)
}

fn is_http_only_prefix(name: &str) -> bool {
    has_prefix(name, "__host-http-") || has_prefix(name, "__http-")
}

/// Whether browsers refuse the cookie without `Secure`.
fn needs_secure(name: &str, given: &Attributes<'_>) -> bool {
    let by_prefix = has_prefix(name, "__host-") || has_prefix(name, "__secure-") || is_http_only_prefix(name);
    by_prefix || given.same_site == SameSite::None || given.partitioned
}

/// The reasons why browsers refuse such a cookie (RFC 6265bis sections 4.1.3 and 5.7; CHIPS), each
/// with the wrong field.
fn refused_by_browsers(name: &str, given: &Attributes<'_>) -> Vec<(&'static str, &'static str)> {
    let host_only = has_prefix(name, "__host-");
    let http_only = is_http_only_prefix(name);
    let secure = host_only || http_only || has_prefix(name, "__secure-");
    let never = given.secure == Secure::Never;
    let refusals = [
        (
            never && given.same_site == SameSite::None,
            "secure",
            "must not be false with sameSite None: browsers refuse it",
        ),
        (
            never && given.partitioned,
            "secure",
            "must not be false with partitioned: browsers refuse it",
        ),
        (
            never && secure,
            "secure",
            "must not be false with this prefix of the name: browsers refuse it",
        ),
        (
            host_only && given.path != "/",
            "path",
            "must be / with the name's prefix __Host-: browsers refuse it",
        ),
        (
            host_only && given.domain.is_some(),
            "domain",
            "must not be given with the name's prefix __Host-: browsers refuse it",
        ),
        (
            http_only && !given.http_only,
            "httpOnly",
            "must not be false with this prefix of the name: browsers refuse it",
        ),
    ];
    let refused = refusals.into_iter().filter(|(applies, _, _)| *applies);
    refused.map(|(_, field, reason)| (field, reason)).collect()
}

fn cookie_path<'a>(cursor: Cursor<'a>) -> Checked<&'a str> {
    let path = cursor.string()?;
    let fits = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b';');
    if fits {
        Ok(path)
    } else {
        cursor.fail(format!("must be a path that starts with /, is {path:?}"))
    }
}

/// Reads a domain in lower case without a leading dot. Browsers ignore a leading dot (RFC 6265bis
/// section 5.6.3).
fn domain<'a>(cursor: Cursor<'a>) -> Checked<&'a str> {
    let domain = cursor.string()?;
    let bare = domain.strip_prefix('.').unwrap_or(domain);
    let fits = !bare.is_empty()
        && bare
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    if fits {
        Ok(bare)
    } else {
        cursor.fail(format!("must be a host name, is {domain:?}"))
    }
}

/// The first of the app's paths on which a browser does not send a cookie of this path (RFC 6265bis
/// section 5.1.4).
pub(super) fn uncovered_path<'p>(cookie_path: &str, paths: &'p [PathPrefix]) -> Option<&'p PathPrefix> {
    let covers = |path: &PathPrefix| match path.as_str().strip_prefix(cookie_path) {
        Some(rest) => rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'),
        None => false,
    };
    paths.iter().find(|path| !covers(path))
}

/// The first of the app's hosts whose pages cannot set a cookie of this domain (RFC 6265bis section
/// 5.1.3).
pub(super) fn uncovered_host<'h>(domain: &str, hosts: &'h [HostPattern]) -> Option<&'h HostPattern> {
    let domain = domain.to_ascii_lowercase();
    let matches = |host: &str| {
        let rest = host.strip_suffix(domain.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let covers = |host: &HostPattern| match host {
        HostPattern::Any => false,
        HostPattern::Suffix(suffix) => matches(suffix),
        HostPattern::Exact(host) => matches(host),
    };
    hosts.iter().find(|host| !covers(host))
}

/// The hosts that a cookie of an app reaches: the app's hosts, or all of its domain.
pub(super) fn reach(domain: Option<&str>, hosts: &[HostPattern]) -> Vec<HostPattern> {
    match domain {
        None => hosts.to_vec(),
        Some(domain) => {
            let domain = domain.to_ascii_lowercase();
            vec![
                HostPattern::Suffix(format!(".{domain}")),
                HostPattern::Exact(domain),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_cookie_path_covers_paths_below_it() {
        for (cookie_path, path, expected) in [
            ("/", "/", true),
            ("/", "/a", true),
            ("/a", "/a", true),
            ("/a", "/a/b", true),
            ("/a/", "/a/b", true),
            ("/a/", "/a", false),
            ("/a", "/ab", false),
            ("/a", "/", false),
            ("/a/b", "/a", false),
        ] {
            let paths = [PathPrefix::parse(path).unwrap()];
            assert_eq!(
                uncovered_path(cookie_path, &paths).is_none(),
                expected,
                "{cookie_path} {path}"
            );
        }
    }

    #[test]
    fn a_cookie_domain_covers_itself_and_hosts_below_it() {
        for (domain, host, expected) in [
            ("example.com", "example.com", true),
            ("Example.com", "shop.example.com", true),
            ("example.com", "*.example.com", true),
            ("example.com", "*.shop.example.com", true),
            ("example.com", "notexample.com", false),
            ("shop.example.com", "example.com", false),
            ("shop.example.com", "*.example.com", false),
            ("example.com", "*", false),
        ] {
            let hosts = [HostPattern::parse(host).unwrap()];
            assert_eq!(
                uncovered_host(domain, &hosts).is_none(),
                expected,
                "{domain} {host}"
            );
        }
    }
}
