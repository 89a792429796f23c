//! One plugin configuration in one VM: takes it or refuses it, and hands it to each stream.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, RootContext};

use super::clock::{self, Exact};
use super::host::{self, World};
use super::stream::Served;
use super::streams;
use crate::config::{App, Conduct, Config, Edge, Role};
use crate::environment::Ambient;
use crate::proxy::gauges::{Owner, Shares};
use crate::rollout::version::VersionRef;
use crate::workload::Workload;

thread_local! {
    /// Every configuration of this VM shows its shares here.
    static SHARES: RefCell<Shares> = RefCell::default();
}

/// How often the gauges follow a ramp.
const FOLLOW: Duration = Duration::from_secs(1);

pub(super) struct Root {
    id: Owner,
    served: Option<Rc<Served>>,
    /// Whether a ramp is on its way, which the gauges follow.
    ramps: bool,
    /// Meanwhile, and where ejections are shared.
    exact: Option<Exact>,
}

impl Root {
    pub(super) fn new(id: Owner) -> Self {
        Root {
            id,
            served: None,
            ramps: false,
            exact: None,
        }
    }

    fn edge(&self) -> Option<&Edge> {
        self.served.as_ref()?.config.edge()
    }

    /// Has the clock kept as this configuration needs it from now on.
    fn keep_time(&mut self) {
        let end = self.edge().and_then(Edge::settled_at);
        let ramps = end.is_some_and(|end| end > World.now());
        let is_watched = |edge: &Edge| edge.apps().any(|app| app.outlier_detection.is_some());
        let watched = self.edge().is_some_and(is_watched);
        host::tick_every(if ramps { FOLLOW } else { Duration::ZERO });
        self.ramps = ramps;
        self.exact = (ramps || watched).then(Exact::new);
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        clock::stop();
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
        let served = Rc::new(Served::new(config));
        streams::serve(self.id, served.clone());
        self.served = Some(served);
        if let Some(edge) = self.edge() {
            host::show(SHARES.with_borrow_mut(|shares| shares.publish(self.id, edge, World.now())));
            for watch in edge.apps().filter_map(|app| app.outlier_detection.as_ref()) {
                watch.prepare(&World);
            }
        }
        self.keep_time();
        true
    }

    fn on_tick(&mut self) {
        if let Some(edge) = self.edge().filter(|_| self.ramps) {
            let now = World.now();
            host::show(SHARES.with_borrow(|shares| shares.refresh(self.id, edge, now)));
            if edge.settled_at().is_none_or(|end| end <= now) {
                self.keep_time();
            }
        } else if !clock::on_tick() {
            host::tick_every(Duration::ZERO);
        }
    }
}

/// Notes that this VM serves streams.
#[inline(never)]
pub(super) fn note_streams() {
    SHARES.with_borrow_mut(Shares::serve);
}

impl Drop for Root {
    fn drop(&mut self) {
        streams::forget(self.id);
        clock::stop();
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
