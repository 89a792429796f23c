//! A ramp from 1 to 100 %. Clients send requests at random times and to random proxies.
//!
//! Requests share nothing but the state that a client carries, so the clients are simulated one after the other.

use crate::client::{Client, Kind, is_new};
use crate::fleet::{Clocks, Proxy, fleet};
use crate::in_parts;
use crate::random::Random;

/// The number of bins of the ramp. The time before and after the ramp is divided into bins of the same length.
pub const BINS_OF_RAMP: usize = 72;

/// The parameters of a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The number of proxies.
    pub proxies: usize,
    /// The proxies' clocks.
    pub clocks: Clocks,
    /// The length of the ramp, in seconds.
    pub duration: u32,
    /// The number of steps. None for an even ramp.
    pub steps: Option<u32>,
    /// How the clients are recognized.
    pub kind: Kind,
    /// The number of clients.
    pub clients: usize,
    /// The visits of a client during the ramp. There is one more before the ramp and one after it.
    pub visits: usize,
    /// The requests of a visit. They are about a second apart, and each goes to a random proxy.
    pub requests: usize,
}

/// The results of a ramp.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// All requests.
    pub requests: u64,
    /// The numbers of clients that moved from v1 to v2 never, once, and more often.
    pub moved: [u64; 3],
    /// Requests that went back from v2 to v1.
    pub flips: u64,
    /// Clients that went back at least once.
    pub flipped: u64,
    /// The longest time between a flip and the client's previous request.
    pub longest: f64,
    /// Flips of clients whose slot did not move between the times of the fastest and the slowest clock.
    pub stray: u64,
    /// Requests that would go back if each request were decided at random.
    pub coin_flips: u64,
    /// Clients that would go back at least once if each request were decided at random.
    pub coin_flipped: u64,
    /// Rejected pins.
    pub rejected: u64,
    /// Cookies set.
    pub cookies: u64,
    /// The counts by time. The first bin begins [`Plan::margin`] before the ramp.
    pub bins: Vec<Bin>,
}

/// The counts of a part of the time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bin {
    /// All requests.
    pub requests: u64,
    /// Requests that went to v2.
    pub new: u64,
    /// Requests that went back from v2 to v1.
    pub flips: u64,
    /// Requests that would go back if each request were decided at random.
    pub coin_flips: u64,
}

impl Plan {
    /// The configuration of all proxies.
    #[must_use]
    pub fn config(&self) -> String {
        let start = crate::fleet::START;
        let duration = self.duration;
        let steps = self
            .steps
            .map(|steps| format!(r#","steps":{steps}"#))
            .unwrap_or_default();
        let ramp = format!(r#"{{"to":100,"start":"{start}","duration":"{duration}s"{steps}}}"#);
        format!(
            r#"{{"apps":[{{"name":"shop","stable":"v1","versions":[{{"name":"v1"}},
            {{"name":"v2","weight":1,"ramp":{ramp}}}],"pin":{{"key":[{{"header":"x-user-id"}}]}}}}]}}"#
        )
    }

    /// The length of a bin, in seconds.
    #[must_use]
    pub fn bin(&self) -> f64 {
        f64::from(self.duration) / BINS_OF_RAMP as f64
    }

    /// The time before and after the ramp during which clients send requests, in seconds.
    #[must_use]
    pub fn margin(&self) -> f64 {
        // Long enough for the worst clock, and a multiple of the bins' length.
        self.bin() * (130.0 / self.bin()).ceil().max(6.0)
    }

    /// Runs the simulation.
    #[must_use]
    pub fn run(&self) -> Seen {
        let offsets = self.clocks.offsets(self.proxies);
        let parts = in_parts(self.clients, |clients| {
            let fleet = fleet(&self.config(), &offsets);
            let fastest = offsets.iter().copied().fold(f64::MIN, f64::max);
            let slowest = offsets.iter().copied().fold(f64::MAX, f64::min);
            let clocks = [fastest, slowest].map(|offset| Proxy::new(&self.config(), offset));
            let bins = BINS_OF_RAMP + (2.0 * self.margin() / self.bin()).round() as usize;
            let mut seen = Seen {
                bins: vec![Bin::default(); bins],
                ..Seen::default()
            };
            for number in clients {
                self.follow(number, &fleet, &clocks, &mut seen);
            }
            seen
        });
        parts.into_iter().reduce(Seen::with).unwrap_or_default()
    }

    /// The times of a client's requests in seconds after the start, sorted.
    fn times(&self, random: &mut Random) -> Vec<f64> {
        let (margin, duration) = (self.margin(), f64::from(self.duration));
        let mut times = Vec::with_capacity((self.visits + 2) * self.requests);
        for visit in 0..self.visits + 2 {
            // The visits before and after the ramp are far enough from it for the worst clock.
            let mut time = match visit {
                0 => random.between(-margin, -90.0),
                1 => random.between(duration + 60.0, duration + margin - 30.0),
                _ => random.between(0.0, duration),
            };
            for _ in 0..self.requests {
                times.push(time);
                time += random.wait(1.0);
            }
        }
        times.sort_unstable_by(f64::total_cmp);
        times
    }

    /// Simulates all requests of a client.
    fn follow(&self, number: usize, fleet: &[Proxy], clocks: &[Proxy; 2], seen: &mut Seen) {
        let mut random = Random::of(0x7a3e, number);
        let mut client = Client::new(self.kind, number);
        let mut before: Option<(f64, bool, bool)> = None;
        let (mut moves, mut flips, mut coin_flips) = (0, 0, 0);
        for time in self.times(&mut random) {
            let proxy = &fleet[random.below(fleet.len())];
            let coin = random.unit() < proxy.share(time);
            let decision = client.ask(proxy, time);
            seen.rejected += u64::from(decision.rejection().is_some());
            seen.cookies += u64::from(client.receive(&decision));
            let new = is_new(&decision);
            let last_bin = seen.bins.len() - 1;
            let bin = &mut seen.bins[last_bin.min(((time + self.margin()) / self.bin()) as usize)];
            bin.requests += 1;
            bin.new += u64::from(new);
            if let Some((last, was_new, was_coin)) = before {
                moves += usize::from(new && !was_new);
                if was_new && !new {
                    flips += 1;
                    bin.flips += 1;
                    seen.longest = seen.longest.max(time - last);
                    let moving = clocks.each_ref().map(|proxy| is_new(&client.ask(proxy, time)));
                    seen.stray += u64::from(moving != [true, false]);
                }
                if was_coin && !coin {
                    coin_flips += 1;
                    bin.coin_flips += 1;
                }
            }
            before = Some((time, new, coin));
            seen.requests += 1;
        }
        seen.moved[moves.min(2)] += 1;
        seen.flips += flips;
        seen.flipped += u64::from(flips > 0);
        seen.coin_flips += coin_flips;
        seen.coin_flipped += u64::from(coin_flips > 0);
    }
}

impl Seen {
    /// The sum of both.
    #[must_use]
    pub fn with(mut self, other: Seen) -> Seen {
        self.requests += other.requests;
        for (moved, others) in self.moved.iter_mut().zip(other.moved) {
            *moved += others;
        }
        self.flips += other.flips;
        self.flipped += other.flipped;
        self.longest = self.longest.max(other.longest);
        self.stray += other.stray;
        self.coin_flips += other.coin_flips;
        self.coin_flipped += other.coin_flipped;
        self.rejected += other.rejected;
        self.cookies += other.cookies;
        for (bin, others) in self.bins.iter_mut().zip(other.bins) {
            bin.requests += others.requests;
            bin.new += others.new;
            bin.flips += others.flips;
            bin.coin_flips += others.coin_flips;
        }
        self
    }
}
