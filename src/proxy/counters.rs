//! The counters of decided requests. A counter is defined at its first request. Later requests find
//! its id by the indices of app, version and reason, without its name.

use std::cell::RefCell;

use super::host;
use super::metrics::Metric;
use crate::app::Edge;
use crate::decision::{Decision, Reason};

/// The counters of one configuration in one VM.
pub(super) struct Counters {
    /// The index of each app's first id.
    starts: Vec<usize>,
    ids: RefCell<Vec<Option<u32>>>,
}

impl Counters {
    pub(super) fn new(edge: &Edge) -> Self {
        let mut end = 0;
        let starts = edge.apps().map(|app| {
            let start = end;
            end += app.versions.len() * Reason::COUNT;
            start
        });
        let starts = starts.collect();
        Counters {
            starts,
            ids: RefCell::new(vec![None; end]),
        }
    }

    /// Counts a decided request.
    pub(super) fn count(&self, decision: &Decision) {
        let Decision {
            app, version, reason, ..
        } = decision;
        let place = self
            .starts
            .get(app.index)
            .map(|start| start + version.index * Reason::COUNT + *reason as usize);
        let mut ids = self.ids.borrow_mut();
        let Some(id) = place.and_then(|place| ids.get_mut(place)) else {
            return;
        };
        if id.is_none() {
            *id = defined(decision);
        }
        if let Some(id) = *id {
            host::increment(id);
        }
    }
}

/// Defines the counter of a decided request, and returns its id.
fn defined(decision: &Decision) -> Option<u32> {
    host::counter(&Metric::Requests {
        app: &decision.app.name,
        version: &decision.version.name,
        reason: decision.reason.as_str(),
    })
}
