//! Agreement: whether different proxies give a client the same version at the same moment.

use std::collections::BTreeMap;

use crate::client::{Client, Kind, is_new};
use crate::fleet::{BADLY, Proxy, fleet};
use crate::in_parts;
use crate::random::Random;

/// The shares of the keys on which proxies disagree.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Agreement {
    /// On two proxies, which are random for each key.
    pub pair: f64,
    /// The expected share for two proxies: the slots that move between their clocks, on average.
    pub pair_expected: f64,
    /// On any of the proxies whose clocks are not badly wrong.
    pub most: f64,
    /// On any of all proxies.
    pub all: f64,
    /// The expected share for all proxies: the slots that move between the slowest and the fastest clock.
    pub all_expected: f64,
}

/// The disagreement of proxies at a time after the start.
///
/// For each key, one proxy decides for all proxies whose clocks show the same time.
#[must_use]
pub fn agreement(config: &str, offsets: &[f64], keys: usize, time: f64) -> Agreement {
    let counts = in_parts(keys, |keys| {
        let fleet = fleet(config, offsets);
        let mut readings: BTreeMap<u64, (&Proxy, bool)> = BTreeMap::new();
        for (proxy, offset) in fleet.iter().zip(offsets) {
            let reading = readings.entry(proxy.clock(time)).or_insert((proxy, false));
            reading.1 |= offset.abs() < BADLY;
        }
        let mut counts = [0_u32; 3];
        for number in keys {
            let mut random = Random::of(0xa93e, number);
            let client = Client::new(Kind::Keyed, number);
            let asked = |proxy: &Proxy| is_new(&client.ask(proxy, time));
            let pair = [(); 2].map(|()| asked(&fleet[random.below(fleet.len())]));
            let answers: Vec<(bool, bool)> = readings
                .values()
                .map(|(proxy, well)| (asked(proxy), *well))
                .collect();
            let well = answers.iter().filter(|(_, well)| *well);
            counts[0] += u32::from(pair[0] != pair[1]);
            counts[1] += u32::from(differ(well.map(|(answer, _)| *answer)));
            counts[2] += u32::from(differ(answers.iter().map(|(answer, _)| *answer)));
        }
        counts
    });
    let count = |of: usize| counts.iter().map(|counts| f64::from(counts[of])).sum::<f64>() / keys as f64;
    let mut shares: Vec<f64> = fleet(config, offsets)
        .iter()
        .map(|proxy| proxy.share(time))
        .collect();
    shares.sort_unstable_by(f64::total_cmp);
    Agreement {
        pair: count(0),
        pair_expected: mean_distance(&shares),
        most: count(1),
        all: count(2),
        all_expected: shares.last().unwrap_or(&0.0) - shares.first().unwrap_or(&0.0),
    }
}

/// Whether two of the answers differ.
fn differ(mut answers: impl Iterator<Item = bool>) -> bool {
    let first = answers.next();
    answers.any(|answer| Some(answer) != first)
}

/// The mean distance of two random elements of a sorted list. The two may be the same element.
fn mean_distance(sorted: &[f64]) -> f64 {
    let count = sorted.len() as f64;
    let weighted = sorted
        .iter()
        .enumerate()
        .map(|(i, value)| (2.0 * i as f64 + 1.0 - count) * value);
    2.0 * weighted.sum::<f64>() / (count * count)
}
