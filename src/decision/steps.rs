//! The steps of a decision in their order. Every version that a request may go to is selected here.

use percent_encoding::percent_decode;
use std::borrow::Cow;
use strum::VariantArray;

use super::outcome::Reason;
use super::trace::{Step, StepResult, Trace, Why};
use crate::app::{App, Inbound, Target};
use crate::environment::Environment;
use crate::http::header::Headers;
use crate::http::request::{FetchMode, Limit, Request};
use crate::identity::overrides::Asked;
use crate::identity::pin::Rejection;
use crate::identity::pinning::{Expiry, Follow, Pinning, ValidPin};
use crate::rollout::slots::{Layout, Share, Slot};
use crate::rollout::version::{State, VersionRef};

/// The version that the steps select.
pub(super) struct Selection {
    pub(super) version: VersionRef,
    pub(super) reason: Reason,
    /// A pin to issue.
    pub(super) pin: Option<NewPin>,
}

/// A pin to issue now.
pub(super) struct NewPin {
    pub(super) version: VersionRef,
    pub(super) slot: Slot,
}

impl Selection {
    /// A selection without a new pin.
    fn of(version: &VersionRef, reason: Reason) -> Self {
        Selection {
            version: version.clone(),
            reason,
            pin: None,
        }
    }
}

/// What a step finds.
enum Finding<'a> {
    /// The step does not apply.
    Passed(Why),
    /// The version.
    Version(&'a VersionRef, StepResult),
    /// A split among versions. A later step finds the client's slot.
    Split(&'a Layout<VersionRef>, StepResult),
    /// The client.
    Client(Client, StepResult),
}

/// The selection of the first step that decides. If none does, the client draws a slot.
pub(super) fn select<H: Headers + ?Sized, E: Environment>(
    app: &App,
    request: &Request<'_, H, E>,
    asked: Option<&Asked>,
    trace: &mut Trace,
) -> Selection {
    let mut split = None;
    for step in Step::VARIANTS.iter().copied() {
        let finding = match step {
            Step::Override => overridden(app, asked),
            Step::Inbound => inbound(app, request),
            Step::Rule => rule(app, request),
            Step::Key => key(app, request),
            Step::Pin => pin(app, request),
        };
        match finding {
            Finding::Passed(why) => trace.record(step, StepResult::Passed(why)),
            Finding::Version(version, result) => {
                trace.record(step, result);
                return Selection::of(version, step.into());
            }
            Finding::Split(layout, result) => {
                trace.record(step, result);
                split = Some(layout);
            }
            Finding::Client(client, result) => {
                trace.record(step, result);
                return client.select(app, request, split, trace);
            }
        }
    }
    let client = if request.is_preflight() {
        Client::Preflight
    } else {
        Client::New(Slot::from_random(request.random()))
    };
    client.select(app, request, split, trace)
}

fn overridden<'a>(app: &'a App, asked: Option<&Asked>) -> Finding<'a> {
    let Some(asked) = asked else {
        return Finding::Passed(Why::Unconfigured);
    };
    match &asked.version {
        Some(name) => match app.selectable(name.as_bytes()) {
            Some(version) => Finding::Version(version, StepResult::Took(None)),
            None if asked.denied => Finding::Passed(Why::Denied),
            None => Finding::Passed(Why::Unknown),
        },
        None if asked.denied => Finding::Passed(Why::Denied),
        None => Finding::Passed(Why::Unasked),
    }
}

fn inbound<'a, H: Headers + ?Sized, E: Environment>(
    app: &'a App,
    request: &Request<'_, H, E>,
) -> Finding<'a> {
    match app.inbound {
        Inbound::Strip => Finding::Passed(Why::Stripped),
        Inbound::Keep => match request.headers().joined(app.route_header.as_str()) {
            None => Finding::Passed(Why::Absent),
            Some(name) => match app.selectable(&name) {
                Some(version) => Finding::Version(version, StepResult::Took(None)),
                None => Finding::Passed(Why::Unknown),
            },
        },
    }
}

fn rule<'a, H: Headers + ?Sized, E: Environment>(app: &'a App, request: &Request<'_, H, E>) -> Finding<'a> {
    if app.rules.is_empty() {
        return Finding::Passed(Why::Unconfigured);
    }
    match app.rules.first(request) {
        None => Finding::Passed(Why::Unmatched),
        Some((index, rule)) => {
            let result = StepResult::took_item(index);
            match &rule.target {
                Target::Version(version) => Finding::Version(version, result),
                Target::Split(layout) => Finding::Split(layout, result),
            }
        }
    }
}

fn key<'a, H: Headers + ?Sized, E: Environment>(app: &App, request: &Request<'_, H, E>) -> Finding<'a> {
    let App { name, pinning, .. } = app;
    if pinning.keys.is_empty() {
        return Finding::Passed(Why::Unconfigured);
    }
    let mut keys = pinning.keys.iter().enumerate();
    let slot = keys.find_map(|(index, key)| Some((index, key.slot(name, pinning.epoch, request)?)));
    match slot {
        Some((index, slot)) => Finding::Client(Client::Keyed(slot), StepResult::took_item(index)),
        None => Finding::Passed(Why::Absent),
    }
}

fn pin<'a, H: Headers + ?Sized, E: Environment>(app: &App, request: &Request<'_, H, E>) -> Finding<'a> {
    match carried_pin(app, request) {
        Ok((pin, scope)) => Finding::Client(Client::Pinned(pin, scope), StepResult::Took(None)),
        Err(Some(cause)) => Finding::Passed(Why::Rejected(cause)),
        Err(None) => Finding::Passed(Why::Absent),
    }
}

/// A client whose slot is known.
enum Client {
    /// The client has a key.
    Keyed(Slot),
    /// The client has a valid pin.
    Pinned(ValidPin, PinScope),
    /// The client is new and has drawn a slot.
    New(Slot),
    /// A preflight carries no cookies: the client is unknown, and gets no pin.
    Preflight,
}

/// What a pin decides for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PinScope {
    /// The client.
    Client,
    /// An open page, whose parts carry its pin even after the TTL.
    Page,
}

impl Client {
    /// The version for this client: by a rule's split, if one applies, else by the app's shares. The client's pin is the
    /// same in both cases, so that a split's version never enters a pin.
    fn select<H: Headers + ?Sized, E: Environment>(
        self,
        app: &App,
        request: &Request<'_, H, E>,
        split: Option<&Layout<VersionRef>>,
        trace: &mut Trace,
    ) -> Selection {
        let slot = match &self {
            Client::Keyed(slot) | Client::New(slot) => Some(*slot),
            Client::Pinned(pin, _) => Some(pin.slot),
            Client::Preflight => None,
        };
        trace.slot = slot;
        let by_shares = self.by_shares(app, request);
        let Some(split) = split else {
            return by_shares;
        };
        let version = slot.map_or(split.stable(), |slot| split.owner(slot));
        Selection {
            version: version.clone(),
            reason: Reason::Rule,
            pin: by_shares.pin,
        }
    }

    fn by_shares<H: Headers + ?Sized, E: Environment>(
        self,
        app: &App,
        request: &Request<'_, H, E>,
    ) -> Selection {
        let owner = |slot: Slot| app.schedule.owner(slot, || request.now());
        match self {
            Client::Keyed(slot) => Selection::of(&owner(slot), Reason::Key),
            Client::Pinned(pin, scope) => {
                let version = pinned_version(app, &pin, scope, request.now());
                Selection {
                    pin: renewed(app, &pin, &version, scope),
                    version,
                    reason: Reason::Pin,
                }
            }
            Client::New(slot) => {
                let version = owner(slot);
                Selection {
                    pin: Some(NewPin {
                        version: version.clone(),
                        slot,
                    }),
                    version,
                    reason: Reason::Draw,
                }
            }
            Client::Preflight => Selection::of(app.schedule.stable(), Reason::Draw),
        }
    }
}

/// The version that a returning client with this pin goes to by the app's shares alone: without an override, a rule or a
/// key, and not as a part of a page.
///
/// # Errors
/// Why the pin is rejected.
pub fn returning(app: &App, pin: &[u8], now: u64) -> Result<VersionRef, Rejection> {
    let pin = app
        .pinning
        .check(pin, &app.name, &app.versions, now, || Expiry::AtTtl)?;
    Ok(pinned_version(app, &pin, PinScope::Client, now))
}

/// Whether the version of a pin has a share.
fn has_share(app: &App, pin: &ValidPin, now: u64) -> bool {
    app.schedule.share(&pin.version, || now) > Share::NONE
}

/// The version that a valid pin leads to. A page's pin leads to the page's version while that has a share, even if the
/// client has moved to another version.
fn pinned_version(app: &App, pin: &ValidPin, scope: PinScope, now: u64) -> VersionRef {
    let keeps = app.pinning.follow == Follow::Version || scope == PinScope::Page;
    let stays = keeps && has_share(app, pin, now);
    if stays || pin.version.state == State::Draining {
        pin.version.clone()
    } else {
        app.schedule.owner(pin.slot, || now)
    }
}

/// The pin to issue to a client with a valid pin: if the client moves to another version, or if half the TTL is over. A part
/// of a page does not move the client.
fn renewed(app: &App, pin: &ValidPin, version: &VersionRef, scope: PinScope) -> Option<NewPin> {
    if scope == PinScope::Page {
        return None;
    }
    let past_half = app.pinning.renew && pin.age * 2 > u64::from(app.pinning.ttl);
    let is_due = version.index != pin.version.index || (past_half && version.state != State::Draining);
    is_due.then(|| NewPin {
        version: version.clone(),
        slot: pin.slot,
    })
}

/// The first valid pin of a request: in the header, then in the query, then in cookies.
///
/// # Errors
/// Why the first pin was rejected. None if the request has no pin.
fn carried_pin<H: Headers + ?Sized, E: Environment>(
    app: &App,
    request: &Request<'_, H, E>,
) -> Result<(ValidPin, PinScope), Option<Rejection>> {
    let pinning = &app.pinning;
    // A part of a page comes from the page's version, however long the page is open.
    let expiry = || match request.fetch_mode() {
        FetchMode::SubResource => Expiry::WithVersion,
        FetchMode::Other => Expiry::AtTtl,
    };
    let mut rejected = None;
    let mut check = |value: &[u8]| {
        let pin = check_pin(app, value, request.now(), expiry);
        pin.map_err(|cause| rejected.get_or_insert(cause)).ok()
    };
    if let Some(pin) = handed_on(pinning, request, &mut check) {
        let scope = match expiry() {
            Expiry::WithVersion => PinScope::Page,
            Expiry::AtTtl => PinScope::Client,
        };
        return Ok((pin, scope));
    }
    let cookie = pinning.cookie.as_ref();
    let mut values = cookie.iter().flat_map(|cookie| request.cookies(&cookie.name));
    if let Some(pin) = values.find_map(&mut check) {
        // A pin past its TTL is valid for a page's parts only.
        let scope = if pin.is_past_ttl(pinning) {
            PinScope::Page
        } else {
            PinScope::Client
        };
        return Ok((pin, scope));
    }
    let is_unread = cookie.is_some() && request.exceeded().contains(Limit::Cookies);
    Err(rejected.or(is_unread.then_some(Rejection::Oversized)))
}

/// The pin of a value, if it is valid now. A pin past its TTL also needs a version that has a share or drains.
fn check_pin(
    app: &App,
    value: &[u8],
    now: u64,
    expiry: impl FnOnce() -> Expiry,
) -> Result<ValidPin, Rejection> {
    let pin = app.pinning.check(value, &app.name, &app.versions, now, expiry)?;
    let is_gone =
        pin.is_past_ttl(&app.pinning) && pin.version.state == State::Active && !has_share(app, &pin, now);
    if is_gone {
        return Err(Rejection::Expired);
    }
    Ok(pin)
}

/// The first valid pin in a header or in the query, where a page's server puts its own pin for the page's parts.
fn handed_on<H: Headers + ?Sized, E: Environment>(
    pinning: &Pinning,
    request: &Request<'_, H, E>,
    mut check: impl FnMut(&[u8]) -> Option<ValidPin>,
) -> Option<ValidPin> {
    let in_header = || request.headers().first(pinning.header.as_ref()?.as_str());
    let in_query = || request.query_param(pinning.query.as_ref()?);
    in_header().and_then(&mut check).or_else(|| {
        let value: Cow<'_, [u8]> = percent_decode(in_query()?).into();
        check(&value)
    })
}
