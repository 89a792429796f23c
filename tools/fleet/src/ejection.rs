//! An ejection: v2, at 20 %, begins to answer 503 to everything, and recovers.
//!
//! Every client sends a request a minute, in random order and to any proxy. An answer takes [`LATENCY`], so
//! that more requests may be on their way when a proxy has seen enough.

use std::collections::VecDeque;
use std::ops::Range;

use pinion::decision::{self, Decision, Reason};
use pinion::rollout::outlier::{Change, Probe};

use crate::chance::Chance;
use crate::client::{Client, Kind, is_new};
use crate::fleet::{Clocks, Proxy, fleet};

/// How long an answer takes, in seconds.
pub const LATENCY: f64 = 0.05;

/// How long a version is ejected for the first time, in seconds.
pub const BASE: u32 = 30;

const CONFIG: &str = r#"{"apps":[{"name":"shop","stable":"v1",
    "versions":[{"name":"v1"},{"name":"v2","weight":20}],"pin":{"key":[{"header":"x-user-id"}]},
    "outlierDetection":{"consecutiveGatewayErrors":5,"baseEjectionTime":"30s"}}]}"#;

/// An ejection and who meets it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// So many proxies.
    pub proxies: usize,
    /// So many clients with a key.
    pub keyed: usize,
    /// So many with a cookie.
    pub pinned: usize,
    /// When v2 fails, in seconds.
    pub outage: Range<f64>,
    /// For how many minutes clients come.
    pub minutes: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests in all.
    pub requests: u64,
    /// What happened in each second.
    pub seconds: Vec<Second>,
    /// Of each proxy.
    pub proxies: Vec<Record>,
    /// Requests that went to v1 in v2's place.
    pub fallbacks: u64,
    /// When the last of them came.
    pub last_fallback: f64,
    /// Cookies set when clients first came.
    pub cookies: u64,
    /// Cookies set at any later time.
    pub cookies_later: u64,
    /// Clients whose cookie at the end is not the one that they were given first.
    pub changed: u64,
    /// Clients that in the last minute were not where they were in the first.
    pub elsewhere: u64,
}

/// What happened in a second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Second {
    /// Requests that v1 answered.
    pub old: u32,
    /// Requests that v2 answered well.
    pub new: u32,
    /// Requests that v2 answered with 503.
    pub errors: u32,
    /// Requests that it would have, without detection.
    pub without: u32,
}

/// What happened at a proxy.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Errors of requests sent before it ejected v2.
    pub errors: u32,
    /// When it first ejected v2, in seconds.
    pub ejected: Option<f64>,
    /// When v2 was back, in seconds.
    pub back: Option<f64>,
    /// Requests that reached v2 while it was ejected: when by the proxy's clock, and whether as trials.
    pub trials: Vec<(u64, bool)>,
    /// Each ejection: when by the proxy's clock, and how long it was to last, in seconds.
    pub terms: Vec<(u64, u32)>,
    /// Whether it is ejected now.
    is_ejected: bool,
}

impl Record {
    /// Trials beyond one for each ejection, and those before its time was up, by the proxy's clock.
    #[must_use]
    pub fn early(&self) -> usize {
        let beyond = self.trials.len().saturating_sub(self.terms.len());
        let pairs = self.trials.iter().zip(&self.terms);
        beyond
            + pairs
                .filter(|((at, _), (from, term))| *at < from + u64::from(*term))
                .count()
    }

    /// Requests that reached v2 while it was ejected and were no trial.
    #[must_use]
    pub fn leaks(&self) -> usize {
        self.trials.iter().filter(|(_, is_trial)| !is_trial).count()
    }
}

/// A request that waits for its answer.
struct Pending {
    due: f64,
    status: u16,
    client: usize,
    proxy: usize,
    /// Whether v2 was ejected when it was sent.
    while_ejected: bool,
    decision: Decision,
}

struct Run {
    fleet: Vec<Proxy>,
    clients: Vec<Client>,
    pending: VecDeque<Pending>,
    seen: Seen,
}

impl Plan {
    /// Runs it.
    #[must_use]
    pub fn run(&self) -> Seen {
        let keyed = (0..self.keyed).map(|number| Client::new(Kind::Keyed, number));
        let pinned = (0..self.pinned).map(|number| Client::new(Kind::Pinned, number));
        let mut run = Run {
            fleet: fleet(CONFIG, &Clocks::Skewed.offsets(self.proxies)),
            clients: keyed.chain(pinned).collect(),
            pending: VecDeque::new(),
            seen: Seen {
                seconds: vec![Second::default(); self.minutes * 60 + 1],
                proxies: vec![Record::default(); self.proxies],
                ..Seen::default()
            },
        };
        let count = run.clients.len();
        let mut first = vec![(false, None); count];
        let mut chance = Chance::of(0xe1ec, 0);
        for minute in 0..self.minutes {
            for (i, number) in chance.order(count).into_iter().enumerate() {
                let time = 60.0 * (minute as f64 + i as f64 / count as f64);
                run.answer(time);
                let new = run.send(number, chance.below(self.proxies), time, &self.outage);
                if minute == 0 {
                    first[number].0 = new;
                } else if minute == self.minutes - 1 {
                    run.seen.elsewhere += u64::from(first[number].0 != new);
                }
            }
            if minute == 0 {
                // Answers still on their way are those of the first minute.
                run.answer(60.0 + LATENCY);
                let jars = run.clients.iter().map(|client| client.jar.clone());
                first.iter_mut().zip(jars).for_each(|(first, jar)| first.1 = jar);
                run.seen.cookies = std::mem::take(&mut run.seen.cookies_later);
            }
        }
        run.answer(f64::MAX);
        let changed = run
            .clients
            .iter()
            .zip(&first)
            .filter(|(client, first)| client.jar != first.1);
        run.seen.changed = changed.count() as u64;
        run.seen
    }
}

impl Run {
    /// Sends a client's request to a proxy. Whether it goes to v2.
    fn send(&mut self, number: usize, at: usize, time: f64, outage: &Range<f64>) -> bool {
        let proxy = &self.fleet[at];
        let record = &mut self.seen.proxies[at];
        let decision = self.clients[number].ask(proxy, time);
        let new = is_new(&decision);
        let is_failing = outage.contains(&time);
        let is_fallback = decision.reason == Reason::Fallback;
        self.seen.requests += 1;
        if is_fallback {
            self.seen.fallbacks += 1;
            self.seen.last_fallback = time;
        }
        if new && record.is_ejected {
            let is_trial = matches!(decision.probe, Some(Probe::Trial(_)));
            record.trials.push((proxy.clock(time), is_trial));
        }
        let second = &mut self.seen.seconds[time as usize];
        second.without += u32::from(is_failing && (new || is_fallback));
        match (new, is_failing) {
            (false, _) => second.old += 1,
            (true, false) => second.new += 1,
            (true, true) => second.errors += 1,
        }
        self.pending.push_back(Pending {
            due: time + LATENCY,
            status: if new && is_failing { 503 } else { 200 },
            client: number,
            proxy: at,
            while_ejected: record.is_ejected,
            decision,
        });
        new
    }

    /// Lets the answers arrive that are due.
    fn answer(&mut self, now: f64) {
        let is_due = |answer: &Pending| answer.due <= now;
        while self.pending.front().is_some_and(is_due)
            && let Some(answer) = self.pending.pop_front()
        {
            let proxy = &self.fleet[answer.proxy];
            let client = &mut self.clients[answer.client];
            let moment = client.moment(proxy, answer.due);
            let record = &mut self.seen.proxies[answer.proxy];
            record.errors += u32::from(answer.status == 503 && !answer.while_ejected);
            let status = || Some(answer.status);
            match decision::record_outcome(&answer.decision, b"via_upstream", status, &moment) {
                Some(Change::Ejected(term)) => {
                    record.is_ejected = true;
                    record.ejected.get_or_insert(answer.due);
                    record.terms.push((proxy.clock(answer.due), term));
                }
                Some(Change::Recovered) => {
                    record.is_ejected = false;
                    record.back = Some(answer.due);
                }
                None => {}
            }
            self.seen.cookies_later += u64::from(client.take(&answer.decision));
        }
    }
}
