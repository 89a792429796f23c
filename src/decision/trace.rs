//! The result of each step of a decision, kept to explain the decision.

use strum::VariantArray;

use crate::identity::pin::Rejection;
use crate::rollout::slots::Slot;
use crate::rollout::version::VersionRef;

/// The steps of a decision, in order of precedence. If none decides, the client draws a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumCount, strum::IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Step {
    /// A tester asks for a version.
    Override,
    /// The request has a route header.
    Inbound,
    /// A rule applies.
    Rule,
    /// The request carries the build id of its page.
    Build,
    /// The client has a key.
    Key,
    /// The client has a pin.
    Pin,
}

impl Step {
    /// The number of steps.
    pub const COUNT: usize = <Step as strum::EnumCount>::COUNT;

    /// The step's name in an explanation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The result of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StepResult {
    /// An earlier step decided, or the app configures no build ids.
    #[default]
    Unreached,
    /// The step did not apply, for this reason.
    Passed(Why),
    /// The step decided. If the step has a list (rules, keys), the index of the item that decided.
    Took(Option<u16>),
}

impl StepResult {
    /// The result of a step that an item of its list decided. No list is too long for the index.
    pub(super) fn took_item(index: usize) -> Self {
        StepResult::Took(u16::try_from(index).ok())
    }
}

/// Why a step did not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The app does not configure this step.
    Unconfigured,
    /// The request asks for no version.
    Unasked,
    /// The request asks for a version and is not allowed to, or the value is malformed.
    Denied,
    /// The request asks for a version that the app lacks or that is retired.
    Unknown,
    /// The app ignores an incoming route header.
    Stripped,
    /// The request has nothing that the step could decide by.
    Absent,
    /// No rule applies.
    Unmatched,
    /// A navigation is no part of a page.
    Navigation,
    /// The version has no share and is not draining.
    Unshared,
    /// The pin is rejected.
    Rejected(Rejection),
}

impl Why {
    /// The reason's name in an explanation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Unconfigured => "unconfigured",
            Why::Unasked => "unasked",
            Why::Denied => "denied",
            Why::Unknown => "unknown",
            Why::Stripped => "stripped",
            Why::Absent => "absent",
            Why::Unmatched => "unmatched",
            Why::Navigation => "navigation",
            Why::Unshared => "unshared",
            Why::Rejected(cause) => cause.as_str(),
        }
    }
}

/// The results of all steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    results: [StepResult; Step::COUNT],
    /// The client's slot, if a step needed it.
    pub slot: Option<Slot>,
    /// The ejected version, which the fallback replaces.
    pub ejected: Option<VersionRef>,
}

impl Trace {
    /// The result of a step.
    #[must_use]
    pub fn result(&self, step: Step) -> StepResult {
        self.results.get(step as usize).copied().unwrap_or_default()
    }

    /// Each step and its result, in order.
    pub fn results(&self) -> impl Iterator<Item = (Step, StepResult)> {
        Step::VARIANTS.iter().copied().zip(self.results)
    }

    pub(super) fn record(&mut self, step: Step, result: StepResult) {
        if let Some(place) = self.results.get_mut(step as usize) {
            *place = result;
        }
    }

    /// Why the client's pin was rejected, if the client has no valid pin.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        match self.result(Step::Pin) {
            StepResult::Passed(Why::Rejected(cause)) => Some(cause),
            _ => None,
        }
    }
}
