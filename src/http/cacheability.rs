//! Whether a shared cache may keep a response (RFC 9111): then it must not carry a client's pin.

use crate::http::header::{Headers, trim_ows};

/// Whether some shared cache might store the response and hand it to others.
///
/// `public` and `s-maxage` say so; `max-age` above 0 and `Expires` do without `private` or `no-store`. It errs on
/// the side of yes: a `private` that names fields leaves the rest to shared caches, and a `max-age` that can't be
/// read counts as above 0.
#[must_use]
pub fn may_be_shared<H: Headers + ?Sized>(response: &H) -> bool {
    let expires = response.first("expires").is_some();
    if response.first("cache-control").is_none() {
        return expires;
    }
    may_be_kept(response, expires)
}

/// The same, of a response that says more of it than when it expires.
#[inline(never)]
fn may_be_kept<H: Headers + ?Sized>(response: &H, expires: bool) -> bool {
    let mut fresh = expires;
    let mut kept_out = false;
    if response.lines("cache-control").any(is_unbalanced) {
        return true;
    }
    let directives = response.lines("cache-control").flat_map(directives);
    for directive in directives {
        let (name, value) = match directive.iter().position(|b| *b == b'=') {
            Some(eq) => directive.split_at(eq),
            None => (directive, &[][..]),
        };
        match trim_ows(name).to_ascii_lowercase().as_slice() {
            b"public" | b"s-maxage" => return true,
            b"private" if value.is_empty() => kept_out = true,
            b"no-store" => kept_out = true,
            b"max-age" => fresh |= !is_zero(value),
            _ => {}
        }
    }
    fresh && !kept_out
}

/// Where a line stands: in a quoted string or not (RFC 9110 section 5.6.4).
#[derive(Default)]
struct Quotes {
    quoted: bool,
    escaped: bool,
}

impl Quotes {
    /// Takes the next byte in, and says whether it stands in a quoted string.
    fn take(&mut self, byte: u8) -> bool {
        let inside = self.quoted;
        if byte == b'"' && !self.escaped {
            self.quoted = !self.quoted;
        }
        self.escaped = inside && byte == b'\\' && !self.escaped;
        inside
    }
}

/// Whether a quoted string has no end: what is said behind its start can't be told.
fn is_unbalanced(line: &[u8]) -> bool {
    let mut quotes = Quotes::default();
    line.iter().for_each(|byte| {
        quotes.take(*byte);
    });
    quotes.quoted
}

/// Splits at the commas that stand in no quoted string.
fn directives(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quotes = Quotes::default();
    line.split(move |byte| !quotes.take(*byte) && *byte == b',')
        .map(trim_ows)
}

/// Whether the argument is `=0`, `=00`, `="0"`.
fn is_zero(argument: &[u8]) -> bool {
    let mut digits = argument.iter().filter(|b| !b"=\" \t".contains(b)).peekable();
    digits.peek().is_some() && digits.all(|b| *b == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_a_shared_cache_may_keep() {
        for (headers, expected) in [
            (&[][..], false),
            (&[("cache-control", "public")], true),
            (&[("cache-control", "PUBLIC, max-age=0")], true),
            (&[("cache-control", "s-maxage=10")], true),
            (&[("cache-control", "private, s-maxage=10")], true),
            (&[("cache-control", "max-age=60")], true),
            (&[("cache-control", "Max-Age=60")], true),
            (&[("cache-control", "max-age=\"60\"")], true),
            (&[("cache-control", "max-age=x")], true),
            (&[("cache-control", "max-age")], true),
            (&[("cache-control", "max-age=0")], false),
            (&[("cache-control", "max-age=\"0\"")], false),
            (&[("cache-control", "max-age=60, private")], false),
            (&[("cache-control", "private,max-age=60")], false),
            (
                &[("cache-control", "max-age=60"), ("cache-control", "no-store")],
                false,
            ),
            (&[("cache-control", "max-age=60, private=\"x-a\"")], true),
            (&[("expires", "Thu, 01 Dec 2044 16:00:00 GMT")], true),
            (&[("expires", "0"), ("cache-control", "private")], false),
            (&[("cache-control", "no-cache")], false),
            (&[("cache-control", "no-cache, no-store, must-revalidate")], false),
            (&[("cache-control", "publicity")], false),
            (&[("cache-control", "no-cache, max-age=60")], true),
            (&[("cache-control", "max-age =60")], true),
            (&[("cache-control", "s-maxage =60")], true),
            (&[("cache-control", "max-age = 0")], false),
            (
                &[("cache-control", "max-age=60, no-cache=\"a, private, b\"")],
                true,
            ),
            (&[("cache-control", "ext=\"\\\", private\", max-age=60")], true),
            (&[("cache-control", "ext=\"a\", private, max-age=60")], false),
            (&[("cache-control", "ext=\"a, private")], true),
            (&[("cache-control", "a\\\", private\"b, max-age=60")], true),
            (&[("cache-control", "ext=\"\\\\\", private, max-age=60")], false),
            (&[("cache-control", "no-store=x, max-age=60")], false),
        ] {
            assert_eq!(may_be_shared(headers), expected, "{headers:?}");
        }
    }
}
