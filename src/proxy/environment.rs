//! The environment of a request in Envoy: the proxy's clock, properties and shared data, and the
//! VM's random numbers.

use std::cell::RefCell;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::time::UNIX_EPOCH;

use proxy_wasm::hostcalls;

use super::{claims, host};
use crate::config::ProxyInfo;
use crate::environment::{Claim, Contended, Environment, SharedStore};

/// The proxy that runs this VM.
pub(super) struct Proxy;

impl Environment for Proxy {
    fn now(&self) -> u64 {
        let now = hostcalls::get_current_time().ok();
        let since_epoch = now.and_then(|now| now.duration_since(UNIX_EPOCH).ok());
        since_epoch.map_or(0, |since| since.as_secs())
    }

    fn random(&self) -> u64 {
        thread_local! {
            static BATCH: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
        }
        // One host call gets the random numbers of 64 requests.
        BATCH.with_borrow_mut(|batch| {
            if batch.is_empty() {
                let mut bytes = [[0; 8]; 64];
                // Envoy's random_get always succeeds. If it failed, every client would get slot 0.
                let _ = getrandom::fill(bytes.as_flattened_mut());
                batch.extend(bytes.map(u64::from_le_bytes));
            }
            batch.pop().unwrap_or_default()
        })
    }

    /// Where Envoy's `jwt_authn` filter leaves the payload of a verified token, with Istio's
    /// `payload_in_metadata`.
    fn claim(&self, name: &str) -> Option<Claim> {
        claims::decode(&host::property(&[
            "metadata",
            "filter_metadata",
            "envoy.filters.http.jwt_authn",
            "payload",
            name,
        ])?)
    }

    fn client_address(&self) -> Option<IpAddr> {
        // `10.0.0.1:1234` or `[::1]:1234`. A Unix domain socket has another form.
        let address = host::property(&["source", "address"])?;
        let address: SocketAddr = std::str::from_utf8(&address).ok()?.parse().ok()?;
        Some(address.ip())
    }
}

impl SharedStore for Proxy {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let (value, cas) = hostcalls::get_shared_data(key).ok()?;
        Some((value?, cas?))
    }

    fn compare_and_set(&self, key: &str, value: &[u8], expected: Option<u32>) -> Result<(), Contended> {
        hostcalls::set_shared_data(key, Some(value), expected).map_err(|_| Contended)
    }
}

impl ProxyInfo for Proxy {
    fn node_id(&self) -> Option<String> {
        String::from_utf8(host::property(&["xds", "node", "id"])?).ok()
    }

    fn node_label(&self, name: &str) -> Option<String> {
        String::from_utf8(host::property(&["xds", "node", "metadata", "LABELS", name])?).ok()
    }

    fn env(&self, name: &str) -> Option<Vec<u8>> {
        // The standard library panics on a name with = or NUL.
        let is_valid = !name.is_empty() && !name.contains(['=', '\0']);
        is_valid
            .then(|| std::env::var_os(name))
            .flatten()
            .map(OsString::into_encoded_bytes)
    }

    fn plugin(&self) -> String {
        let text = |name| host::property(&[name]).map(|text| String::from_utf8_lossy(&text).into_owned());
        ["plugin_name", "plugin_root_id"]
            .map(|name| text(name).unwrap_or_default())
            .join("/")
    }
}
