//! The header edits that carry out a decision.

use std::borrow::Cow;

use super::outcome::{ClientState, Decision};
use crate::app::{App, Edge};
use crate::http::cacheability::{self, Cacheability, FreshBy};
use crate::http::edit::{Edit, Edits};
use crate::http::header::Headers;
use crate::identity::overrides::CookieChange;
use crate::identity::pinning::Cacheable;

/// The edits of a request.
///
/// The app's route header is replaced. Route headers of other apps and a client's own mirror marks
/// are removed. In observe mode no header changes.
pub fn request_edits<'a, H: Headers + ?Sized>(
    edge: &'a Edge,
    headers: &H,
    decision: Option<&'a Decision>,
) -> Edits<'a> {
    let mut edits = Edits::new();
    if decision.is_some_and(Decision::is_observed) {
        return edits;
    }
    let route_header = decision.map(|decision| decision.app.route_header.as_str());
    let is_present = strip(edge, headers, route_header, &mut edits);
    let Some(decision) = decision else {
        return edits;
    };
    let app = &decision.app;
    let (name, value) = (app.route_header.as_str(), Cow::Borrowed(&*decision.version.name));
    edits.push(if is_present {
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
    edits
}

/// Adds a new pin to the request's cookies, as the client will send it from now on. So the next
/// gateway, or this gateway after an internal redirect, decides alike. None if the cookies are not
/// UTF-8.
fn with_cookie<'a, H: Headers + ?Sized>(headers: &H, name: &str, pin: &str) -> Option<Edit<'a>> {
    // If the host gave no headers, there may be cookies that an edit would remove.
    headers.all().next()?;
    let mut cookies = String::new();
    let is_other = |pair: &&str| pair.split('=').next().map(str::trim) != Some(name);
    for line in headers.lines("cookie") {
        let pairs = std::str::from_utf8(line).ok()?.split(';').map(str::trim);
        for pair in pairs.filter(is_other) {
            cookies.extend([pair, "; "]);
        }
    }
    let is_first = headers.first("cookie").is_none();
    cookies.extend([name, "=", pin]);
    Some(if is_first {
        Edit::Add("cookie", Cow::Owned(cookies))
    } else {
        Edit::Replace("cookie", Cow::Owned(cookies))
    })
}

/// Removes the headers that no client may send, except the app's route header. Returns whether the
/// route header is there.
fn strip<'a, H: Headers + ?Sized>(
    edge: &'a Edge,
    headers: &H,
    route_header: Option<&str>,
    edits: &mut Edits<'a>,
) -> bool {
    let mut is_present = false;
    for name in headers.all().filter_map(|(name, _)| edge.stripped(name)) {
        if Some(name) == route_header {
            is_present = true;
        } else if !edits.contains(&Edit::Remove(name)) {
            edits.push(Edit::Remove(name));
        }
    }
    is_present
}

/// What a response from an upstream gets.
#[derive(Debug, Default, PartialEq, Eq)]
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
    let mut edits = Edits::new();
    let served = response.joined(app.response_header.as_str());
    let is_decided =
        |served: &[u8]| *served == *version.name.as_bytes() || *served == *version.label.as_bytes();
    let is_mismatch = served.as_ref().is_some_and(|served| !is_decided(served));
    if decision.is_observed() {
        return Stamp {
            is_mismatch,
            ..Stamp::default()
        };
    }
    if served.is_none() {
        let label = Cow::Borrowed(version.label.as_str());
        edits.push(Edit::Add(app.response_header.as_str(), label));
    }
    if app.server_timing {
        let metric = format!("version;desc=\"{}\"", version.label);
        edits.push(Edit::Append("server-timing", Cow::Owned(metric)));
    }
    let withheld = decision
        .client_state
        .as_ref()
        .and_then(|state| set_state(&mut edits, app, state, response, now));
    Stamp {
        edits,
        is_mismatch,
        withheld,
    }
}

/// Sets the client's state. A shared cache would give this state to other clients, so the response
/// becomes private. Returns why the pin is withheld, if it is.
fn set_state<'a, H: Headers + ?Sized>(
    edits: &mut Edits<'a>,
    app: &'a App,
    state: &'a ClientState,
    response: &'a H,
    now: impl FnOnce() -> u64,
) -> Option<FreshBy> {
    let override_edit = override_edit(app, state);
    let cacheability = cacheability::of(response, now);
    let is_withheld = app.pinning.cacheable == Cacheable::Withhold && override_edit.is_none();
    match cacheability {
        Cacheability::Fresh(by) if is_withheld => return Some(by),
        Cacheability::Fresh(_) | Cacheability::Revalidated => {
            edits.extend(cacheability::make_private(response));
        }
        Cacheability::Private => {}
    }
    set_pin(edits, app, state);
    edits.extend(override_edit);
    None
}

/// Sets the client's new pin.
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
fn override_edit(app: &App, state: &ClientState) -> Option<Edit<'static>> {
    let cookie = app.overrides.as_ref()?.cookie.as_ref()?;
    let value = match state.override_cookie.as_ref()? {
        CookieChange::Set(token) => cookie.set(token, state.scheme),
        CookieChange::Expire => cookie.expire(state.scheme),
    };
    Some(Edit::Append("set-cookie", Cow::Owned(value)))
}
