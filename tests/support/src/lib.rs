//! What pinion's tests share: the named cases of `tests/cases/`, and a Proxy-Wasm host in native code that calls
//! the module's entry points.

pub mod case;
#[cfg(not(target_arch = "wasm32"))]
pub mod host;
pub mod refusal;
pub mod vector;
