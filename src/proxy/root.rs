//! One plugin configuration in one VM: takes it or refuses it, and hands it to each stream.

use std::rc::Rc;

use log::{error, info};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::host;
use super::stream::Stream;
use crate::config::{App, Config};
use crate::version::VersionRef;

#[derive(Default)]
pub(super) struct Root {
    config: Option<Rc<Config>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match Config::parse(&host::configuration(size)) {
            Ok(config) => {
                info!(
                    "configuration {} taken, apps: {}",
                    config.digest,
                    summary(&config)
                );
                self.config = Some(Rc::new(config));
                true
            }
            Err(errors) => {
                for each in errors.iter() {
                    error!("configuration refused: {each}");
                }
                false
            }
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(self.config.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// How many apps a log line names.
const NAMED: usize = 10;

/// `web-api (v1 90%, v2 10%), cart (off: v1 100%), and 3 more`
fn summary(config: &Config) -> String {
    let mut apps: Vec<_> = config.apps().take(NAMED).map(|app| describe(app)).collect();
    match config.apps().count().saturating_sub(NAMED) {
        0 if apps.is_empty() => apps.push("none".to_owned()),
        0 => {}
        more => apps.push(format!("and {more} more")),
    }
    apps.join(", ")
}

fn describe(app: &App) -> String {
    let version = |version: &VersionRef| format!("{version} {}%", version.share.percent());
    let versions: Vec<_> = app.versions.iter().map(version).collect();
    let off = if app.enabled { "" } else { "off: " };
    format!("{} ({off}{})", app.name, versions.join(", "))
}
