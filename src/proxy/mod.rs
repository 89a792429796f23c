//! The glue to a Proxy-Wasm host: read, ask the core, apply. No decision is made here.

mod clock;
mod counters;
#[expect(unsafe_code, reason = "what a host calls has a name of its own")]
mod exports;
pub mod gauges;
mod host;
pub mod metrics;
#[expect(
    unsafe_code,
    reason = "the SDK has no call that leaves the headers where they are"
)]
mod pairs;
mod root;
mod stream;
mod streams;

use root::Root;

/// Has the SDK make this filter's roots; a module's entry point calls it once.
pub fn start() {
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(Root::new(id)));
}
