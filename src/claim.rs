//! Claims of a verified JWT, as Envoy hands its dynamic metadata to a filter: a string as its bytes, a number as a double's
//! eight, a boolean as one, and a list as a map of its items to nothing, in the serialization of Proxy-Wasm's header maps.
//!
//! Strings and lists of strings count. The bytes have no type, so a text with control characters, which numbers and
//! booleans have, is none; and neither is an object, whose entries have values.

/// The texts of a claim: the string itself, or the strings of a list. What is neither, or empty, is as absent.
pub fn texts(claim: &[u8]) -> Vec<&[u8]> {
    let found = match map(claim) {
        Some(entries) if entries.iter().all(|(_, value)| value.is_empty()) => {
            entries.into_iter().map(|(item, _)| item).collect()
        }
        Some(_) => Vec::new(),
        None if claim.is_empty() => Vec::new(),
        None => vec![claim],
    };
    found.into_iter().filter(|text| is_text(text)).collect()
}

/// The text of a claim that is one string.
pub fn text(claim: &[u8]) -> Option<&[u8]> {
    let one = map(claim).is_none() && !claim.is_empty() && is_text(claim);
    one.then_some(claim)
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().any(u8::is_ascii_control)
}

/// Reads `COUNT (KEY_SIZE VALUE_SIZE)* (KEY 0 VALUE 0)*`, little endian, to its last byte.
fn map(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let (count, mut sizes) = word(bytes)?;
    let mut data = sizes.get(count.checked_mul(8)?..)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let (key, rest) = word(sizes)?;
        let (value, rest) = word(rest)?;
        sizes = rest;
        let (key, rest) = data.split_at_checked(key)?;
        let (value, rest) = rest.strip_prefix(b"\0")?.split_at_checked(value)?;
        data = rest.strip_prefix(b"\0")?;
        entries.push((key, value));
    }
    data.is_empty().then_some(entries)
}

fn word(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*word)).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn strings_and_lists_of_strings_have_texts() {
        let list = b"\x02\0\0\0\x04\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0gold\0\0eu\0\0";
        let object = b"\x01\0\0\0\x04\0\0\0\x01\0\0\0gold\0x\0";
        for (claim, expected) in [
            (&b"gold"[..], &[&b"gold"[..]][..]),
            ("日本".as_bytes(), &["日本".as_bytes()]),
            (b"\xff", &[b"\xff"]),
            (list, &[b"gold", b"eu"]),
            (b"\0\0\0\0", &[]),
            (b"", &[]),
            (object, &[]),
            (&5.0_f64.to_le_bytes(), &[]),
            (b"\x01", &[]),
            (&list[..list.len() - 1], &[]),
            (b"\xff\xff\xff\xff", &[b"\xff\xff\xff\xff"]),
        ] {
            assert_eq!(texts(claim), expected, "{claim:?}");
        }
        assert_eq!(text(b"gold"), Some(&b"gold"[..]));
        for none in [&b""[..], list, object, b"\0\0\0\0", b"\x01"] {
            assert_eq!(text(none), None, "{none:?}");
        }
    }
}
