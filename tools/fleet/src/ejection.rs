//! An ejection: v2 has 20 %, answers 503 to all requests for some time, and recovers.
//!
//! Every client sends a request a minute, in random order and to a random proxy. A response takes [`LATENCY`], so
//! further requests may be in flight when a proxy ejects v2.

use std::collections::VecDeque;
use std::ops::Range;

use pinion::decision::{self, Decision, Reason};
use pinion::rollout::outlier::{Change, Probe};

use crate::client::{Client, Kind, is_new};
use crate::fleet::{Clocks, Proxy, fleet};
use crate::random::Random;

/// The time of a response, in seconds.
pub const LATENCY: f64 = 0.05;

/// The length of a version's first ejection, in seconds.
pub const BASE: u32 = 30;

const CONFIG: &str = r#"{"apps":[{"name":"shop","stable":"v1",
    "versions":[{"name":"v1"},{"name":"v2","weight":20}],"pin":{"key":[{"header":"x-user-id"}]},
    "outlierDetection":{"consecutiveGatewayErrors":5,"baseEjectionTime":"30s"}}]}"#;

/// The parameters of an ejection.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The number of proxies.
    pub proxies: usize,
    /// The number of clients with a key.
    pub keyed: usize,
    /// The number of clients with a cookie.
    pub pinned: usize,
    /// The time during which v2 fails, in seconds.
    pub outage: Range<f64>,
    /// The minutes during which clients send requests.
    pub minutes: usize,
}

/// The results of an ejection.
#[derive(Debug, Default)]
pub struct Seen {
    /// All requests.
    pub requests: u64,
    /// The counts of each second.
    pub seconds: Vec<Second>,
    /// The record of each proxy.
    pub proxies: Vec<Record>,
    /// Requests that the fallback v1 served in place of v2.
    pub fallbacks: u64,
    /// The time of the last of these requests.
    pub last_fallback: f64,
    /// Cookies set in the first minute.
    pub cookies: u64,
    /// Cookies set later.
    pub cookies_later: u64,
    /// Clients whose cookie at the end differs from their first one.
    pub changed: u64,
    /// Clients whose version in the last minute differs from that in the first.
    pub elsewhere: u64,
}

/// The counts of a second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Second {
    /// Requests that v1 answered.
    pub old: u32,
    /// Requests that v2 answered with 200.
    pub new: u32,
    /// Requests that v2 answered with 503.
    pub errors: u32,
    /// Requests that v2 would have answered with 503 without outlier detection.
    pub without: u32,
}

/// The events of a proxy.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Errors of requests sent before the proxy ejected v2.
    pub errors: u32,
    /// The time of the first ejection of v2, in seconds.
    pub ejected: Option<f64>,
    /// The time of v2's recovery, in seconds.
    pub back: Option<f64>,
    /// Requests that reached v2 while it was ejected: the time by the proxy's clock, and whether the request was a trial.
    pub trials: Vec<(u64, bool)>,
    /// The ejections: the start by the proxy's clock, and the planned length in seconds.
    pub terms: Vec<(u64, u32)>,
    /// Whether v2 is ejected now.
    is_ejected: bool,
}

impl Record {
    /// The number of surplus trials (more than one in an ejection) and of early ones (before the ejection's end).
    #[must_use]
    pub fn early(&self) -> usize {
        let beyond = self.trials.len().saturating_sub(self.terms.len());
        let pairs = self.trials.iter().zip(&self.terms);
        beyond
            + pairs
                .filter(|((at, _), (from, term))| *at < from + u64::from(*term))
                .count()
    }

    /// The number of requests that reached v2 while it was ejected and were not trials.
    #[must_use]
    pub fn leaks(&self) -> usize {
        self.trials.iter().filter(|(_, is_trial)| !is_trial).count()
    }
}

/// A request that waits for its response.
struct Pending {
    due: f64,
    status: u16,
    client: usize,
    proxy: usize,
    /// Whether v2 was ejected when the request was sent.
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
    /// Runs the simulation.
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
        let mut random = Random::of(0xe1ec, 0);
        for minute in 0..self.minutes {
            for (i, number) in random.order(count).into_iter().enumerate() {
                let time = 60.0 * (minute as f64 + i as f64 / count as f64);
                run.answer(time);
                let new = run.send(number, random.below(self.proxies), time, &self.outage);
                if minute == 0 {
                    first[number].0 = new;
                } else if minute == self.minutes - 1 {
                    run.seen.elsewhere += u64::from(first[number].0 != new);
                }
            }
            if minute == 0 {
                // The responses in flight belong to the first minute.
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
    /// Sends a client's request to a proxy. Whether the request goes to v2.
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

    /// Delivers the responses that are due.
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
            self.seen.cookies_later += u64::from(client.receive(&answer.decision));
        }
    }
}
