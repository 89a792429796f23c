//! What pinion's tests share: the named cases of `tests/cases/`, and a Proxy-Wasm host in native code under which the
//! SDK's own dispatcher runs.

pub mod case;
#[cfg(not(target_arch = "wasm32"))]
pub mod host;
pub mod refusal;
pub mod vector;
