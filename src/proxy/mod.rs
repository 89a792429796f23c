//! The Proxy-Wasm host: reads messages, asks the core for a decision, and applies it. No decision
//! is made here.

pub mod claims;
mod counters;
mod environment;
pub mod gauges;
#[expect(unsafe_code, reason = "the SDK has no call that leaves the headers in place")]
mod header_block;
mod headers;
mod host;
pub mod metrics;
mod root;
mod stream;

use root::Root;

/// Registers the filter with the SDK. A module's entry point calls this once.
pub fn start() {
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(Root::new(id)));
}
