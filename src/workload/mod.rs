//! Beside a version's pods: what is told to the app of a request, and what its response says of who served it.
//!
//! A workload decides nothing. It knows what version it is, and whether a request is a mirrored one.

pub mod mirror;

use std::borrow::Cow;

use crate::environment::Ambient;
use crate::http::edit::{Edit, Edits};
use crate::http::header::{HeaderName, Headers};
use crate::http::request::Request;
use crate::workload::mirror::{Mirror, RestoreHost, Signal};

/// What the filter does beside a version's pods.
#[derive(Debug)]
pub struct Workload {
    /// What responses say, if this workload knows its version.
    pub stamp: Option<Stamp>,
    /// What is done about mirrored requests.
    pub mirror: Option<Mirror>,
}

/// What responses say of who served them.
#[derive(Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The response header.
    pub header: HeaderName,
    /// What it shows.
    pub label: String,
    /// This workload's version, by name.
    pub version: String,
}

/// What shall happen to a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// What it is.
    pub outcome: Outcome,
    /// What the host shall do to it.
    pub edits: Edits<'a>,
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// One that somebody waits for, as far as can be told.
    Live,
    /// A mirrored one, which the app is told of.
    Tagged,
    /// A mirrored one that is answered here and never reaches the app.
    Blocked,
}

impl Outcome {
    /// The outcome's name in metrics; a live request is not counted.
    #[must_use]
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Outcome::Live => None,
            Outcome::Tagged => Some("tagged"),
            Outcome::Blocked => Some("blocked"),
        }
    }
}

impl Workload {
    /// Judges a request.
    pub fn judge<'a, H: Headers + ?Sized, A: Ambient>(
        &'a self,
        headers: &'a H,
        ambient: &'a A,
    ) -> Verdict<'a> {
        let live = Verdict {
            outcome: Outcome::Live,
            edits: Edits::default(),
        };
        let Some(mirror) = &self.mirror else {
            return live;
        };
        let request = Request::new(headers, ambient);
        let tag = mirror.header.as_str();
        let Some(signal) = mirror.detect.signal(&request) else {
            let edits = headers.first(tag).map(|_| Edit::Remove(tag));
            return Verdict {
                edits: edits.into_iter().collect(),
                ..live
            };
        };
        let mut edits = Edits::default();
        edits.push(Edit::Replace(tag, Cow::Borrowed("true")));
        // A live request that a lagging route sent astray carries another version too. It must reach the app.
        let Signal::Mirrored(original) = signal else {
            return Verdict {
                outcome: Outcome::Tagged,
                edits,
            };
        };
        if mirror.block.iter().any(|block| block.covers(&request)) {
            // Access logs tell it by the tag.
            return Verdict {
                outcome: Outcome::Blocked,
                edits,
            };
        }
        if let (RestoreHost::Yes, Some(original)) = (mirror.restore_host, original) {
            edits.push(Edit::Replace(":authority", original));
        }
        Verdict {
            outcome: Outcome::Tagged,
            edits,
        }
    }

    /// What the host shall do to a response that the app gave. The stamp takes the place of what the app says: an app
    /// that passes on what it got from another service would show that one's version.
    pub fn stamp(&self) -> Option<Edit<'_>> {
        let stamp = self.stamp.as_ref()?;
        Some(Edit::Replace(stamp.header.as_str(), Cow::Borrowed(&stamp.label)))
    }
}
