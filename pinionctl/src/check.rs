//! `check`: reports the errors that the filter would find in a configuration, before a proxy loads it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pinion::config::Config;

use crate::document;
use crate::load::{self, AnyProxy};

/// What to check.
#[derive(Args)]
pub(crate) struct Check {
    /// Plugin configurations in JSON or YAML, or manifests that contain WasmPlugins; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Check as on a gateway, where `inbound: keep` is refused.
    #[arg(long)]
    gateway: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Result<ExitCode, String> {
        let (mut checked, mut wrong) = (0, 0);
        for path in &self.files {
            let name = path.display().to_string();
            let text = load::text(path)?;
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

    /// Prints the errors of each configuration in a text. Returns the numbers of configurations and of errors.
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
            let report = |kind: &str, error: &pinion::config::ConfigError| {
                println!("{name}:{}", found.message(kind, error));
            };
            match Config::parse(json.as_bytes(), &AnyProxy::new(self.gateway)) {
                Ok(config) => {
                    config
                        .warnings
                        .iter()
                        .for_each(|warning| report("warning: ", warning));
                    println!("{name}:{}: good", found.config.span.start.line());
                }
                Err(errors) => {
                    wrong += errors.iter().count();
                    errors.iter().for_each(|error| report("", error));
                }
            }
        }
        (checked, wrong)
    }
}
