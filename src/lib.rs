//! Version pinning for Envoy and Istio, as a Proxy-Wasm HTTP filter.
//!
//! One request's story, at the edge: `proxy` reads its headers from the host. [`scope`] finds the app that its host and
//! path belong to. [`policy`] goes through the steps in order — an allowed tester's [`overrides`], a route header that is
//! kept, the first of the [`rules`] that matches, the slot of the client's key, the [`pin`] it carries, a fair draw — and the slot's
//! place in the app's shares ([`assign`]) names the [`version`]. The route header is replaced by its name. When an upstream
//! has answered ([`origin`]), [`policy`] adds the version's label, and the pin's [`cookie`], sealed by a key ([`seal`]), unless a [`cache`]
//! might keep it. What is to be done to the headers comes back as values ([`edit`]), and `proxy` does it.
//!
//! Beside a version's pods, [`workload`] stamps what really served, and tells mirrored requests ([`mirror`]) from real
//! ones.
//!
//! [`config`] stands before all of this: it turns JSON into types that can't be wrong.
//!
//! What few requests run through is a function of its own that is not inlined: what all run through lies so close together,
//! and a proxy's cache, which has lost it since the request before, has less to fetch.

// Two calls in `proxy::pairs` are all that is unsafe.
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

pub mod claim;
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
