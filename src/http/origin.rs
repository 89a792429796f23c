//! Who made a response: an upstream, or the proxy itself.
//!
//! The proxy's own word, `response.code_details`, costs more than the rest of a response's work. Most responses show
//! where they come from, and for these it is not asked.

use std::borrow::Cow;

use crate::http::header::Headers;

/// Envoy's `response.code_details` of a response that an upstream gave, and that it did not make itself.
pub const VIA_UPSTREAM: &[u8] = b"via_upstream";

/// How long the upstream took: Envoy's router puts it on what an upstream answered, unless it is told not to
/// (`suppress_envoy_headers`), in place of any that is there.
const SERVICE_TIME: &str = "x-envoy-upstream-service-time";

/// Envoy's `response.code_details`, which are asked for only where the response does not show them.
///
/// A filter may answer in an upstream's stead with headers that another server gave, `x-envoy-upstream-service-time`
/// among them: an authorization service that says no (ext_authz hands on all its headers), or a cache. So only what
/// tells of success is believed, and only if no cache left an `age` (RFC 9111 section 5.1) on it.
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
