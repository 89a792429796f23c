//! The steps behind an override: inbound, rule, key, pin, draw. Each version that a request may go to comes out of here.

use super::Reason;
use crate::ambient::Ambient;
use crate::assign::{Layout, Slot};
use crate::config::{App, Inbound};
use crate::header::Headers;
use crate::pin::{Follow, Held, Key, Pin, Rejection, Renewal};
use crate::request::{Cookies, Request, percent_decoded};
use crate::rule::Target;
use crate::version::{State, VersionRef};

/// What the steps come to, before it is bound to the app.
pub(super) struct Place {
    pub(super) version: VersionRef,
    pub(super) reason: Reason,
    pub(super) rejected: Option<Rejection>,
    /// The version it names, its slot and its time.
    pub(super) pin: Option<(VersionRef, Slot, u64)>,
}

impl Place {
    pub(super) fn of(version: &VersionRef, reason: Reason) -> Self {
        Place {
            version: version.clone(),
            reason,
            rejected: None,
            pin: None,
        }
    }

    pub(super) fn find<H: Headers + ?Sized, A: Ambient>(app: &App, request: &Request<'_, H, A>) -> Self {
        if let Some(version) = inbound(app, request) {
            return Place::of(version, Reason::Inbound);
        }
        match app
            .rules
            .iter()
            .find(|rule| rule.applies(request))
            .map(|rule| &rule.target)
        {
            Some(Target::Version(version)) => Place::of(version, Reason::Rule),
            Some(Target::Split(layout)) => Client::find(app, request).split(app, layout),
            None => Client::find(app, request).place(app),
        }
    }
}

/// The version that a route header names which arrived, where that is worth something.
fn inbound<'a, H: Headers + ?Sized, A: Ambient>(
    app: &'a App,
    request: &Request<'_, H, A>,
) -> Option<&'a VersionRef> {
    match app.inbound {
        Inbound::Strip => None,
        Inbound::Keep => living(app, &request.headers.joined(app.route_header.as_str())?),
    }
}

/// The version of that name, unless it is retired.
pub(super) fn living<'a>(app: &'a App, name: &[u8]) -> Option<&'a VersionRef> {
    app.versions
        .iter()
        .find(|version| version.name.as_bytes() == name && version.state != State::Retired)
}

/// Where a client stands before shares and splits are looked at.
enum Client {
    /// At the slot of its key.
    Keyed(Slot),
    /// Where its pin holds it.
    Pinned { held: Held, now: u64 },
    /// Nowhere yet, and it can't be given a pin.
    Preflight { rejected: Option<Rejection> },
    /// At a slot just drawn.
    Drawn {
        slot: Slot,
        now: u64,
        rejected: Option<Rejection>,
    },
}

impl Client {
    fn find<H: Headers + ?Sized, A: Ambient>(app: &App, request: &Request<'_, H, A>) -> Self {
        let pinning = &app.pinning;
        let key = |key: &Key| key.slot(&app.name, pinning.epoch, request);
        if let Some(slot) = pinning.keys.iter().find_map(key) {
            return Client::Keyed(slot);
        }
        let now = request.ambient.now();
        let rejected = match carried_pin(app, request, now) {
            Ok(held) => return Client::Pinned { held, now },
            Err(rejected) => rejected,
        };
        if request.is_preflight() {
            return Client::Preflight { rejected };
        }
        let slot = request.ambient.draw();
        Client::Drawn { slot, now, rejected }
    }

    /// The version by the app's shares.
    fn place(self, app: &App) -> Place {
        match self {
            Client::Keyed(slot) => Place::of(app.layout.owner(slot), Reason::Key),
            Client::Pinned { held, now } => {
                let version = followed(app, &held);
                let pin = renewed(app, &held, version, now);
                Place {
                    pin,
                    ..Place::of(version, Reason::Pin)
                }
            }
            Client::Preflight { rejected } => Place {
                rejected,
                ..Place::of(app.layout.stable(), Reason::Draw)
            },
            Client::Drawn { slot, now, rejected } => {
                let version = app.layout.owner(slot);
                Place {
                    rejected,
                    pin: Some((version.clone(), slot, now)),
                    ..Place::of(version, Reason::Draw)
                }
            }
        }
    }

    /// The version by a rule's split. What the client's pin says of the app's own shares stays as it would have been
    /// without the rule: a version of the split never enters a pin by it.
    fn split(self, app: &App, split: &Layout<VersionRef>) -> Place {
        let version = match &self {
            Client::Keyed(slot) | Client::Drawn { slot, .. } => split.owner(*slot),
            Client::Pinned { held, .. } => split.owner(held.slot),
            Client::Preflight { .. } => split.stable(),
        };
        Place {
            version: version.clone(),
            reason: Reason::Rule,
            ..self.place(app)
        }
    }
}

/// Where a pin that holds leads to.
fn followed<'a>(app: &'a App, held: &'a Held) -> &'a VersionRef {
    let stays = match app.pinning.follow {
        Follow::Version => held.version.share.slots() > 0,
        Follow::Weights => false,
    };
    if stays || held.version.state == State::Draining {
        &held.version
    } else {
        app.layout.owner(held.slot)
    }
}

/// A pin is written again when it names another version than the client now goes to, or is past half its time.
fn renewed(app: &App, held: &Held, version: &VersionRef, now: u64) -> Option<(VersionRef, Slot, u64)> {
    let old = match app.pinning.renewal {
        Renewal::HalfLife => held.age * 2 > u64::from(app.pinning.ttl),
        Renewal::Never => false,
    };
    let due = version.index != held.version.index || (old && version.state != State::Draining);
    due.then(|| (version.clone(), held.slot, now))
}

/// The first pin that holds: header, then query, then cookies. If none does, why the first did not.
fn carried_pin<H: Headers + ?Sized, A: Ambient>(
    app: &App,
    request: &Request<'_, H, A>,
    now: u64,
) -> Result<Held, Option<Rejection>> {
    let pinning = &app.pinning;
    let mut rejected = None;
    let mut check = |value: &[u8]| {
        let held = Pin::parse(value)
            .ok_or(Rejection::Malformed)
            .and_then(|(pin, seal)| pin.check(seal, &app.name, pinning, &app.versions, now));
        held.map_err(|cause| rejected.get_or_insert(cause)).ok()
    };
    let by_header = || {
        pinning
            .header
            .as_ref()
            .and_then(|name| request.headers.first(name.as_str()))
    };
    let by_query = || pinning.query.as_ref().and_then(|name| request.query(name));
    let held = by_header()
        .and_then(&mut check)
        .or_else(|| by_query().and_then(|value| check(&percent_decoded(value))))
        .or_else(|| {
            let cookie = pinning.cookie.as_ref()?;
            request.cookies(&cookie.name).find_map(&mut check)
        });
    held.ok_or_else(|| {
        let unread = pinning.cookie.is_some() && request.state_of_cookies() == Cookies::Oversized;
        rejected.or(unread.then_some(Rejection::Oversized))
    })
}
