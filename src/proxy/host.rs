//! The remaining calls to the host: properties, filter state, metrics, local replies, ticks.
//!
//! The SDK's calls panic on a status that the SDK does not expect. Each call here is made only
//! where Envoy returns no such status.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, Bytes, MetricType};

use super::gauges::Reading;
use super::metrics::Metric;

/// The value of a property. None if the host does not have it.
pub(super) fn property(path: &[&str]) -> Option<Bytes> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

/// Envoy's `response.code_details` of the current response.
pub(super) fn code_details() -> Cow<'static, [u8]> {
    Cow::Owned(property(&["response", "code_details"]).unwrap_or_default())
}

/// Sets the period of the root context's tick. A period of zero stops the tick.
pub(super) fn set_tick_period(period: Duration) {
    let _ = hostcalls::set_tick_period(period);
}

/// Sets a filter state object, which access logs show as `%FILTER_STATE(wasm.NAME:PLAIN)%`.
pub(super) fn set_filter_state(name: &str, value: &str) {
    let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
}

/// Answers the current request with 204 and no body.
pub(super) fn reply_no_content() {
    let _ = hostcalls::send_http_response(204, Vec::new(), None);
}

/// The plugin's configuration.
pub(super) fn configuration(size: usize) -> Bytes {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Increments a counter by one.
pub(super) fn count(metric: &Metric<'_>) {
    if let Some(id) = counter(metric) {
        increment(id);
    }
}

/// The id of a counter.
pub(super) fn counter(metric: &Metric<'_>) -> Option<u32> {
    metric_id(MetricType::Counter, &metric.name())
}

/// Increments the counter of an id by one.
pub(super) fn increment(id: u32) {
    // The host refuses only an id that was never defined.
    let _ = hostcalls::increment_metric(id, 1);
}

/// Sets gauges.
pub(super) fn set_gauges(readings: Vec<Reading>) {
    for reading in readings {
        if let Some(id) = metric_id(MetricType::Gauge, &reading.name) {
            let _ = hostcalls::record_metric(id, u64::from(reading.slots));
        }
    }
}

/// The id of a metric. A VM defines each name once, because the host never frees the memory of a
/// definition.
#[inline(never)]
fn metric_id(kind: MetricType, name: &str) -> Option<u32> {
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
