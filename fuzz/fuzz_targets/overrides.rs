//! Parses arbitrary text as an override. The result is a part of the text, and has the form of a version's name or a token.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion::identity::overrides::member;
use pinion::rollout::version::is_version_name;

fuzz_target!(|value: &str| {
    if let Some(asked) = member(value, "shop") {
        assert!(asked.split('~').all(is_version_name));
        assert!(value.contains(asked));
    }
});
