//! Simulates a fleet of proxies: a ramp and an ejection, with a million clients and a thousand proxies whose clocks
//! differ.
//!
//! The filter's core makes all decisions. A [`fleet`] is a list of edges, a [`client`] sends requests to them, and
//! [`ramp`], [`agreement`] and [`ejection`] count the results. Time is simulated and randomness is seeded
//! ([`random`]), so that each run gives the same results.

pub mod agreement;

pub mod client;
pub mod ejection;
pub mod fleet;
pub mod ramp;
pub mod random;

/// The results of all parts of `0..count`, which is split into one part for each core. Each part runs in its own thread.
pub fn in_parts<T: Send>(count: usize, part: impl Fn(std::ops::Range<usize>) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let bound = |thread: usize| count * thread / threads;
    std::thread::scope(|scope| {
        let part = &part;
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || part(bound(thread)..bound(thread + 1))))
            .collect();
        let joined = running.into_iter().map(|thread| thread.join());
        joined.map(|result| result.expect("no thread panics")).collect()
    })
}
