//! A message's headers as the host hands them over: one block of bytes, read where it lies.
//!
//! The SDK's own call copies each name and value into an allocation of its own, which costs as much as the reading
//! itself does. The form is that of the Proxy-Wasm ABI 0.2.1, section "Serialization": how many pairs there are, the
//! sizes of each name and value, then the texts, each with a NUL behind it; numbers are 32 bits, little endian.

use proxy_wasm::types::MapType;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
}

/// The host's word for success.
const OK: u32 = 0;

/// The headers of one message.
pub(super) struct Pairs {
    block: Vec<u8>,
    lines: Vec<Line>,
}

/// Where a name and its value lie in the block.
struct Line {
    name: Text,
    value: Text,
}

#[derive(Clone, Copy)]
struct Text {
    start: usize,
    size: usize,
}

impl Pairs {
    /// Reads all headers of the message in hand; none where the host has none to give.
    pub(super) fn read(map: MapType) -> Self {
        let mut data = std::ptr::null_mut();
        let mut size = 0;
        // SAFETY: both point to places of the right type, which live until the call is over.
        let status = unsafe { proxy_get_header_map_pairs(map, &mut data, &mut size) };
        if status != OK || data.is_null() {
            return Pairs::of(Vec::new());
        }
        // SAFETY: the host took the block from `proxy_on_memory_allocate`, which the SDK makes with this allocator, with
        // this size as its capacity; it has filled all of it, and it is ours now.
        Pairs::of(unsafe { Vec::from_raw_parts(data, size, size) })
    }

    fn of(block: Vec<u8>) -> Self {
        let lines = lines(&block).unwrap_or_default();
        Pairs { block, lines }
    }

    /// Each name and value, in the order of arrival.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines
            .iter()
            .map(|line| (self.text(line.name), self.text(line.value)))
    }

    /// The values of a name, in the order of arrival.
    pub(super) fn named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut left = self.lines.as_slice();
        std::iter::from_fn(move || self.next(&mut left, name))
    }

    /// The next value of a name; a loop of its own, as most of what a request costs here is looked up by it.
    fn next(&self, left: &mut &[Line], name: &[u8]) -> Option<&[u8]> {
        while let Some((line, rest)) = left.split_first() {
            *left = rest;
            // Most names differ in length already.
            if line.name.size == name.len() && is_same(self.text(line.name), name) {
                return Some(self.text(line.value));
            }
        }
        None
    }

    fn text(&self, text: Text) -> &[u8] {
        // All that is kept lies within.
        let end = text.start.wrapping_add(text.size);
        self.block.get(text.start..end).unwrap_or_default()
    }
}

/// Whether two names of one length are the same, by words: the target has no call for it but one by bytes.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks(), b.as_chunks());
    a_words
        .iter()
        .zip(b_words)
        .all(|(a, b)| u64::from_le_bytes(*a) == u64::from_le_bytes(*b))
        && a_rest == b_rest
}

/// Where everything lies; of a block that ends early, what is whole.
fn lines(block: &[u8]) -> Option<Vec<Line>> {
    let (count, rest) = block.split_first_chunk()?;
    let (sizes, _) = rest.split_at_checked((u32::from_le_bytes(*count) as usize).checked_mul(8)?)?;
    let (sizes, _) = sizes.as_chunks::<8>();
    let mut lines = Vec::with_capacity(sizes.len());
    // In 64 bits no sum of sizes overflows.
    let (mut start, end) = (4 + 8 * sizes.len() as u64, block.len() as u64);
    for [a, b, c, d, e, f, g, h] in sizes {
        let name = u32::from_le_bytes([*a, *b, *c, *d]);
        let value = u32::from_le_bytes([*e, *f, *g, *h]);
        let behind_name = start + u64::from(name) + 1;
        let behind_value = behind_name + u64::from(value) + 1;
        if behind_value > end {
            break;
        }
        let text = |start, size| Text {
            start: start as usize,
            size: size as usize,
        };
        lines.push(Line {
            name: text(start, name),
            value: text(behind_name, value),
        });
        start = behind_value;
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(block: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let pairs = Pairs::of(block.to_vec());
        pairs
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect()
    }

    #[test]
    fn each_pair_is_read_where_it_lies() {
        let block = b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0a\0\xff=\0b\0\0";
        let expected = [(b"a".to_vec(), b"\xff=".to_vec()), (b"b".to_vec(), Vec::new())];
        assert_eq!(pairs(block), expected);
    }

    #[test]
    fn a_block_that_ends_early_has_what_is_whole() {
        let block = b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0a\0\xff=\0b\0\0";
        for end in 0..block.len() {
            let whole = usize::from(end >= block.len() - 3);
            assert_eq!(pairs(&block[..end]).len(), whole, "{end}");
        }
        let endless = [0xff; 20];
        assert!(pairs(&endless).is_empty());
    }
}
