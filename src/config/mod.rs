//! The configuration, once it has been checked: what can be said in these types can be served.
//!
//! [`Config::parse`] is the only way in. It refuses a configuration as a whole, with all of its errors.

mod app;
mod course;
mod decode;
mod keys;
mod matching;
mod node;
mod outlier;
mod pinning;
mod text;
mod time;
mod versions;
mod workload;

use std::fmt;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::decision::trace::Explain;
use crate::http::header::{HeaderName, HeaderNames};
use crate::identity::overrides::Override;
use crate::identity::pin::Pinning;
use crate::rollout::outlier::OutlierDetection;
use crate::rollout::schedule::Rollout;
use crate::rollout::version::VersionRef;
use crate::route::rules::Rules;
use crate::route::scope::ScopeMap;
use crate::workload::Workload;
use crate::workload::mirror;

use decode::{Checked, Cursor};

pub use decode::ConfigError;
pub use keys::without_newline;
pub use text::parse_seconds;
pub use time::parse_timestamp;

/// The most apps of a configuration.
const MAX_APPS: usize = 2000;
/// The most versions of an app.
const MAX_VERSIONS: usize = 32;
/// The most rules of an app.
const MAX_RULES: usize = 500;
/// The most signing keys.
const MAX_KEYS: usize = 8;

/// A plugin configuration.
#[derive(Debug)]
pub struct Config {
    /// What the filter is here.
    pub role: Role,
    /// The start of the SHA-256 of its bytes, in hexadecimal: tells two configurations apart in logs.
    pub digest: String,
    /// What an operator should know of, though it can be served.
    pub warnings: Vec<ConfigError>,
}

/// What the filter is: one configuration makes it one of the two.
#[derive(Debug)]
pub enum Role {
    /// Where versions are decided.
    Edge(Edge),
    /// Beside a version's pods.
    Workload(Workload),
}

/// Where versions are decided.
#[derive(Debug, Default)]
pub struct Edge {
    apps: Vec<Rc<App>>,
    scopes: ScopeMap<Rc<App>>,
    stripped: HeaderNames,
    /// Whether reason and app are also written as filter state.
    pub access_log: AccessLog,
    /// Who may ask why a request went where it went.
    pub explain: Option<Explain>,
}

/// Whether reason and app are also written as filter state, for access logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "on or off")]
pub enum AccessLog {
    #[default]
    Off,
    On,
}

/// What a configuration may take from where the proxy runs.
pub trait Surroundings {
    /// The proxy's node id, such as Istio's `router~…` for a gateway and `sidecar~…`.
    fn node_id(&self) -> Option<String>;
    /// A label of this proxy's pod.
    fn node_label(&self, name: &str) -> Option<String>;
    /// A variable of the VM's environment, as its bytes.
    fn env(&self, name: &str) -> Option<Vec<u8>>;
    /// What this plugin is called: the same for all workers of a proxy, and another one's is another.
    fn plugin(&self) -> String;
}

/// No surroundings: no node, no environment.
#[derive(Debug, Clone, Copy)]
pub struct Nowhere;

impl Surroundings for Nowhere {
    fn node_id(&self) -> Option<String> {
        None
    }
    fn node_label(&self, _: &str) -> Option<String> {
        None
    }
    fn env(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn plugin(&self) -> String {
        String::new()
    }
}

/// An app: a service with several versions behind one host or path.
#[derive(Debug)]
pub struct App {
    /// Salts assignment, names cookie and metrics.
    pub name: String,
    /// Its place in the configuration, from 0.
    pub index: usize,
    /// Off is the kill switch.
    pub enabled: bool,
    /// All its versions, in the order of the configuration.
    pub versions: Vec<VersionRef>,
    /// Which slots are whose.
    pub rollout: Rollout,
    /// The first that matches wins.
    pub rules: Rules,
    /// How clients are held.
    pub pinning: Pinning,
    /// Who may choose.
    pub overrides: Option<Override>,
    /// What a route header that arrives is worth.
    pub inbound: Inbound,
    /// The request header that routes.
    pub route_header: HeaderName,
    /// The response header that shows the version.
    pub response_header: HeaderName,
    /// When a version that fails is left alone.
    pub outlier_detection: Option<OutlierDetection>,
    /// Whether what is decided is also done.
    pub conduct: Conduct,
}

/// Whether what is decided is also done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// It is.
    Act,
    /// It is only counted.
    Observe,
}

/// What a route header that arrives is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbound {
    /// Nothing: it is a client's word.
    Strip,
    /// It decides, so that a version stays the same over several hops.
    Keep,
}

/// All that is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Each error, in the order of reading.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl Config {
    /// The edge, if it is one.
    #[must_use]
    pub fn edge(&self) -> Option<&Edge> {
        match &self.role {
            Role::Edge(edge) => Some(edge),
            Role::Workload(_) => None,
        }
    }

    /// Reads and checks a configuration in JSON.
    ///
    /// # Errors
    /// All that is wrong with it, each with path and reason.
    pub fn parse(json: &[u8], surroundings: &impl Surroundings) -> Result<Self, ConfigErrors> {
        let read = |cursor: Cursor<'_>| root(&cursor, surroundings);
        let (role, warnings) = decode::decode(json, read).map_err(ConfigErrors)?;
        let digest = Sha256::digest(json);
        Ok(Config {
            role,
            digest: digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect(),
            warnings,
        })
    }
}

/// Reads the whole document: an edge's or a workload's.
fn root(cursor: &Cursor<'_>, around: &impl Surroundings) -> Checked<Role> {
    cursor.object(|fields| {
        let signing = fields.optional("keys", |list| {
            keys::keys(&list, around).map(|keys| Rc::new(keys.into()))
        });
        let apps = fields.optional("apps", |list| app::apps(&list, around, &signing));
        let access_log = fields.optional("accessLog", |flag| flag.boolean());
        let explain = fields.optional("explain", |cursor| matching::explain(&cursor));
        let workload = workload::workload(fields, around);
        let (apps, access_log, workload, signing) = (apps?, access_log?, workload?, signing?);
        let explain = explain?;
        match (apps, access_log, workload) {
            (Some(_), _, Some(_)) => fields.fail(
                "apps",
                "must not stand beside stamp or mirror: edge and workload are two plugins",
            ),
            (None, Some(_), Some(_)) => fields.fail("accessLog", "is the edge's, beside apps"),
            (None, None, Some(_)) if signing.is_some() => fields.fail("keys", "are the edge's, beside apps"),
            (None, None, Some(_)) if explain.is_some() => {
                fields.fail("explain", "is the edge's, beside apps")
            }
            (None, None, Some(workload)) => Ok(Role::Workload(workload)),
            (apps, access_log, None) => {
                let access_log = match access_log {
                    Some(true) => AccessLog::On,
                    Some(false) | None => AccessLog::Off,
                };
                Ok(Role::Edge(Edge::new(
                    apps.unwrap_or_default(),
                    access_log,
                    explain,
                )))
            }
        }
    })
}

impl Edge {
    fn new((apps, scopes): app::Apps, access_log: AccessLog, explain: Option<Explain>) -> Self {
        let acting = apps.iter().filter(|app| app.conduct == Conduct::Act);
        let mut stripped = HeaderNames::default();
        acting.for_each(|app| stripped.insert(app.route_header.clone()));
        // Where all that is here only observes, nothing is changed at all.
        if !stripped.is_empty() || apps.is_empty() {
            stripped.insert(mirror::TAG);
            stripped.insert(mirror::MARK);
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
    pub fn app<'p>(&self, host: &[u8], path: impl Fn() -> &'p [u8]) -> Option<&Rc<App>> {
        self.scopes.find(host, path)
    }

    /// The header of that name, if no client may send it: the route header of an app that acts, or a mark of mirrored
    /// requests.
    #[must_use]
    pub fn stripped(&self, name: &[u8]) -> Option<&str> {
        self.stripped.get(name)
    }

    /// Whether it changes anything at all, or only observes.
    #[must_use]
    pub fn acts(&self) -> bool {
        !self.stripped.is_empty()
    }

    /// When the last of all ramps has arrived, in Unix seconds; none where nothing moves.
    #[must_use]
    pub fn settled_at(&self) -> Option<u64> {
        self.apps.iter().filter_map(|app| app.rollout.end()).max()
    }

    /// All apps, in the order of the configuration.
    pub fn apps(&self) -> impl Iterator<Item = &Rc<App>> {
        self.apps.iter()
    }
}
