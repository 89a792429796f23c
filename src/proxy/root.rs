//! One plugin configuration in one VM: takes it or refuses it, and hands it to each stream.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::host::{self, World};
use super::stream::{Served, Stream};
use crate::ambient::Ambient;
use crate::config::{App, Conduct, Config, Edge, Role};
use crate::shares::{Owner, Shares};
use crate::version::VersionRef;
use crate::workload::Workload;

thread_local! {
    /// Every configuration of this VM shows its shares here.
    static SHARES: RefCell<Shares> = RefCell::default();
}

/// How often the gauges follow a ramp.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Root {
    id: Owner,
    served: Option<Rc<Served>>,
}

impl Root {
    pub(super) fn new(id: Owner) -> Self {
        Root { id, served: None }
    }

    fn edge(&self) -> Option<&Edge> {
        self.served.as_ref()?.config.edge()
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let config = match Config::parse(&host::configuration(size), &World) {
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
        self.served = Some(Rc::new(Served::new(config)));
        if let Some(edge) = self.edge() {
            host::show(SHARES.with_borrow_mut(|shares| shares.publish(self.id, edge, World.now())));
            if edge.settled_at().is_some() {
                host::tick_every(TICK);
            }
            for watch in edge.apps().filter_map(|app| app.outlier_detection.as_ref()) {
                watch.prepare(&World);
            }
        }
        true
    }

    fn on_tick(&mut self) {
        if let Some(edge) = self.edge() {
            let now = World.now();
            host::show(SHARES.with_borrow(|shares| shares.refresh(self.id, edge, now)));
            if edge.settled_at().is_none_or(|end| end <= now) {
                host::tick_every(Duration::ZERO);
            }
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        SHARES.with_borrow_mut(Shares::serve);
        Some(Box::new(Stream::new(self.served.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // While a thread ends, its shares may be gone before its roots are.
        let readings = SHARES.try_with(|shares| shares.borrow_mut().withdraw(self.id));
        host::show(readings.unwrap_or_default());
    }
}

fn summary(config: &Config) -> String {
    match &config.role {
        Role::Edge(edge) => format!("apps: {}", apps(edge)),
        Role::Workload(workload) => format!("workload: {}", what(workload)),
    }
}

/// How many apps a log line names.
const NAMED: usize = 10;

/// `web-api (v1 90%, v2 10%), cart (off: v1 100%), and 3 more`
fn apps(edge: &Edge) -> String {
    let mut apps: Vec<_> = edge.apps().take(NAMED).map(|app| describe(app)).collect();
    match edge.apps().count().saturating_sub(NAMED) {
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
    let off = match (app.enabled, app.conduct) {
        (false, _) => "off: ",
        (true, Conduct::Observe) => "observed: ",
        (true, Conduct::Act) => "",
    };
    format!("{} ({off}{})", app.name, versions.join(", "))
}

/// `version v2 shown as 2.0, mirrored requests tagged`
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
