//! A version of an app: its name, its label, its share, and whether clients are assigned to it.

use std::fmt;
use std::sync::Arc;

use super::ramp::Ramp;
use super::slots::Share;

/// Whether a version gets clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The version gets its share of clients. Without a share the version is dark: only rules,
    /// overrides and a kept route header lead to it.
    Active,
    /// The version keeps its pinned clients and gets no new clients.
    Draining,
    /// The version gets no request. Pins to this version are rejected.
    Retired,
}

/// One version of an app.
#[derive(Debug, PartialEq, Eq)]
pub struct Version {
    /// The name of the Istio subset, and the value of the route header.
    pub name: String,
    /// The text in the response header.
    pub label: String,
    /// Whether the version gets clients.
    pub state: State,
    /// The version's share. With a ramp, the share at the start of the ramp.
    pub share: Share,
    /// The change of the share over time.
    pub ramp: Option<Ramp>,
    /// The ids of the version's builds, as a framework names them.
    pub builds: Vec<String>,
    /// The version's index in the app's list.
    pub index: usize,
}

impl Version {
    /// The version's share at a time in Unix seconds. Wrong for the stable version, which has the
    /// share that the other versions leave.
    #[must_use]
    pub fn share_at(&self, now: u64) -> Share {
        self.ramp.map_or(self.share, |ramp| ramp.share_at(now))
    }
}

/// A version that shares, rules and decisions refer to.
pub type VersionRef = Arc<Version>;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Whether the text is a valid version name: `[A-Za-z0-9._-]{1,63}`.
#[must_use]
pub fn is_version_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
