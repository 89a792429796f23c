//! Why a request went where it went: what each step found, kept with the decision, and shown to those who may ask.

use std::fmt::{self, Write};

use crate::decision::Decision;
use crate::http::header::HeaderName;
use crate::identity::pin::Rejection;
use crate::rollout::slots::Slot;
use crate::rollout::version::VersionRef;
use crate::route::matching::Who;

/// The response header that answers.
pub const ANSWER: &str = "x-pinion-decision";

/// Who may ask why.
#[derive(Debug)]
pub struct Explain {
    /// The request header that asks, whatever it says.
    pub header: HeaderName,
    /// Whose questions are answered.
    pub allow: Who,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Step {
    /// An earlier one decided.
    #[default]
    Unreached,
    /// It did not apply, for this reason.
    Passed(Why),
    /// It decided; of a list, which item.
    Took(Option<u16>),
}

/// Why a step did not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The app has no such step.
    Unconfigured,
    /// Nobody asks for a version.
    Unasked,
    /// Somebody asks who may not, or with nothing that is understood.
    Denied,
    /// What is asked for is not there, or retired.
    Unknown,
    /// What arrives counts for nothing here.
    Stripped,
    /// Nothing came that it could decide by.
    Absent,
    /// No rule matches.
    Unmatched,
    /// The pin does not hold.
    Rejected(Rejection),
}

impl Why {
    /// The reason's name in an answer.
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
            Why::Rejected(cause) => cause.as_str(),
        }
    }
}

impl Step {
    /// It decided by an item of a list, none of which is so long that its number would not fit.
    pub(crate) fn took_item(item: usize) -> Self {
        Step::Took(u16::try_from(item).ok())
    }
}

/// What each step came to, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the steps are explained in the README")]
pub struct Trace {
    pub asked: Step,
    pub inbound: Step,
    pub rule: Step,
    pub key: Step,
    pub pin: Step,
    /// Where the client stands, if that was looked at.
    pub slot: Option<Slot>,
    /// The version that it would have gone to, were it not ejected.
    pub ejected: Option<VersionRef>,
}

/// The answer, a Structured Fields dictionary (RFC 9651 section 3.2) of configured names, numbers and our own words:
/// `app="web-api", version="v1", reason=pin, slot=48280, override=unasked, inbound=stripped, rule=unmatched, key=absent, pin=held`.
/// A step behind the one that decided is not in it.
#[must_use]
pub fn answer(decision: Option<&Decision>) -> String {
    let Some(decision) = decision else {
        return "app=none".to_owned();
    };
    let Decision {
        app, version, trace, ..
    } = decision;
    let mut out = format!(
        "app={:?}, version={:?}, reason={}",
        app.name,
        version.name,
        decision.reason.as_str()
    );
    // Writing to a String cannot fail.
    let _ = trace.write(&mut out);
    out
}

impl Trace {
    fn write(&self, out: &mut String) -> fmt::Result {
        if let Some(slot) = self.slot {
            write!(out, ", slot={}", slot.number())?;
        }
        for (name, step) in [
            ("override", self.asked),
            ("inbound", self.inbound),
            ("rule", self.rule),
            ("key", self.key),
            ("pin", self.pin),
        ] {
            match step {
                Step::Unreached => {}
                Step::Passed(why) => write!(out, ", {name}={}", why.as_str())?,
                Step::Took(None) => write!(out, ", {name}=held")?,
                Step::Took(Some(item)) => write!(out, ", {name}={item}")?,
            }
        }
        if let Some(ejected) = &self.ejected {
            write!(out, ", ejected={:?}", ejected.name)?;
        }
        Ok(())
    }
}
