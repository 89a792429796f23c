//! Ramps: a version's share as a function of time, so that a rollout proceeds by itself and alike
//! on every proxy.
//!
//! A ramp knows only shares and Unix seconds. [`schedule`](crate::rollout::schedule) computes the
//! owner of each slot at a time.

use crate::rollout::slots::Share;

/// A share that changes from one value to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// The share at the start.
    pub from: Share,
    /// The share at the end.
    pub to: Share,
    /// The start in Unix seconds.
    pub start: u64,
    /// The duration in seconds, at least one.
    pub duration: u32,
    /// The number of equal steps, each taken at the end of its part of the duration. None: the
    /// share changes every second.
    pub steps: Option<u32>,
    /// The share at which the ramp stops until this field is removed.
    pub hold_at: Option<Share>,
}

impl Ramp {
    /// The share at a time in Unix seconds, rounded towards the start.
    #[must_use]
    pub fn share_at(&self, now: u64) -> Share {
        let duration = u64::from(self.duration.max(1));
        let elapsed = now.saturating_sub(self.start).min(duration);
        let (done, whole) = match self.steps.map(u64::from) {
            Some(steps) => (elapsed * steps / duration, steps.max(1)),
            None => (elapsed, duration),
        };
        let difference = self.to.slots().abs_diff(self.from.slots());
        // The result is at most the difference, which is at most 100,000.
        let moved = (u64::from(difference) * done / whole) as u32;
        if self.to >= self.from {
            let share = self.from.plus(moved);
            self.hold_at.map_or(share, |hold| share.min(hold))
        } else {
            let share = self.from.minus(moved);
            self.hold_at.map_or(share, |hold| share.max(hold))
        }
    }

    /// The end in Unix seconds.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start.saturating_add(u64::from(self.duration))
    }

    /// The largest share that the ramp reaches.
    #[must_use]
    pub fn largest(&self) -> Share {
        self.from.max(self.share_at(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const RAMP: Ramp = Ramp {
        from: Share::NONE,
        to: Share::ALL,
        start: 1000,
        duration: 120,
        steps: None,
        hold_at: None,
    };

    fn percents(ramp: Ramp, times: &[u64]) -> Vec<f64> {
        times.iter().map(|at| ramp.share_at(*at).percent()).collect()
    }

    #[test]
    fn a_share_changes_evenly_or_in_steps_and_holds() {
        let percent = |percent| Share::from_percent(percent).unwrap();
        let times = [0, 1000, 1001, 1029, 1030, 1060, 1119, 1120, u64::MAX];
        for (ramp, expected) in [
            (RAMP, [0.0, 0.0, 0.833, 24.166, 25.0, 50.0, 99.166, 100.0, 100.0]),
            (
                Ramp {
                    steps: Some(4),
                    ..RAMP
                },
                [0.0, 0.0, 0.0, 0.0, 25.0, 50.0, 75.0, 100.0, 100.0],
            ),
            (
                Ramp {
                    steps: Some(1),
                    ..RAMP
                },
                [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 100.0, 100.0],
            ),
            (
                Ramp {
                    hold_at: Some(percent(40.0)),
                    ..RAMP
                },
                [0.0, 0.0, 0.833, 24.166, 25.0, 40.0, 40.0, 40.0, 40.0],
            ),
            (
                Ramp {
                    from: percent(90.0),
                    to: percent(10.0),
                    hold_at: Some(percent(30.0)),
                    ..RAMP
                },
                [90.0, 90.0, 89.334, 70.667, 70.0, 50.0, 30.0, 30.0, 30.0],
            ),
        ] {
            assert_eq!(percents(ramp, &times), expected, "{ramp:?}");
        }
    }

    #[test]
    fn the_largest_share_is_the_largest_reached() {
        let percent = |percent| Share::from_percent(percent).unwrap();
        assert_eq!(RAMP.largest(), Share::ALL);
        assert_eq!(
            Ramp {
                hold_at: Some(percent(40.0)),
                ..RAMP
            }
            .largest(),
            percent(40.0)
        );
        let falling = Ramp {
            from: percent(90.0),
            to: Share::NONE,
            ..RAMP
        };
        assert_eq!(falling.largest(), percent(90.0));
    }

    #[test]
    fn a_ramp_that_ends_beyond_time_does_not_overflow() {
        let late = Ramp {
            start: u64::MAX,
            duration: u32::MAX,
            steps: Some(u32::MAX),
            ..RAMP
        };
        assert_eq!(late.share_at(u64::MAX), Share::NONE);
        assert_eq!(late.end(), u64::MAX);
    }
}
