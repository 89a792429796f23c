//! The module that a proxy loads. It stands apart from the library because a library that is linked into tests must not
//! bring the SDK's `_initialize` with it.

#![expect(missing_docs, reason = "the one item is made by the SDK's macro")]

proxy_wasm::main! {{ pinion::proxy::start(); }}
