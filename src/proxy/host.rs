//! The host's calls that this filter makes, all of them; bytes in, edits out.
//!
//! The SDK's calls panic on a status that the host is not known to give. Here they are made only where it can't.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, Bytes, MapType, MetricType};

use super::clock;
use super::pairs::Pairs;
use crate::config::Surroundings;
use crate::environment::Ambient;
use crate::http::edit::{Edit, Edits};
use crate::http::header::Headers;
use crate::proxy::gauges::Reading;
use crate::proxy::metrics::Metric;
use crate::rollout::outlier::{Contended, Memory};
use crate::rollout::slots::Slot;

/// The headers of the message in hand, as they were when they were read.
pub(super) struct HostHeaders {
    map: MapType,
    pairs: Pairs,
}

impl HostHeaders {
    pub(super) fn request() -> Self {
        HostHeaders::read(MapType::HttpRequestHeaders)
    }

    pub(super) fn response() -> Self {
        HostHeaders::read(MapType::HttpResponseHeaders)
    }

    fn read(map: MapType) -> Self {
        HostHeaders {
            map,
            pairs: Pairs::read(map),
        }
    }

    /// Does what is told to these headers on the host.
    pub(super) fn apply(&self, edits: &Edits<'_>) {
        edits.for_each(|edit| self.make(edit));
    }

    pub(super) fn make(&self, edit: &Edit<'_>) {
        // Where the host gave no headers, nobody knows what is there. Where there is nothing to replace, it need not look.
        let (name, value, replaces) = match edit {
            Edit::Add(name, value) => (name, value, self.pairs.is_empty()),
            Edit::Replace(name, value) => (name, value, self.pairs.is_empty() || self.first(name).is_some()),
            Edit::Append(name, value) => (name, value, false),
            Edit::Remove(name) => {
                let _ = hostcalls::remove_map_value(self.map, name);
                return;
            }
        };
        // The host refuses an edit only outside of the headers' own callback.
        let _ = if replaces {
            hostcalls::set_map_value_bytes(self.map, name, Some(value.as_bytes()))
        } else {
            hostcalls::add_map_value_bytes(self.map, name, value.as_bytes())
        };
    }
}

impl Headers for HostHeaders {
    fn all(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter()
    }

    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.pairs.named(name.as_bytes())
    }
}

/// The host's clock and properties, and the VM's own source of chance.
pub(super) struct World;

impl Ambient for World {
    fn now(&self) -> u64 {
        clock::now()
    }

    fn draw(&self) -> Slot {
        Slot::from_random(random())
    }

    fn claim(&self, name: &str) -> Option<Vec<u8>> {
        property(&[
            "metadata",
            "filter_metadata",
            "envoy.filters.http.jwt_authn",
            "payload",
            name,
        ])
    }

    fn source(&self) -> Option<IpAddr> {
        parse_address(&property(&["source", "address"])?)
    }
}

/// The host's chance, fetched for many draws at once: a call for each would cost more than the rest of the draw.
fn random() -> u64 {
    thread_local! {
        static LEFT: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    }
    LEFT.with_borrow_mut(|left| {
        if left.is_empty() {
            let mut bytes = [[0; 8]; 64];
            // Envoy's random_get always succeeds. Were it not there, everybody would stand at slot 0.
            let _ = getrandom::fill(bytes.as_flattened_mut());
            left.extend(bytes.map(u64::from_le_bytes));
        }
        left.pop().unwrap_or_default()
    })
}

/// `10.0.0.1:1234` or `[::1]:1234`; what comes over a Unix domain socket has no such address.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let address: SocketAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.ip())
}

impl Surroundings for World {
    fn node_id(&self) -> Option<String> {
        String::from_utf8(property(&["xds", "node", "id"])?).ok()
    }

    fn node_label(&self, name: &str) -> Option<String> {
        String::from_utf8(property(&["xds", "node", "metadata", "LABELS", name])?).ok()
    }

    fn env(&self, name: &str) -> Option<Vec<u8>> {
        // A name with = or NUL would make the standard library panic.
        let fits = !name.is_empty() && !name.contains(['=', '\0']);
        fits.then(|| std::env::var_os(name))
            .flatten()
            .map(OsString::into_encoded_bytes)
    }

    fn plugin(&self) -> String {
        let named = |name| property(&[name]).map(|name| String::from_utf8_lossy(&name).into_owned());
        ["plugin_name", "plugin_root_id"]
            .map(|name| named(name).unwrap_or_default())
            .join("/")
    }
}

impl Memory for World {
    fn recall(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let (value, mark) = hostcalls::get_shared_data(key).ok()?;
        Some((value?, mark?))
    }

    fn remember(&self, key: &str, value: &[u8], mark: Option<u32>) -> Result<(), Contended> {
        hostcalls::set_shared_data(key, Some(value), mark).map_err(|_| Contended)
    }
}

fn property(path: &[&str]) -> Option<Bytes> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

/// Who made the response in hand: [`VIA_UPSTREAM`](crate::http::origin::VIA_UPSTREAM), or why Envoy did.
pub(super) fn code_details() -> Cow<'static, [u8]> {
    Cow::Owned(property(&["response", "code_details"]).unwrap_or_default())
}

/// Has the root context's tick called so often from now on.
pub(super) fn tick_every(period: Duration) {
    let _ = hostcalls::set_tick_period(period);
}

/// Keeps a text for access logs, which find it as `%FILTER_STATE(wasm.NAME:PLAIN)%`.
pub(super) fn note(name: &str, value: &str) {
    let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
}

/// Answers the request in hand with 204, without a body.
pub(super) fn answer_no_content() {
    let _ = hostcalls::send_http_response(204, Vec::new(), None);
}

/// The plugin's configuration, as its bytes.
pub(super) fn configuration(size: usize) -> Bytes {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Adds one to a counter.
pub(super) fn count(metric: &Metric<'_>) {
    if let Some(id) = counter(metric) {
        increment(id);
    }
}

/// A counter's id.
pub(super) fn counter(metric: &Metric<'_>) -> Option<u32> {
    defined(MetricType::Counter, &metric.name())
}

/// Adds one to the counter of that id.
pub(super) fn increment(id: u32) {
    // Refused only for an id that was never defined.
    let _ = hostcalls::increment_metric(id, 1);
}

/// Sets gauges.
pub(super) fn show(readings: Vec<Reading>) {
    for reading in readings {
        if let Some(id) = defined(MetricType::Gauge, &reading.name) {
            let _ = hostcalls::record_metric(id, u64::from(reading.slots));
        }
    }
}

/// A metric's id. Each name is defined once in a VM, as every definition costs the host memory for good.
fn defined(kind: MetricType, name: &str) -> Option<u32> {
    thread_local! {
        static IDS: RefCell<BTreeMap<String, u32>> = const { RefCell::new(BTreeMap::new()) };
    }
    IDS.with_borrow_mut(|ids| {
        if let Some(id) = ids.get(name) {
            return Some(*id);
        }
        let id = hostcalls::define_metric(kind, name).ok()?;
        ids.insert(name.to_owned(), id);
        Some(id)
    })
}
