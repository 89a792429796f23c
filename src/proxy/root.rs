//! One plugin configuration in one VM: accepts or refuses it, and hands it to each stream.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::environment::Proxy;
use super::gauges::{Owner, Shares};
use super::host;
use super::stream::{ActiveConfig, Stream};
use crate::app::{App, Edge, Mode};
use crate::config::{Config, Role};
use crate::environment::Environment;
use crate::rollout::version::VersionRef;
use crate::workload::Workload;

thread_local! {
    /// The gauges of all configurations of this VM.
    static SHARES: RefCell<Shares> = RefCell::default();
}

/// The period at which the gauges follow a ramp.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Root {
    id: Owner,
    active: Option<Rc<ActiveConfig>>,
}

impl Root {
    pub(super) fn new(id: Owner) -> Self {
        Root { id, active: None }
    }

    fn edge(&self) -> Option<&Edge> {
        self.active.as_ref()?.config.edge()
    }

    /// Starts the tick while a ramp is under way, and stops it otherwise.
    fn schedule_tick(&self) {
        let end = self.edge().and_then(Edge::ramps_end);
        let is_ramping = end.is_some_and(|end| end > Proxy.now());
        host::set_tick_period(if is_ramping { TICK } else { Duration::ZERO });
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let config = match Config::parse(&host::configuration(size), &Proxy) {
            Ok(config) => config,
            Err(errors) => {
                for each in errors.iter() {
                    error!("configuration refused: {each}");
                }
                return false;
            }
        };
        info!("configuration {} taken, {}", config.digest, summary(&config));
        for warning in &config.warnings {
            warn!("{warning}");
        }
        self.active = Some(Rc::new(ActiveConfig::new(config)));
        if let Some(edge) = self.edge() {
            let now = Proxy.now();
            host::set_gauges(SHARES.with_borrow_mut(|shares| shares.publish(self.id, edge, now)));
            for detection in edge.apps().filter_map(|app| app.outlier_detection.as_ref()) {
                detection.prepare(&Proxy);
            }
        }
        self.schedule_tick();
        true
    }

    fn on_tick(&mut self) {
        if let Some(edge) = self.edge() {
            let now = Proxy.now();
            host::set_gauges(SHARES.with_borrow(|shares| shares.refresh(self.id, edge, now)));
        }
        self.schedule_tick();
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        SHARES.with_borrow_mut(Shares::serve);
        Some(Box::new(Stream::new(self.active.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // While a thread ends, the gauges may be destroyed before the roots.
        let readings = SHARES.try_with(|shares| shares.borrow_mut().withdraw(self.id));
        host::set_gauges(readings.unwrap_or_default());
    }
}

fn summary(config: &Config) -> String {
    match &config.role {
        Role::Edge(edge) => format!("apps: {}", apps(edge)),
        Role::Workload(workload) => format!("workload: {}", what(workload)),
    }
}

/// The number of apps that a log line names.
const MAX_NAMED: usize = 10;

/// The text for a log line: `web-api (v1 90%, v2 10%), cart (off: v1 100%), and 3 more`.
fn apps(edge: &Edge) -> String {
    let mut apps: Vec<_> = edge.apps().take(MAX_NAMED).map(|app| describe(app)).collect();
    match edge.apps().count().saturating_sub(MAX_NAMED) {
        0 if apps.is_empty() => apps.push("none".to_owned()),
        0 => {}
        more => apps.push(format!("and {more} more")),
    }
    apps.join(", ")
}

fn describe(app: &App) -> String {
    let version = |version: &VersionRef| match version.ramp {
        Some(ramp) => format!("{version} {}% to {}%", ramp.from, ramp.share_at(u64::MAX)),
        None => format!("{version} {}%", version.share),
    };
    let versions: Vec<_> = app.versions.iter().map(version).collect();
    let off = match (app.enabled, app.mode) {
        (false, _) => "off: ",
        (true, Mode::Observe) => "observed: ",
        (true, Mode::Enforce) => "",
    };
    format!("{} ({off}{})", app.name, versions.join(", "))
}

/// The text for a log line: `version v2 shown as 2.0, mirrored requests tagged`.
fn what(workload: &Workload) -> String {
    let stamp = match &workload.stamp {
        Some(stamp) => format!("version {} shown as {}", stamp.version, stamp.label),
        None => "no stamp".to_owned(),
    };
    let mirror = match &workload.mirror {
        Some(mirror) if mirror.block.is_empty() => ", mirrored requests tagged",
        Some(_) => ", mirrored requests tagged, some blocked",
        None => "",
    };
    format!("{stamp}{mirror}")
}
