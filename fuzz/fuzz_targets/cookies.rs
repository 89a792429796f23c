//! Any bytes as cookie lines: what is found stands there, and nothing of another name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion::cookie;

fuzz_target!(|lines: Vec<Vec<u8>>| {
    let headers: Vec<_> = lines.iter().map(|line| ("cookie", line)).collect();
    let headers = headers.as_slice();
    for value in cookie::values(headers, "p") {
        assert!(!value.contains(&b';'));
        assert!(lines.iter().any(|line| line.windows(value.len().max(1)).any(|part| part == value) || value.is_empty()));
    }
    assert!(cookie::values(headers, "=").next().is_none());
    let _ = cookie::within_limits(headers);
});
