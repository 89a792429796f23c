//! The edge's decision: which version a request goes to and why, and what its response then
//! carries.
//!
//! A decision is a function of the configuration, the message and the [`Environment`]. The order of
//! the steps is a promise to users: [`Step`] lists it.

mod edits;
mod explain;
mod fallback;
mod outcome;
mod steps;
mod trace;

use crate::app::{App, Edge};
use crate::environment::{Environment, SharedStore};
use crate::http::header::Headers;
use crate::http::request::Request;
use crate::identity::overrides::CookieChange;
use crate::identity::pin::Pin;

pub use edits::{Stamp, request_edits, stamp};
pub use explain::{explain, explanation, is_explained};
pub use fallback::record_outcome;
pub use outcome::{ClientState, Decision, Reason, Withheld};
pub use steps::returning;
pub use trace::{Step, StepResult, Trace, Why};

use steps::{NewPin, Selection, select};

/// The decision for a request. None if the request belongs to no enabled app.
pub fn decide<H: Headers + ?Sized>(
    edge: &Edge,
    headers: &H,
    environment: &(impl Environment + SharedStore),
) -> Option<Decision> {
    let request = Request::new(headers, environment);
    let app = edge.app(request.host(), || request.path())?;
    if !app.enabled {
        return None;
    }
    let overrides = app.overrides.as_ref();
    let asked = overrides.map(|overrides| overrides.asked(&app.name, &request));
    let mut trace = Trace::default();
    let mut selection = select(app, &request, asked.as_ref(), &mut trace);
    let probe = fallback::admit(app, &mut selection, &mut trace, environment, || request.now());
    let Selection {
        version,
        reason,
        pin,
        withheld,
        has_duplicates,
    } = selection;
    // A token that names no version of this app is not kept in the cookie.
    let is_override = matches!(trace.result(Step::Override), StepResult::Took(_));
    let keeps = |change: &CookieChange| is_override || *change == CookieChange::Expire;
    let override_cookie = asked.and_then(|asked| asked.cookie).filter(keeps);
    let host = || std::str::from_utf8(request.host()).ok().map(str::to_owned);
    let client_state = (pin.is_some() || override_cookie.is_some()).then(|| ClientState {
        pin: pin.map(|pin| encode(app, &pin)),
        override_cookie,
        expire_others: if has_duplicates { host() } else { None },
        scheme: request.scheme(),
    });
    Some(Decision {
        app: app.clone(),
        version,
        reason,
        exceeded: request.exceeded(),
        withheld,
        client_state,
        trace,
        probe,
    })
}

/// The value of a new pin.
#[inline(never)]
fn encode(app: &App, pin: &NewPin) -> String {
    let pin = Pin {
        version: &pin.version.name,
        issued: pin.issued,
        epoch: app.pinning.epoch,
        slot: pin.slot,
    };
    pin.encode(&app.name, app.pinning.signing_keys())
}
