//! The steps behind an override: inbound, rule, key, pin, draw. Each version that a request may go to comes out of here.

use super::Reason;
use crate::config::{App, Inbound};
use crate::decision::trace::{Step, Trace, Why};
use crate::environment::Ambient;
use crate::http::header::Headers;
use crate::http::request::{FetchMode, Limit, Request, percent_decoded};
use crate::identity::pin::{Ends, Follow, Held, Key, Pinning, Rejection, Renewal};
use crate::rollout::slots::{Layout, Share, Slot};
use crate::rollout::version::{State, VersionRef};
use crate::route::matching::Target;

/// What the steps come to, before it is bound to the app.
pub(super) struct Place {
    pub(super) version: VersionRef,
    pub(super) reason: Reason,
    pub(super) rejected: Option<Rejection>,
    /// The version it names, its slot and its time.
    pub(super) pin: Option<(VersionRef, Slot, u64)>,
}

impl Place {
    /// A place that needs no pin.
    pub(super) fn of(version: &VersionRef, reason: Reason) -> Self {
        Place {
            version: version.clone(),
            reason,
            rejected: None,
            pin: None,
        }
    }

    pub(super) fn find<H: Headers + ?Sized, A: Ambient>(
        app: &App,
        request: &Request<'_, H, A>,
        trace: &mut Trace,
    ) -> Self {
        match inbound(app, request) {
            Ok(version) => {
                trace.inbound = Step::Took(None);
                return Place::of(version, Reason::Inbound);
            }
            Err(why) => trace.inbound = Step::Passed(why),
        }
        let rule = app.rules.first(request);
        trace.rule = match rule {
            Some(i) => Step::took_item(i),
            None if app.rules.is_empty() => Step::Passed(Why::Unconfigured),
            None => Step::Passed(Why::Unmatched),
        };
        let split = match rule.and_then(|i| app.rules.get(i)).map(|rule| &rule.target) {
            Some(Target::Version(version)) => return Place::of(version, Reason::Rule),
            Some(Target::Split(layout)) => Some(layout),
            None => None,
        };
        let client = Client::find(app, request, trace);
        match split {
            Some(layout) => client.split(app, request, layout),
            None => client.place(app, request),
        }
    }
}

/// The version that a route header names which arrived, where that is worth something, or why it is not.
fn inbound<'a, H: Headers + ?Sized, A: Ambient>(
    app: &'a App,
    request: &Request<'_, H, A>,
) -> Result<&'a VersionRef, Why> {
    match app.inbound {
        Inbound::Strip => Err(Why::Stripped),
        Inbound::Keep => {
            let name = request
                .headers
                .joined(app.route_header.as_str())
                .ok_or(Why::Absent)?;
            living(app, &name).ok_or(Why::Unknown)
        }
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
    Pinned { held: Held, bearer: Bearer, now: u64 },
    /// Nowhere yet, and it can't be given a pin.
    Preflight { rejected: Option<Rejection> },
    /// At a slot just drawn.
    Drawn {
        slot: Slot,
        now: u64,
        rejected: Option<Rejection>,
    },
}

/// Whom a pin speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bearer {
    /// The client.
    Client,
    /// A page that is open: what it loads carries its pin, or one that has run out meanwhile.
    Page,
}

impl Client {
    fn find<H: Headers + ?Sized, A: Ambient>(
        app: &App,
        request: &Request<'_, H, A>,
        trace: &mut Trace,
    ) -> Self {
        trace.key = Step::Passed(Why::Unconfigured);
        if !app.pinning.keys.is_empty() {
            trace.key = Step::Passed(Why::Absent);
            if let Some((i, slot)) = keyed(app, request) {
                trace.key = Step::took_item(i);
                trace.slot = Some(slot);
                return Client::Keyed(slot);
            }
        }
        let now = request.ambient.now();
        let rejected = match carried_pin(app, request, now) {
            Ok((held, bearer)) => {
                trace.pin = Step::Took(None);
                trace.slot = Some(held.slot);
                return Client::Pinned { held, bearer, now };
            }
            Err(rejected) => rejected,
        };
        trace.pin = Step::Passed(rejected.map_or(Why::Absent, Why::Rejected));
        if request.is_preflight() {
            return Client::Preflight { rejected };
        }
        let slot = request.ambient.draw();
        trace.slot = Some(slot);
        Client::Drawn { slot, now, rejected }
    }

    /// The version by the app's shares.
    fn place<H: Headers + ?Sized, A: Ambient>(self, app: &App, request: &Request<'_, H, A>) -> Place {
        let owner = |slot: Slot| app.rollout.owner(slot, || request.ambient.now());
        match self {
            Client::Keyed(slot) => Place::of(&owner(slot), Reason::Key),
            Client::Pinned { held, bearer, now } => {
                let version = followed(app, &held, bearer, now);
                let pin = renewed(app, &held, &version, bearer, now);
                Place {
                    pin,
                    ..Place::of(&version, Reason::Pin)
                }
            }
            Client::Preflight { rejected } => Place {
                rejected,
                ..Place::of(app.rollout.stable(), Reason::Draw)
            },
            Client::Drawn { slot, now, rejected } => {
                let version = app.rollout.owner(slot, || now);
                Place {
                    rejected,
                    pin: Some((version.clone(), slot, now)),
                    ..Place::of(&version, Reason::Draw)
                }
            }
        }
    }

    /// The version by a rule's split. What the client's pin says of the app's own shares stays as it would have been
    /// without the rule: a version of the split never enters a pin by it.
    #[inline(never)]
    fn split<H: Headers + ?Sized, A: Ambient>(
        self,
        app: &App,
        request: &Request<'_, H, A>,
        split: &Layout<VersionRef>,
    ) -> Place {
        let version = match &self {
            Client::Keyed(slot) | Client::Drawn { slot, .. } => split.owner(*slot),
            Client::Pinned { held, .. } => split.owner(held.slot),
            Client::Preflight { .. } => split.stable(),
        };
        Place {
            version: version.clone(),
            reason: Reason::Rule,
            ..self.place(app, request)
        }
    }
}

/// The slot of the client's key, and which of the app's keys that is; the first that is there.
#[inline(never)]
fn keyed<H: Headers + ?Sized, A: Ambient>(app: &App, request: &Request<'_, H, A>) -> Option<(usize, Slot)> {
    let App { name, pinning, .. } = app;
    let slot = |(i, key): (usize, &Key)| Some((i, key.slot(name, pinning.epoch, request)?));
    pinning.keys.iter().enumerate().find_map(slot)
}

/// Where an app's shares alone lead a client that comes back with a pin: past overrides, rules and keys, and not as a
/// part of a page.
///
/// # Errors
/// Why the pin does not hold.
pub fn returning(app: &App, pin: &[u8], now: u64) -> Result<VersionRef, Rejection> {
    let held = app
        .pinning
        .check(pin, &app.name, &app.versions, now, || Ends::AtTtl)?;
    Ok(followed(app, &held, Bearer::Client, now))
}

/// Whether the version of a pin takes clients of its own.
fn has_share(app: &App, held: &Held, now: u64) -> bool {
    app.rollout.share(&held.version, || now) > Share::NONE
}

/// Where a pin that holds leads to.
///
/// A page's leads to the page's version, even where the client itself has moved on, as long as that takes clients at all.
fn followed(app: &App, held: &Held, bearer: Bearer, now: u64) -> VersionRef {
    let keeps = app.pinning.follow == Follow::Version || bearer == Bearer::Page;
    let stays = keeps && has_share(app, held, now);
    if stays || held.version.state == State::Draining {
        held.version.clone()
    } else {
        app.rollout.owner(held.slot, || now)
    }
}

/// A pin is written again when it names another version than the client now goes to, or is past half its time; but what a
/// page loads does not move the client.
fn renewed(
    app: &App,
    held: &Held,
    version: &VersionRef,
    bearer: Bearer,
    now: u64,
) -> Option<(VersionRef, Slot, u64)> {
    if bearer == Bearer::Page {
        return None;
    }
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
) -> Result<(Held, Bearer), Option<Rejection>> {
    let pinning = &app.pinning;
    // What a page loads comes from the page's version, however long the page is open.
    let ends = || match request.fetch_mode() {
        FetchMode::SubResource => Ends::WithVersion,
        FetchMode::Other => Ends::AtTtl,
    };
    let mut rejected = None;
    let mut check = |value: &[u8]| {
        let held = pinning
            .check(value, &app.name, &app.versions, now, ends)
            .and_then(|held| {
                let is_left = held.is_over(pinning)
                    && held.version.state == State::Active
                    && !has_share(app, &held, now);
                if is_left {
                    Err(Rejection::Expired)
                } else {
                    Ok(held)
                }
            });
        held.map_err(|cause| rejected.get_or_insert(cause)).ok()
    };
    // Most apps take pins by cookie alone, and need no call for this.
    if (pinning.header.is_some() || pinning.query.is_some())
        && let Some(held) = handed_on(pinning, request, &mut check)
    {
        let bearer = match ends() {
            Ends::WithVersion => Bearer::Page,
            Ends::AtTtl => Bearer::Client,
        };
        return Ok((held, bearer));
    }
    let cookie = pinning.cookie.as_ref();
    let by_cookie = cookie.and_then(|cookie| request.cookies(&cookie.name).find_map(|value| check(value)));
    // One that has run out holds for a page alone.
    let of_cookie = |held: Held| {
        let bearer = if held.is_over(pinning) {
            Bearer::Page
        } else {
            Bearer::Client
        };
        (held, bearer)
    };
    by_cookie.map(of_cookie).ok_or_else(|| {
        let unread = pinning.cookie.is_some() && request.exceeded().contains(Limit::Cookies);
        rejected.or(unread.then_some(Rejection::Oversized))
    })
}

/// The first pin that holds of those in a header and in the query, where a page's server puts its own for what the page
/// loads.
#[inline(never)]
fn handed_on<H: Headers + ?Sized, A: Ambient>(
    pinning: &Pinning,
    request: &Request<'_, H, A>,
    mut check: impl FnMut(&[u8]) -> Option<Held>,
) -> Option<Held> {
    let by_header = || request.headers.first(pinning.header.as_ref()?.as_str());
    let by_query = || request.query(pinning.query.as_ref()?);
    by_header()
        .and_then(&mut check)
        .or_else(|| by_query().and_then(|value| check(&percent_decoded(value))))
}
