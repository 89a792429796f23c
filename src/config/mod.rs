//! Decodes a plugin configuration from JSON into the validated model.
//!
//! [`Config::parse`] is the only entry point. It refuses a wrong configuration as a whole, with all
//! of its errors.

mod app;
mod cookie;
mod decode;
mod keys;
mod matching;
mod node;
mod outlier;
mod pinning;
mod proxy_info;
mod ramps;
mod text;
mod time;
mod versions;
mod workload;

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::app::Edge;
use crate::workload::Workload;

use decode::{Checked, Cursor};

pub use decode::ConfigError;
pub use keys::without_newline;
pub use proxy_info::{NoProxyInfo, ProxyInfo};
pub use text::parse_seconds;
pub use time::parse_timestamp;

/// A plugin configuration.
#[derive(Debug)]
pub struct Config {
    /// The filter's role.
    pub role: Role,
    /// The first six bytes of the SHA-256 of the JSON, in hexadecimal: distinguishes configurations
    /// in logs.
    pub digest: String,
    /// What an operator should know about the configuration, although it is valid.
    pub warnings: Vec<ConfigError>,
}

/// The role of the filter.
#[derive(Debug)]
pub enum Role {
    /// The filter decides versions.
    Edge(Edge),
    /// The filter stamps responses beside a version's pods.
    Workload(Workload),
}

/// All errors of a configuration; at least one.
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
    /// The edge, if that is the role.
    #[must_use]
    pub fn edge(&self) -> Option<&Edge> {
        match &self.role {
            Role::Edge(edge) => Some(edge),
            Role::Workload(_) => None,
        }
    }

    /// The configuration of a JSON document.
    ///
    /// # Errors
    /// All errors of the document, each with path and reason.
    pub fn parse(json: &[u8], surroundings: &impl ProxyInfo) -> Result<Self, ConfigErrors> {
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

/// The role that the document configures.
fn root(cursor: &Cursor<'_>, around: &impl ProxyInfo) -> Checked<Role> {
    cursor.object(|fields| {
        let signing = fields.optional("keys", |list| {
            keys::keys(&list, around).map(|keys| Arc::new(keys.into()))
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
                let (apps, scopes) = apps.unwrap_or_default();
                let access_log = access_log.unwrap_or(false);
                Ok(Role::Edge(Edge::new(apps, scopes, access_log, explain)))
            }
        }
    })
}
