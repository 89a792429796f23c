//! Decodes claims of a verified JWT from the bytes that Envoy gives for its dynamic metadata: a
//! string as its bytes, a number as the eight bytes of a double, a boolean as one byte, and a list
//! as a map of its items to empty values, in the serialization of Proxy-Wasm's header maps.
//!
//! The bytes have no type. Bytes with control characters, as those of numbers and booleans, are not
//! a string. A map with values is an object and not a list. (An object whose values are all empty
//! strings looks like the list of its names.)

use crate::environment::Claim;

/// The claim of these bytes. None for a number, a boolean, an object or an empty string.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Claim> {
    let texts = |entries: Vec<(&[u8], &[u8])>| {
        let items = entries.into_iter().map(|(item, _)| item);
        items.filter(|item| is_text(item)).map(<[u8]>::to_vec).collect()
    };
    match map(bytes) {
        Some(entries) if entries.iter().all(|(_, value)| value.is_empty()) => {
            Some(Claim::List(texts(entries)))
        }
        Some(_) => None,
        None => (!bytes.is_empty() && is_text(bytes)).then(|| Claim::Text(bytes.to_vec())),
    }
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().any(u8::is_ascii_control)
}

/// The entries of `COUNT (KEY_SIZE VALUE_SIZE)* (KEY 0 VALUE 0)*`, little endian. None unless all
/// bytes fit.
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
    fn strings_and_lists_of_strings_are_decoded() {
        let text = |text: &[u8]| Some(Claim::Text(text.to_vec()));
        let texts = |texts: &[&[u8]]| Some(Claim::List(texts.iter().map(|text| text.to_vec()).collect()));
        let list = b"\x02\0\0\0\x04\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0gold\0\0eu\0\0";
        let object = b"\x01\0\0\0\x04\0\0\0\x01\0\0\0gold\0x\0";
        for (bytes, expected) in [
            (&b"gold"[..], text(b"gold")),
            ("日本".as_bytes(), text("日本".as_bytes())),
            (b"\xff", text(b"\xff")),
            (list, texts(&[b"gold", b"eu"])),
            (b"\0\0\0\0", texts(&[])),
            (b"", None),
            (object, None),
            (&5.0_f64.to_le_bytes(), None),
            (b"\x01", None),
            (&list[..list.len() - 1], None),
            (b"\xff\xff\xff\xff", text(b"\xff\xff\xff\xff")),
        ] {
            assert_eq!(decode(bytes), expected, "{bytes:?}");
        }
    }
}
