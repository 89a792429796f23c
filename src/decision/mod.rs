//! The edge's decision: which version a request goes to and why, and what its response then carries.
//!
//! Everything here is a function of the configuration, the message, the clock and chance; no call reaches the host.
//! The order of the steps is a promise to users: override, inbound, rule, key, pin, draw.

mod explain;
mod fallback;
mod steps;
pub mod trace;

use std::borrow::Cow;
use std::rc::Rc;

use crate::config::{App, Conduct, Edge};
use crate::decision::trace::{Step, Trace, Why};
use crate::environment::Ambient;
use crate::http::cacheability;
use crate::http::cookie::Scheme;
use crate::http::edit::{Edit, Edits};
use crate::http::header::Headers;
use crate::http::request::{Limits, Request};
use crate::identity::overrides::CookieChange;
use crate::identity::pin::{Pin, Rejection};
use crate::rollout::outlier::{Attempt, Memory};
use crate::rollout::slots::Slot;
use crate::rollout::version::VersionRef;
use fallback::admit;
use steps::{Place, living};

pub use explain::{explained, is_asked_why};
pub use fallback::note;

pub use steps::returning;

/// Which step decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the steps are explained in the README")]
pub enum Reason {
    Override,
    Inbound,
    Rule,
    Key,
    Pin,
    Draw,
    Fallback,
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = Reason::Fallback as usize + 1;

    /// The reason's name in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Override => "override",
            Reason::Inbound => "inbound",
            Reason::Rule => "rule",
            Reason::Key => "key",
            Reason::Pin => "pin",
            Reason::Draw => "draw",
            Reason::Fallback => "fallback",
        }
    }
}

/// What was decided for a request, kept for its response.
#[derive(Debug)]
pub struct Decision {
    /// The app it belongs to.
    pub app: Rc<App>,
    /// The version it goes to.
    pub version: VersionRef,
    /// Which step decided.
    pub reason: Reason,
    /// Why the pins it carried did not hold, where none did and one was looked for.
    pub rejected: Option<Rejection>,
    /// What of it was not read, as it was too much.
    pub exceeded: Limits,
    /// What its client gets to carry, if anything.
    pub gifts: Option<Gifts>,
    /// What each step came to.
    pub trace: Trace,
    /// What its response will say of the version's health, where that is watched.
    pub attempt: Option<Attempt>,
}

impl Decision {
    /// Whether it is only counted.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.app.conduct == Conduct::Observe
    }
}

/// What a client gets to carry.
#[derive(Debug)]
pub struct Gifts {
    /// A pin, as it is written.
    pin: Option<String>,
    /// What becomes of the cookie that holds an override token.
    token: Option<CookieChange>,
    /// How the client came.
    scheme: Scheme,
}

/// Decides a request. None: it belongs to no app that is enabled.
pub fn decide<H: Headers + ?Sized>(
    edge: &Edge,
    headers: &H,
    ambient: &(impl Ambient + Memory),
) -> Option<Decision> {
    let request = Request::new(headers, ambient);
    let app = edge.app(&request.host, || request.path())?;
    app.enabled.then(|| {
        let asked = app
            .overrides
            .as_ref()
            .map(|overrides| overrides.asked(&app.name, &request));
        let asked = asked.unwrap_or_default();
        let asks_unknown = asked.version.is_some();
        let wanted = asked.version.and_then(|name| living(app, name.as_bytes()));
        let mut trace = Trace {
            asked: match (&app.overrides, wanted) {
                (_, Some(_)) => Step::Took(None),
                (None, None) => Step::Passed(Why::Unconfigured),
                (Some(_), None) if asked.denied => Step::Passed(Why::Denied),
                (Some(_), None) if asks_unknown => Step::Passed(Why::Unknown),
                (Some(_), None) => Step::Passed(Why::Unasked),
            },
            ..Trace::default()
        };
        let mut place = match wanted {
            Some(version) => Place::of(version, Reason::Override),
            None => Place::find(app, &request, &mut trace),
        };
        let attempt = admit(app, &mut place, &mut trace, ambient);
        // A token that names no version of this app is worth nothing, so it is not held either.
        let token = asked
            .cookie
            .filter(|change| wanted.is_some() || *change == CookieChange::End);
        let gifts = match (place.pin, token) {
            (None, None) => None,
            (pin, token) => Some(gifts(app, pin, token, request.scheme())),
        };
        Decision {
            app: app.clone(),
            version: place.version,
            reason: place.reason,
            rejected: place.rejected,
            gifts,
            exceeded: request.exceeded(),
            trace,
            attempt,
        }
    })
}

/// What a client gets to carry, of which there is something.
#[inline(never)]
fn gifts(
    app: &App,
    pin: Option<(VersionRef, Slot, u64)>,
    token: Option<CookieChange>,
    scheme: Scheme,
) -> Gifts {
    let pin = pin.map(|(version, slot, issued)| {
        let pin = Pin {
            version: &version.name,
            issued,
            epoch: app.pinning.epoch,
            slot,
        };
        pin.written(&app.name, app.pinning.keys())
    });
    Gifts { pin, token, scheme }
}

/// What the host shall do to the request.
///
/// The app's route header is replaced; that of any other app, and a client's own mirror mark, is taken out. An app that
/// only observes leaves all as it is.
pub fn request_edits<'a, H: Headers + ?Sized>(
    edge: &'a Edge,
    headers: &H,
    decision: Option<&'a Decision>,
) -> Edits<'a> {
    let mut edits = Edits::default();
    if decision.is_some_and(Decision::is_observed) {
        return edits;
    }
    let routed = decision.map(|decision| decision.app.route_header.as_str());
    let is_routed = strip_all(edge, headers, routed, &mut edits);
    let Some(decision) = decision else {
        return edits;
    };
    let app = &decision.app;
    let (name, value) = (app.route_header.as_str(), Cow::Borrowed(&*decision.version.name));
    edits.push(if is_routed {
        Edit::Replace(name, value)
    } else {
        Edit::Add(name, value)
    });
    if let Some(overrides) = &app.overrides
        && let Some(cleaned) = headers
            .first(":path")
            .and_then(|path| overrides.cleaned_path(path))
    {
        edits.push(Edit::Replace(":path", Cow::Owned(cleaned.into_owned())));
    }
    // A page's server hands the pin on to what the page loads, and a new one is not in the cookie yet.
    if let Some(header) = &app.pinning.header
        && let Some(pin) = decision.gifts.as_ref().and_then(|gifts| gifts.pin.as_deref())
    {
        edits.push(Edit::Replace(header.as_str(), Cow::Borrowed(pin)));
    }
    edits
}

/// Takes out what no client may send, but for the header that the app writes. Whether that is there.
///
/// A function of its own: what is done for each header is done fastest in a small one.
#[inline(never)]
fn strip_all<'a, H: Headers + ?Sized>(
    edge: &'a Edge,
    headers: &H,
    routed: Option<&str>,
    edits: &mut Edits<'a>,
) -> bool {
    let mut is_routed = false;
    for (name, _) in headers.all() {
        match edge.stripped(name) {
            Some(ours) if Some(ours) == routed => is_routed = true,
            Some(ours) => strip(edits, ours),
            None => {}
        }
    }
    is_routed
}

/// Takes a header out, once.
#[inline(never)]
fn strip<'a>(edits: &mut Edits<'a>, name: &'a str) {
    let edit = Edit::Remove(name);
    if edits.iter().all(|other| *other != edit) {
        edits.push(edit);
    }
}

/// What a response shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Stamped<'a> {
    /// What the host shall do to it.
    pub edits: Edits<'a>,
    /// Whether the upstream says that it is the version decided.
    pub agreement: Agreement,
}

/// What the upstream's own stamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// The version decided, or nothing.
    Match,
    /// Another version.
    Mismatch,
}

/// What the host shall do to a response that an upstream gave.
///
/// A response that Envoy made itself is not for here: it stays as it is.
pub fn stamp<'a, H: Headers + ?Sized>(decision: &'a Decision, response: &H) -> Stamped<'a> {
    let app = &decision.app;
    let version = &decision.version;
    let mut edits = Edits::default();
    // What looks at more of the response comes first.
    let gifts = decision
        .gifts
        .as_ref()
        .filter(|_| !cacheability::may_be_shared(response));
    let agreement = match response.joined(app.response_header.as_str()) {
        Some(said) if *said == *version.name.as_bytes() || *said == *version.label.as_bytes() => {
            Agreement::Match
        }
        Some(_) => Agreement::Mismatch,
        None => {
            if !decision.is_observed() {
                let label = Cow::Borrowed(version.label.as_str());
                edits.push(Edit::Add(app.response_header.as_str(), label));
            }
            Agreement::Match
        }
    };
    if let Some(gifts) = gifts
        && !decision.is_observed()
    {
        give_pin(&mut edits, app, gifts);
        edits.extend(override_edit(app, gifts));
    }
    Stamped { edits, agreement }
}

/// Gives the client its new pin.
fn give_pin<'a>(edits: &mut Edits<'a>, app: &'a App, gifts: &'a Gifts) {
    let Some(pin) = &gifts.pin else {
        return;
    };
    if let Some(cookie) = &app.pinning.cookie {
        edits.push(Edit::Append(
            "set-cookie",
            Cow::Owned(cookie.set(pin, gifts.scheme)),
        ));
    }
    if let Some(header) = &app.pinning.header {
        edits.push(Edit::Replace(header.as_str(), Cow::Borrowed(pin)));
    }
}

/// Holds the tester's token, or lets it go.
fn override_edit(app: &App, gifts: &Gifts) -> Option<Edit<'static>> {
    let cookie = app.overrides.as_ref()?.cookie.as_ref()?;
    let value = match gifts.token.as_ref()? {
        CookieChange::Hold(token) => cookie.set(token, gifts.scheme),
        CookieChange::End => cookie.end(gifts.scheme),
    };
    Some(Edit::Append("set-cookie", Cow::Owned(value)))
}
