//! The header edits that carry out a decision.

use std::borrow::Cow;

use super::outcome::{ClientState, Decision};
use crate::app::{App, Edge};
use crate::http::cacheability::{self, Cacheability, FreshBy};
use crate::http::edit::{Edit, Edits, unconnected};
use crate::http::fetch::{self, FetchKind};
use crate::http::header::Headers;
use crate::identity::overrides::CookieChange;
use crate::identity::pinning::Cacheable;

/// The edits of a request.
///
/// The app's route header is replaced. Route headers of other apps and a client's own mirror marks
/// are removed. In observe mode no header changes.
pub fn request_edits<'a, H: Headers + ?Sized>(
    edge: &'a Edge,
    headers: &'a H,
    decision: Option<&'a Decision>,
) -> Edits<'a> {
    let mut edits = Edits::new();
    if decision.is_some_and(Decision::is_observed) {
        return edits;
    }
    let route_header = decision.map(|decision| decision.app.route_header.as_str());
    let found = strip(edge, headers, route_header, &mut edits);
    let Some(decision) = decision else {
        return edits;
    };
    let app = &decision.app;
    let (name, value) = (app.route_header.as_str(), Cow::Borrowed(&*decision.version.name));
    edits.push(if found.route_header {
        Edit::Replace(name, value)
    } else {
        Edit::Add(name, value)
    });
    if let Some(overrides) = &app.overrides
        && let Some(path) = headers
            .first(":path")
            .and_then(|path| overrides.path_without_query(path))
    {
        edits.push(Edit::Replace(":path", Cow::Owned(path.into_owned())));
    }
    if let Some(pin) = decision.new_pin() {
        // The page's server hands the pin on to the page's parts.
        if let Some(header) = &app.pinning.header {
            edits.push(Edit::Replace(header.as_str(), Cow::Borrowed(pin)));
        }
        if let Some(cookie) = &app.pinning.cookie {
            edits.extend(with_cookie(headers, &cookie.name, pin));
        }
    }
    if decision.client_state.is_some() && fetch::kind(headers) != FetchKind::PagePart {
        edits.extend(without_conditions(headers));
    }
    if found.connection {
        let connection = unconnected(headers, &edits);
        edits.extend(connection);
    }
    edits
}

/// Adds a new pin to the request's cookies, as the client will send it from now on. So another gateway behind this one, or
/// this gateway after an internal redirect, decides alike.
///
/// None if the client shows no sign of keeping cookies: a cache behind this proxy may pass by every request with a cookie.
/// None if the cookies are not UTF-8.
#[inline(never)]
fn with_cookie<'a, H: Headers + ?Sized>(headers: &H, name: &str, pin: &str) -> Option<Edit<'a>> {
    let lines: Vec<_> = headers
        .lines("cookie")
        .map(std::str::from_utf8)
        .collect::<Result<_, _>>()
        .ok()?;
    if lines.is_empty() {
        let is_browser = fetch::kind(headers) != FetchKind::Unknown;
        return is_browser.then(|| Edit::Add("cookie", Cow::Owned(format!("{name}={pin}"))));
    }
    let mut cookies = lines.join("; ");
    let is_ours = |pair: &str| pair.split('=').next().map(str::trim) == Some(name);
    if cookies.split(';').any(is_ours) {
        let others: Vec<_> = cookies.split(';').filter(|pair| !is_ours(pair)).collect();
        cookies = others.join(";").trim_start().to_owned();
    }
    if !cookies.is_empty() {
        cookies.push_str("; ");
    }
    cookies.extend([name, "=", pin]);
    Some(Edit::Replace("cookie", Cow::Owned(cookies)))
}

/// Removes the conditions of a request whose client gets new state: a shared cache would merge the headers of a 304 into its
/// stored response (RFC 9111 section 4.3.4), and the other version may have given the validator. Parts of a page keep theirs:
/// the page brings the state.
fn without_conditions<'a, H: Headers + ?Sized>(headers: &H) -> impl Iterator<Item = Edit<'a>> {
    let conditions = ["if-none-match", "if-modified-since"];
    conditions
        .into_iter()
        .filter(|name| headers.first(name).is_some())
        .map(Edit::Remove)
}

/// Headers that a request has.
#[derive(Default)]
struct Found {
    route_header: bool,
    connection: bool,
}

/// Removes the headers that no client may send, except the app's route header.
fn strip<'a, H: Headers + ?Sized>(
    edge: &'a Edge,
    headers: &'a H,
    route_header: Option<&str>,
    edits: &mut Edits<'a>,
) -> Found {
    let mut found = Found::default();
    for (name, _) in headers.all() {
        if !edge.strips(name) {
            found.connection |= name == b"connection";
            continue;
        }
        // Envoy's header names are ASCII.
        let name = std::str::from_utf8(name).unwrap_or_default();
        if Some(name) == route_header {
            found.route_header = true;
        } else if !edits.contains(&Edit::Remove(name)) {
            edits.push(Edit::Remove(name));
        }
    }
    found
}

/// What a response from an upstream gets.
#[derive(Debug, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The edits of the response.
    pub edits: Edits<'a>,
    /// Whether the upstream names another version than the decided version.
    pub is_mismatch: bool,
    /// Why a new pin is withheld, if it is.
    pub withheld: Option<FreshBy>,
}

/// The stamp of a response that an upstream gave. A response that Envoy made itself gets none. The
/// clock is in Unix seconds.
pub fn stamp<'a, H: Headers + ?Sized>(
    decision: &'a Decision,
    response: &'a H,
    now: impl FnOnce() -> u64,
) -> Stamp<'a> {
    let app = &decision.app;
    let version = &decision.version;
    let served = response.joined(app.response_header.as_str());
    let is_decided =
        |served: &[u8]| *served == *version.name.as_bytes() || *served == *version.label.as_bytes();
    let is_mismatch = served.as_ref().is_some_and(|served| !is_decided(served));
    let state = decision.client_state.as_ref();
    let carriage = state.map(|state| Carriage::of(app, state, response, now));
    let mut stamp = Stamp {
        edits: Edits::new(),
        is_mismatch,
        withheld: match carriage {
            Some(Carriage::Withheld(by)) if decision.new_pin().is_some() => Some(by),
            _ => None,
        },
    };
    if decision.is_observed() {
        return stamp;
    }
    if served.is_none() {
        let label = Cow::Borrowed(version.label.as_str());
        stamp.edits.push(Edit::Add(app.response_header.as_str(), label));
    }
    if app.server_timing {
        stamp.edits.push(server_timing("version", &version.label));
    }
    if let (Some(state), Some(Carriage::Private | Carriage::MadePrivate)) = (state, carriage) {
        if carriage == Some(Carriage::MadePrivate) {
            stamp.edits.extend(cacheability::make_private(response));
        }
        set_pin(&mut stamp.edits, app, state);
        stamp.edits.extend(override_edit(app, state));
    }
    stamp
}

/// How a response carries the state to set at the client. A shared cache would give one client's state to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carriage {
    /// The response is private.
    Private,
    /// The response becomes private.
    MadePrivate,
    /// The response stays as it is, without the state.
    Withheld(FreshBy),
}

impl Carriage {
    fn of<H: Headers + ?Sized>(
        app: &App,
        state: &ClientState,
        response: &H,
        now: impl FnOnce() -> u64,
    ) -> Self {
        // The headers of a 304 become those of a stored response.
        if response.first(":status") == Some(b"304") {
            return Carriage::Withheld(FreshBy::NotModified);
        }
        // The override cookie is always set and expired.
        let withholds = app.pinning.cacheable == Cacheable::Withhold && state.override_cookie.is_none();
        match cacheability::of(response, now) {
            Cacheability::Private => Carriage::Private,
            Cacheability::Fresh(by) if withholds => Carriage::Withheld(by),
            Cacheability::Fresh(_) | Cacheability::Revalidated => Carriage::MadePrivate,
        }
    }
}

/// Adds a metric without a duration to `Server-Timing` (W3C). The description is a quoted-string (RFC 9110 section 5.6.4).
pub(super) fn server_timing(name: &str, description: &str) -> Edit<'static> {
    let escaped = description.replace('\\', "\\\\").replace('"', "\\\"");
    Edit::Append("server-timing", Cow::Owned(format!("{name};desc=\"{escaped}\"")))
}

/// Sets the client's new pin.
#[inline(never)]
fn set_pin<'a>(edits: &mut Edits<'a>, app: &'a App, state: &'a ClientState) {
    let Some(pin) = &state.pin else {
        return;
    };
    if let Some(cookie) = &app.pinning.cookie {
        let host = state.expire_others.as_deref();
        let expired = host
            .into_iter()
            .flat_map(|host| cookie.expire_others(host, state.scheme));
        let values = expired.chain([cookie.set(pin, state.scheme)]);
        edits.extend(values.map(|value| Edit::Append("set-cookie", Cow::Owned(value))));
    }
    if let Some(header) = &app.pinning.header {
        edits.push(Edit::Replace(header.as_str(), Cow::Borrowed(pin)));
    }
}

/// Sets or expires the override cookie.
#[inline(never)]
fn override_edit(app: &App, state: &ClientState) -> Option<Edit<'static>> {
    let cookie = app.overrides.as_ref()?.cookie.as_ref()?;
    let value = match state.override_cookie.as_ref()? {
        CookieChange::Set(token) => cookie.set(token, state.scheme),
        CookieChange::Expire => cookie.expire(state.scheme),
    };
    Some(Edit::Append("set-cookie", Cow::Owned(value)))
}
