//! A ramp from 1 to 100 %, met by clients that come at any time and to any proxy.
//!
//! Nothing is shared between requests but what a client carries, so that one client after the other is gone
//! through.

use crate::chance::Chance;
use crate::client::{Client, Kind, is_new};
use crate::fleet::{Clocks, Proxy, fleet};
use crate::in_parts;

/// Into how many parts the ramp is cut for the picture; before and after it are as many as fit.
pub const BINS_OF_RAMP: usize = 72;

/// A ramp and who meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// So many proxies.
    pub proxies: usize,
    /// What their clocks show.
    pub clocks: Clocks,
    /// How long the ramp takes, in seconds.
    pub duration: u32,
    /// In how many steps, if not evenly.
    pub steps: Option<u32>,
    /// How the clients are known.
    pub kind: Kind,
    /// So many of them.
    pub clients: usize,
    /// How often each comes while the ramp lasts; once more before, and once after.
    pub visits: usize,
    /// So many requests a visit, about a second apart, each to any proxy.
    pub requests: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Requests in all.
    pub requests: u64,
    /// Clients by how often they moved from v1 to v2: never, once, more often.
    pub moved: [u64; 3],
    /// Requests that went back from v2 to v1.
    pub flips: u64,
    /// Clients that ever went back.
    pub flipped: u64,
    /// The longest time between a flip and the request before it.
    pub longest: f64,
    /// Flips of clients whose slot did not move between what the fastest and the slowest clock showed.
    pub stray: u64,
    /// Requests that would have gone back, had a coin been thrown for each.
    pub coin_flips: u64,
    /// Clients that a coin would have sent back.
    pub coin_flipped: u64,
    /// Pins that did not hold.
    pub rejected: u64,
    /// Cookies set.
    pub cookies: u64,
    /// By time, from [`Plan::margin`] before the start.
    pub bins: Vec<Bin>,
}

/// A part of the time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bin {
    /// Requests.
    pub requests: u64,
    /// Those that went to v2.
    pub new: u64,
    /// Those that went back.
    pub flips: u64,
    /// Those that would have, by the coin.
    pub coin_flips: u64,
}

impl Plan {
    /// The configuration that all proxies read.
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

    /// How long a part of the time is, in seconds.
    #[must_use]
    pub fn bin(&self) -> f64 {
        f64::from(self.duration) / BINS_OF_RAMP as f64
    }

    /// How long clients come before the ramp, and after it, in seconds.
    #[must_use]
    pub fn margin(&self) -> f64 {
        // Long enough for the worst of clocks, and in whole parts.
        self.bin() * (130.0 / self.bin()).ceil().max(6.0)
    }

    /// Runs it.
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

    /// When a client sends requests, in seconds after the start, in order.
    fn times(&self, chance: &mut Chance) -> Vec<f64> {
        let (margin, duration) = (self.margin(), f64::from(self.duration));
        let mut times = Vec::with_capacity((self.visits + 2) * self.requests);
        for visit in 0..self.visits + 2 {
            // The first and the last are far enough from the ramp for the worst of clocks.
            let mut time = match visit {
                0 => chance.between(-margin, -90.0),
                1 => chance.between(duration + 60.0, duration + margin - 30.0),
                _ => chance.between(0.0, duration),
            };
            for _ in 0..self.requests {
                times.push(time);
                time += chance.wait(1.0);
            }
        }
        times.sort_unstable_by(f64::total_cmp);
        times
    }

    /// Follows a client through its requests.
    fn follow(&self, number: usize, fleet: &[Proxy], clocks: &[Proxy; 2], seen: &mut Seen) {
        let mut chance = Chance::of(0x7a3e, number);
        let mut client = Client::new(self.kind, number);
        let mut before: Option<(f64, bool, bool)> = None;
        let (mut moves, mut flips, mut coin_flips) = (0, 0, 0);
        for time in self.times(&mut chance) {
            let proxy = &fleet[chance.below(fleet.len())];
            let coin = chance.unit() < proxy.share(time);
            let decision = client.ask(proxy, time);
            seen.rejected += u64::from(decision.rejection().is_some());
            seen.cookies += u64::from(client.take(&decision));
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
    /// Both together.
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
