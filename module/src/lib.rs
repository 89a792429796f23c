//! The module that a proxy loads. It stands apart from the library because the SDK's entry point needs `no_mangle`,
//! which the library forbids.

proxy_wasm::main! {{ pinion::proxy::start(); }}
