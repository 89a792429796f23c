//! A fleet of proxies, simulated: what a rollout and an ejection look like to a million clients that meet a
//! thousand proxies whose clocks differ.
//!
//! Everything that is decided here the filter's core decides: a [`fleet`] is so many of its edges, a
//! [`client`] sends them requests, and [`ramp`], [`agreement`] and [`ejection`] count what comes of it. Time
//! is simulated and chance is seeded ([`chance`]), so that a run can be repeated to the last request.

pub mod agreement;
pub mod chance;
pub mod client;
pub mod ejection;
pub mod fleet;
pub mod ramp;

/// So many threads as there are cores, each with its part of `0..count`; what each comes to.
pub fn in_parts<T: Send>(count: usize, part: impl Fn(std::ops::Range<usize>) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let bound = |thread: usize| count * thread / threads;
    std::thread::scope(|scope| {
        let part = &part;
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || part(bound(thread)..bound(thread + 1))))
            .collect();
        let joined = running.into_iter().map(|thread| thread.join());
        joined
            .map(|done| done.expect("a thread that does not panic"))
            .collect()
    })
}
