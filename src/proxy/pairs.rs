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

/// Where a name and, behind a NUL, its value lie in the block: where they start, and their sizes.
struct Line {
    start: u32,
    name: u32,
    value: u32,
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
        self.lines.iter().map(|line| (self.name(line), self.value(line)))
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
            if line.name as usize == name.len() && is_same(self.name(line), name) {
                return Some(self.value(line));
            }
        }
        None
    }

    fn name(&self, line: &Line) -> &[u8] {
        self.text(line.start, line.name)
    }

    fn value(&self, line: &Line) -> &[u8] {
        self.text(line.start.wrapping_add(line.name).wrapping_add(1), line.value)
    }

    /// What lies there; nothing where the block ends before.
    fn text(&self, start: u32, size: u32) -> &[u8] {
        let end = start.wrapping_add(size);
        self.block.get(start as usize..end as usize).unwrap_or_default()
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

/// Where everything lies, as the sizes say.
fn lines(block: &[u8]) -> Option<Vec<Line>> {
    let (count, rest) = block.split_first_chunk()?;
    let count = u32::from_le_bytes(*count);
    let (sizes, _) = rest.split_at_checked((count as usize).checked_mul(8)?)?;
    let (sizes, _) = sizes.as_chunks::<8>();
    let mut start = 4 + 8 * count;
    let lines = sizes.iter().map(|[a, b, c, d, e, f, g, h]| {
        let line = Line {
            start,
            name: u32::from_le_bytes([*a, *b, *c, *d]),
            value: u32::from_le_bytes([*e, *f, *g, *h]),
        };
        // Each text has a NUL behind it.
        start = start
            .wrapping_add(line.name)
            .wrapping_add(line.value)
            .wrapping_add(2);
        line
    });
    Some(lines.collect())
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
    fn what_lies_behind_the_end_of_a_block_is_empty() {
        let block = b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0a\0\xff=\0b\0\0";
        for end in 0..block.len() {
            let found = pairs(&block[..end]);
            assert_eq!(found.len(), if end < 20 { 0 } else { 2 }, "{end}");
            for (cut, whole) in found.iter().zip(pairs(block)) {
                assert!(cut.0.is_empty() || cut.0 == whole.0, "{end}");
                assert!(cut.1.is_empty() || cut.1 == whole.1, "{end}");
            }
        }
        assert!(pairs(&[0xff; 20]).is_empty());
        let endless = [&[2, 0, 0, 0][..], &[0xff; 16], b"a\0b\0"].concat();
        assert!(pairs(&endless).iter().all(|(name, _)| name.is_empty()));
    }
}
