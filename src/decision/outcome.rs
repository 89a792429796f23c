//! The result of a decision.

use std::sync::Arc;

use super::trace::{Step, StepResult, Trace, Why};
use crate::app::{App, Mode};
use crate::http::cookie::Scheme;
use crate::http::request::Limits;
use crate::identity::overrides::CookieChange;
use crate::identity::pin::Rejection;
use crate::rollout::outlier::Probe;
use crate::rollout::version::VersionRef;

/// Why a request goes to its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumCount, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Reason {
    /// A tester asked for the version.
    Override,
    /// The arriving route header named the version.
    Inbound,
    /// A rule applied.
    Rule,
    /// The build id of the request's page.
    Build,
    /// The slot of the client's key.
    Key,
    /// The client's pin.
    Pin,
    /// The client had no valid pin and drew a slot.
    Draw,
    /// The version was ejected, and its fallback serves the request.
    Fallback,
}

impl Reason {
    /// The number of reasons.
    pub const COUNT: usize = <Reason as strum::EnumCount>::COUNT;

    /// The reason's name in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl From<Step> for Reason {
    fn from(step: Step) -> Self {
        match step {
            Step::Override => Reason::Override,
            Step::Inbound => Reason::Inbound,
            Step::Rule => Reason::Rule,
            Step::Build => Reason::Build,
            Step::Key => Reason::Key,
            Step::Pin => Reason::Pin,
        }
    }
}

/// Why a request without a pin gets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Withheld {
    /// The browser withholds the client's cookie from the request, so the client may have a pin.
    CrossSite,
    /// A cache uses the headers of a response to `HEAD` for the stored response of `GET`.
    Head,
}

impl Withheld {
    /// The reason's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What was decided for a request. The response needs it too.
#[derive(Debug)]
pub struct Decision {
    /// The app that the request belongs to.
    pub app: Arc<App>,
    /// The version that serves the request.
    pub version: VersionRef,
    /// Why this version.
    pub reason: Reason,
    /// The limits that the request exceeded.
    pub exceeded: Limits,
    /// Why no pin is issued to a client that has none, if so.
    pub withheld: Option<Withheld>,
    /// The state to set at the client, if any changes.
    pub client_state: Option<ClientState>,
    /// The result of each step.
    pub trace: Trace,
    /// How the response counts for the version's health. None if the version is not watched.
    pub probe: Option<Probe>,
}

impl Decision {
    /// Whether the decision is counted and changes nothing.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.app.mode == Mode::Observe
    }

    /// The new pin for the client, if there is one.
    #[must_use]
    pub fn new_pin(&self) -> Option<&str> {
        self.client_state.as_ref()?.pin.as_deref()
    }

    /// Whether the request carries a build id that no version has.
    #[must_use]
    pub fn has_unknown_build(&self) -> bool {
        self.trace.result(Step::Build) == StepResult::Passed(Why::Unknown)
    }

    /// Why the first pin of the request was rejected, if none was valid.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        self.trace.rejection()
    }
}

/// The state to set at the client.
#[derive(Debug)]
pub struct ClientState {
    /// The value of a new pin.
    pub(super) pin: Option<String>,
    /// The change of the override cookie.
    pub(super) override_cookie: Option<CookieChange>,
    /// The host at which duplicate cookies of the pin's name are expired.
    pub(super) expire_others: Option<String>,
    /// The scheme of the client's request.
    pub(super) scheme: Scheme,
}
