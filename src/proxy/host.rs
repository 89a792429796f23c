//! The host's calls that this filter makes, all of them; bytes in, edits out.
//!
//! The SDK's calls panic on a status that the host is not known to give. Here they are made only where it can't.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, Bytes, MapType, MetricType};

use crate::assign::Slot;
use crate::edit::Edit;
use crate::header::Headers;
use crate::policy::Ambient;

/// The headers of the message in hand, read from the host when first asked for.
pub(super) struct HostHeaders {
    map: MapType,
    read: OnceCell<Vec<(String, Bytes)>>,
}

impl HostHeaders {
    pub(super) fn request() -> Self {
        HostHeaders {
            map: MapType::HttpRequestHeaders,
            read: OnceCell::new(),
        }
    }

    pub(super) fn response() -> Self {
        HostHeaders {
            map: MapType::HttpResponseHeaders,
            read: OnceCell::new(),
        }
    }

    /// Does what is told to these headers on the host.
    pub(super) fn apply(&self, edits: Vec<Edit<'_>>) {
        for edit in edits {
            // The host refuses an edit only outside of the headers' own callback.
            let _ = match edit {
                Edit::Append(name, value) => hostcalls::add_map_value_bytes(self.map, name, value.as_bytes()),
                Edit::Replace(name, value) => {
                    hostcalls::set_map_value_bytes(self.map, name, Some(value.as_bytes()))
                }
                Edit::Remove(name) => hostcalls::remove_map_value(self.map, name),
            };
        }
    }
}

impl Headers for HostHeaders {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.read
            .get_or_init(|| hostcalls::get_map_bytes(self.map).unwrap_or_default())
            .iter()
            .filter(move |(field, _)| field == name)
            .map(|(_, value)| value.as_slice())
    }
}

/// The host's clock, and the VM's own source of chance.
pub(super) struct World;

impl Ambient for World {
    fn now(&self) -> u64 {
        hostcalls::get_current_time()
            .ok()
            .and_then(|now| now.duration_since(std::time::UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_secs())
    }

    fn draw(&self) -> Slot {
        // Envoy's random_get always succeeds. Were it not there, everybody would stand at slot 0.
        Slot::from_random(getrandom::u64().unwrap_or_default())
    }
}

/// Whether the response in hand came from an upstream, and was not made by Envoy itself.
pub(super) fn is_from_upstream() -> bool {
    let details = hostcalls::get_property(vec!["response", "code_details"]);
    details.is_ok_and(|details| details.as_deref() == Some(b"via_upstream"))
}

/// The plugin's configuration, as its bytes.
pub(super) fn configuration(size: usize) -> Bytes {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Adds one to a counter. Each name is defined once in a VM, as every definition costs the host memory for good.
pub(super) fn count(name: &str) {
    thread_local! {
        static IDS: RefCell<BTreeMap<String, u32>> = const { RefCell::new(BTreeMap::new()) };
    }
    IDS.with_borrow_mut(|ids| {
        let id = match ids.get(name) {
            Some(id) => *id,
            None => {
                let Ok(id) = hostcalls::define_metric(MetricType::Counter, name) else {
                    return;
                };
                ids.insert(name.to_owned(), id);
                id
            }
        };
        // Refused only for an id that was never defined.
        let _ = hostcalls::increment_metric(id, 1);
    });
}
