//! A version of an app: what it is called, what it shows, and whether clients may come to it.

use std::fmt;
use std::rc::Rc;

use crate::rollout::ramp::Ramp;
use crate::rollout::slots::Share;

/// What a version is to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It takes its share of clients; with none it is dark, reached by rule or override only.
    Active,
    /// Its pins hold, nobody new comes.
    Draining,
    /// Its pins are let go.
    Retired,
}

/// One version of an app.
#[derive(Debug, PartialEq, Eq)]
pub struct Version {
    /// The Istio subset's name: what the route header says.
    pub name: String,
    /// What people see in the response header.
    pub label: String,
    /// Whether clients may come.
    pub state: State,
    /// How many slots are its own; where it is on a ramp, at its start.
    pub share: Share,
    /// How its share changes with time.
    pub ramp: Option<Ramp>,
    /// Its place in the app's list, from 0.
    pub index: usize,
}

impl Version {
    /// Its share at a time, in Unix seconds, if it is not the stable version, which takes what the others leave.
    #[must_use]
    pub fn share_at(&self, now: u64) -> Share {
        self.ramp.map_or(self.share, |ramp| ramp.share_at(now))
    }
}

/// A version as it is shared by shares, rules and decisions.
pub type VersionRef = Rc<Version>;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Whether the text may name a version: `[A-Za-z0-9._-]{1,63}`.
#[must_use]
pub fn is_version_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
