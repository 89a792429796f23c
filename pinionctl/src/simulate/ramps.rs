//! An app's shares while its ramps run.

use std::collections::BTreeSet;
use std::fmt::Write;

use pinion::app::App;
use pinion::rollout::ramp::Ramp;
use pinion::rollout::slots::Share;

use crate::clock::utc;

/// The number of parts into which a table divides a ramp that changes every second.
const POINTS: u64 = 12;
/// The most changes of a ramp for which each change has a line.
const MOST_LINES: usize = 24;
/// The number of parts into which a picture divides the time.
const PARTS: u64 = 400;

/// The shares of an app's versions over a period.
pub(super) struct Course<'a> {
    pub(super) app: &'a App,
    pub(super) from: u64,
    pub(super) until: u64,
    /// The times that the table shows.
    times: BTreeSet<u64>,
}

impl<'a> Course<'a> {
    /// The course from the first ramp's start to the last ramp's end, unless `from` or `until` is given. None if the app
    /// has no ramp.
    pub(super) fn new(app: &'a App, from: Option<u64>, until: Option<u64>) -> Result<Option<Self>, String> {
        let ramps: Vec<Ramp> = app.versions.iter().filter_map(|version| version.ramp).collect();
        let Some(start) = ramps.iter().map(|ramp| ramp.start).min() else {
            return Ok(None);
        };
        let end = ramps.iter().map(Ramp::end).max().unwrap_or(start);
        let (from, until) = (from.unwrap_or(start), until.unwrap_or(end));
        if from >= until {
            let (from, until) = (utc(from), utc(until));
            return Err(format!(
                "{}: the period must begin before it ends: {from} to {until}",
                app.name
            ));
        }
        let even = |parts: u64| {
            (0..=parts)
                .map(move |i| from + (u128::from(until - from) * u128::from(i) / u128::from(parts)) as u64)
        };
        let mut times = BTreeSet::from([from, until]);
        for ramp in &ramps {
            times.extend([ramp.start, ramp.end()]);
            let mut changes = Vec::new();
            find_changes(ramp, from, until, &mut changes);
            if changes.len() <= MOST_LINES {
                times.extend(changes);
            } else {
                // The last change is where the ramp ends or begins to wait.
                times.extend(changes.last().copied().into_iter().chain(even(POINTS)));
            }
        }
        times.retain(|time| (from..=until).contains(time));
        Ok(Some(Course {
            app,
            from,
            until,
            times,
        }))
    }

    /// The share of each version at a time, in the order of the versions.
    pub(super) fn shares(&self, at: u64) -> Vec<Share> {
        let schedule = &self.app.schedule;
        self.app
            .versions
            .iter()
            .map(|version| schedule.share(version, || at))
            .collect()
    }

    /// The times that a picture shows: evenly spaced ones, and both sides of each step.
    pub(super) fn fine_times(&self) -> BTreeSet<u64> {
        let step = ((self.until - self.from) / PARTS).max(1);
        let mut times: BTreeSet<u64> = (self.from..self.until)
            .step_by(usize::try_from(step).unwrap_or(usize::MAX))
            .collect();
        times.extend(
            self.times
                .iter()
                .flat_map(|time| [time.saturating_sub(1).max(self.from), *time]),
        );
        times
    }

    pub(super) fn table(&self) -> String {
        let names: Vec<_> = self
            .app
            .versions
            .iter()
            .map(|version| version.name.as_str())
            .collect();
        let width = |name: &str| name.len().max(7);
        let mut out = format!("{}: shares in percent\n  {:<20}", self.app.name, "time");
        // Writing to a String cannot fail.
        for name in &names {
            let _ = write!(out, "  {name:>0$}", width(name));
        }
        out.push('\n');
        for time in &self.times {
            let _ = write!(out, "  {}", utc(*time));
            for (name, share) in names.iter().zip(self.shares(*time)) {
                let _ = write!(out, "  {:>1$.3}", share.percent(), width(name));
            }
            out.push('\n');
        }
        out
    }
}

/// Collects the seconds after `from` at which a ramp's share differs from that of the second before.
///
/// A ramp never turns back, so a period with the same share at both ends holds no change.
fn find_changes(ramp: &Ramp, from: u64, until: u64, changes: &mut Vec<u64>) {
    if ramp.share_at(from) == ramp.share_at(until) {
        return;
    }
    if until - from == 1 {
        changes.push(until);
        return;
    }
    let middle = from + (until - from) / 2;
    find_changes(ramp, from, middle, changes);
    find_changes(ramp, middle, until, changes);
}
