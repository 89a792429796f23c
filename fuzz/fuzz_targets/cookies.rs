//! Parses arbitrary bytes as cookie lines. A simple parser by RFC 6265bis finds the same values in the same order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion::http::cookie;
use pinion::http::header::trim_ows;

/// The values of a cookie. Pairs are split at the first `=`, and white space and the quotes of values are removed.
fn by_simple_parser<'a>(lines: &'a [Vec<u8>], name: &str) -> Vec<&'a [u8]> {
    let pairs = lines.iter().flat_map(|line| line.split(|b| *b == b';'));
    let values = pairs.filter_map(|pair| {
        let eq = pair.iter().position(|b| *b == b'=')?;
        let value = trim_ows(&pair[eq + 1..]);
        let inner = value
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        (trim_ows(&pair[..eq]) == name.as_bytes()).then_some(inner.unwrap_or(value))
    });
    values.collect()
}

fuzz_target!(|lines: Vec<Vec<u8>>| {
    let headers: Vec<_> = lines.iter().map(|line| ("cookie", line)).collect();
    let headers = headers.as_slice();
    let pairs: usize = lines.iter().map(|line| line.split(|b| *b == b';').count()).sum();
    let bytes: usize = lines.iter().map(Vec::len).sum();
    let few = bytes <= cookie::MAX_BYTES && pairs <= cookie::MAX_PAIRS;
    let cookies = cookie::parse(headers);
    assert_eq!(cookies.is_some(), few);
    if let Some(cookies) = cookies {
        // The first lookups scan the list, the later ones use its index.
        for name in ["p", "pp"].repeat(3) {
            assert_eq!(cookies.values(name).collect::<Vec<_>>(), by_simple_parser(&lines, name));
        }
    }
});
