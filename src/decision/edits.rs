//! The header edits that carry out a decision.

use std::borrow::Cow;

use super::outcome::{ClientState, Decision};
use crate::app::{App, Edge};
use crate::http::cacheability;
use crate::http::edit::{Edit, Edits};
use crate::http::header::Headers;
use crate::identity::overrides::CookieChange;

/// The edits of a request.
///
/// The app's route header is replaced. Route headers of other apps and a client's own mirror marks are removed. In observe
/// mode no header changes.
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
    // The page's server hands the pin on to the page's parts. A new pin is not in the request's cookie yet.
    if let Some(header) = &app.pinning.header
        && let Some(pin) = decision
            .client_state
            .as_ref()
            .and_then(|state| state.pin.as_deref())
    {
        edits.push(Edit::Replace(header.as_str(), Cow::Borrowed(pin)));
    }
    edits
}

/// Removes the headers that no client may send, except the app's route header. Returns whether the route header is there.
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
#[derive(Debug, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The edits of the response.
    pub edits: Edits<'a>,
    /// Whether the upstream says that another version than the decided one served.
    pub is_mismatch: bool,
}

/// The stamp of a response that an upstream gave. A response that Envoy made itself gets none.
pub fn stamp<'a, H: Headers + ?Sized>(decision: &'a Decision, response: &H) -> Stamp<'a> {
    let app = &decision.app;
    let version = &decision.version;
    let mut edits = Edits::new();
    let served = response.joined(app.response_header.as_str());
    let is_decided =
        |served: &[u8]| *served == *version.name.as_bytes() || *served == *version.label.as_bytes();
    let is_mismatch = served.as_ref().is_some_and(|served| !is_decided(served));
    if decision.is_observed() {
        return Stamp { edits, is_mismatch };
    }
    if served.is_none() {
        let label = Cow::Borrowed(version.label.as_str());
        edits.push(Edit::Add(app.response_header.as_str(), label));
    }
    // A shared cache would give one client's state to others.
    if let Some(state) = &decision.client_state
        && !cacheability::may_be_shared(response)
    {
        set_pin(&mut edits, app, state);
        edits.extend(override_edit(app, state));
    }
    Stamp { edits, is_mismatch }
}

/// Sets the client's new pin.
fn set_pin<'a>(edits: &mut Edits<'a>, app: &'a App, state: &'a ClientState) {
    let Some(pin) = &state.pin else {
        return;
    };
    if let Some(cookie) = &app.pinning.cookie {
        let value = cookie.set(pin, state.scheme);
        edits.push(Edit::Append("set-cookie", Cow::Owned(value)));
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
