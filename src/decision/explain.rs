//! Explanations: which requests get one, and what it says.

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::edits::server_timing;
use super::outcome::Decision;
use super::trace::{StepResult, Trace};
use crate::app::{DECISION_HEADER, Edge};
use crate::environment::Environment;
use crate::http::cacheability::{self, Cacheability};
use crate::http::edit::{Edit, Edits};
use crate::http::header::Headers;
use crate::http::request::Request;

/// Whether the response explains the decision: the request asks, and is allowed to. An app in
/// observe mode gives no explanation.
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

/// The edits that add the explanation to a response. A shared cache would give the explanation to
/// other clients, so the response becomes private.
#[inline(never)]
pub fn explanation<'a, H: Headers + ?Sized>(
    decision: Option<&Decision>,
    response: &'a H,
    now: impl FnOnce() -> u64,
) -> Edits<'a> {
    let mut edits = Edits::new();
    // The headers of a 304 become those of a stored response.
    if response.first(":status") == Some(b"304") {
        return edits;
    }
    if cacheability::of(response, now) != Cacheability::Private {
        edits.extend(cacheability::make_private(response));
    }
    let text = explain(decision);
    if decision.is_some_and(|decision| decision.app.server_timing) {
        edits.push(server_timing("decision", &text));
    }
    edits.push(Edit::Replace(DECISION_HEADER, Cow::Owned(text)));
    edits
}

/// The text of an explanation, a Structured Fields dictionary (RFC 9651 section 3.2) of configured
/// names, numbers and fixed words:
/// `app="web-api", version="v1", reason=pin, slot=48280, override=unasked, inbound=stripped, rule=unmatched, key=absent, pin=held`.
/// Steps after the deciding step are left out.
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
