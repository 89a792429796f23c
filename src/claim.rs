//! Claims of a verified JWT, as Envoy hands its dynamic metadata to a filter: a string as its bytes, a list as a map of
//! its items to nothing, in the serialization of Proxy-Wasm's header maps.

/// The texts of a claim: the string itself, or the strings of a list.
///
/// The two can't be told apart by their type. A string that happens to be the serialization of a list is read as one: its
/// issuer wrote both.
pub fn texts(claim: &[u8]) -> Vec<&[u8]> {
    list(claim).unwrap_or_else(|| vec![claim])
}

/// Reads `COUNT (KEY_SIZE VALUE_SIZE)* (KEY 0 VALUE 0)*`, little endian, to its last byte.
fn list(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (count, mut sizes) = word(bytes)?;
    let (mut sizes_left, mut items) = (count, Vec::new());
    let mut data = sizes.get(count.checked_mul(8)?..)?;
    while sizes_left > 0 {
        let (key, rest) = word(sizes)?;
        let (value, rest) = word(rest)?;
        if value != 0 {
            return None;
        }
        let (item, rest_of_data) = data.split_at_checked(key)?;
        data = rest_of_data.strip_prefix(&[0, 0])?;
        items.push(item);
        (sizes, sizes_left) = (rest, sizes_left - 1);
    }
    data.is_empty().then_some(items)
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
    fn a_list_is_told_from_a_string() {
        let two = b"\x02\0\0\0\x04\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0gold\0\0eu\0\0";
        assert_eq!(texts(two), [&b"gold"[..], b"eu"]);
        assert_eq!(texts(b"\0\0\0\0"), Vec::<&[u8]>::new());
        for string in [
            &b""[..],
            b"gold",
            b"\x01\0\0\0",
            b"\xff\xff\xff\xff",
            &two[..two.len() - 1],
            b"\0\0\0\0x",
        ] {
            assert_eq!(texts(string), [string], "{string:?}");
        }
        let with_value = b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\0b\0";
        assert_eq!(texts(with_value), [with_value]);
    }
}
