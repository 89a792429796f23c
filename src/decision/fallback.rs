//! The last step: past an ejected version to its fallback; and what a response says of the version that gave it.

use super::Decision;
use super::Reason;
use super::steps::Place;
use crate::config::{App, Conduct};
use crate::decision::trace::Trace;
use crate::environment::Ambient;
use crate::rollout::outlier::{Admission, Attempt, Change, Memory, OutlierDetection, Performance};
use crate::rollout::slots::Share;
use crate::rollout::version::{Version, VersionRef};

/// Sends a request past an ejected version, with its pin left as it is. A version whose clients nobody could take is not
/// watched.
pub(super) fn admit(
    app: &App,
    place: &mut Place,
    trace: &mut Trace,
    ambient: &(impl Ambient + Memory),
) -> Option<Attempt> {
    let watch = app
        .outlier_detection
        .as_ref()
        .filter(|_| app.conduct == Conduct::Act)?;
    past_ejected(app, watch, place, trace, ambient)
}

/// The same, of an app whose versions are watched.
#[inline(never)]
fn past_ejected(
    app: &App,
    watch: &OutlierDetection,
    place: &mut Place,
    trace: &mut Trace,
    ambient: &(impl Ambient + Memory),
) -> Option<Attempt> {
    let mut version = place.version.clone();
    let attempt = loop {
        // Each version comes once: a configuration whose fallbacks go round is refused.
        let Some(refuge) = refuge(app, watch, &version, ambient) else {
            break None;
        };
        match watch.admit(&version, ambient, || ambient.now()) {
            Some(Admission::Open(attempt)) => break Some(attempt),
            Some(Admission::Ejected) => version = refuge,
            None => break None,
        }
    };
    if version.index != place.version.index {
        place.reason = Reason::Fallback;
        trace.ejected = Some(std::mem::replace(&mut place.version, version));
    }
    attempt
}

/// Who takes a version's clients: the next along its fallbacks that has a share. Where nobody is to come, nobody is sent.
fn refuge(
    app: &App,
    watch: &OutlierDetection,
    version: &Version,
    ambient: &impl Ambient,
) -> Option<VersionRef> {
    let mut fallbacks = std::iter::successors(watch.fallback(version), |next| watch.fallback(next));
    fallbacks
        .find(|next| app.rollout.share(next, || ambient.now()) > Share::NONE)
        .cloned()
}

/// Notes how a version did, off a response's `response.code_details` and status.
pub fn note(
    decision: &Decision,
    code_details: &[u8],
    status: impl FnOnce() -> Option<u16>,
    ambient: &(impl Ambient + Memory),
) -> Option<Change> {
    let attempt = decision.attempt?;
    let watch = decision.app.outlier_detection.as_ref()?;
    let performance = Performance::of(code_details, status);
    watch.note(&decision.version, attempt, performance, ambient, || ambient.now())
}
