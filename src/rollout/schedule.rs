//! Rollouts: which version each slot belongs to, now.
//!
//! Where no version is on a ramp that is settled once. Else the slots are laid out anew as the seconds pass; the clock is
//! the caller's.

use std::cell::RefCell;
use std::rc::Rc;

use crate::rollout::slots::{Layout, Share, Slot};
use crate::rollout::version::{Version, VersionRef};

/// The shares of an app's versions over time.
#[derive(Debug)]
pub struct Rollout {
    stable: VersionRef,
    others: Vec<VersionRef>,
    pace: Pace,
}

#[derive(Debug)]
enum Pace {
    /// Nothing moves.
    Settled(Rc<Layout<VersionRef>>),
    /// The layout of the second that was asked for last.
    Moving(RefCell<Option<(u64, Rc<Layout<VersionRef>>)>>),
}

impl Rollout {
    /// The stable version takes what the others leave, which are in the order of the configuration.
    #[must_use]
    pub fn new(stable: VersionRef, others: Vec<VersionRef>) -> Self {
        let pace = if others.iter().any(|version| version.ramp.is_some()) {
            Pace::Moving(RefCell::default())
        } else {
            Pace::Settled(Rc::new(laid_out(&stable, &others, 0)))
        };
        Rollout { stable, others, pace }
    }

    /// Who takes what the others leave.
    #[must_use]
    pub fn stable(&self) -> &VersionRef {
        &self.stable
    }

    /// Whose the slot is. The clock, in Unix seconds, is asked only where it matters.
    pub fn owner(&self, slot: Slot, now: impl FnOnce() -> u64) -> VersionRef {
        match &self.pace {
            Pace::Settled(layout) => layout.owner(slot).clone(),
            Pace::Moving(_) => self.layout(now()).owner(slot).clone(),
        }
    }

    /// Which slots are whose at a time, in Unix seconds.
    pub fn layout(&self, now: u64) -> Rc<Layout<VersionRef>> {
        let known = match &self.pace {
            Pace::Settled(layout) => return layout.clone(),
            Pace::Moving(known) => known,
        };
        let mut known = known.borrow_mut();
        match &*known {
            Some((at, layout)) if *at == now => layout.clone(),
            _ => {
                let layout = Rc::new(laid_out(&self.stable, &self.others, now));
                *known = Some((now, layout.clone()));
                layout
            }
        }
    }

    /// A version's share at a time, in Unix seconds.
    pub fn share(&self, version: &Version, now: impl FnOnce() -> u64) -> Share {
        match &self.pace {
            Pace::Settled(_) => version.share,
            Pace::Moving(_) if version.index == self.stable.index => {
                let now = now();
                let taken: Vec<_> = self.others.iter().map(|other| other.share_at(now)).collect();
                // A configuration whose ramps could ever add up to more is refused.
                Share::rest(&taken).unwrap_or(Share::NONE)
            }
            Pace::Moving(_) => version.share_at(now()),
        }
    }

    /// When the last of its ramps has arrived, in Unix seconds; none where nothing moves.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        let ramps = self.others.iter().filter_map(|version| version.ramp);
        ramps.map(|ramp| ramp.end()).max()
    }
}

fn laid_out(stable: &VersionRef, others: &[VersionRef], now: u64) -> Layout<VersionRef> {
    let others: Vec<_> = others
        .iter()
        .map(|version| (version.clone(), version.share_at(now)))
        .collect();
    Layout::new(stable.clone(), &others)
}
