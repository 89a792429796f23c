//! One plugin configuration in one VM: takes it or refuses it, and hands it to each stream.

use std::rc::Rc;

use log::{error, info};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::host;
use super::stream::Stream;
use crate::config::Config;

#[derive(Default)]
pub(super) struct Root {
    config: Option<Rc<Config>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match Config::parse(&host::configuration(size)) {
            Ok(config) => {
                info!("configuration {} taken: {}", config.digest, summary(&config));
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

/// `2 apps: web-api (v1 90%, v2 10%), cart (off)`
fn summary(config: &Config) -> String {
    let apps: Vec<_> = config
        .apps()
        .map(|app| {
            let version =
                |version: &crate::version::VersionRef| format!("{version} {}%", version.share.percent());
            let versions: Vec<_> = app.versions.iter().map(version).collect();
            let off = if app.enabled { "" } else { "off: " };
            format!("{} ({off}{})", app.name, versions.join(", "))
        })
        .collect();
    format!("{} apps: {}", apps.len(), apps.join(", "))
}
