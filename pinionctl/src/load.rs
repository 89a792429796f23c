//! Reads files, and an edge's configuration from them as a proxy would.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use pinion::app::Edge;
use pinion::config::{Config, ProxyInfo, Role};
use serde_json::Value;

use crate::document;

/// An unknown proxy. All labels and environment variables count as present.
pub(crate) struct AnyProxy {
    gateway: bool,
    /// Replaces missing keys. It is random, so that no signature verifies with it.
    placeholder: u64,
    missing: RefCell<BTreeSet<String>>,
}

impl AnyProxy {
    pub(crate) fn new(gateway: bool) -> Self {
        AnyProxy {
            gateway,
            placeholder: getrandom::u64().unwrap_or_default(),
            missing: RefCell::default(),
        }
    }

    /// One line for each key that the configuration names and the environment does not hold.
    pub(crate) fn warnings(&self) -> String {
        let line = |name: &String| {
            format!(
                "note: the environment variable {name} is missing: signatures of its key cannot be verified, and those shown here are not real\n"
            )
        };
        self.missing.borrow().iter().map(line).collect()
    }
}

impl ProxyInfo for AnyProxy {
    fn node_id(&self) -> Option<String> {
        self.gateway.then(|| "router~".to_owned())
    }
    fn node_label(&self, name: &str) -> Option<String> {
        Some(name.to_owned())
    }
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        // A name with = or NUL would make the standard library panic.
        let fits = !name.is_empty() && !name.contains(['=', '\0']);
        let set = fits.then(|| std::env::var_os(name)).flatten();
        Some(set.map_or_else(
            || {
                self.missing.borrow_mut().insert(name.to_owned());
                format!("{:020} replaces {name}", self.placeholder).into_bytes()
            },
            std::ffi::OsString::into_encoded_bytes,
        ))
    }
    fn plugin(&self) -> String {
        String::new()
    }
}

/// An edge's configuration.
pub(crate) struct Loaded {
    /// The validated configuration.
    pub(crate) edge: Edge,
    /// The configuration as written.
    pub(crate) json: Value,
}

/// The content of a file; - is standard input.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|error| format!("{}: {error}", path.display()))
}

/// The content of a UTF-8 file; - is standard input.
pub(crate) fn text(path: &Path) -> Result<String, String> {
    String::from_utf8(bytes(path)?).map_err(|_| format!("{}: is not UTF-8", path.display()))
}

/// The only edge configuration of a file: JSON, YAML, or a WasmPlugin among other manifests.
pub(crate) fn edge(path: &Path, proxy: &AnyProxy) -> Result<Loaded, String> {
    let (name, text) = (path.display(), text(path)?);
    let documents = document::parse(&text).map_err(|error| format!("{name}: {error}"))?;
    let (mut edges, mut workloads) = (Vec::new(), 0);
    for found in documents.iter().filter_map(document::config) {
        let json = document::json(found.config).map_err(|error| format!("{name}: {error}"))?;
        let config = Config::parse(json.to_string().as_bytes(), proxy).map_err(|errors| {
            let lines = errors
                .iter()
                .map(|error| format!("{name}:{}\n", found.message("", error)));
            format!(
                "a proxy would refuse this\n{}",
                lines.collect::<String>().trim_end()
            )
        })?;
        match config.role {
            Role::Edge(edge) => edges.push(Loaded { edge, json }),
            Role::Workload(_) => workloads += 1,
        }
    }
    match (edges.len(), edges.pop()) {
        (1, Some(edge)) => Ok(edge),
        (0, _) if workloads > 0 => Err(format!(
            "{name}: is a workload's configuration, which decides no version; give an edge's"
        )),
        (0, _) => Err(format!("{name}: there is no configuration in it")),
        (count, _) => Err(format!(
            "{name}: holds {count} configurations; give a file with one"
        )),
    }
}
