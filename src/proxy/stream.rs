//! One request and its response.

use std::rc::Rc;

use log::{info, warn};
use proxy_wasm::types::Action;

use super::counters::Counters;
use super::host::{self, HostHeaders, World};
use crate::config::{AccessLog, Config, Edge, Role};
use crate::decision::{self, Agreement, Decision};
use crate::http::origin::{self, VIA_UPSTREAM};
use crate::proxy::metrics::Metric;
use crate::rollout::outlier::Change;
use crate::workload::{Outcome, Workload};

/// A configuration and what counts under it.
pub(super) struct Served {
    pub(super) config: Config,
    counters: Option<Counters>,
}

impl Served {
    pub(super) fn new(config: Config) -> Self {
        let counters = config.edge().map(Counters::new);
        Served { config, counters }
    }

    fn role(&self) -> &Role {
        &self.config.role
    }

    fn count(&self, decision: &Decision) {
        if let Some(counters) = &self.counters {
            counters.count(decision);
            if decision.rejected.is_some() || !decision.exceeded.is_empty() {
                count_refused(decision);
            }
        }
    }
}

pub(super) struct Stream {
    served: Option<Rc<Served>>,
    decision: Option<Decision>,
    /// Whether the response says why it went where it went.
    explains: bool,
}

impl Stream {
    pub(super) fn new(served: Option<Rc<Served>>) -> Self {
        Stream {
            served,
            decision: None,
            explains: false,
        }
    }

    pub(super) fn on_request_headers(&mut self) -> Action {
        #[cfg(feature = "panic-on-demand")]
        panic_on_demand();
        let Some(served) = self.served.as_deref() else {
            return Action::Continue;
        };
        match served.role() {
            Role::Edge(edge) => {
                let headers = HostHeaders::request();
                if let Some(decision) = decide(edge, &headers) {
                    served.count(&decision);
                    self.decision = Some(decision);
                }
                self.explains = decision::is_asked_why(edge, &headers, self.decision.as_ref(), &World);
                Action::Continue
            }
            Role::Workload(workload) if workload.mirror.is_some() => judge(workload),
            Role::Workload(_) => Action::Continue,
        }
    }

    pub(super) fn on_response_headers(&mut self) -> Action {
        match (self.served.as_deref().map(Served::role), &self.decision) {
            (Some(Role::Edge(_)), Some(decision)) => answered(decision),
            (Some(Role::Workload(workload)), _) => stamp_served(workload),
            _ => {}
        }
        if self.explains {
            explain(self.decision.as_ref());
        }
        Action::Continue
    }
}

fn decide(edge: &Edge, headers: &HostHeaders) -> Option<Decision> {
    let decision = decision::decide(edge, headers, &World);
    headers.apply(&decision::request_edits(edge, headers, decision.as_ref()));
    if let Some(decision) = &decision
        && edge.access_log == AccessLog::On
    {
        note(decision);
    }
    decision
}

/// For access logs.
#[inline(never)]
fn note(decision: &Decision) {
    host::note("pinion_reason", decision.reason.as_str());
    host::note("pinion_app", &decision.app.name);
}

/// Counts what of a request was not taken.
#[inline(never)]
fn count_refused(decision: &Decision) {
    let app = &decision.app.name;
    if let Some(cause) = decision.rejected {
        let cause = cause.as_str();
        host::count(&Metric::PinsRejected { app, cause });
    }
    for limit in decision.exceeded.iter() {
        let cause = limit.as_str();
        host::count(&Metric::LimitsExceeded { app, cause });
    }
}

fn answered(decision: &Decision) {
    let headers = HostHeaders::response();
    let code_details = origin::code_details(&headers, host::code_details);
    let change = decision::note(decision, &code_details, || origin::status(&headers), &World);
    if let Some(change) = change {
        report(decision, change);
    }
    if *code_details == *VIA_UPSTREAM {
        stamp_decided(decision, &headers);
    }
}

#[inline(never)]
fn report(decision: &Decision, change: Change) {
    let (app, version) = (&decision.app.name, &decision.version.name);
    match change {
        Change::Ejected(seconds) => {
            host::count(&Metric::Ejections { app, version });
            warn!("{app}: version {version} is ejected for {seconds} s: too many errors in a row");
        }
        Change::Recovered => info!("{app}: version {version} is back"),
    }
}

fn stamp_decided(decision: &Decision, headers: &HostHeaders) {
    let stamped = decision::stamp(decision, headers);
    headers.apply(&stamped.edits);
    if stamped.agreement == Agreement::Mismatch {
        count_mismatch(decision);
    }
}

#[inline(never)]
fn count_mismatch(decision: &Decision) {
    host::count(&Metric::VersionMismatch {
        app: &decision.app.name,
        version: &decision.version.name,
    });
}

#[inline(never)]
fn judge(workload: &Workload) -> Action {
    let headers = HostHeaders::request();
    let verdict = workload.judge(&headers, &World);
    headers.apply(&verdict.edits);
    if let Some(outcome) = verdict.outcome.as_str() {
        host::count(&Metric::Mirrored { outcome });
    }
    if verdict.outcome == Outcome::Blocked {
        host::answer_no_content();
        return Action::Pause;
    }
    Action::Continue
}

#[inline(never)]
fn explain(decision: Option<&Decision>) {
    let headers = HostHeaders::response();
    if let Some(edit) = decision::explained(decision, &headers) {
        headers.make(&edit);
    }
}

#[inline(never)]
fn stamp_served(workload: &Workload) {
    let Some(stamp) = workload.stamp() else {
        return;
    };
    let headers = HostHeaders::response();
    if *origin::code_details(&headers, host::code_details) == *VIA_UPSTREAM {
        headers.make(&stamp);
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
