//! Apps, and what must be unique among them.

use std::rc::Rc;

use super::decode::{Checked, Cursor, Fields, Invalid};
use super::matching;
use super::pinning;
use super::text;
use super::versions;
use super::{App, Inbound, Surroundings};
use crate::header::HeaderName;
use crate::scope::{HostPattern, PathPrefix, ScopeMap};

/// Both on the request and on the response, unless told otherwise.
pub(super) const DEFAULT_HEADER: HeaderName = HeaderName::ours("x-app-version");

/// All apps, and where each is found.
pub(super) type Apps = (Vec<Rc<App>>, ScopeMap<Rc<App>>);

/// An app and its place.
struct Placed {
    app: Rc<App>,
    hosts: Vec<HostPattern>,
    paths: Vec<PathPrefix>,
}

/// Reads `apps`.
pub(super) fn apps(list: &Cursor<'_>, around: &impl Surroundings) -> Checked<Apps> {
    let mut known = Apps::default();
    // Each app is held against those before it, so that a clash has a place.
    list.list(|cursor| {
        let placed = app(&cursor, around)?;
        add(&cursor, placed, &mut known)
    })?;
    Ok(known)
}

fn add(cursor: &Cursor<'_>, placed: Placed, (apps, scopes): &mut Apps) -> Checked<()> {
    let app = placed.app;
    let mut result = Ok(());
    if apps.iter().any(|other| other.name == app.name) {
        result = cursor.field_fail("name", format!("{:?} is given twice", app.name));
    }
    if let Some(cookie) = &app.pinning.cookie {
        let same = |other: &&Rc<App>| {
            other
                .pinning
                .cookie
                .as_ref()
                .is_some_and(|other| other.name == cookie.name)
        };
        if let Some(other) = apps.iter().find(same) {
            let reason = format!("{:?} is the pin of {:?} already", cookie.name, other.name);
            result = cursor.field_fail("pin.cookie.name", reason);
        }
    }
    for host in &placed.hosts {
        for path in &placed.paths {
            if let Err(other) = scopes.insert(host, path, app.clone()) {
                let taken = if other.name == app.name {
                    "is given twice".to_owned()
                } else {
                    format!("belongs to {:?} already", other.name)
                };
                result = cursor.fail(format!("host {host} with path {} {taken}", path.as_str()));
            }
        }
    }
    apps.push(app);
    result
}

fn app(cursor: &Cursor<'_>, around: &impl Surroundings) -> Checked<Placed> {
    cursor.object(|fields| {
        let name = fields.required("name", app_name);
        let enabled = fields.or("enabled", true, |enabled| enabled.boolean());
        let hosts = fields.or("hosts", vec![HostPattern::Any], |list| list.some(text::host));
        let paths = fields.or("paths", vec![PathPrefix::ROOT], |list| list.some(text::path));
        let versions = versions::versions(fields);
        let rules = match &versions {
            Ok(versions) => fields.or("rules", Vec::new(), |list| {
                list.list(|cursor| matching::rule(cursor, versions))
            }),
            // Without versions nothing can be said of what the rules name.
            Err(Invalid) => fields.skip("rules"),
        };
        let pinning = pinning::pinning(fields, name.as_deref().unwrap_or_default());
        let overrides = fields.optional("override", matching::overrides);
        let inbound = fields.or("inbound", Inbound::Strip, |word| inbound(&word, around));
        let route_header = fields.or("routeHeader", DEFAULT_HEADER, text::own_header);
        let response_header = fields.or("responseHeader", DEFAULT_HEADER, text::own_header);
        let (versions, pinning, overrides) = (versions?, pinning?, overrides?);
        let (route_header, response_header) = (route_header?, response_header?);
        distinct(
            fields,
            &[
                ("routeHeader", Some(&route_header)),
                ("pin.header", pinning.header.as_ref()),
                (
                    "override.header",
                    overrides.as_ref().map(|overrides| &overrides.header),
                ),
            ],
        )?;
        distinct(
            fields,
            &[
                ("responseHeader", Some(&response_header)),
                ("pin.header", pinning.header.as_ref()),
            ],
        )?;
        Ok(Placed {
            app: Rc::new(App {
                name: name?,
                enabled: enabled?,
                versions: versions.all,
                layout: versions.layout,
                rules: rules?,
                pinning,
                overrides,
                inbound: inbound?,
                route_header,
                response_header,
            }),
            hosts: hosts?,
            paths: paths?,
        })
    })
}

/// On a gateway every route header is a stranger's word.
fn inbound(cursor: &Cursor<'_>, around: &impl Surroundings) -> Checked<Inbound> {
    let inbound = cursor.word(&[("strip", Inbound::Strip), ("keep", Inbound::Keep)])?;
    let gateway = || around.node_id().is_some_and(|id| id.starts_with("router~"));
    if inbound == Inbound::Keep && gateway() {
        return cursor.fail("must be strip on a gateway: any client could choose its version there");
    }
    Ok(inbound)
}

/// A header has one meaning in an app.
fn distinct(fields: &Fields<'_, '_>, headers: &[(&str, Option<&HeaderName>)]) -> Checked<()> {
    for (i, (field, name)) in headers.iter().enumerate() {
        let same = |other: &&(&str, Option<&HeaderName>)| name.is_some() && other.1 == *name;
        if let Some((other, _)) = headers.iter().take(i).find(same) {
            return fields.fail(field, format!("must differ from {other}"));
        }
    }
    Ok(())
}

/// A DNS label, as Kubernetes names things.
fn app_name(cursor: Cursor<'_>) -> Checked<String> {
    let name = cursor.string()?;
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain && (1..=63).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-') {
        Ok(name.to_owned())
    } else {
        cursor.fail(format!(
            "must be 1 to 63 small letters, digits or inner hyphens, is {name:?}"
        ))
    }
}
