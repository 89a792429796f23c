//! One request and its response.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use log::{info, warn};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::counters::Counters;
use super::environment::Proxy;
use super::headers::HostHeaders;
use super::host;
use super::metrics::Metric;
use crate::app::Edge;
use crate::config::{Config, ProxyInfo, Role};
use crate::decision::{self, Decision};
use crate::environment::{Environment, SharedStore};
use crate::http::cacheability::FreshBy;
use crate::http::origin::{self, VIA_UPSTREAM};
use crate::rollout::outlier::Change;
use crate::workload::{MirrorOutcome, Workload};

/// A configuration in use, and its counters.
pub(super) struct ActiveConfig {
    pub(super) config: Config,
    counters: Option<Counters>,
}

impl ActiveConfig {
    pub(super) fn new(config: Config) -> Self {
        let counters = config.edge().map(Counters::new);
        ActiveConfig { config, counters }
    }

    fn count(&self, decision: &Decision) {
        if let Some(counters) = &self.counters {
            counters.count(decision);
        }
        count_exceptions(decision);
    }
}

/// Counts what few requests have.
#[inline(never)]
fn count_exceptions(decision: &Decision) {
    let app = &decision.app.name;
    if let Some(cause) = decision.rejection() {
        let cause = cause.as_str();
        host::count(&Metric::PinsRejected { app, cause });
    }
    if let Some(reason) = decision.withheld {
        let cause = reason.as_str();
        host::count(&Metric::PinsWithheld { app, cause });
    }
    if decision.has_unknown_build() {
        host::count(&Metric::BuildsUnknown { app });
    }
    for limit in decision.exceeded.iter() {
        let cause = limit.as_str();
        host::count(&Metric::LimitsExceeded { app, cause });
    }
}

/// A stream. The configuration is None if the plugin never had a valid one.
pub(super) struct Stream {
    active: Option<Rc<ActiveConfig>>,
    decision: Option<Decision>,
    /// Whether the response explains the decision.
    explains: bool,
}

impl Stream {
    pub(super) fn new(active: Option<Rc<ActiveConfig>>) -> Self {
        Stream {
            active,
            decision: None,
            explains: false,
        }
    }

    fn decide(&mut self, active: &ActiveConfig, edge: &Edge) {
        let headers = HostHeaders::request();
        let decision = decision::decide(edge, &headers, &Proxy);
        headers.apply(&decision::request_edits(edge, &headers, decision.as_ref()));
        if let Some(decision) = &decision {
            active.count(decision);
            if edge.access_log {
                host::set_filter_state("pinion_reason", decision.reason.as_str());
                host::set_filter_state("pinion_app", &decision.app.name);
            }
        }
        self.explains = decision::is_explained(edge, &headers, decision.as_ref(), &Proxy);
        self.decision = decision;
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        #[cfg(feature = "panic-on-demand")]
        panic_on_demand();
        let Some(active) = self.active.clone() else {
            return Action::Continue;
        };
        match &active.config.role {
            Role::Edge(edge) => {
                self.decide(&active, edge);
                Action::Continue
            }
            Role::Workload(workload) => judge(workload),
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(decision) = &self.decision {
            respond(decision);
        } else if let Some(Role::Workload(workload)) = self.active.as_ref().map(|active| &active.config.role)
        {
            stamp_served(workload);
        }
        if self.explains {
            let headers = HostHeaders::response();
            headers.apply(&decision::explanation(self.decision.as_ref(), &headers, || {
                Proxy.now()
            }));
        }
        Action::Continue
    }
}

/// Handles the response to a decided request.
fn respond(decision: &Decision) {
    let headers = HostHeaders::response();
    let code_details = origin::code_details(&headers, host::code_details);
    let status = || origin::status(&headers);
    if let Some(change) = decision::record_outcome(decision, &code_details, status, &Proxy) {
        report(decision, change);
    }
    // A response that Envoy made itself comes from no version.
    if *code_details != *VIA_UPSTREAM {
        return;
    }
    let stamp = decision::stamp(decision, &headers, || Proxy.now());
    headers.apply(&stamp.edits);
    if let Some(by) = stamp.withheld {
        report_withheld(&decision.app.name, by);
    }
    if stamp.is_mismatch {
        host::count(&Metric::VersionMismatch {
            app: &decision.app.name,
            version: &decision.version.name,
        });
    }
}

/// Counts a withheld pin, and warns of it at most once per app and hour.
#[inline(never)]
fn report_withheld(app: &str, by: FreshBy) {
    let cause = by.as_str();
    host::count(&Metric::PinsWithheld { app, cause });
    thread_local! {
        /// By app, the hour of the last warning of any worker that this one knows of.
        static WARNED: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
    }
    let hour = Proxy.now() / 3600;
    if WARNED.with_borrow_mut(|warned| warned.insert(app.to_owned(), hour) == Some(hour)) {
        return;
    }
    // No version has a name with `~`, so the key is none of outlier detection's.
    let key = format!("pinion|{}|{app}|~withheld", Proxy.plugin());
    let (last, cas) = Proxy.get(&key).unzip();
    let hour = hour.to_le_bytes();
    // If another worker writes first, that worker warns.
    if last.as_deref() != Some(&hour) && Proxy.compare_and_set(&key, &hour, cas).is_ok() {
        warn!(
            "{app}: a new pin is withheld, as {cause} lets shared caches give the response to other clients; \
             clients without a pin may change version: send Cache-Control: private, or set pin.cacheable: private"
        );
    }
}

/// Logs and counts a change of a version's health.
#[inline(never)]
fn report(decision: &Decision, change: Change) {
    let (app, version) = (&decision.app.name, &decision.version.name);
    match change {
        Change::Ejected(seconds) => {
            host::count(&Metric::Ejections { app, version });
            warn!("{app}: version {version} is ejected for {seconds} s: too many consecutive errors");
        }
        Change::Recovered => info!("{app}: version {version} has recovered"),
    }
}

/// Tags or blocks a mirrored request at a workload.
#[inline(never)]
fn judge(workload: &Workload) -> Action {
    if workload.mirror.is_none() {
        return Action::Continue;
    }
    let headers = HostHeaders::request();
    let verdict = workload.judge(&headers, &Proxy);
    headers.apply(&verdict.edits);
    if let Some(outcome) = verdict.outcome.as_str() {
        host::count(&Metric::Mirrored { outcome });
    }
    if verdict.outcome == MirrorOutcome::Blocked {
        host::reply_no_content();
        return Action::Pause;
    }
    Action::Continue
}

/// Stamps a response of the workload's app.
#[inline(never)]
fn stamp_served(workload: &Workload) {
    let Some(stamp) = &workload.stamp else {
        return;
    };
    let headers = HostHeaders::response();
    if *origin::code_details(&headers, host::code_details) == *VIA_UPSTREAM {
        headers.apply_one(&stamp.edit());
    }
}

#[cfg(feature = "panic-on-demand")]
#[expect(clippy::panic, reason = "what a proxy does then is what the tests look at")]
fn panic_on_demand() {
    use crate::http::header::Headers;
    if HostHeaders::request().first("x-test-panic").is_some() {
        panic!("as told by x-test-panic");
    }
}
