//! The entry points that are ours: each `pinion_on_X` is exported as the host's `proxy_on_X`, in place of the SDK's, by
//! `tools/optimize.mjs`.
//!
//! The SDK keeps each stream in an allocation of its own, and finds it by hashing in up to three tables at each callback,
//! which is a sixth of the code that a request runs through here. Roots stay with it.

use proxy_wasm::types::Action;

use super::{pairs, streams};

/// The SDK's own.
mod sdk {
    unsafe extern "C" {
        pub(super) safe fn proxy_on_context_create(context: u32, root: u32);
        pub(super) safe fn proxy_on_delete(context: u32);
        pub(super) safe fn proxy_on_memory_allocate(size: usize) -> *mut u8;
    }
}

#[unsafe(no_mangle)]
extern "C" fn pinion_on_context_create(context: u32, root: u32) {
    if root == 0 {
        sdk::proxy_on_context_create(context, root);
    } else {
        streams::begin(context, root);
    }
}

#[unsafe(no_mangle)]
extern "C" fn pinion_on_request_headers(stream: u32, _: usize, _: bool) -> Action {
    streams::on_request_headers(stream)
}

#[unsafe(no_mangle)]
extern "C" fn pinion_on_response_headers(stream: u32, _: usize, _: bool) -> Action {
    streams::on_response_headers(stream)
}

#[unsafe(no_mangle)]
extern "C" fn pinion_on_delete(context: u32) {
    if !streams::end(context) {
        sdk::proxy_on_delete(context);
    }
}

#[unsafe(no_mangle)]
extern "C" fn pinion_on_memory_allocate(size: usize) -> *mut u8 {
    pairs::room(size).unwrap_or_else(|| sdk::proxy_on_memory_allocate(size))
}
