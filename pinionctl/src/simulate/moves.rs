//! The clients that a change of configuration moves. One client for each slot goes through the filter's core.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use pinion::app::App;
use pinion::decision;
use pinion::identity::pin::Pin;
use pinion::rollout::slots::{SLOTS, Slot};
use pinion::rollout::version::{State, Version, VersionRef};

use super::grouped;

/// A change of an app's configuration.
pub(super) struct Change<'a> {
    pub(super) before: &'a App,
    pub(super) after: &'a App,
    at: u64,
    /// The moves of clients that return with a pin, one for each slot.
    pub(super) pinned: Moves,
    /// The moves of clients with a key, if a configuration has keys.
    keyed: Option<Moves>,
}

/// The numbers of clients that go from one version to another, by the versions' names.
#[derive(Default)]
pub(super) struct Moves {
    /// Clients whose slot or pin decides, by the old and the new version.
    kept: BTreeMap<(String, String), u32>,
    /// Clients that draw a new slot, by the old version and the cause.
    redrawn: BTreeMap<(String, &'static str), u32>,
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
                Some("pin.key changed")
            } else {
                (old.epoch != new.epoch).then_some("epoch")
            };
            change.moves(|slot, _| cause.map_or_else(|| Ok(after.schedule.owner(slot, || at)), Err))
        });
        change
    }

    /// The version of a client whose pin was issued just now.
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

    /// The moves of the clients of all slots. Slots between two neighbouring run ends of the layouts move alike.
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

    /// A version's share in percent. None if the app does not have the version.
    fn share(app: &App, name: &str, at: u64) -> Option<f64> {
        let version = app.versions.iter().find(|version| version.name == name)?;
        Some(app.schedule.share(version, || at).percent())
    }

    /// The names of all versions: first those of the old configuration, then the new ones.
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

    /// The number of clients between each two versions, with the expected number of those that draw a new slot.
    pub(super) fn flows(&self, moves: &Moves) -> BTreeMap<(String, String), Flow> {
        let mut flows: BTreeMap<_, Flow> = BTreeMap::new();
        for (ends, count) in &moves.kept {
            flows.entry(ends.clone()).or_default().known += count;
        }
        for ((from, _), count) in &moves.redrawn {
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

    pub(super) fn report(&self) -> String {
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
        out += &self.summary(&self.pinned, "with a pin");
        out += &self.draining();
        if let Some(keyed) = &self.keyed {
            out += &self.summary(keyed, "with a key");
        }
        out
    }

    /// The change of a version's state, as text.
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

    fn summary(&self, moves: &Moves, who: &str) -> String {
        let mut out = String::new();
        for ((from, cause), count) in &moves.redrawn {
            let _ = writeln!(
                out,
                "  {who}, at {from}: {} get a new slot ({cause})",
                grouped(u64::from(*count))
            );
        }
        let flows = self.flows(moves);
        let moving = || flows.iter().filter(|((from, to), _)| from != to);
        let all = moving().fold(Flow::default(), |sum, (_, flow)| Flow {
            known: sum.known + flow.known,
            expected: sum.expected + flow.expected,
        });
        let _ = writeln!(
            out,
            "  {who}: {} of {} change version",
            all.text(),
            grouped(u64::from(SLOTS))
        );
        for ((from, to), flow) in moving() {
            let _ = writeln!(out, "    {from} to {to}: {}", flow.text());
        }
        out
    }

    /// What happens to clients with a pin to a version that was draining. Their number is unknown.
    fn draining(&self) -> String {
        let mut out = String::new();
        for version in self
            .before
            .versions
            .iter()
            .filter(|version| version.state == State::Draining)
        {
            let moves = self.moves(|slot, _| self.returning(slot, version));
            let stays = moves.kept.keys().all(|(_, to)| *to == version.name) && moves.redrawn.is_empty();
            let cause = moves.redrawn.keys().next();
            let what = match cause {
                Some((_, cause)) => format!("get a new slot ({cause})"),
                None if stays => "stay".to_owned(),
                None => "go to the versions of their slots".to_owned(),
            };
            let _ = writeln!(out, "  with a pin to {version}, which was draining: {what}");
        }
        out
    }
}

impl Moves {
    fn add(&mut self, from: &Version, to: Result<VersionRef, &'static str>, count: u32) {
        let from = from.name.clone();
        let sum = match to {
            Ok(to) => self.kept.entry((from, to.name.clone())).or_default(),
            Err(cause) => self.redrawn.entry((from, cause)).or_default(),
        };
        *sum += count;
    }
}

/// The number of clients that go from one version to another.
#[derive(Clone, Copy, Default)]
pub(super) struct Flow {
    /// Clients whose way is known.
    known: u32,
    /// The expected number of clients that draw a new slot.
    expected: f64,
}

impl Flow {
    pub(super) fn slots(self) -> f64 {
        f64::from(self.known) + self.expected
    }

    /// `10,000 (10 %)`
    fn text(self) -> String {
        let slots = self.slots().round();
        let about = if self.expected > 0.0 { "about " } else { "" };
        format!("{about}{} ({} %)", grouped(slots as u64), slots / 1000.0)
    }
}
