//! The sources of a signing key: an environment variable or a file.

use std::path::PathBuf;

use clap::Args;
use pinion::identity::seal::{KEY_MIN_LENGTH, Key, Keys};

/// A signing key.
#[derive(Args)]
#[group(required = false, multiple = false)]
pub(crate) struct Source {
    /// The environment variable that holds the key.
    #[arg(long, value_name = "VARIABLE")]
    key_env: Option<String>,
    /// The file that holds the key.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Source {
    /// The key under an id. None if no source was given.
    pub(crate) fn read(&self, id: &str) -> Result<Option<Keys>, String> {
        let (what, bytes) = if let Some(name) = &self.key_env {
            let value = std::env::var_os(name).ok_or(format!("there is no environment variable {name:?}"))?;
            (name.clone(), value.into_encoded_bytes())
        } else if let Some(path) = &self.key_file {
            let read = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            (path.display().to_string(), read)
        } else {
            return Ok(None);
        };
        let key = pinion::config::without_newline(&bytes);
        let key = Key::new(id, key).ok_or(format!("{what} must hold at least {KEY_MIN_LENGTH} bytes"))?;
        Ok(Keys::new(vec![key]))
    }

    /// The key under an id. An error if no source was given.
    pub(crate) fn required(&self, id: &str) -> Result<Keys, String> {
        self.read(id)?
            .ok_or_else(|| "give the key's source: --key-env or --key-file".to_owned())
    }
}
