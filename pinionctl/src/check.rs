//! `check`: what the filter would say of a configuration, before a proxy hears of it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pinion::config::{Config, Surroundings};

use crate::document;

/// What to check.
#[derive(Args)]
pub(crate) struct Check {
    /// Plugin configurations in JSON or YAML, or manifests with WasmPlugins among others; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Check as on a gateway, where `inbound: keep` is refused.
    #[arg(long)]
    gateway: bool,
}

/// A proxy of which nothing is known: labels and variables are taken to be there.
struct AnyProxy {
    gateway: bool,
}

impl Surroundings for AnyProxy {
    fn node_id(&self) -> Option<String> {
        self.gateway.then(|| "router~".to_owned())
    }
    fn node_label(&self, name: &str) -> Option<String> {
        Some(name.to_owned())
    }
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        let set = std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes);
        Some(set.unwrap_or_else(|| vec![b'?'; 64]))
    }
    fn plugin(&self) -> String {
        String::new()
    }
}

impl Check {
    pub(crate) fn run(&self) -> Result<ExitCode, String> {
        let (mut checked, mut wrong) = (0, 0);
        for path in &self.files {
            let name = path.display().to_string();
            let text = if name == "-" {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(path)
            };
            let text = text.map_err(|error| format!("{name}: {error}"))?;
            let (configs, errors) = self.check(&name, &text);
            checked += configs;
            wrong += errors;
        }
        if checked == 0 && wrong == 0 {
            return Err("there is no configuration in these files".to_owned());
        }
        if wrong > 0 {
            let s = if wrong == 1 { "" } else { "s" };
            println!("{wrong} error{s}: a proxy would refuse this");
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Says what is wrong with each configuration of a text; how many there were, and how many errors.
    fn check(&self, name: &str, text: &str) -> (usize, usize) {
        let documents = match document::parse(text) {
            Ok(documents) => documents,
            Err(error) => {
                println!("{name}: {error}");
                return (0, 1);
            }
        };
        let (mut checked, mut wrong) = (0, 0);
        for found in documents.iter().filter_map(document::config) {
            checked += 1;
            let json = match document::json(found.config) {
                Ok(json) => json.to_string(),
                Err(error) => {
                    println!("{name}: {error}");
                    wrong += 1;
                    continue;
                }
            };
            let say = |kind: &str, note: &pinion::config::ConfigError| {
                let line = document::line(found.config, &note.path);
                println!("{name}:{line}: {kind}{}{note}", found.prefix);
            };
            let around = AnyProxy {
                gateway: self.gateway,
            };
            match Config::parse(json.as_bytes(), &around) {
                Ok(config) => {
                    config
                        .warnings
                        .iter()
                        .for_each(|warning| say("warning: ", warning));
                    println!("{name}:{}: good", found.config.span.start.line());
                }
                Err(errors) => {
                    wrong += errors.iter().count();
                    errors.iter().for_each(|error| say("", error));
                }
            }
        }
        (checked, wrong)
    }
}
