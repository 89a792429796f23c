//! The time, in seconds. A busy worker asks the host ten times a second rather than for each request, to which the answer
//! would be dear; one that is not asks each time, and has no ticks.
//!
//! Workers don't tick at the same moment. Where a ramp is on its way, a client whose connections are of two workers would
//! so go there and back, and workers share what they know of ejected versions: there each request asks.

use std::cell::Cell;
use std::time::Duration;

use proxy_wasm::hostcalls;

use super::host;

/// How often a busy worker asks.
const TICK: Duration = Duration::from_millis(100);
/// How many requests in a second make a worker busy. A tick costs what fifty answers do.
const BUSY: u32 = 1000;
/// With fewer from one tick to the next it is not any more.
const STILL_BUSY: u32 = 50;

#[derive(Clone, Copy)]
struct Clock {
    /// Unix seconds at the last tick; 0 where each request asks.
    now: u64,
    /// The second in which requests are counted where there are no ticks.
    second: u64,
    requests: u32,
    /// How many are there who want the exact time.
    exact: u32,
}

thread_local! {
    static CLOCK: Cell<Clock> = const {
        Cell::new(Clock { now: 0, second: 0, requests: 0, exact: 0 })
    };
}

/// Unix seconds, at most a tick ago.
pub(super) fn now() -> u64 {
    let clock = CLOCK.get();
    if clock.now == 0 {
        return asked(clock);
    }
    CLOCK.set(Clock {
        requests: clock.requests.saturating_add(1),
        ..clock
    });
    clock.now
}

#[inline(never)]
fn asked(mut clock: Clock) -> u64 {
    let now = read();
    if clock.exact > 0 {
        return now;
    }
    if clock.second != now {
        clock.second = now;
        clock.requests = 0;
    }
    clock.requests += 1;
    if clock.requests >= BUSY {
        host::tick_every(TICK);
        clock.now = now;
    }
    CLOCK.set(clock);
    now
}

/// Asks the host, if the worker is busy still. Whether it is, and so wants the next tick.
pub(super) fn on_tick() -> bool {
    let clock = CLOCK.get();
    let busy = clock.now > 0 && clock.requests >= STILL_BUSY;
    CLOCK.set(Clock {
        now: if busy { read() } else { 0 },
        requests: 0,
        ..clock
    });
    busy
}

/// Ticks may have ended, as those of a root context do with it: each request asks again.
pub(super) fn stop() {
    // While a thread ends, its clock may be gone before its roots are.
    let _ = CLOCK.try_with(|clock| {
        clock.set(Clock {
            now: 0,
            requests: 0,
            ..clock.get()
        })
    });
}

/// As long as there is one, each request asks.
pub(super) struct Exact(());

impl Exact {
    pub(super) fn new() -> Self {
        stop();
        count(|exact| exact.saturating_add(1));
        Exact(())
    }
}

impl Drop for Exact {
    fn drop(&mut self) {
        count(|exact| exact.saturating_sub(1));
    }
}

fn count(change: impl FnOnce(u32) -> u32) {
    let _ = CLOCK.try_with(|clock| {
        let exact = change(clock.get().exact);
        clock.set(Clock { exact, ..clock.get() });
    });
}

fn read() -> u64 {
    hostcalls::get_current_time()
        .ok()
        .and_then(|now| now.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_secs())
}
