//! `pin`: how an app keeps its clients on their versions.

use std::sync::Arc;

use super::decode::{Checked, Cursor, Fields};
use super::text;
use crate::http::cookie::{Attributes, CookieTemplate, SameSite, Secure};
use crate::identity::client_key::ClientKey;
use crate::identity::pinning::{Follow, Pinning, Signing};

/// 24 hours, in seconds.
const DEFAULT_TTL: u32 = 24 * 3600;

/// 400 days, in seconds: browsers keep no cookie longer (RFC 6265bis section 5.6.2).
const MAX_TTL: u32 = 400 * 24 * 3600;

/// A cookie and its pin's TTL.
struct Carrier {
    cookie: Option<CookieTemplate>,
    ttl: u32,
}

/// Reads `pin`.
pub(super) fn pinning(
    fields: &mut Fields<'_, '_>,
    app: &str,
    signing: &Checked<Option<Arc<Signing>>>,
) -> Checked<Pinning> {
    fields.section("pin", |fields| read(fields, app, signing))
}

fn read(fields: &mut Fields<'_, '_>, app: &str, signing: &Checked<Option<Arc<Signing>>>) -> Checked<Pinning> {
    let follow = fields.or("follow", Follow::Weights, |follow| {
        follow.word(&[("weights", Follow::Weights), ("version", Follow::Version)])
    });
    let none = Carrier {
        cookie: None,
        ttl: DEFAULT_TTL,
    };
    let carrier = fields.nullable("cookie", default_carrier(app), none, |cursor| cookie(cursor, app));
    let epoch = fields.or("epoch", 0, |epoch| epoch.integer(u32::MAX));
    let renew = fields.or("renew", true, |flag| flag.boolean());
    let header = fields.optional("header", text::own_header);
    let query = fields.optional("query", text::parameter);
    let keys = fields.or("key", Vec::new(), |list| list.some(key));
    let (carrier, header, keys) = (carrier?, header?, keys?);
    let pin_cookie = carrier.cookie.as_ref().map(|cookie| cookie.name.as_str());
    let mut result = Ok(());
    for (i, key) in keys.iter().enumerate() {
        let carried = match key {
            ClientKey::Header(name) => header.as_ref() == Some(name),
            ClientKey::Cookie(name) => pin_cookie == Some(name.as_str()),
            ClientKey::Claim(_) | ClientKey::SourceIp => false,
        };
        if carried {
            let reason = "must not be where the pin is: the pin would change the key";
            result = fields.fail(&format!("key[{i}]"), reason);
        }
    }
    result?;
    Ok(Pinning {
        follow: follow?,
        ttl: carrier.ttl,
        epoch: epoch?,
        renew: renew?,
        cookie: carrier.cookie,
        header,
        query: query?,
        keys,
        signing: signing.clone()?,
    })
}

fn key(cursor: Cursor<'_>) -> Checked<ClientKey> {
    cursor.object(|fields| {
        let header = fields.optional("header", text::header);
        let cookie = fields.optional("cookie", text::token);
        let claim = fields.optional("claim", text::claim);
        let source_ip = fields.optional("sourceIp", |flag| {
            if flag.boolean()? {
                Ok(ClientKey::SourceIp)
            } else {
                flag.fail("must be true, or be left out")
            }
        });
        let given = [
            header?.map(ClientKey::Header),
            cookie?.map(ClientKey::Cookie),
            claim?.map(ClientKey::Claim),
            source_ip?,
        ];
        fields.only(given, "header, cookie, claim, sourceIp")
    })
}

fn default_name(app: &str) -> String {
    format!("pinion-{app}")
}

fn default_carrier(app: &str) -> Carrier {
    let attributes = Attributes {
        max_age: Some(DEFAULT_TTL),
        ..Attributes::SESSION
    };
    Carrier {
        cookie: Some(CookieTemplate::new(default_name(app), &attributes)),
        ttl: DEFAULT_TTL,
    }
}

fn cookie(cursor: Cursor<'_>, app: &str) -> Checked<Carrier> {
    cursor.object(|fields| {
        let name = fields.or("name", default_name(app), text::token);
        let ttl = fields.or("ttl", DEFAULT_TTL, |ttl| text::seconds(ttl, MAX_TTL));
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
        let (name, ttl) = (name?, ttl?);
        let attributes = Attributes {
            max_age: Some(ttl),
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
        Ok(Carrier {
            cookie: Some(CookieTemplate::new(name, &attributes)),
            ttl,
        })
    })
}

/// Why browsers refuse such a cookie (RFC 6265bis sections 4.1.3 and 5.7; CHIPS), each with the field at fault.
fn refused_by_browsers(name: &str, given: &Attributes<'_>) -> Vec<(&'static str, &'static str)> {
    let lower = name.to_ascii_lowercase();
    let host_only = lower.starts_with("__host-");
    let http_only = lower.starts_with("__host-http-") || lower.starts_with("__http-");
    let secure = host_only || http_only || lower.starts_with("__secure-");
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

fn domain<'a>(cursor: Cursor<'a>) -> Checked<&'a str> {
    let domain = cursor.string()?;
    let fits = !domain.is_empty()
        && domain
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    if fits {
        Ok(domain)
    } else {
        cursor.fail(format!("must be a host name, is {domain:?}"))
    }
}
