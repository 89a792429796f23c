//! Which version owns each slot at a time.
//!
//! Without a ramp the layout is computed once. With a ramp the layout may change every second, and
//! the caller passes the time.

use std::sync::{Arc, Mutex};

use super::slots::{Layout, Share, Slot};
use super::version::{Version, VersionRef};

/// The shares of an app's versions over time.
#[derive(Debug)]
pub struct Schedule {
    stable: VersionRef,
    others: Vec<VersionRef>,
    layout: Timing,
}

#[derive(Debug)]
enum Timing {
    /// No version has a ramp.
    Constant(Arc<Layout<VersionRef>>),
    /// The layout that was computed last, and its time in Unix seconds. A thread that finds the
    /// mutex locked computes a layout for itself.
    Ramped(Mutex<Option<(u64, Arc<Layout<VersionRef>>)>>),
}

impl Schedule {
    /// The schedule of the stable version and of the other versions in the order of the
    /// configuration. The stable version has the share that the other versions leave.
    #[must_use]
    pub fn new(stable: VersionRef, others: Vec<VersionRef>) -> Self {
        let layout = if others.iter().any(|version| version.ramp.is_some()) {
            Timing::Ramped(Mutex::default())
        } else {
            Timing::Constant(Arc::new(layout_at(&stable, &others, 0)))
        };
        Schedule {
            stable,
            others,
            layout,
        }
    }

    /// The version that has the share that the other versions leave.
    #[must_use]
    pub fn stable(&self) -> &VersionRef {
        &self.stable
    }

    /// The owner of a slot. The clock, in Unix seconds, is read only if the app has a ramp.
    pub fn owner(&self, slot: Slot, now: impl FnOnce() -> u64) -> VersionRef {
        match &self.layout {
            Timing::Constant(layout) => layout.owner(slot).clone(),
            Timing::Ramped(_) => self.layout(now()).owner(slot).clone(),
        }
    }

    /// The layout at a time in Unix seconds.
    pub fn layout(&self, now: u64) -> Arc<Layout<VersionRef>> {
        let last = match &self.layout {
            Timing::Constant(layout) => return layout.clone(),
            Timing::Ramped(last) => last,
        };
        let computed = || Arc::new(layout_at(&self.stable, &self.others, now));
        let Ok(mut last) = last.try_lock() else {
            return computed();
        };
        match &*last {
            Some((at, layout)) if *at == now => layout.clone(),
            _ => {
                let layout = computed();
                *last = Some((now, layout.clone()));
                layout
            }
        }
    }

    /// A version's share at a time in Unix seconds. The clock is read only if the app has a ramp.
    pub fn share(&self, version: &Version, now: impl FnOnce() -> u64) -> Share {
        match &self.layout {
            Timing::Constant(_) => version.share,
            Timing::Ramped(_) if version.index == self.stable.index => {
                let now = now();
                let taken: Vec<_> = self.others.iter().map(|other| other.share_at(now)).collect();
                // A configuration whose ramps could add up to more than 100 % is refused.
                Share::rest(&taken).unwrap_or(Share::NONE)
            }
            Timing::Ramped(_) => version.share_at(now()),
        }
    }

    /// The end of the last ramp in Unix seconds. None if the app has no ramp.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        let ramps = self.others.iter().filter_map(|version| version.ramp);
        ramps.map(|ramp| ramp.end()).max()
    }
}

fn layout_at(stable: &VersionRef, others: &[VersionRef], now: u64) -> Layout<VersionRef> {
    let others: Vec<_> = others
        .iter()
        .map(|version| (version.clone(), version.share_at(now)))
        .collect();
    Layout::new(stable.clone(), &others)
}
