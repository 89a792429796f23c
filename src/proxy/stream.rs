//! One request and its response.

use std::rc::Rc;

use log::debug;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::{self, HostHeaders, World};
use crate::config::Config;
use crate::metrics::Counter;
use crate::policy::{self, Agreement, Decision};

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
        if let Some(config) = &self.config {
            let headers = HostHeaders::request();
            let decision = policy::decide(config, &headers, &World);
            headers.apply(policy::request_edits(config, &headers, decision.as_ref()));
            if let Some(decision) = &decision {
                count(decision);
            }
            self.decision = decision;
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(decision) = &self.decision
            && host::is_from_upstream()
        {
            let headers = HostHeaders::response();
            let stamped = policy::stamp(decision, &headers);
            headers.apply(stamped.edits);
            if stamped.agreement == Agreement::Mismatch {
                let version = &decision.version.name;
                host::count(&Counter::VersionMismatch { version }.name(&decision.app.name));
            }
        }
        Action::Continue
    }
}

fn count(decision: &Decision) {
    let app = &decision.app.name;
    debug!("{app}: {} by {}", decision.version, decision.reason.as_str());
    host::count(&Counter::requests(&decision.version.name, decision.reason).name(app));
    if let Some(cause) = decision.rejected {
        host::count(&Counter::pins_rejected(cause).name(app));
    }
}
