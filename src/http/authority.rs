//! The authority of a request (RFC 3986 section 3.2): its host and port.

use std::borrow::Cow;

/// The host of an authority in lower case, without its port and a trailing dot. An IPv6 address
/// keeps its brackets.
#[must_use]
pub fn normalized_host(authority: &[u8]) -> Cow<'_, [u8]> {
    // Most authorities have neither a port nor upper case, and need no copy.
    if authority.iter().all(|b| *b != b':' && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(without_dot(authority));
    }
    let (host, _) = split_port(authority);
    Cow::Owned(without_dot(host).to_ascii_lowercase())
}

fn without_dot(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

/// The host of an authority, and its port with the colon. The port is empty if the authority has
/// none.
#[must_use]
pub fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    let colon = authority.iter().rposition(|b| *b == b':');
    match colon.and_then(|colon| authority.split_at_checked(colon)) {
        // In `[::1]` the last colon is part of the address.
        Some((host, port)) if port.iter().skip(1).all(u8::is_ascii_digit) => (host, port),
        _ => (authority, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_host_is_read_without_port_case_and_trailing_dot() {
        for (authority, host) in [
            ("shop.example.com", "shop.example.com"),
            ("Shop.Example.COM:8080", "shop.example.com"),
            ("shop.example.com.", "shop.example.com"),
            ("shop.example.com.:443", "shop.example.com"),
            ("shop.example.com:", "shop.example.com"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
            ("[FE80::A]:1", "[fe80::a]"),
            ("shop:x", "shop:x"),
            ("", ""),
            (":", ""),
        ] {
            assert_eq!(
                &*normalized_host(authority.as_bytes()),
                host.as_bytes(),
                "{authority:?}"
            );
        }
    }
}
