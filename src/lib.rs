//! Version pinning for Envoy and Istio, as a Proxy-Wasm HTTP filter.
//!
//! A request at the edge passes these modules: [`proxy`] reads the headers from the host. [`route`]
//! finds the app of the request's host and path. [`decision`] runs the steps in order: an override,
//! a route header that is kept, a rule, the build of the request's page, the client's key, the
//! client's pin ([`identity`]), else a draw of a slot. [`rollout`] says which version owns the
//! slot. The decision returns header edits ([`http`]), and `proxy` applies them. When the upstream
//! has answered, [`decision`] stamps the response with the version and sets the client's pin.
//!
//! Beside a version's pods, [`workload`] stamps responses with the version that served them, and
//! marks mirrored requests.
//!
//! [`config`] builds the validated model ([`app`]) from JSON. [`environment`] has the traits that a
//! host implements. `docs/architecture.md` follows one request through the layers.

// Only `proxy::header_block` contains unsafe code.
#![deny(unsafe_code)]
// A panic takes a worker of the proxy down.
#![deny(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unreachable,
    clippy::todo
)]

pub mod app;
pub mod config;
pub mod decision;
pub mod environment;
pub mod http;
pub mod identity;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod rollout;
pub mod route;
pub mod workload;
