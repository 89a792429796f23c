//! The headers of the current message: read as one block, changed edit by edit.

use proxy_wasm::hostcalls;
use proxy_wasm::types::MapType;

use super::header_block::HeaderBlock;
use crate::http::edit::{Edit, Edits};
use crate::http::header::Headers;

/// The headers of a message as they were when they were read.
pub(super) struct HostHeaders {
    map: MapType,
    block: HeaderBlock,
}

impl HostHeaders {
    /// The headers of the current request.
    pub(super) fn request() -> Self {
        HostHeaders::read(MapType::HttpRequestHeaders)
    }

    /// The headers of the current response.
    pub(super) fn response() -> Self {
        HostHeaders::read(MapType::HttpResponseHeaders)
    }

    fn read(map: MapType) -> Self {
        HostHeaders {
            map,
            block: HeaderBlock::read(map),
        }
    }

    /// Applies edits on the host.
    pub(super) fn apply(&self, edits: &Edits<'_>) {
        edits.iter().for_each(|edit| self.apply_one(edit));
    }

    /// Applies one edit on the host.
    pub(super) fn apply_one(&self, edit: &Edit<'_>) {
        // A replacement costs the host more than an addition, so a replacement is used only if
        // there is a line to replace. If the host gave no headers, there may be such a line.
        let (name, value, replaces) = match edit {
            Edit::Add(name, value) => (name, value, self.block.is_empty()),
            Edit::Replace(name, value) => (name, value, self.block.is_empty() || self.first(name).is_some()),
            Edit::Append(name, value) => (name, value, false),
            Edit::Remove(name) => {
                let _ = hostcalls::remove_map_value(self.map, name);
                return;
            }
        };
        // The host refuses an edit only outside of the callback for these headers.
        let _ = if replaces {
            hostcalls::set_map_value_bytes(self.map, name, Some(value.as_bytes()))
        } else {
            hostcalls::add_map_value_bytes(self.map, name, value.as_bytes())
        };
    }
}

impl Headers for HostHeaders {
    fn all(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.block.iter()
    }

    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.block.named(name.as_bytes())
    }
}
