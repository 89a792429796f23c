//! The last step: if the selected version is ejected, its fallback serves the request. This module
//! also records the outcomes of responses, by which versions are ejected.

use super::outcome::{Decision, Reason};
use super::steps::Selection;
use super::trace::Trace;
use crate::app::{App, Mode};
use crate::environment::{Environment, SharedStore};
use crate::rollout::outlier::{Admission, Change, Outcome, OutlierDetection, Probe};
use crate::rollout::slots::Share;
use crate::rollout::version::{Version, VersionRef};

/// Replaces an ejected version of a selection by its fallback. The pin of a returning client stays
/// as it is, and a new client gets a slot of the fallback. Returns how the response counts for the
/// version's health: None if the version is not watched, or if no fallback could serve its clients.
pub(super) fn admit(
    app: &App,
    selection: &mut Selection,
    trace: &mut Trace,
    store: &impl SharedStore,
    now: impl Fn() -> u64,
) -> Option<Probe> {
    let detection = app.outlier_detection.as_ref()?;
    match app.mode {
        Mode::Observe => None,
        Mode::Enforce => admit_watched(app, detection, selection, trace, store, now),
    }
}

/// The same, for an app whose versions are watched.
#[inline(never)]
fn admit_watched(
    app: &App,
    detection: &OutlierDetection,
    selection: &mut Selection,
    trace: &mut Trace,
    store: &impl SharedStore,
    now: impl Fn() -> u64,
) -> Option<Probe> {
    let mut version = selection.version.clone();
    let probe = loop {
        // The loop ends: a configuration with a cycle of fallbacks is refused.
        let Some(fallback) = serving_fallback(app, detection, &version, &now) else {
            break None;
        };
        match detection.admit(&version, store, &now) {
            Some(Admission::Open(probe)) => break Some(probe),
            Some(Admission::Ejected) => version = fallback,
            None => break None,
        }
    };
    if version.index != selection.version.index {
        // An ejected version gets no new clients: a slot of the fallback keeps the client there
        // when the version recovers.
        if selection.reason == Reason::Draw
            && let Some(pin) = &mut selection.pin
            && let Some(slot) = app.schedule.layout(now()).slot_within(&version, pin.slot)
        {
            pin.slot = slot;
            pin.version = version.clone();
            trace.slot = Some(slot);
        }
        // A client with a pin keeps it as it is: no pin names an ejected version.
        if selection.reason == Reason::Pin {
            selection.pin = None;
        }
        selection.reason = Reason::Fallback;
        trace.ejected = Some(std::mem::replace(&mut selection.version, version));
    }
    probe
}

/// The first of a version's chain of fallbacks that has a share. A version without a share gets no
/// clients.
fn serving_fallback(
    app: &App,
    detection: &OutlierDetection,
    version: &Version,
    now: impl Fn() -> u64,
) -> Option<VersionRef> {
    let first = detection.fallback(version);
    let mut fallbacks = std::iter::successors(first, |next| detection.fallback(next));
    fallbacks
        .find(|next| app.schedule.share(next, &now) > Share::NONE)
        .cloned()
}

/// Records the outcome of a response, by its `response.code_details` and status, and returns the
/// change of the version's health.
pub fn record_outcome(
    decision: &Decision,
    code_details: &[u8],
    status: impl FnOnce() -> Option<u16>,
    environment: &(impl Environment + SharedStore),
) -> Option<Change> {
    let probe = decision.probe?;
    let detection = decision.app.outlier_detection.as_ref()?;
    let outcome = Outcome::of(code_details, status);
    detection.record_outcome(&decision.version, probe, outcome, environment, || {
        environment.now()
    })
}
