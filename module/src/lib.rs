//! The module that a proxy loads. It stands apart from the library because the SDK's entry point needs `no_mangle`,
//! which the library forbids.

#![expect(missing_docs, reason = "the one item is made by the SDK's macro")]

proxy_wasm::main! {{ pinion::proxy::start(); }}
