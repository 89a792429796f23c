//! The validated model of an edge: its apps, and what each app does with a request.
//! [`config`](crate::config) builds it.

use std::sync::Arc;

use crate::http::header::{HeaderName, HeaderNames, MIRROR_MARK, MIRRORED};
use crate::identity::overrides::Override;
use crate::identity::pinning::Pinning;
use crate::rollout::outlier::OutlierDetection;
use crate::rollout::schedule::Schedule;
use crate::rollout::slots::Layout;
use crate::rollout::version::{State, VersionRef};
use crate::route::matching::Allow;
use crate::route::rules::Rules;
use crate::route::scope::ScopeMap;

/// The response header that explains a decision.
pub const DECISION_HEADER: &str = "x-pinion-decision";

/// A proxy that decides versions.
#[derive(Debug, Default)]
pub struct Edge {
    apps: Vec<Arc<App>>,
    scopes: ScopeMap<Arc<App>>,
    stripped: HeaderNames,
    /// Whether the reason and the app are also written as filter state, for access logs.
    pub access_log: bool,
    /// The requests that may ask for an explanation.
    pub explain: Option<Explain>,
}

/// An app: a service with several versions behind one host or path.
#[derive(Debug)]
pub struct App {
    /// The app's name: an input of the hash that assigns slots, and a part of the names of the
    /// cookie and the metrics.
    pub name: String,
    /// The app's index in the configuration.
    pub index: usize,
    /// False is the kill switch.
    pub enabled: bool,
    /// All versions, in the order of the configuration.
    pub versions: Vec<VersionRef>,
    /// Which version owns each slot.
    pub schedule: Schedule,
    /// The rules that force a version. The first that applies wins.
    pub rules: Rules<Target>,
    /// How clients keep their versions.
    pub pinning: Pinning,
    /// How testers ask for a version.
    pub overrides: Option<Override>,
    /// What an incoming route header means.
    pub inbound: Inbound,
    /// The request header that routes match on.
    pub route_header: HeaderName,
    /// The response header that shows the version.
    pub response_header: HeaderName,
    /// Whether `Server-Timing` on the response shows the version to scripts.
    pub server_timing: bool,
    /// When a failing version is ejected.
    pub outlier_detection: Option<OutlierDetection>,
    /// Whether decisions take effect.
    pub mode: Mode,
}

/// Where a rule sends a request.
#[derive(Debug)]
pub enum Target {
    /// To one version.
    Version(VersionRef),
    /// To the version that owns the client's slot in this layout.
    Split(Layout<VersionRef>),
}

/// Whether decisions take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Decisions change requests and responses.
    Enforce,
    /// Decisions are counted and change nothing.
    Observe,
}

/// What an incoming route header means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbound {
    /// Nothing: the client wrote the header.
    Strip,
    /// The version to use, so that a request keeps its version over several hops.
    Keep,
}

/// The requests that may ask for an explanation.
#[derive(Debug)]
pub struct Explain {
    /// The request header that asks, with any value.
    pub header: HeaderName,
    /// The requests that get an answer.
    pub allow: Allow,
}

impl App {
    /// The version of a name, unless it is retired.
    #[must_use]
    pub fn selectable(&self, name: &[u8]) -> Option<&VersionRef> {
        self.versions
            .iter()
            .find(|version| version.name.as_bytes() == name && version.state != State::Retired)
    }
}

impl Edge {
    /// The edge of these apps and the scopes that lead to them.
    #[must_use]
    pub fn new(
        apps: Vec<Arc<App>>,
        scopes: ScopeMap<Arc<App>>,
        access_log: bool,
        explain: Option<Explain>,
    ) -> Self {
        let enforced = apps.iter().filter(|app| app.mode == Mode::Enforce);
        let mut stripped = HeaderNames::default();
        enforced.for_each(|app| stripped.insert(&app.route_header));
        // If all apps only observe, no header changes.
        if !stripped.is_empty() || apps.is_empty() {
            stripped.insert(&MIRRORED);
            stripped.insert(&MIRROR_MARK);
        }
        Edge {
            apps,
            scopes,
            stripped,
            access_log,
            explain,
        }
    }

    /// The app of a normalized host and a path without query.
    #[must_use]
    pub fn app<'p>(&self, host: &[u8], path: impl Fn() -> &'p [u8]) -> Option<&Arc<App>> {
        self.scopes.find(host, path)
    }

    /// Whether no client may send this header: a route header of an enforcing app, or a mark of mirrored requests, also in a
    /// spelling with `_`.
    #[must_use]
    pub fn strips(&self, name: &[u8]) -> bool {
        self.stripped.contains(name)
    }

    /// Whether any app changes requests.
    #[must_use]
    pub fn enforces(&self) -> bool {
        !self.stripped.is_empty()
    }

    /// The end of the last ramp of all apps, in Unix seconds. None if no app has a ramp.
    #[must_use]
    pub fn ramps_end(&self) -> Option<u64> {
        self.apps.iter().filter_map(|app| app.schedule.end()).max()
    }

    /// All apps, in the order of the configuration.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.iter()
    }
}
