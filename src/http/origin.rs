//! Who made a response: an upstream, or the proxy itself.
//!
//! Reading Envoy's `response.code_details` costs more than everything else that a response needs.
//! Most responses show by their headers that an upstream gave them, and for these the property is
//! not read.

use std::borrow::Cow;

use crate::http::header::Headers;

/// Envoy's `response.code_details` of a response that an upstream gave.
pub const VIA_UPSTREAM: &[u8] = b"via_upstream";

/// How long the upstream took. Envoy's router sets this header on an upstream's response and
/// replaces an existing value, unless `suppress_envoy_headers` is set.
const SERVICE_TIME: &str = "x-envoy-upstream-service-time";

/// Envoy's `response.code_details`. The property is read by `ask` only if the headers do not show
/// that an upstream answered.
///
/// Another filter may answer with headers from another server, such as
/// `x-envoy-upstream-service-time`: an authorization service that denies (ext_authz passes on all
/// its headers), or a cache. So the header counts only on a 2xx response without the `age` of a
/// cache (RFC 9111 section 5.1).
pub fn code_details<'a, H: Headers + ?Sized>(
    response: &H,
    ask: impl FnOnce() -> Cow<'a, [u8]>,
) -> Cow<'a, [u8]> {
    let has = |name| response.first(name).is_some();
    let succeeded = matches!(response.first(":status"), Some([b'2', _, _]));
    if succeeded && has(SERVICE_TIME) && !has("age") {
        Cow::Borrowed(VIA_UPSTREAM)
    } else {
        ask()
    }
}

/// A response's status.
pub fn status<H: Headers + ?Sized>(response: &H) -> Option<u16> {
    let status = std::str::from_utf8(response.first(":status")?).ok()?;
    status.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_proxy_is_asked_where_the_response_does_not_show_who_made_it() {
        let time = (SERVICE_TIME, "3");
        for (headers, shows) in [
            (&[(":status", "200"), time][..], true),
            (&[(":status", "204"), time], true),
            (&[(":status", "200")], false),
            (&[(":status", "302"), time], false),
            (&[(":status", "403"), time], false),
            (&[(":status", "500"), time], false),
            (&[(":status", "200"), time, ("age", "0")], false),
            (&[time], false),
        ] {
            let said = code_details(headers, || Cow::Borrowed(b"asked"));
            assert_eq!(*said == *VIA_UPSTREAM, shows, "{headers:?}");
            assert!(shows || *said == *b"asked");
        }
    }
}
