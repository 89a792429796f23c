//! The configuration, once it has been checked: what can be said in these types can be served.
//!
//! [`Config::parse`] is the only way in. It refuses a configuration as a whole, with all of its errors.

mod app;
mod decode;
mod matching;
mod pinning;
mod text;
mod versions;

use std::fmt;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::assign::Layout;
use crate::header::HeaderName;
use crate::overrides::Override;
use crate::pin::Pinning;
use crate::rule::Rule;
use crate::scope::ScopeMap;
use crate::version::VersionRef;

pub use decode::ConfigError;

/// A plugin configuration.
#[derive(Debug)]
pub struct Config {
    apps: Vec<Rc<App>>,
    scopes: ScopeMap<Rc<App>>,
    /// The route headers of all apps, each once.
    pub route_headers: Vec<HeaderName>,
    /// The start of the SHA-256 of its bytes, in hexadecimal: tells two configurations apart in logs.
    pub digest: String,
}

/// An app: a service with several versions behind one host or path.
#[derive(Debug)]
pub struct App {
    /// Salts assignment, names cookie and metrics.
    pub name: String,
    /// Off is the kill switch.
    pub enabled: bool,
    /// All its versions, in the order of the configuration.
    pub versions: Vec<VersionRef>,
    /// Which slots are whose.
    pub layout: Layout<VersionRef>,
    /// The first that matches wins.
    pub rules: Vec<Rule>,
    /// How clients are held.
    pub pinning: Pinning,
    /// Who may choose.
    pub overrides: Option<Override>,
    /// The request header that routes.
    pub route_header: HeaderName,
    /// The response header that shows the version.
    pub response_header: HeaderName,
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
    /// Reads and checks a configuration in JSON.
    ///
    /// # Errors
    /// All that is wrong with it, each with path and reason.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigErrors> {
        let (apps, scopes) = decode::decode(json, app::apps).map_err(ConfigErrors)?;
        let mut route_headers: Vec<_> = apps.iter().map(|app| app.route_header.clone()).collect();
        route_headers.sort();
        route_headers.dedup();
        let digest = Sha256::digest(json);
        Ok(Config {
            apps,
            scopes,
            route_headers,
            digest: digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// The app of a normalized host and a path without query.
    #[must_use]
    pub fn app(&self, host: &[u8], path: &[u8]) -> Option<&Rc<App>> {
        self.scopes.find(host, path)
    }

    /// All apps, in the order of the configuration.
    pub fn apps(&self) -> impl Iterator<Item = &Rc<App>> {
        self.apps.iter()
    }
}
