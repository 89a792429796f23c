//! Explanations: which requests get one, and what it says.

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::outcome::Decision;
use super::trace::{StepResult, Trace};
use crate::app::{DECISION_HEADER, Edge};
use crate::environment::Environment;
use crate::http::cacheability;
use crate::http::edit::Edit;
use crate::http::header::Headers;
use crate::http::request::Request;

/// Whether the response explains the decision: the request asks, and may. An observing app gives no explanation.
pub fn is_explained<H: Headers + ?Sized>(
    edge: &Edge,
    headers: &H,
    decision: Option<&Decision>,
    environment: &impl Environment,
) -> bool {
    let Some(explain) = &edge.explain else {
        return false;
    };
    let enforces = decision.map_or(edge.enforces(), |decision| !decision.is_observed());
    enforces
        && headers.first(explain.header.as_str()).is_some()
        && explain.allow.includes(&Request::new(headers, environment))
}

/// The edit that adds the explanation to a response. None if a shared cache may store the response and give it to other
/// clients.
pub fn explanation<H: Headers + ?Sized>(decision: Option<&Decision>, response: &H) -> Option<Edit<'static>> {
    if cacheability::may_be_shared(response) {
        return None;
    }
    Some(Edit::Replace(DECISION_HEADER, Cow::Owned(explain(decision))))
}

/// The text of an explanation, a Structured Fields dictionary (RFC 9651 section 3.2) of configured names, numbers and fixed
/// words:
/// `app="web-api", version="v1", reason=pin, slot=48280, override=unasked, inbound=stripped, rule=unmatched, key=absent, pin=held`.
/// Steps behind the one that decided are left out.
#[must_use]
pub fn explain(decision: Option<&Decision>) -> String {
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
    let _ = write_trace(trace, &mut out);
    out
}

fn write_trace(trace: &Trace, out: &mut String) -> fmt::Result {
    if let Some(slot) = trace.slot {
        write!(out, ", slot={}", slot.number())?;
    }
    for (step, result) in trace.results() {
        let step = step.as_str();
        match result {
            StepResult::Unreached => {}
            StepResult::Passed(why) => write!(out, ", {step}={}", why.as_str())?,
            StepResult::Took(None) => write!(out, ", {step}=held")?,
            StepResult::Took(Some(index)) => write!(out, ", {step}={index}")?,
        }
    }
    if let Some(ejected) = &trace.ejected {
        write!(out, ", ejected={:?}", ejected.name)?;
    }
    Ok(())
}
