//! Ramps: a version's share as a function of time, so that a rollout goes on by itself and the same on every proxy.
//!
//! A ramp only knows shares and Unix seconds. Who owns which slot at a time, [`rollout`](crate::rollout::schedule) says.

use crate::rollout::slots::Share;

/// A share on its way from one value to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// Where it starts.
    pub from: Share,
    /// Where it ends.
    pub to: Share,
    /// When it starts, in Unix seconds.
    pub start: u64,
    /// How long it takes, in seconds, at least one.
    pub duration: u32,
    /// In how many equal steps, each at the end of its part of the time; none: evenly, by the second.
    pub steps: Option<u32>,
    /// Where it waits until this is taken away.
    pub hold_at: Option<Share>,
}

impl Ramp {
    /// The share at a time, in Unix seconds. What is left of a slot stays where it was.
    #[must_use]
    pub fn share_at(&self, now: u64) -> Share {
        let duration = u64::from(self.duration.max(1));
        let elapsed = now.saturating_sub(self.start).min(duration);
        let (done, whole) = match self.steps.map(u64::from) {
            Some(steps) => (elapsed * steps / duration, steps.max(1)),
            None => (elapsed, duration),
        };
        let way = self.to.slots().abs_diff(self.from.slots());
        // At most the way, which is below 100,000.
        let gone = (u64::from(way) * done / whole) as u32;
        if self.to >= self.from {
            let share = self.from.plus(gone);
            self.hold_at.map_or(share, |hold| share.min(hold))
        } else {
            let share = self.from.minus(gone);
            self.hold_at.map_or(share, |hold| share.max(hold))
        }
    }

    /// When it has arrived, in Unix seconds.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start.saturating_add(u64::from(self.duration))
    }

    /// The most it ever has.
    #[must_use]
    pub fn most(&self) -> Share {
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
    fn a_share_goes_evenly_or_in_steps_and_waits() {
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
    fn its_most_is_what_it_reaches() {
        let percent = |percent| Share::from_percent(percent).unwrap();
        assert_eq!(RAMP.most(), Share::ALL);
        assert_eq!(
            Ramp {
                hold_at: Some(percent(40.0)),
                ..RAMP
            }
            .most(),
            percent(40.0)
        );
        let falling = Ramp {
            from: percent(90.0),
            to: Share::NONE,
            ..RAMP
        };
        assert_eq!(falling.most(), percent(90.0));
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
