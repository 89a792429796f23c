//! The steps of a decision in their order. Every version that a request may go to is selected here.

use percent_encoding::percent_decode;
use std::borrow::Cow;
use strum::VariantArray;

use super::outcome::{Reason, Withheld};
use super::trace::{Step, StepResult, Trace, Why};
use crate::app::{App, Inbound, Target};
use crate::environment::Environment;
use crate::http::cookie::CookieTemplate;
use crate::http::fetch::{self, FetchKind};
use crate::http::header::Headers;
use crate::http::request::{Limit, Request};
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
    /// Why no pin is issued to a client that has none, if so.
    pub(super) withheld: Option<Withheld>,
    /// Whether the client has several cookies of the pin's name.
    pub(super) has_duplicates: bool,
}

/// A pin to issue.
pub(super) struct NewPin {
    pub(super) version: VersionRef,
    pub(super) slot: Slot,
    /// The time from which on the TTL counts, in Unix seconds.
    pub(super) issued: u64,
}

impl Selection {
    /// A selection without a new pin.
    fn of(version: &VersionRef, reason: Reason) -> Self {
        Selection {
            version: version.clone(),
            reason,
            pin: None,
            withheld: None,
            has_duplicates: false,
        }
    }
}

/// What a step finds out about a request.
enum Finding<'a> {
    /// The step does not exist for this app, and leaves no trace.
    Skipped,
    /// The step does not apply.
    Passed(Why),
    /// The step decides: this version.
    Version(&'a VersionRef, StepResult),
    /// A split among versions. A later step finds the client, whose slot selects one of these
    /// versions.
    Split(&'a Layout<VersionRef>, StepResult),
    /// The step decides: the version of this client.
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
            Step::Build => build(app, request, split),
            Step::Key => key(app, request),
            Step::Pin => pin(app, request),
        };
        match finding {
            Finding::Skipped => {}
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
    new_client(app, request, trace).select(app, request, split, trace)
}

/// A client without a valid pin. A preflight carries no cookies: the client is unknown, and gets no
/// pin. A client whose cookie the browser withholds may have a pin, so it gets no new one.
#[inline(never)]
fn new_client<H: Headers + ?Sized, E: Environment>(
    app: &App,
    request: &Request<'_, H, E>,
    trace: &Trace,
) -> Client {
    let App { name, pinning, .. } = app;
    let mut initial = pinning.initial.iter();
    let initial = initial.find_map(|initial| initial.slot(name, pinning.epoch, request));
    if request.is_preflight() {
        return Client::Preflight(initial);
    }
    let slot = initial.unwrap_or_else(|| Slot::from_random(request.random()));
    let is_absent = trace.result(Step::Pin) == StepResult::Passed(Why::Absent);
    let withholds = |cookie: &CookieTemplate| fetch::withholds(request.headers(), cookie.same_site);
    if is_absent && pinning.cookie.as_ref().is_some_and(withholds) {
        Client::Withheld(slot, Withheld::CrossSite)
    } else if request.method() == b"HEAD" {
        Client::Withheld(slot, Withheld::Head)
    } else {
        Client::New(slot)
    }
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

/// A split keeps its requests: a build id then leads only to a version of the split.
#[inline(never)]
fn build<'a, H: Headers + ?Sized, E: Environment>(
    app: &'a App,
    request: &Request<'_, H, E>,
    split: Option<&Layout<VersionRef>>,
) -> Finding<'a> {
    let Some(build) = &app.pinning.build else {
        return Finding::Skipped;
    };
    let in_header = || request.headers().first(build.header.as_ref()?.as_str());
    let in_query = || request.query_param(build.query.as_ref()?);
    let Some(id) = in_header().or_else(in_query) else {
        return Finding::Passed(Why::Absent);
    };
    if request.fetch_kind() == FetchKind::Navigation {
        return Finding::Passed(Why::Navigation);
    }
    let has_build = |version: &&VersionRef| version.builds.iter().any(|build| build.as_bytes() == id);
    match app.versions.iter().find(has_build) {
        None => Finding::Passed(Why::Unknown),
        Some(version) if split.is_some_and(|split| !split.has(version)) => Finding::Passed(Why::Unshared),
        Some(version) if keeps_pages(app, version, || request.now()) => {
            Finding::Version(version, StepResult::Took(None))
        }
        Some(_) => Finding::Passed(Why::Unshared),
    }
}

#[inline(never)]
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
        Ok(client) => Finding::Client(client, StepResult::Took(None)),
        Err(Some(cause)) => Finding::Passed(Why::Rejected(cause)),
        Err(None) => Finding::Passed(Why::Absent),
    }
}

/// A client, and its slot.
enum Client {
    /// The client has a key.
    Keyed(Slot),
    /// The client has a valid pin.
    Pinned {
        pin: ValidPin,
        /// Whether the client has several cookies of the pin's name.
        has_duplicates: bool,
    },
    /// The client is new.
    New(Slot),
    /// The client is treated as new, and gets no pin for this reason.
    Withheld(Slot, Withheld),
    /// A preflight, which carries no cookies. It has a slot only if that is derived from the request.
    Preflight(Option<Slot>),
}

impl Client {
    /// The selection for this client: by a rule's split, if a split applies, else by the app's
    /// shares. The client's pin is the same in both cases, so that a split's version never enters a
    /// pin.
    fn select<H: Headers + ?Sized, E: Environment>(
        self,
        app: &App,
        request: &Request<'_, H, E>,
        split: Option<&Layout<VersionRef>>,
        trace: &mut Trace,
    ) -> Selection {
        let slot = match &self {
            Client::Keyed(slot) | Client::New(slot) | Client::Withheld(slot, _) => Some(*slot),
            Client::Pinned { pin, .. } => Some(pin.slot),
            Client::Preflight(slot) => *slot,
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
            ..by_shares
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
            Client::Pinned { pin, has_duplicates } => pinned(app, request, &pin, has_duplicates),
            Client::New(slot) => {
                let version = owner(slot);
                Selection {
                    pin: Some(NewPin {
                        version: version.clone(),
                        slot,
                        issued: request.now(),
                    }),
                    ..Selection::of(&version, Reason::Draw)
                }
            }
            Client::Withheld(slot, reason) => Selection {
                withheld: Some(reason),
                ..Selection::of(&owner(slot), Reason::Draw)
            },
            Client::Preflight(Some(slot)) => Selection::of(&owner(slot), Reason::Draw),
            Client::Preflight(None) => Selection::of(app.schedule.stable(), Reason::Draw),
        }
    }
}

/// The age up to which a pin may have been issued before an internal redirect of the same request, in seconds.
const REDIRECT_WINDOW: u64 = 60;

/// The selection for a client with a valid pin. A part of a page stays on the pin's version while that keeps pages, and
/// changes no cookie. Any other request moves the client to the version of its slot, and renews the pin if half its TTL is
/// over. A `HEAD` changes no cookie: a cache uses its response's headers for the stored response of `GET`.
fn pinned<H: Headers + ?Sized, E: Environment>(
    app: &App,
    request: &Request<'_, H, E>,
    pin: &ValidPin,
    has_duplicates: bool,
) -> Selection {
    let now = request.now();
    let version = client_version(app, pin, now);
    let moves = version.index != pin.version.index;
    let past_half = app.pinning.renew && pin.age * 2 > u64::from(app.pinning.ttl);
    let is_renewed = past_half && version.state != State::Draining;
    let reissue = |issued| Selection {
        pin: Some(NewPin {
            version: version.clone(),
            slot: pin.slot,
            issued,
        }),
        has_duplicates,
        ..Selection::of(&version, Reason::Pin)
    };
    if moves || is_renewed {
        if request.fetch_kind() == FetchKind::PagePart {
            let keeps = keeps_pages(app, &pin.version, || now);
            let version = if keeps { &pin.version } else { &version };
            return Selection::of(version, Reason::Pin);
        }
        if request.method() != b"HEAD" {
            return reissue(now);
        }
    }
    // After an internal redirect the request's cookie has the pin of the first pass, which the client does not have yet.
    let is_second_pass = pin.age <= REDIRECT_WINDOW && request.is_internally_redirected();
    let cleans = has_duplicates && request.fetch_kind() == FetchKind::Navigation;
    if !moves && (is_second_pass || cleans) {
        return reissue(now.saturating_sub(pin.age));
    }
    Selection::of(&version, Reason::Pin)
}

/// The version that a returning client with this pin goes to by the app's shares alone: without an
/// override, a rule or a key, and not as a part of a page.
///
/// # Errors
/// Why the pin is rejected.
pub fn returning(app: &App, pin: &[u8], now: u64) -> Result<VersionRef, Rejection> {
    let pin = app
        .pinning
        .check(pin, &app.name, &app.versions, now, || Expiry::AtTtl)?;
    Ok(client_version(app, &pin, now))
}

/// The version that a client with a valid pin goes to.
fn client_version(app: &App, pin: &ValidPin, now: u64) -> VersionRef {
    let stays = app.pinning.follow == Follow::Version && has_share(app, &pin.version, || now);
    if stays || pin.version.state == State::Draining {
        pin.version.clone()
    } else {
        app.schedule.owner(pin.slot, || now)
    }
}

/// Whether open pages stay on a version: it has a share or is draining.
fn keeps_pages(app: &App, version: &VersionRef, now: impl FnOnce() -> u64) -> bool {
    match version.state {
        State::Active => has_share(app, version, now),
        State::Draining => true,
        State::Retired => false,
    }
}

fn has_share(app: &App, version: &VersionRef, now: impl FnOnce() -> u64) -> bool {
    app.schedule.share(version, now) > Share::NONE
}

/// The client of the request's pin: the first valid pin in the header or the query, else the newest
/// valid pin in cookies.
///
/// # Errors
/// Why the first pin was rejected. None if the request has no pin.
fn carried_pin<H: Headers + ?Sized, E: Environment>(
    app: &App,
    request: &Request<'_, H, E>,
) -> Result<Client, Option<Rejection>> {
    let pinning = &app.pinning;
    // A part of a page comes from the page's version, however long the page is open.
    let expiry = || match request.fetch_kind() {
        FetchKind::PagePart => Expiry::WithVersion,
        FetchKind::Navigation | FetchKind::Unknown => Expiry::AtTtl,
    };
    let mut rejected = None;
    let mut check = |value: &[u8]| {
        let pin = check_pin(app, value, request.now(), expiry);
        pin.map_err(|cause| rejected.get_or_insert(cause)).ok()
    };
    if let Some(pin) = handed_on(pinning, request, &mut check) {
        return Ok(Client::Pinned {
            pin,
            has_duplicates: false,
        });
    }
    let cookie = pinning.cookie.as_ref();
    let values = cookie.iter().flat_map(|cookie| request.cookies(&cookie.name));
    let mut count = 0;
    // Some clients percent-encode `~`.
    let decoded = |value| Cow::from(percent_decode(value));
    let pins = values
        .inspect(|_| count += 1)
        .filter_map(|value| check(&decoded(value)));
    // Ties go to the cookie that the browser sends first, which has the longest path.
    if let Some(pin) = pins.min_by_key(|pin| pin.age) {
        return Ok(Client::Pinned {
            pin,
            has_duplicates: count > 1,
        });
    }
    let is_unread = cookie.is_some() && request.exceeded().contains(Limit::Cookies);
    Err(rejected.or(is_unread.then_some(Rejection::Oversized)))
}

/// The pin of a value, if it is valid now. A pin past its TTL also needs a version that keeps
/// pages.
fn check_pin(
    app: &App,
    value: &[u8],
    now: u64,
    expiry: impl FnOnce() -> Expiry,
) -> Result<ValidPin, Rejection> {
    let pin = app.pinning.check(value, &app.name, &app.versions, now, expiry)?;
    if pin.is_past_ttl(&app.pinning) && !keeps_pages(app, &pin.version, || now) {
        return Err(Rejection::Expired);
    }
    Ok(pin)
}

/// The first valid pin in the header or in the query. A page's server puts the pin of the page
/// there, for the page's parts.
#[inline(never)]
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
