//! `pin`: how an app keeps its clients on their versions.

use std::sync::Arc;

use super::cookie;
use super::decode::{Checked, Cursor, Fields};
use super::text;
use crate::http::cookie::{Attributes, CookieTemplate};
use crate::identity::client_key::{ClientKey, InitialSlot};
use crate::identity::pinning::{BuildId, Cacheable, Follow, Pinning, Signing};

/// 24 hours, in seconds.
const DEFAULT_TTL: u32 = 24 * 3600;

/// 400 days in seconds: browsers keep no cookie longer (RFC 6265bis section 5.6.2).
const MAX_AGE: u32 = 400 * 24 * 3600;

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
    let carrier = fields.nullable("cookie", default_carrier(app), none, |cursor| {
        pin_cookie(cursor, app)
    });
    let epoch = fields.or("epoch", 0, |epoch| epoch.integer(u32::MAX));
    let renew = fields.or("renew", true, |flag| flag.boolean());
    let header = fields.optional("header", text::own_header);
    let query = fields.optional("query", text::parameter);
    let keys = fields.or("key", Vec::new(), |list| list.some(key));
    let initial = fields.or("initial", Vec::new(), |list| list.some(initial));
    let build = fields.optional("build", |cursor| build(&cursor));
    let cacheable = fields.or("cacheable", Cacheable::Withhold, |word| {
        word.word(&[("withhold", Cacheable::Withhold), ("private", Cacheable::Private)])
    });
    let (carrier, header, keys, query) = (carrier?, header?, keys?, query?);
    let (initial, build) = (initial?, build?);
    let pin_cookie = carrier.cookie.as_ref().map(|cookie| cookie.name.as_str());
    let carries_pin = |key: &ClientKey| match key {
        ClientKey::Header(name) => header.as_ref() == Some(name),
        ClientKey::Cookie(name) => pin_cookie == Some(name.as_str()),
        ClientKey::Claim(_) | ClientKey::SourceIp => false,
    };
    let mut result = Ok(());
    for (i, _) in keys.iter().enumerate().filter(|(_, key)| carries_pin(key)) {
        let reason = "must not be where the pin is: the pin would change the key";
        result = fields.fail(&format!("key[{i}]"), reason);
    }
    for (i, item) in initial.iter().enumerate() {
        if let Some(part) = item.parts.iter().position(carries_pin) {
            let reason = "must not be where the pin is: the client would choose its slot";
            result = fields.fail(&format!("initial[{i}].parts[{part}]"), reason);
        }
    }
    if let Some(build) = &build {
        if build.header.is_some() && build.header == header {
            result = fields.fail(
                "build.header",
                "must differ from header: a new pin would overwrite the build id",
            );
        }
        if build.query.is_some() && build.query == query {
            result = fields.fail("build.query", "must differ from query, which carries a pin");
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
        query,
        keys,
        initial,
        build,
        cacheable: cacheable?,
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

/// One item of `initial`.
fn initial(cursor: Cursor<'_>) -> Checked<InitialSlot> {
    cursor.object(|fields| {
        let parts = fields.required("parts", |list| list.some(key));
        let every = fields.optional("every", |every| text::seconds(every, MAX_AGE));
        Ok(InitialSlot {
            parts: parts?,
            every: every?,
        })
    })
}

fn build(cursor: &Cursor<'_>) -> Checked<BuildId> {
    cursor.object(|fields| {
        let header = fields.optional("header", text::header);
        let query = fields.optional("query", text::parameter);
        let (header, query) = (header?, query?);
        if header.is_none() && query.is_none() {
            return fields.fail_all("must have a header or a query");
        }
        Ok(BuildId { header, query })
    })
}

fn default_name(app: &str) -> String {
    format!("pinion-{app}")
}

fn default_carrier(app: &str) -> Carrier {
    let attributes = Attributes {
        max_age: Some(DEFAULT_TTL.saturating_mul(2)),
        ..Attributes::SESSION
    };
    Carrier {
        cookie: Some(CookieTemplate::new(default_name(app), &attributes)),
        ttl: DEFAULT_TTL,
    }
}

/// Reads `cookie`. The cookie outlives the pin by `grace`, so that an open page keeps its version
/// after the TTL.
fn pin_cookie(cursor: Cursor<'_>, app: &str) -> Checked<Carrier> {
    cursor.object(|fields| {
        let name = fields.or("name", default_name(app), text::token);
        let ttl = fields.or("ttl", DEFAULT_TTL, |ttl| text::seconds(ttl, MAX_AGE));
        let grace = fields.optional("grace", |grace| match grace.string()? {
            "0s" => Ok(0),
            _ => text::seconds(grace, MAX_AGE),
        });
        let session = fields.or("session", false, |flag| flag.boolean());
        let cookie = cookie::attributes(fields, name);
        let (ttl, grace, session, (name, attributes)) = (ttl?, grace?, session?, cookie?);
        if session && grace.is_some() {
            return fields.fail(
                "grace",
                "must not be given with session: the browser keeps the cookie until it ends",
            );
        }
        let max_age = ttl.saturating_add(grace.unwrap_or(ttl));
        if grace.is_some() && max_age > MAX_AGE {
            let longest = MAX_AGE / 3600;
            return fields.fail(
                "grace",
                format!("must not exceed {longest}h together with ttl: browsers keep no cookie longer"),
            );
        }
        let attributes = Attributes {
            max_age: (!session).then_some(max_age.min(MAX_AGE)),
            ..attributes
        };
        Ok(Carrier {
            cookie: Some(CookieTemplate::new(name, &attributes)),
            ttl,
        })
    })
}
