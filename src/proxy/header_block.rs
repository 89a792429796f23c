//! A message's headers as the host serializes them: one block of bytes, read in place.
//!
//! The SDK's call copies each name and value, and panics on a status that it does not expect. The
//! format is that of the Proxy-Wasm ABI 0.2.1, section "Serialization": the number of pairs, the
//! sizes of each name and value, then the texts, each followed by a NUL. Numbers are 32 bits,
//! little endian.

use memchr::arch::all::is_equal;
use proxy_wasm::types::MapType;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
}

/// The host's status for success.
const OK: u32 = 0;

/// The headers of one message.
pub(super) struct HeaderBlock {
    bytes: Vec<u8>,
    /// The offset of the first text; 0 if the sizes are incomplete.
    texts: usize,
}

impl HeaderBlock {
    /// The headers of the current message. Empty if the host has none to give.
    pub(super) fn read(map: MapType) -> Self {
        let mut data = std::ptr::null_mut();
        let mut size = 0;
        // SAFETY: both pointers are to locals of the right type.
        let status = unsafe { proxy_get_header_map_pairs(map, &mut data, &mut size) };
        if status != OK || data.is_null() {
            return HeaderBlock::new(Vec::new());
        }
        // SAFETY: the host wrote the block into memory from the SDK's `proxy_on_memory_allocate`,
        // which leaks a `Vec<u8>` of this size, and the host hands over its ownership. The SDK's
        // own calls take it back in the same way.
        HeaderBlock::new(unsafe { Vec::from_raw_parts(data, size, size) })
    }

    fn new(bytes: Vec<u8>) -> Self {
        let texts = first_text(&bytes).unwrap_or_default();
        HeaderBlock { bytes, texts }
    }

    /// Whether the host gave no headers.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Each name and value, in the order of arrival.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines()
            .map(|line| (self.text(line.name), self.text(line.value)))
    }

    /// The values of a name, in the order of arrival.
    pub(super) fn named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        // Most names already differ in length.
        let is_named =
            move |line: &Line| line.name.size == name.len() && is_equal(self.text(line.name), name);
        self.lines().filter(is_named).map(|line| self.text(line.value))
    }

    fn lines(&self) -> Lines<'_> {
        let sizes = self.bytes.get(4..self.texts).unwrap_or_default();
        Lines {
            sizes: sizes.as_chunks().0.iter(),
            start: self.texts,
        }
    }

    /// The text of a span. Empty if the block ends before it.
    fn text(&self, Span { start, size }: Span) -> &[u8] {
        let end = start.wrapping_add(size);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// The offset of the first text, if the block contains the sizes of all lines.
fn first_text(block: &[u8]) -> Option<usize> {
    let count = u32::from_le_bytes(*block.first_chunk()?) as usize;
    let texts = count.checked_mul(8)?.checked_add(4)?;
    (texts <= block.len()).then_some(texts)
}

/// The spans of each line, by its sizes.
struct Lines<'a> {
    sizes: std::slice::Iter<'a, [u8; 8]>,
    start: usize,
}

/// The spans of a name and its value.
struct Line {
    name: Span,
    value: Span,
}

#[derive(Clone, Copy)]
struct Span {
    start: usize,
    size: usize,
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let [a, b, c, d, e, f, g, h] = self.sizes.next()?;
        let size = |bytes| u32::from_le_bytes(bytes) as usize;
        let name = Span {
            start: self.start,
            size: size([*a, *b, *c, *d]),
        };
        // A NUL follows each text.
        let value = Span {
            start: name.start.wrapping_add(name.size).wrapping_add(1),
            size: size([*e, *f, *g, *h]),
        };
        self.start = value.start.wrapping_add(value.size).wrapping_add(1);
        Some(Line { name, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.sizes.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(block: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let block = HeaderBlock::new(block.to_vec());
        block
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect()
    }

    #[test]
    fn each_pair_is_read() {
        let block = b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0a\0\xff=\0b\0\0";
        let expected = [(b"a".to_vec(), b"\xff=".to_vec()), (b"b".to_vec(), Vec::new())];
        assert_eq!(pairs(block), expected);
    }

    #[test]
    fn a_text_beyond_the_end_of_the_block_is_empty() {
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
