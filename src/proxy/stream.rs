//! One request and its response.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::{self, HostHeaders, World};
use crate::config::{AccessLog, Config, Edge, Role};
use crate::metrics::Metric;
use crate::policy::{self, Agreement, Decision};
use crate::workload::{Outcome, Workload};

pub(super) struct Stream {
    config: Option<Rc<Config>>,
    decision: Option<Decision>,
}

impl Stream {
    pub(super) fn new(config: Option<Rc<Config>>) -> Self {
        Stream {
            config,
            decision: None,
        }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        #[cfg(feature = "panic-on-demand")]
        panic_on_demand();
        match self.config.as_deref().map(|config| &config.role) {
            Some(Role::Edge(edge)) => {
                self.decision = decide(edge);
                Action::Continue
            }
            Some(Role::Workload(workload)) => judge(workload),
            None => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        match (self.config.as_deref().map(|config| &config.role), &self.decision) {
            (Some(Role::Edge(_)), Some(decision)) if host::is_from_upstream() => stamp_decided(decision),
            (Some(Role::Workload(workload)), _) => stamp_served(workload),
            _ => {}
        }
        Action::Continue
    }
}

fn decide(edge: &Edge) -> Option<Decision> {
    let headers = HostHeaders::request();
    let decision = policy::decide(edge, &headers, &World);
    headers.apply(policy::request_edits(edge, &headers, decision.as_ref()));
    if let Some(decision) = &decision {
        count(decision);
        if edge.access_log == AccessLog::On {
            host::note("pinion_reason", decision.reason.as_str());
            host::note("pinion_app", &decision.app.name);
        }
    }
    decision
}

fn count(decision: &Decision) {
    let (app, version) = (&decision.app.name, &decision.version.name);
    let reason = decision.reason.as_str();
    host::count(&Metric::Requests { app, version, reason });
    if let Some(cause) = decision.rejected {
        let cause = cause.as_str();
        host::count(&Metric::PinsRejected { app, cause });
    }
    for limit in &decision.exceeded {
        let cause = limit.as_str();
        host::count(&Metric::LimitsExceeded { app, cause });
    }
}

fn stamp_decided(decision: &Decision) {
    let headers = HostHeaders::response();
    let stamped = policy::stamp(decision, &headers);
    headers.apply(stamped.edits);
    if stamped.agreement == Agreement::Mismatch {
        host::count(&Metric::VersionMismatch {
            app: &decision.app.name,
            version: &decision.version.name,
        });
    }
}

fn judge(workload: &Workload) -> Action {
    let headers = HostHeaders::request();
    let verdict = workload.judge(&headers, &World);
    headers.apply(verdict.edits);
    if let Some(outcome) = verdict.outcome.as_str() {
        host::count(&Metric::Mirrored { outcome });
    }
    if verdict.outcome == Outcome::Blocked {
        host::answer_no_content();
        return Action::Pause;
    }
    Action::Continue
}

fn stamp_served(workload: &Workload) {
    let stamp = workload.stamp();
    if stamp.is_some() && host::is_from_upstream() {
        HostHeaders::response().apply(stamp);
    }
}

#[cfg(feature = "panic-on-demand")]
#[expect(clippy::panic, reason = "what a proxy does then is what the tests look at")]
fn panic_on_demand() {
    use crate::header::Headers;
    if HostHeaders::request().first("x-test-panic").is_some() {
        panic!("as told by x-test-panic");
    }
}
