//! The least that a filter must do to pin by host and show the version: it reads one header, writes one header on the
//! request and one on the response, and counts. It decides nothing.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MetricType};

proxy_wasm::main! {{ proxy_wasm::set_root_context(|_| Box::new(Root { counter: 0 })); }}

struct Root {
    counter: u32,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let counter = hostcalls::define_metric(MetricType::Counter, "floor_requests_total");
        counter.map(|counter| self.counter = counter).is_ok()
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            counter: self.counter,
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    counter: u32,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if self.get_http_request_header_bytes(":authority").is_some() {
            self.set_http_request_header("x-app-version", Some("v1"));
            let _ = hostcalls::increment_metric(self.counter, 1);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.set_http_response_header("x-app-version", Some("1.0"));
        Action::Continue
    }
}
