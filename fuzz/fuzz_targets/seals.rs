//! Parses arbitrary bytes as a pin or a token. What is parsed is written unchanged, and no unsigned value verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion::identity::pin::Pin;
use pinion::identity::seal::{Key, Keys};
use pinion::identity::token::Token;

fuzz_target!(|value: &[u8]| {
    let keys = Keys::new(vec![Key::new("k1", &[7; 32]).expect("long enough")]).expect("one");
    if let Some((pin, seal)) = Pin::parse(value) {
        let written = seal.map_or(pin.to_string(), |seal| format!("{pin}~{seal}"));
        assert_eq!(written.as_bytes(), value);
        assert!(seal.is_none_or(|seal| keys.verify("shop", &pin, &seal).is_err()));
    }
    if let Some((token, seal)) = std::str::from_utf8(value).ok().and_then(Token::parse) {
        assert_eq!(token.encode(&seal).as_bytes(), value);
        assert!(keys.verify("shop", &token, &seal).is_err());
        assert!(Pin::parse(value).is_none());
    }
});
