//! A message's headers as the host hands them over: one block of bytes, read where it lies.
//!
//! The SDK's own call copies each name and value into an allocation of its own, which costs as much as the reading
//! itself does. The form is that of the Proxy-Wasm ABI 0.2.1, section "Serialization": how many pairs there are, the
//! sizes of each name and value, then the texts, each with a NUL behind it; numbers are 32 bits, little endian.

use std::cell::{Cell, RefCell};

use memchr::arch::all::is_equal;
use proxy_wasm::types::MapType;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
}

/// The host's word for success.
const OK: u32 = 0;

/// The headers of one message.
pub(super) struct Pairs {
    /// The host's block, and behind it what is left of longer ones before.
    memory: Vec<u8>,
    /// How much of that is the block.
    size: usize,
    /// Where its sizes end and its texts begin; 0 where there are no sizes.
    texts: usize,
}

thread_local! {
    /// What the host gets to fill: the memory of a message before.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Whether headers are being read.
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// The largest block that is kept for the next message.
const MAX_KEPT: usize = 64 * 1024;

/// Memory of so many bytes for the host to fill, if headers are read now.
pub(super) fn room(size: usize) -> Option<*mut u8> {
    READING.get().then(|| {
        ROOM.with_borrow_mut(|room| {
            if room.len() < size {
                room.resize(size, 0);
            }
            room.as_mut_ptr()
        })
    })
}

impl Drop for Pairs {
    fn drop(&mut self) {
        if self.memory.capacity() <= MAX_KEPT {
            ROOM.with_borrow_mut(|room| std::mem::swap(room, &mut self.memory));
        }
    }
}

impl Pairs {
    /// Reads all headers of the message in hand; none where the host has none to give.
    pub(super) fn read(map: MapType) -> Self {
        READING.set(true);
        let mut data = std::ptr::null_mut();
        let mut size = 0;
        // SAFETY: both point to places of the right type, which live until the call is over.
        let status = unsafe { proxy_get_header_map_pairs(map, &mut data, &mut size) };
        READING.set(false);
        let mut memory = ROOM.take();
        if status != OK || data != memory.as_mut_ptr() || size > memory.len() {
            size = 0;
        }
        Pairs::new(memory, size)
    }

    /// The block that is the first so many bytes.
    fn new(memory: Vec<u8>, size: usize) -> Self {
        let texts = memory.get(..size).and_then(texts).unwrap_or_default();
        Pairs { memory, size, texts }
    }

    /// Whether there is none, as where the host has none to give.
    pub(super) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Each name and value, in the order of arrival.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines()
            .map(|line| (self.text(line.name), self.text(line.value)))
    }

    /// The values of a name, in the order of arrival.
    pub(super) fn named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut lines = self.lines();
        std::iter::from_fn(move || self.next(&mut lines, name))
    }

    /// The next value of a name; a loop of its own, as most of what a request costs here is looked up by it.
    fn next(&self, lines: &mut Lines<'_>, name: &[u8]) -> Option<&[u8]> {
        // Most names differ in length already.
        let line = lines.find(|line| line.name.size == name.len() && is_equal(self.text(line.name), name))?;
        Some(self.text(line.value))
    }

    fn lines(&self) -> Lines<'_> {
        let sizes = self.memory.get(4..self.texts).unwrap_or_default();
        Lines {
            sizes: sizes.as_chunks().0.iter(),
            start: self.texts,
        }
    }

    /// What lies there; nothing where the block ends before.
    fn text(&self, Place { start, size }: Place) -> &[u8] {
        let end = start.wrapping_add(size);
        let block = self.memory.get(..self.size).unwrap_or_default();
        block.get(start..end).unwrap_or_default()
    }
}

/// Where a block's texts begin, if it has all of its sizes.
fn texts(block: &[u8]) -> Option<usize> {
    let count = u32::from_le_bytes(*block.first_chunk()?) as usize;
    let texts = count.checked_mul(8)?.checked_add(4)?;
    (texts <= block.len()).then_some(texts)
}

/// Where each line lies, as the sizes say.
struct Lines<'a> {
    sizes: std::slice::Iter<'a, [u8; 8]>,
    start: usize,
}

/// Where a name and its value lie in a block.
struct Line {
    name: Place,
    value: Place,
}

#[derive(Clone, Copy)]
struct Place {
    start: usize,
    size: usize,
}

impl Iterator for Lines<'_> {
    type Item = Line;

    #[inline(always)]
    fn next(&mut self) -> Option<Line> {
        let [a, b, c, d, e, f, g, h] = self.sizes.next()?;
        let size = |bytes| u32::from_le_bytes(bytes) as usize;
        let name = Place {
            start: self.start,
            size: size([*a, *b, *c, *d]),
        };
        // Each text has a NUL behind it.
        let value = Place {
            start: name.start.wrapping_add(name.size).wrapping_add(1),
            size: size([*e, *f, *g, *h]),
        };
        self.start = value.start.wrapping_add(value.size).wrapping_add(1);
        Some(Line { name, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(block: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        // What was there before lies behind it.
        let pairs = Pairs::new([block, b"a\0before\0"].concat(), block.len());
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
