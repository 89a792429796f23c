//! `apps`: each app, and what must be unique among all apps.

use std::sync::Arc;

use super::cookie;
use super::decode::{Checked, Cursor, Fields};
use super::matching;
use super::outlier;
use super::pinning;
use super::proxy_info::ProxyInfo;
use super::text;
use super::versions;
use crate::app::{App, Inbound, Mode};
use crate::http::header::HeaderName;
use crate::identity::pinning::Signing;
use crate::route::scope::{HostPattern, PathPrefix, ScopeMap};

/// The largest number of apps of a configuration.
const MAX_APPS: usize = 2000;
/// The largest number of rules of an app.
const MAX_RULES: usize = 500;

/// All apps, and the scopes that lead to them.
pub(super) type Apps = (Vec<Arc<App>>, ScopeMap<Arc<App>>);

/// What is known of the apps that were read so far.
#[derive(Default)]
struct Known {
    apps: Vec<Arc<App>>,
    scopes: ScopeMap<Arc<App>>,
    /// The name of each pin cookie, the hosts that it reaches, and its app.
    cookies: Vec<(String, Vec<HostPattern>, Arc<App>)>,
}

/// An app and its scopes.
struct Placed {
    app: Arc<App>,
    hosts: Vec<HostPattern>,
    paths: Vec<PathPrefix>,
}

/// Reads `apps`.
pub(super) fn apps(
    list: &Cursor<'_>,
    around: &impl ProxyInfo,
    signing: &Checked<Option<Arc<Signing>>>,
) -> Checked<Apps> {
    list.at_most(MAX_APPS)?;
    let mut known = Known::default();
    let mut names = Vec::new();
    // Each app is compared with the apps before, so that the error of a conflict has a path.
    list.list(|cursor| {
        let placed = app(&cursor, around, signing, &mut names, known.apps.len())?;
        add(&cursor, placed, &mut known)
    })?;
    Ok((known.apps, known.scopes))
}

fn add(cursor: &Cursor<'_>, placed: Placed, known: &mut Known) -> Checked<()> {
    let Placed { app, hosts, paths } = placed;
    let mut result = Ok(());
    if let Some(cookie) = &app.pinning.cookie {
        let reach = cookie::reach(cookie.domain(), &hosts);
        let meets = |other: &&(String, Vec<HostPattern>, Arc<App>)| {
            other.0 == cookie.name
                && other
                    .1
                    .iter()
                    .any(|theirs| reach.iter().any(|ours| ours.overlaps(theirs)))
        };
        if let Some((_, _, other)) = known.cookies.iter().find(meets) {
            let reason = format!(
                "{:?} is the pin of {:?} already, on hosts that both have",
                cookie.name, other.name
            );
            result = cursor.field_fail("pin.cookie.name", reason);
        }
        known.cookies.push((cookie.name.clone(), reach, app.clone()));
    }
    let names = [
        app.pinning.cookie.as_ref(),
        app.overrides.as_ref().and_then(|given| given.cookie.as_ref()),
    ];
    if let [Some(pin), Some(held)] = names
        && pin.name == held.name
    {
        let reason = format!("must differ from the pin's cookie, {:?}", pin.name);
        result = cursor.field_fail("override.cookie", reason);
    }
    for (field, template) in [
        ("pin.cookie", app.pinning.cookie.as_ref()),
        (
            "override.cookie",
            app.overrides.as_ref().and_then(|given| given.cookie.as_ref()),
        ),
    ] {
        let Some(template) = template else { continue };
        if let Some(path) = cookie::uncovered_path(template.path(), &paths) {
            let reason = format!(
                "must cover the app's path {}: browsers do not send the cookie there",
                path.as_str()
            );
            result = cursor.field_fail(&format!("{field}.path"), reason);
        }
        let uncovered = template
            .domain()
            .and_then(|domain| cookie::uncovered_host(domain, &hosts));
        if let Some(host) = uncovered {
            let reason = format!("must cover the app's host {host}: browsers refuse the cookie there");
            result = cursor.field_fail(&format!("{field}.domain"), reason);
        }
    }
    let Known { apps, scopes, .. } = known;
    for host in &hosts {
        for path in &paths {
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

fn app(
    cursor: &Cursor<'_>,
    around: &impl ProxyInfo,
    signing: &Checked<Option<Arc<Signing>>>,
    names: &mut Vec<String>,
    index: usize,
) -> Checked<Placed> {
    cursor.object(|fields| {
        let name = fields.required("name", |cursor| {
            let name = app_name(&cursor)?;
            if names.contains(&name) {
                return cursor.fail(format!("{name:?} is given twice"));
            }
            names.push(name.clone());
            Ok(name)
        });
        let enabled = fields.or("enabled", true, |enabled| enabled.boolean());
        let hosts = fields.or("hosts", vec![HostPattern::Any], |list| list.some(text::host));
        let paths = fields.or("paths", vec![PathPrefix::ROOT], |list| list.some(text::path));
        let versions = versions::versions(fields);
        let rules = fields.or("rules", Vec::new(), |list| {
            list.at_most(MAX_RULES)?;
            list.list(|cursor| matching::rule(cursor, versions.as_ref().ok()))
        });
        let pinning = pinning::pinning(fields, name.as_deref().unwrap_or_default(), signing);
        let overrides = fields.optional("override", |cursor| matching::overrides(&cursor, signing));
        let inbound = fields.or("inbound", Inbound::Strip, |word| inbound(&word, around));
        let route_header = fields.or("routeHeader", text::VERSION_HEADER, text::own_header);
        let response_header = fields.or("responseHeader", text::VERSION_HEADER, text::own_header);
        let versions_read = versions.as_ref().ok();
        let outlier = fields.optional("outlierDetection", |cursor| {
            outlier::detection(
                &cursor,
                around,
                name.as_deref().unwrap_or_default(),
                versions_read,
            )
        });
        let server_timing = fields.or("serverTiming", false, |flag| flag.boolean());
        let observe = fields.or("observe", Mode::Enforce, |flag| {
            Ok(if flag.boolean()? {
                Mode::Observe
            } else {
                Mode::Enforce
            })
        });
        let pin_header = pinning.as_ref().ok().and_then(|pinning| pinning.header.as_ref());
        let build_header = pinning
            .as_ref()
            .ok()
            .and_then(|pinning| pinning.build.as_ref()?.header.as_ref());
        let override_header = overrides
            .as_ref()
            .ok()
            .and_then(Option::as_ref)
            .and_then(|given| given.header.as_ref());
        let distinct = distinct(
            fields,
            &[
                ("routeHeader", route_header.as_ref().ok()),
                ("responseHeader", response_header.as_ref().ok()),
                ("pin.header", pin_header),
                ("override.header", override_header),
                ("pin.build.header", build_header),
            ],
        );
        let (versions, ()) = (versions?, distinct?);
        Ok(Placed {
            app: Arc::new(App {
                name: name?,
                index,
                enabled: enabled?,
                versions: versions.all,
                schedule: versions.schedule,
                rules: rules?.into(),
                pinning: pinning?,
                overrides: overrides?,
                inbound: inbound?,
                route_header: route_header?,
                response_header: response_header?,
                server_timing: server_timing?,
                outlier_detection: outlier?,
                mode: observe?,
            }),
            hosts: hosts?,
            paths: paths?,
        })
    })
}

/// Reads `inbound`. `keep` is refused on a gateway, where any client can write the route header.
fn inbound(cursor: &Cursor<'_>, around: &impl ProxyInfo) -> Checked<Inbound> {
    let inbound = cursor.word(&[("strip", Inbound::Strip), ("keep", Inbound::Keep)])?;
    let gateway = || around.node_id().is_some_and(|id| id.starts_with("router~"));
    if inbound == Inbound::Keep && gateway() {
        return cursor.fail("must be strip on a gateway: any client could choose its version there");
    }
    Ok(inbound)
}

/// Refuses two headers of an app with the same name. Only `routeHeader` and `responseHeader` may
/// have the same name.
fn distinct(fields: &Fields<'_, '_>, headers: &[(&str, Option<&HeaderName>)]) -> Checked<()> {
    let mut result = Ok(());
    for (i, (field, name)) in headers.iter().enumerate().skip(2) {
        let same = |other: &&(&str, Option<&HeaderName>)| name.is_some() && other.1 == *name;
        // The override header is read from requests only, so it may have the name of the response
        // header.
        let earlier = headers
            .iter()
            .take(i)
            .filter(|(other, _)| (*field, *other) != ("override.header", "responseHeader"));
        for (other, _) in earlier.filter(same) {
            result = fields.fail(field, format!("must differ from {other}"));
        }
    }
    result
}

/// Reads the name of an app: a DNS label (RFC 1123), like the names of Kubernetes objects.
fn app_name(cursor: &Cursor<'_>) -> Checked<String> {
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
