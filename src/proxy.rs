//! The glue to a Proxy-Wasm host: read, ask the core, apply. No decision is made here.

mod counters;
mod host;
#[expect(
    unsafe_code,
    reason = "the SDK has no call that leaves the headers where they are"
)]
mod pairs;
mod root;
mod stream;

use root::Root;

/// Makes the SDK's dispatcher serve this filter; a module's entry point calls it once.
pub fn start() {
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(Root::new(id)));
}
