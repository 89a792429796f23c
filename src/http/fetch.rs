//! What a browser's headers say about a request: W3C Fetch Metadata, prefetches, WebSockets, and
//! withheld cookies.

use super::cookie::SameSite;
use super::header::Headers;

/// What a client does with the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchKind {
    /// A browser shows the response as a page.
    Navigation,
    /// A browser uses the response as a part of a page (a script, an image, an API call, a frame, a
    /// WebSocket), or fetches a page in advance.
    PagePart,
    /// The client does not say.
    Unknown,
}

/// The kind of a request.
///
/// A frame has the mode of a navigation, and differs by its destination. Chromium sends no
/// `Sec-Fetch-Mode` on a WebSocket handshake.
#[must_use]
pub fn kind<H: Headers + ?Sized>(headers: &H) -> FetchKind {
    let is_websocket = headers
        .first("upgrade")
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
    if is_websocket || is_prefetch(headers) {
        return FetchKind::PagePart;
    }
    match headers.first("sec-fetch-mode") {
        None => FetchKind::Unknown,
        Some(b"navigate") if !is_frame(headers) => FetchKind::Navigation,
        Some(_) => FetchKind::PagePart,
    }
}

/// Whether a browser fetches in advance, without the user: `Sec-Purpose` of prefetch and prerender,
/// and its predecessors.
fn is_prefetch<H: Headers + ?Sized>(headers: &H) -> bool {
    ["sec-purpose", "purpose", "x-moz"]
        .into_iter()
        .filter_map(|name| headers.first(name))
        .any(|purpose| purpose.starts_with(b"prefetch"))
}

fn is_frame<H: Headers + ?Sized>(headers: &H) -> bool {
    matches!(
        headers.first("sec-fetch-dest"),
        Some(b"iframe" | b"frame" | b"object" | b"embed" | b"fencedframe")
    )
}

/// Whether a browser withholds a cookie of this `SameSite` from the request (RFC 6265bis section
/// 5.8.3). Of all cross-site requests, a browser sends `Lax` cookies with navigations of a safe
/// method only, and `Strict` cookies with none.
#[must_use]
pub fn withholds<H: Headers + ?Sized>(headers: &H, same_site: SameSite) -> bool {
    if headers.first("sec-fetch-site") != Some(b"cross-site") {
        return false;
    }
    match same_site {
        SameSite::None => false,
        SameSite::Strict => true,
        SameSite::Lax => {
            let is_safe = matches!(
                headers.first(":method"),
                Some(b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
            );
            let is_navigation = headers.first("sec-fetch-mode") == Some(b"navigate") && !is_frame(headers);
            !(is_safe && is_navigation)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn each_kind_of_request_is_recognized() {
        use FetchKind::{Navigation, PagePart, Unknown};
        let (mode, dest) = ("sec-fetch-mode", "sec-fetch-dest");
        for (headers, expected) in [
            (&[][..], Unknown),
            (&[(dest, "document")], Unknown),
            (&[(mode, "navigate"), (dest, "document")], Navigation),
            (&[(mode, "navigate")], Navigation),
            (&[(mode, "navigate"), (dest, "iframe")], PagePart),
            (&[(mode, "navigate"), (dest, "frame")], PagePart),
            (&[(mode, "navigate"), (dest, "object")], PagePart),
            (&[(mode, "navigate"), (dest, "embed")], PagePart),
            (&[(mode, "nested-navigate")], PagePart),
            (&[(mode, "no-cors"), (dest, "script")], PagePart),
            (&[(mode, "cors")], PagePart),
            (&[(mode, "websocket")], PagePart),
            (&[("upgrade", "WebSocket")], PagePart),
            (&[("upgrade", "h2c")], Unknown),
            (
                &[(mode, "navigate"), ("sec-purpose", "prefetch;prerender")],
                PagePart,
            ),
            (&[(mode, "navigate"), ("sec-purpose", "prefetch")], PagePart),
            (&[(mode, "navigate"), ("purpose", "prefetch")], PagePart),
            (&[("x-moz", "prefetch")], PagePart),
            (&[(mode, "navigate"), ("purpose", "other")], Navigation),
        ] {
            assert_eq!(kind(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_cookie_is_withheld_from_cross_site_requests_by_its_same_site() {
        let (site, mode, dest) = ("sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest");
        for (headers, lax, strict) in [
            (&[(":method", "POST")][..], false, false),
            (
                &[(":method", "POST"), (site, "same-site"), (mode, "navigate")],
                false,
                false,
            ),
            (
                &[(":method", "POST"), (site, "cross-site"), (mode, "navigate")],
                true,
                true,
            ),
            (
                &[(":method", "GET"), (site, "cross-site"), (mode, "navigate")],
                false,
                true,
            ),
            (
                &[
                    (":method", "GET"),
                    (site, "cross-site"),
                    (mode, "navigate"),
                    (dest, "iframe"),
                ],
                true,
                true,
            ),
            (
                &[(":method", "GET"), (site, "cross-site"), (mode, "cors")],
                true,
                true,
            ),
            (
                &[(":method", "GET"), (site, "none"), (mode, "navigate")],
                false,
                false,
            ),
        ] {
            assert_eq!(withholds(headers, SameSite::Lax), lax, "{headers:?}");
            assert_eq!(withholds(headers, SameSite::Strict), strict, "{headers:?}");
            assert!(!withholds(headers, SameSite::None), "{headers:?}");
        }
    }
}
