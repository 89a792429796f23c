//! Slots: a client's number among 100,000, and which version owns which slots.
//!
//! Both are public, so that anyone can compute the version of a client offline.
//! `docs/assignment.md` is the specification, and `tests/vectors/` has test vectors. This module
//! knows neither requests nor pins.

use std::fmt;
use std::ops::Range;

use sha2::{Digest, Sha256};

/// The number of slots: three decimals of a percent.
pub const SLOTS: u32 = 100_000;

/// A client's slot, 0 to 99,999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u32);

impl Slot {
    /// The slot of a number. None if the number is 100,000 or more.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        (number < SLOTS).then_some(Slot(number))
    }

    /// The slot of a random number. The bias of the remainder is below 10⁻¹⁴.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        Slot((random % u64::from(SLOTS)) as u32)
    }

    /// The slot of a key: the first 52 bits of SHA-256 over `pinion1-slot|APP|EPOCH|KEY`, modulo
    /// 100,000.
    ///
    /// App and epoch cannot contain `|`, so no two inputs collide. A double holds 52 bits exactly,
    /// so JavaScript and SQL can compute the slot too.
    #[must_use]
    pub fn of_key(app: &str, epoch: u32, key: &[u8]) -> Self {
        let prefix = format!("pinion1-slot|{app}|{epoch}|");
        Slot::of_digest(Sha256::new().chain_update(prefix).chain_update(key))
    }

    /// The slot of a client without a pin: the first 52 bits of SHA-256 over
    /// `pinion1-initial|APP|EPOCH|BUCKET|PART␀PART…`, modulo 100,000. BUCKET is `-` without a time
    /// bucket.
    ///
    /// No part contains a NUL, so no two inputs collide.
    #[must_use]
    pub fn of_parts(app: &str, epoch: u32, bucket: Option<u64>, parts: &[Vec<u8>]) -> Self {
        let bucket = bucket.map_or_else(|| "-".to_owned(), |bucket| bucket.to_string());
        let prefix = format!("pinion1-initial|{app}|{epoch}|{bucket}|");
        Slot::of_digest(Sha256::new().chain_update(prefix).chain_update(parts.join(&0)))
    }

    fn of_digest(hash: Sha256) -> Self {
        let digest = hash.finalize();
        let first = digest
            .iter()
            .take(8)
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        Slot::from_random(first >> 12)
    }

    /// The slot's number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// A share, as a number of slots from 0 to 100,000. A slot is a thousandth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Share(u32);

impl Share {
    /// No slot.
    pub const NONE: Share = Share(0);
    /// All slots.
    pub const ALL: Share = Share(SLOTS);

    /// The share of a percentage. None unless the percentage is 0 to 100 with at most three
    /// decimals.
    #[must_use]
    pub fn from_percent(percent: f64) -> Option<Self> {
        let slots = percent * 1000.0;
        let whole = slots.round();
        let fits = (0.0..=f64::from(SLOTS)).contains(&slots) && (slots - whole).abs() < 1e-6;
        fits.then_some(Share(whole as u32))
    }

    /// The share with this number of slots more, at most all slots.
    #[must_use]
    pub fn plus(self, slots: u32) -> Self {
        Share(self.0.saturating_add(slots).min(SLOTS))
    }

    /// The share with this number of slots fewer, at least 0.
    #[must_use]
    pub fn minus(self, slots: u32) -> Self {
        Share(self.0.saturating_sub(slots))
    }

    /// The share in percent.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// The share in slots.
    #[must_use]
    pub fn slots(self) -> u32 {
        self.0
    }

    /// The share that these shares leave. None if they add up to more than all slots.
    #[must_use]
    pub fn rest(taken: &[Share]) -> Option<Share> {
        let sum: u64 = taken.iter().map(|share| u64::from(share.0)).sum();
        u64::from(SLOTS).checked_sub(sum).map(|rest| Share(rest as u32))
    }

    /// The sum of these shares in percent, as text.
    #[must_use]
    pub fn percent_sum(shares: &[Share]) -> String {
        decimals(shares.iter().map(|share| u64::from(share.0)).sum(), 3)
    }
}

/// Writes the share in percent.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimals(u64::from(self.0), 3))
    }
}

/// The text of a decimal number with `behind` digits after the decimal point: `12500` with three
/// digits is `12.5`.
///
/// The standard library's formatting of floats would take eleven KiB of the module.
pub(crate) fn decimals(digits: u64, behind: usize) -> String {
    let text = format!("{digits:0>0$}", behind + 1);
    let (whole, fraction) = text.split_at_checked(text.len() - behind).unwrap_or_default();
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// The owner of each slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout<V> {
    /// The end of each run (exclusive) in ascending order, and its owner.
    runs: Vec<(u32, V)>,
    /// The owner of every slot that no run covers.
    stable: V,
}

impl<V: Clone + PartialEq> Layout<V> {
    /// The layout of these shares. The stable owner has the slots that the other owners leave.
    ///
    /// The i-th other owner gets its slots from an anchor on: upwards if i is even, downwards if i
    /// is odd. Allocated slots are skipped, and both directions wrap around at the ends. The anchor
    /// of the pair 2k, 2k + 1 is k's bits mirrored behind the binary point (0, 1/2, 1/4, 3/4, 1/8
    /// …) times 100,000. So the first share grows upwards from 0 and the second downwards from
    /// 99,999. As long as two shares do not meet, a change of one share moves no slot of the other.
    #[must_use]
    pub fn new(stable: V, others: &[(V, Share)]) -> Self {
        let mut free = Vec::from([Range { start: 0, end: SLOTS }]);
        let mut taken: Vec<(Range<u32>, V)> = Vec::new();
        let mut own = |slots: Range<u32>, owner: &V| {
            let place = taken.partition_point(|(other, _)| other.start < slots.start);
            taken.insert(place, (slots, owner.clone()));
        };
        for (i, (owner, share)) in others.iter().enumerate() {
            let run = allocate(&mut free, anchor(i / 2), Direction::of(i), share.0);
            run.into_iter().for_each(|slots| own(slots, owner));
        }
        free.into_iter().for_each(|slots| own(slots, &stable));
        let mut runs: Vec<(u32, V)> = Vec::new();
        for (slots, owner) in taken {
            match runs.last_mut() {
                Some((end, last)) if *last == owner => *end = slots.end,
                _ => runs.push((slots.end, owner)),
            }
        }
        Layout { runs, stable }
    }

    /// The owner of a slot.
    #[must_use]
    pub fn owner(&self, slot: Slot) -> &V {
        let run = self.runs.partition_point(|(end, _)| *end <= slot.0);
        self.runs.get(run).map_or(&self.stable, |(_, owner)| owner)
    }

    /// Whether an owner has any slot.
    #[must_use]
    pub fn has(&self, owner: &V) -> bool {
        self.runs.iter().any(|(_, other)| other == owner)
    }

    /// The slot that lies as far into an owner's slots as `slot` lies into all. None if the owner has none.
    #[must_use]
    pub fn slot_within(&self, owner: &V, slot: Slot) -> Option<Slot> {
        let mut start = 0;
        let mut own = Vec::new();
        for (end, other) in &self.runs {
            if other == owner {
                own.push(start..*end);
            }
            start = *end;
        }
        let share: u32 = own.iter().map(|run| run.end - run.start).sum();
        let mut left = (u64::from(slot.0) * u64::from(share) / u64::from(SLOTS)) as u32;
        for run in own {
            let length = run.end - run.start;
            if left < length {
                return Some(Slot(run.start + left));
            }
            left -= length;
        }
        None
    }

    /// The owner of the slots that the other owners leave.
    #[must_use]
    pub fn stable(&self) -> &V {
        &self.stable
    }

    /// The end of each run (exclusive) in ascending order, and its owner.
    pub fn runs(&self) -> impl Iterator<Item = (u32, &V)> {
        self.runs.iter().map(|(end, owner)| (*end, owner))
    }
}

/// The anchor of a pair: the bits of its number mirrored behind the binary point (the van der
/// Corput sequence).
fn anchor(pair: usize) -> u32 {
    let mirrored = (pair as u32).reverse_bits();
    ((u64::from(mirrored) * u64::from(SLOTS)) >> 32) as u32
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    fn of(i: usize) -> Self {
        if i.is_multiple_of(2) {
            Direction::Up
        } else {
            Direction::Down
        }
    }
}

/// Allocates the nearest free slots from the anchor in one direction, and wraps around at the end.
fn allocate(free: &mut Vec<Range<u32>>, anchor: u32, direction: Direction, want: u32) -> Vec<Range<u32>> {
    let below = |r: &Range<u32>| r.start.min(anchor)..r.end.min(anchor);
    let above = |r: &Range<u32>| r.start.max(anchor)..r.end.max(anchor);
    let mut pieces: Vec<Range<u32>> = match direction {
        Direction::Up => free.iter().map(above).chain(free.iter().map(below)).collect(),
        Direction::Down => {
            let near = free.iter().rev().map(below);
            near.chain(free.iter().rev().map(above)).collect()
        }
    };
    pieces.retain(|piece| !piece.is_empty());
    let mut left = want;
    let mut taken = Vec::new();
    let mut kept = Vec::new();
    for piece in pieces {
        let length = left.min(piece.end - piece.start);
        let cut = match direction {
            Direction::Up => piece.start + length,
            Direction::Down => piece.end - length,
        };
        let (first, second) = (piece.start..cut, cut..piece.end);
        let (mine, rest) = match direction {
            Direction::Up => (first, second),
            Direction::Down => (second, first),
        };
        left -= length;
        if !mine.is_empty() {
            taken.push(mine);
        }
        if !rest.is_empty() {
            let place = kept.partition_point(|piece: &Range<u32>| piece.start < rest.start);
            kept.insert(place, rest);
        }
    }
    *free = kept;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn layout(shares: &[u32]) -> Layout<usize> {
        let others: Vec<_> = shares
            .iter()
            .enumerate()
            .map(|(i, s)| (i + 1, Share(*s)))
            .collect();
        Layout::new(0, &others)
    }

    fn runs(shares: &[u32]) -> Vec<(u32, usize)> {
        layout(shares).runs().map(|(end, owner)| (end, *owner)).collect()
    }

    #[test]
    fn shares_become_runs() {
        for (shares, expected) in [
            (&[][..], &[(100_000, 0)][..]),
            (&[10_000], &[(10_000, 1), (100_000, 0)]),
            (&[100_000], &[(100_000, 1)]),
            (&[0, 10_000], &[(90_000, 0), (100_000, 2)]),
            (&[10_000, 20_000], &[(10_000, 1), (80_000, 0), (100_000, 2)]),
            (
                &[10, 20, 30, 40],
                &[
                    (10, 1),
                    (49_960, 0),
                    (50_000, 4),
                    (50_030, 3),
                    (99_980, 0),
                    (100_000, 2),
                ],
            ),
            // The first has grown over the third's anchor: the third starts behind it.
            (&[60_000, 0, 10_000], &[(60_000, 1), (70_000, 3), (100_000, 0)]),
            // The third runs into the second and goes on below the first's end.
            (
                &[10_000, 40_000, 20_000],
                &[(10_000, 1), (20_000, 3), (50_000, 0), (60_000, 3), (100_000, 2)],
            ),
            // The fourth goes down past the first, around the end and on below the second.
            (
                &[45_000, 10_000, 0, 10_000],
                &[(45_000, 1), (50_000, 4), (85_000, 0), (90_000, 4), (100_000, 2)],
            ),
        ] {
            assert_eq!(runs(shares), expected, "{shares:?}");
        }
    }

    #[test]
    fn anchors_halve_the_gaps() {
        let anchors: Vec<_> = (0..8).map(anchor).collect();
        assert_eq!(
            anchors,
            [0, 50_000, 25_000, 75_000, 12_500, 62_500, 37_500, 87_500]
        );
    }

    #[test]
    fn a_rising_share_moves_that_share_and_only_from_the_stable_version() {
        for step in [1, 10_000, 40_000] {
            let (before, after) = (layout(&[10_000, 20_000]), layout(&[10_000 + step, 20_000]));
            let moved: Vec<_> = (0..SLOTS)
                .map(Slot)
                .map(|slot| (*before.owner(slot), *after.owner(slot)))
                .filter(|(from, to)| from != to)
                .collect();
            assert_eq!(moved.len(), step as usize);
            assert!(moved.iter().all(|change| *change == (0, 1)));
        }
    }

    #[test]
    fn percentages_have_three_decimals() {
        for (percent, slots) in [
            (0.0, 0),
            (100.0, 100_000),
            (33.333, 33_333),
            (0.001, 1),
            (12.5, 12_500),
        ] {
            assert_eq!(Share::from_percent(percent), Some(Share(slots)), "{percent}");
        }
        for percent in [-1.0, 100.001, 33.3333, 0.0001, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::from_percent(percent), None, "{percent}");
        }
    }

    #[test]
    fn a_share_is_written_as_its_float_would_be() {
        for slots in [0, 1, 20, 500, 1000, 12_500, 33_333, 99_999, SLOTS] {
            assert_eq!(Share(slots).to_string(), Share(slots).percent().to_string());
        }
        assert_eq!(Share::percent_sum(&[Share::ALL, Share(1)]), "100.001");
    }

    #[test]
    fn keys_that_join_alike_have_slots_of_their_own() {
        let slots = [
            Slot::of_key("a", 1, b"2|b"),
            Slot::of_key("a", 12, b"b"),
            Slot::of_key("a1", 2, b"b"),
            Slot::of_key("a", 1, b"2|c"),
        ];
        for (i, one) in slots.iter().enumerate() {
            assert!(slots[i + 1..].iter().all(|other| other != one), "{slots:?}");
        }
    }
}
