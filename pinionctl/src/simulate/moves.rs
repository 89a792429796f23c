//! Whom a change of configuration moves. A client stands at each slot; the core says where it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use pinion::app::App;
use pinion::decision;
use pinion::identity::pin::Pin;
use pinion::rollout::slots::{SLOTS, Slot};
use pinion::rollout::version::{State, Version, VersionRef};

use super::grouped;

/// What an app's change of configuration does.
pub(super) struct Change<'a> {
    pub(super) before: &'a App,
    pub(super) after: &'a App,
    at: u64,
    /// Of clients that come back with a pin, one at each slot.
    pub(super) pinned: Moves,
    /// Of clients with a key, where there are keys.
    keyed: Option<Moves>,
}

/// Who goes from where to where, by the versions' names.
#[derive(Default)]
pub(super) struct Moves {
    /// By where its slot lies, or its pin says.
    held: BTreeMap<(String, String), u32>,
    /// Those that get a new slot by chance: from where, and why.
    let_go: BTreeMap<(String, &'static str), u32>,
}

impl<'a> Change<'a> {
    pub(super) fn new(before: &'a App, after: &'a App, at: u64) -> Self {
        let mut change = Change {
            before,
            after,
            at,
            pinned: Moves::default(),
            keyed: None,
        };
        change.pinned = change.moves(|slot, owner| change.returning(slot, owner));
        let (old, new) = (&before.pinning, &after.pinning);
        change.keyed = (!old.keys.is_empty() || !new.keys.is_empty()).then(|| {
            let cause = if old.keys != new.keys {
                Some("pin.key is another")
            } else {
                (old.epoch != new.epoch).then_some("epoch")
            };
            change.moves(|slot, _| cause.map_or_else(|| Ok(after.schedule.owner(slot, || at)), Err))
        });
        change
    }

    /// Where a client goes that was given a pin just now.
    fn returning(&self, slot: Slot, version: &Version) -> Result<VersionRef, &'static str> {
        let (old, at) = (&self.before.pinning, self.at);
        let pin = Pin {
            version: &version.name,
            issued: at,
            epoch: old.epoch,
            slot,
        }
        .encode(&self.before.name, old.signing_keys());
        decision::returning(self.after, pin.as_bytes(), at).map_err(pinion::identity::pin::Rejection::as_str)
    }

    /// The clients of all slots. Between the ends of the runs of both layouts, all go the same way.
    fn moves(&self, to: impl Fn(Slot, &Version) -> Result<VersionRef, &'static str>) -> Moves {
        let layouts = [self.before, self.after].map(|app| app.schedule.layout(self.at));
        let ends: BTreeSet<u32> = layouts
            .iter()
            .flat_map(|layout| layout.runs())
            .map(|(end, _)| end)
            .collect();
        let (mut moves, mut start) = (Moves::default(), 0);
        for end in ends {
            if let Some(slot) = Slot::new(start) {
                let from = self.before.schedule.owner(slot, || self.at);
                moves.add(&from, to(slot, &from), end - start);
            }
            start = end;
        }
        moves
    }

    /// A version's share in percent, before and after; none where it is not there.
    fn share(app: &App, name: &str, at: u64) -> Option<f64> {
        let version = app.versions.iter().find(|version| version.name == name)?;
        Some(app.schedule.share(version, || at).percent())
    }

    /// The names of all versions: as before, then the new ones.
    pub(super) fn names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = self
            .before
            .versions
            .iter()
            .map(|version| version.name.as_str())
            .collect();
        for version in &self.after.versions {
            if !names.contains(&version.name.as_str()) {
                names.push(&version.name);
            }
        }
        names
    }

    /// How many go from where to where, with what is to be expected of those that get a new slot.
    pub(super) fn flows(&self, moves: &Moves) -> BTreeMap<(String, String), Flow> {
        let mut flows: BTreeMap<_, Flow> = BTreeMap::new();
        for (ends, count) in &moves.held {
            flows.entry(ends.clone()).or_default().sure += count;
        }
        for ((from, _), count) in &moves.let_go {
            for to in &self.after.versions {
                let share = self.after.schedule.share(to, || self.at);
                let expected = f64::from(*count) * share.percent() / 100.0;
                if expected > 0.0 {
                    flows.entry((from.clone(), to.name.clone())).or_default().expected += expected;
                }
            }
        }
        flows
    }

    pub(super) fn told(&self) -> String {
        let mut out = format!(
            "{}\n  {:<16} {:>9} {:>9}\n",
            self.before.name, "version", "before", "after"
        );
        let percent =
            |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{share:.3} %"));
        // Writing to a String cannot fail.
        for name in self.names() {
            let [before, after] = [self.before, self.after].map(|app| Self::share(app, name, self.at));
            let (state, before, after) = (self.state(name), percent(before), percent(after));
            let _ = writeln!(out, "  {name:<16} {before:>9} {after:>9}{state}");
        }
        out += &self.sum(&self.pinned, "with a pin");
        out += &self.drained();
        if let Some(keyed) = &self.keyed {
            out += &self.sum(keyed, "with a key");
        }
        out
    }

    /// What becomes of a version beside its share.
    fn state(&self, name: &str) -> &'static str {
        let state = |app: &App| {
            app.versions
                .iter()
                .find(|version| version.name == name)
                .map(|version| version.state)
        };
        match (state(self.before), state(self.after)) {
            (None, _) => "  new",
            (_, None) => "  removed",
            (Some(old), Some(new)) if old == new => "",
            (_, Some(State::Active)) => "  active again",
            (_, Some(State::Draining)) => "  now draining",
            (_, Some(State::Retired)) => "  now retired",
        }
    }

    fn sum(&self, moves: &Moves, who: &str) -> String {
        let mut out = String::new();
        for ((from, cause), count) in &moves.let_go {
            let _ = writeln!(
                out,
                "  {who}, at {from}: {} get a new slot ({cause})",
                grouped(u64::from(*count))
            );
        }
        let flows = self.flows(moves);
        let moving = || flows.iter().filter(|((from, to), _)| from != to);
        let all = moving().fold(Flow::default(), |sum, (_, flow)| Flow {
            sure: sum.sure + flow.sure,
            expected: sum.expected + flow.expected,
        });
        let _ = writeln!(
            out,
            "  {who}: {} of {} change version",
            all.told(),
            grouped(u64::from(SLOTS))
        );
        for ((from, to), flow) in moving() {
            let _ = writeln!(out, "    {from} to {to}: {}", flow.told());
        }
        out
    }

    /// What becomes of those that a draining version still holds; how many these are, nobody knows.
    fn drained(&self) -> String {
        let mut out = String::new();
        for version in self
            .before
            .versions
            .iter()
            .filter(|version| version.state == State::Draining)
        {
            let moves = self.moves(|slot, _| self.returning(slot, version));
            let stays = moves.held.keys().all(|(_, to)| *to == version.name) && moves.let_go.is_empty();
            let cause = moves.let_go.keys().next();
            let what = match cause {
                Some((_, cause)) => format!("get a new slot ({cause})"),
                None if stays => "stay".to_owned(),
                None => "go where their slots lie".to_owned(),
            };
            let _ = writeln!(out, "  whom {version} still holds, as it was draining: {what}");
        }
        out
    }
}

impl Moves {
    fn add(&mut self, from: &Version, to: Result<VersionRef, &'static str>, count: u32) {
        let from = from.name.clone();
        let sum = match to {
            Ok(to) => self.held.entry((from, to.name.clone())).or_default(),
            Err(cause) => self.let_go.entry((from, cause)).or_default(),
        };
        *sum += count;
    }
}

/// How many clients go one way.
#[derive(Clone, Copy, Default)]
pub(super) struct Flow {
    /// Those that are known.
    sure: u32,
    /// What is to be expected of chance.
    expected: f64,
}

impl Flow {
    pub(super) fn slots(self) -> f64 {
        f64::from(self.sure) + self.expected
    }

    /// `10,000 (10 %)`
    fn told(self) -> String {
        let slots = self.slots().round();
        let about = if self.expected > 0.0 { "about " } else { "" };
        format!("{about}{} ({} %)", grouped(slots as u64), slots / 1000.0)
    }
}
