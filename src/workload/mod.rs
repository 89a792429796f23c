//! The filter beside a version's pods: it tells the app of mirrored requests, and stamps responses
//! with the version that served them. A workload decides no version.

pub mod mirror;
pub mod stamp;

use std::borrow::Cow;

use crate::environment::Environment;
use crate::http::edit::{Edit, Edits, unconnected};
use crate::http::header::{Headers, is_same_field};
use crate::http::request::Request;
use mirror::{Mirror, Signal};
use stamp::Stamp;

/// What the filter does beside a version's pods.
#[derive(Debug)]
pub struct Workload {
    /// The stamp on responses. None if the workload's version is not known.
    pub stamp: Option<Stamp>,
    /// How mirrored requests are treated. None if the filter does not look for them.
    pub mirror: Option<Mirror>,
}

/// What happens to a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// What the request is, and whether it reaches the app.
    pub outcome: MirrorOutcome,
    /// The edits of the request.
    pub edits: Edits<'a>,
}

/// What a request is, and whether it reaches the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorOutcome {
    /// A live request, as far as the signals tell.
    Live,
    /// A mirrored request that reaches the app with a tag.
    Tagged,
    /// A mirrored request that the filter answers itself.
    Blocked,
}

impl MirrorOutcome {
    /// The outcome's name in metrics. None for a live request, which is not counted.
    #[must_use]
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            MirrorOutcome::Live => None,
            MirrorOutcome::Tagged => Some("tagged"),
            MirrorOutcome::Blocked => Some("blocked"),
        }
    }
}

impl Workload {
    /// The verdict on a request.
    pub fn judge<'a, H: Headers + ?Sized, E: Environment>(
        &'a self,
        headers: &'a H,
        environment: &'a E,
    ) -> Verdict<'a> {
        let verdict = |outcome, edits| Verdict { outcome, edits };
        let mut edits = Edits::new();
        let Some(mirror) = &self.mirror else {
            return verdict(MirrorOutcome::Live, edits);
        };
        let request = Request::new(headers, environment);
        let tag = mirror.header.as_str();
        // The app may read `_` as `-`.
        let spellings = headers.all().filter_map(|(name, _)| {
            let is_other = name != tag.as_bytes() && is_same_field(name, tag.as_bytes());
            std::str::from_utf8(name).ok().filter(|_| is_other)
        });
        edits.extend(spellings.map(Edit::Remove));
        let Some(signal) = mirror.detect.signal(&request) else {
            edits.extend(headers.first(tag).map(|_| Edit::Remove(tag)));
            return verdict(MirrorOutcome::Live, edits);
        };
        // An access log recognizes a blocked request by the tag, too.
        edits.push(Edit::Replace(tag, Cow::Borrowed("true")));
        let connection = unconnected(headers, &edits);
        edits.extend(connection);
        // A live request that an outdated route sent here names another version too. It must reach the app.
        let Signal::Mirrored(original_authority) = signal else {
            return verdict(MirrorOutcome::Tagged, edits);
        };
        if mirror.block.iter().any(|block| block.covers(&request)) {
            return verdict(MirrorOutcome::Blocked, edits);
        }
        if let Some(authority) = original_authority.filter(|_| mirror.restore_host) {
            edits.push(Edit::Replace(":authority", authority));
        }
        verdict(MirrorOutcome::Tagged, edits)
    }
}
