//! Outlier detection of versions: one that fails is left alone for a while, and then tried by one request.
//!
//! What is known of a version's health is shared by all workers of a proxy, in a [`Memory`] that may change under the
//! hand. Names and meanings are those of Istio's `outlierDetection`; what differs is that a whole version is ejected, and
//! that only one request at a time finds out whether it is back.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::http::origin::VIA_UPSTREAM;
use crate::rollout::version::{Version, VersionRef};

/// What the workers of a proxy share: values under keys, each with a mark that changes when the value does.
pub trait Memory {
    /// A value and its mark.
    fn recall(&self, key: &str) -> Option<(Vec<u8>, u32)>;
    /// Writes a value, if its mark is still that one.
    ///
    /// # Errors
    /// Another was faster.
    fn remember(&self, key: &str, value: &[u8], mark: Option<u32>) -> Result<(), Contended>;
}

/// Another worker was faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contended;

/// A memory of this thread alone, for tools and tests; at first it is blank.
#[derive(Debug, Default)]
pub struct Local(RefCell<BTreeMap<String, (Vec<u8>, u32)>>);

impl Memory for Local {
    fn recall(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.0.borrow().get(key).cloned()
    }

    fn remember(&self, key: &str, value: &[u8], mark: Option<u32>) -> Result<(), Contended> {
        let mut values = self.0.borrow_mut();
        let known = values.get(key).map(|(_, mark)| *mark);
        if mark.is_some() && mark != known {
            return Err(Contended);
        }
        let next = known.map_or(1, |known| known.wrapping_add(1));
        values.insert(key.to_owned(), (value.to_vec(), next));
        Ok(())
    }
}

/// When a version is ejected, and for how long.
#[derive(Debug)]
pub struct OutlierDetection {
    /// So many gateway errors in a row; 0 for never.
    pub consecutive_gateway_errors: u32,
    /// So many errors in a row; 0 for never.
    pub consecutive_5xx_errors: u32,
    /// How long, in seconds, times how often in a row it was ejected.
    pub base_ejection_time: u32,
    /// How long at most, in seconds.
    pub max_ejection_time: u32,
    /// By each version's index: where its state is kept and who takes its clients. The stable one has none.
    pub wards: Vec<Option<Ward>>,
}

/// A version that may be ejected.
#[derive(Debug)]
pub struct Ward {
    /// Where its state is kept.
    pub key: String,
    /// Who takes its clients.
    pub fallback: VersionRef,
}

/// How a request stands to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may go there.
    Open(Attempt),
    /// The version is ejected.
    Ejected,
}

/// What its response will say of the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// An error counts, and a success ends the row.
    Ordinary,
    /// Whether the version is back; known by when the next may go, in Unix seconds.
    Trial(u64),
}

/// How a version did with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Performance {
    /// It answered.
    Success,
    /// It answered with an error of its own, such as 500.
    ServerError,
    /// It answered 502, 503 or 504, or the proxy could not reach it, or not in time.
    GatewayError,
}

/// What a response changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The version is ejected, for so many seconds.
    Ejected(u32),
    /// It is back.
    Recovered,
}

impl Performance {
    /// Reads it off a response: where it came from, as Envoy's `response.code_details` say, and its status.
    ///
    /// None where the version had no part in it: what other filters answer (a fault that was injected, authorisation, a rate
    /// limit), routes without an upstream, a circuit breaker that is open, a stream that took too long as a whole, which a
    /// client that sends slowly brings about. gRPC's status is not looked at.
    #[must_use]
    pub fn of(code_details: &[u8], status: impl FnOnce() -> Option<u16>) -> Option<Self> {
        if code_details == VIA_UPSTREAM {
            return Some(match status()? {
                502..=504 => Performance::GatewayError,
                500.. => Performance::ServerError,
                _ => Performance::Success,
            });
        }
        let has = |part: &[u8]| code_details.windows(part.len()).any(|window| window == part);
        // Envoy's names for its own failures: StreamInfo::ResponseCodeDetailValues.
        let failed = match code_details {
            b"no_healthy_upstream"
            | b"cluster_not_found"
            | b"upstream_response_timeout"
            | b"response_timeout"
            | b"upstream_per_try_timeout"
            | b"upstream_per_try_idle_timeout" => true,
            details => details.starts_with(b"upstream_reset_before_response_started") && !has(b"overflow"),
        };
        failed.then_some(Performance::GatewayError)
    }
}

/// What is known of a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Health {
    gateway_errors: u32,
    server_errors: u32,
    /// How often in a row it was ejected.
    ejections: u32,
    /// When it may be tried, in Unix seconds; 0 while it is not ejected.
    until: u64,
    /// When it came back, in Unix seconds.
    back: u64,
}

/// How often a change is tried again that another worker's came before. What is lost then is one error of many.
const TRIES: usize = 16;

impl OutlierDetection {
    fn ward(&self, version: &Version) -> Option<&Ward> {
        self.wards.get(version.index)?.as_ref()
    }

    /// Makes sure that every version's state is there: the host does not create one atomically.
    pub fn prepare(&self, memory: &impl Memory) {
        for ward in self.wards.iter().flatten() {
            if memory.recall(&ward.key).is_none() {
                // Whoever comes first, what is written is the same.
                let _ = memory.remember(&ward.key, &Health::default().written(), None);
            }
        }
    }

    /// Who takes a version's clients while it is ejected.
    #[must_use]
    pub fn fallback(&self, version: &Version) -> Option<&VersionRef> {
        Some(&self.ward(version)?.fallback)
    }

    /// Whether a request may go to a version at a time, in Unix seconds. None: the version is never ejected.
    pub fn admit(&self, version: &Version, memory: &impl Memory, now: impl Fn() -> u64) -> Option<Admission> {
        let ward = self.ward(version)?;
        for _ in 0..TRIES {
            let (health, mark) = Health::recalled(memory, ward);
            if health.until == 0 {
                return Some(Admission::Open(Attempt::Ordinary));
            }
            let now = now();
            // Both are whole seconds: the one that has begun does not count.
            if now <= health.until {
                return Some(Admission::Ejected);
            }
            // The one that can write this goes. Should nobody hear of it again, another does after a while.
            let until = now + u64::from(self.base_ejection_time);
            let lent = Health { until, ..health };
            if memory.remember(&ward.key, &lent.written(), mark).is_ok() {
                return Some(Admission::Open(Attempt::Trial(until)));
            }
        }
        Some(Admission::Ejected)
    }

    /// Notes how a version did, at a time in Unix seconds. None: it had no part in the answer.
    #[inline(never)]
    pub fn note(
        &self,
        version: &Version,
        attempt: Attempt,
        performance: Option<Performance>,
        memory: &impl Memory,
        now: impl Fn() -> u64,
    ) -> Option<Change> {
        let ward = self.ward(version)?;
        for _ in 0..TRIES {
            let (before, mark) = Health::recalled(memory, ward);
            let (after, change) = match attempt {
                Attempt::Ordinary => self.counted(before, performance?, &now),
                Attempt::Trial(lease) => self.tried(before, lease, performance, &now),
            };
            if after == before || memory.remember(&ward.key, &after.written(), mark).is_ok() {
                return change;
            }
        }
        None
    }

    /// After a request that went there as any other.
    fn counted(
        &self,
        before: Health,
        performance: Performance,
        now: impl Fn() -> u64,
    ) -> (Health, Option<Change>) {
        // What was sent before it was ejected says nothing new.
        if before.until != 0 {
            return (before, None);
        }
        let count = |counts: bool, errors: u32| if counts { errors.saturating_add(1) } else { 0 };
        let reached = |errors: u32, limit: u32| limit > 0 && errors >= limit;
        let health = Health {
            gateway_errors: count(performance == Performance::GatewayError, before.gateway_errors),
            server_errors: count(performance != Performance::Success, before.server_errors),
            ..before
        };
        if reached(health.gateway_errors, self.consecutive_gateway_errors)
            || reached(health.server_errors, self.consecutive_5xx_errors)
        {
            let now = now();
            // Each term in health makes up for one ejection.
            let healthy = now.saturating_sub(before.back) / u64::from(self.base_ejection_time.max(1));
            let row = u64::from(before.ejections).saturating_sub(healthy) as u32;
            return self.ejected(health, row, now);
        }
        (health, None)
    }

    /// After a trial, if no other has taken its place.
    fn tried(
        &self,
        before: Health,
        lease: u64,
        performance: Option<Performance>,
        now: impl Fn() -> u64,
    ) -> (Health, Option<Change>) {
        if before.until != lease {
            return (before, None);
        }
        let Some(performance) = performance else {
            // It never got there: the next may go at once.
            let until = now();
            return (Health { until, ..before }, None);
        };
        let failed = match performance {
            Performance::Success => false,
            Performance::ServerError => self.consecutive_5xx_errors > 0,
            Performance::GatewayError => true,
        };
        if failed {
            return self.ejected(before, before.ejections, now());
        }
        let ejections = before.ejections;
        let back = Health {
            ejections,
            back: now(),
            ..Health::default()
        };
        (back, Some(Change::Recovered))
    }

    fn ejected(&self, health: Health, row: u32, now: u64) -> (Health, Option<Change>) {
        let ejections = row.saturating_add(1);
        let term = self.term(ejections);
        let ejected = Health {
            gateway_errors: 0,
            server_errors: 0,
            ejections,
            until: now.saturating_add(u64::from(term)),
            ..health
        };
        (ejected, Some(Change::Ejected(term)))
    }

    fn term(&self, ejections: u32) -> u32 {
        let term = self.base_ejection_time.saturating_mul(ejections.max(1));
        term.min(self.max_ejection_time.max(self.base_ejection_time))
    }
}

impl Health {
    fn recalled(memory: &impl Memory, ward: &Ward) -> (Self, Option<u32>) {
        match memory.recall(&ward.key) {
            Some((value, mark)) => (Health::read(&value).unwrap_or_default(), Some(mark)),
            None => (Health::default(), None),
        }
    }

    fn written(&self) -> Vec<u8> {
        let Health {
            gateway_errors,
            server_errors,
            ejections,
            until,
            back,
        } = self;
        format!("{gateway_errors} {server_errors} {ejections} {until} {back}").into_bytes()
    }

    fn read(value: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(value).ok()?.split(' ');
        let mut small = || numbers.next()?.parse::<u32>().ok();
        let (gateway_errors, server_errors, ejections) = (small()?, small()?, small()?);
        let mut large = || numbers.next()?.parse::<u64>().ok();
        let (until, back) = (large()?, large()?);
        Some(Health {
            gateway_errors,
            server_errors,
            ejections,
            until,
            back,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::rollout::slots::Share;
    use crate::rollout::version::State;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn version(index: usize) -> VersionRef {
        Rc::new(Version {
            name: format!("v{index}"),
            label: String::new(),
            state: State::Active,
            share: Share::NONE,
            ramp: None,
            index,
        })
    }

    fn watch(gateway: u32, server: u32) -> OutlierDetection {
        OutlierDetection {
            consecutive_gateway_errors: gateway,
            consecutive_5xx_errors: server,
            base_ejection_time: 10,
            max_ejection_time: 25,
            wards: vec![
                None,
                Some(Ward {
                    key: "v1".to_owned(),
                    fallback: version(0),
                }),
            ],
        }
    }

    /// A version under watch: requests come, and it does as told.
    struct Watched(OutlierDetection, VersionRef, Local);

    impl Watched {
        fn new(gateway: u32, server: u32) -> Self {
            let watched = Watched(watch(gateway, server), version(1), Local::default());
            watched.0.prepare(&watched.2);
            watched
        }

        fn admit(&self, now: u64) -> Admission {
            self.0.admit(&self.1, &self.2, || now).unwrap()
        }

        fn note(&self, attempt: Attempt, performance: Performance, now: u64) -> Option<Change> {
            self.0.note(&self.1, attempt, Some(performance), &self.2, || now)
        }

        /// A request that comes and is answered in the same second; None: it did not get there.
        fn request(&self, performance: Performance, now: u64) -> Option<Option<Change>> {
            match self.admit(now) {
                Admission::Open(attempt) => Some(self.note(attempt, performance, now)),
                Admission::Ejected => None,
            }
        }
    }

    use Performance::{GatewayError as G, ServerError as S, Success as O};

    #[test]
    fn what_envoy_says_of_a_response_is_a_performance_or_none() {
        for (details, status, expected) in [
            ("via_upstream", 200, Some(O)),
            ("via_upstream", 101, Some(O)),
            ("via_upstream", 499, Some(O)),
            ("via_upstream", 500, Some(S)),
            ("via_upstream", 501, Some(S)),
            ("via_upstream", 502, Some(G)),
            ("via_upstream", 503, Some(G)),
            ("via_upstream", 504, Some(G)),
            ("via_upstream", 505, Some(S)),
            ("no_healthy_upstream", 503, Some(G)),
            ("cluster_not_found", 503, Some(G)),
            ("upstream_response_timeout", 504, Some(G)),
            ("response_timeout", 504, Some(G)),
            ("upstream_per_try_timeout", 504, Some(G)),
            // A client that sends slowly brings this about.
            ("upstream_max_stream_duration_reached", 408, None),
            // Envoy answers gRPC with 200 whatever happened.
            ("no_healthy_upstream", 200, Some(G)),
            (
                "upstream_reset_before_response_started{connection_failure}",
                503,
                Some(G),
            ),
            (
                "upstream_reset_before_response_started{remote_reset}",
                503,
                Some(G),
            ),
            ("upstream_reset_before_response_started{overflow}", 503, None),
            ("fault_filter_abort", 503, None),
            ("rbac_access_denied_matched_policy[none]", 403, None),
            ("ext_authz_denied", 403, None),
            ("ext_authz_error", 503, None),
            ("request_rate_limited", 429, None),
            ("local_rate_limited", 503, None),
            ("direct_response", 503, None),
            ("route_not_found", 404, None),
            ("", 503, None),
        ] {
            assert_eq!(
                Performance::of(details.as_bytes(), || Some(status)),
                expected,
                "{details} {status}"
            );
        }
    }

    #[test]
    fn errors_in_a_row_eject_a_version() {
        for (gateway, server, row, ejected) in [
            (3, 0, &[G, G][..], false),
            (3, 0, &[G, G, G], true),
            (3, 0, &[G, G, O, G, G], false),
            (3, 0, &[G, G, S, G, G], false),
            (3, 0, &[S, S, S, S], false),
            (0, 3, &[S, G, S], true),
            (0, 3, &[S, S, O, S, S], false),
            (3, 4, &[S, G, G, S], true),
            (3, 4, &[S, S, G, G], true),
            (3, 5, &[S, S, G, G], false),
            (1, 0, &[G], true),
            (3, 0, &[O, O, O, O], false),
        ] {
            let watched = Watched::new(gateway, server);
            let last = row
                .iter()
                .map(|performance| watched.request(*performance, 100))
                .last();
            let expected = Some(ejected.then_some(Change::Ejected(10)));
            assert_eq!(last.unwrap(), expected, "{gateway} {server} {row:?}");
            assert_eq!(
                watched.admit(101) == Admission::Ejected,
                ejected,
                "{gateway} {server} {row:?}"
            );
        }
    }

    #[test]
    fn one_request_finds_out_whether_it_is_back() {
        let watched = Watched::new(1, 0);
        assert_eq!(watched.request(G, 100), Some(Some(Change::Ejected(10))));
        assert_eq!(watched.admit(110), Admission::Ejected);
        assert_eq!(watched.admit(111), Admission::Open(Attempt::Trial(121)));
        // While it is under way, and should it never come back, nobody else goes for a while.
        assert_eq!(watched.admit(111), Admission::Ejected);
        assert_eq!(watched.admit(121), Admission::Ejected);
        assert_eq!(watched.admit(122), Admission::Open(Attempt::Trial(132)));
        // What was sent before the ejection says nothing of now, and neither does the trial that was given up.
        assert_eq!(watched.note(Attempt::Ordinary, O, 123), None);
        assert_eq!(watched.note(Attempt::Ordinary, G, 123), None);
        assert_eq!(watched.note(Attempt::Trial(121), O, 123), None);
        assert_eq!(watched.admit(123), Admission::Ejected);
        assert_eq!(watched.note(Attempt::Trial(132), O, 123), Some(Change::Recovered));
        assert_eq!(watched.admit(123), Admission::Open(Attempt::Ordinary));
        assert_eq!(watched.note(Attempt::Trial(132), G, 124), None);
        assert_eq!(watched.admit(124), Admission::Open(Attempt::Ordinary));
        // Nor does it end a later ejection.
        assert_eq!(watched.request(G, 125), Some(Some(Change::Ejected(20))));
        assert_eq!(watched.note(Attempt::Trial(132), O, 126), None);
        assert_eq!(watched.admit(126), Admission::Ejected);
        // However long the ejection, a trial that is lost is made up for after the first term.
        assert_eq!(watched.admit(146), Admission::Open(Attempt::Trial(156)));
        assert_eq!(watched.admit(156), Admission::Ejected);
        assert_eq!(watched.admit(157), Admission::Open(Attempt::Trial(167)));
    }

    #[test]
    fn a_trial_that_another_filter_answered_is_made_up_for_at_once() {
        let watched = Watched::new(1, 0);
        assert_eq!(watched.request(G, 100), Some(Some(Change::Ejected(10))));
        assert_eq!(watched.admit(111), Admission::Open(Attempt::Trial(121)));
        let Watched(watch, version, memory) = &watched;
        assert_eq!(
            watch.note(version, Attempt::Trial(121), None, memory, || 112),
            None
        );
        assert_eq!(watched.admit(112), Admission::Ejected);
        assert_eq!(watched.request(O, 113), Some(Some(Change::Recovered)));
        assert_eq!(watch.note(version, Attempt::Ordinary, None, memory, || 114), None);
    }

    #[test]
    fn answers_between_errors_end_the_row_however_many_requests_are_under_way() {
        let watched = Watched::new(3, 3);
        let attempts: Vec<_> = (0..100).map(|_| watched.admit(100)).collect();
        for (i, admission) in attempts.into_iter().enumerate() {
            let Admission::Open(attempt) = admission else {
                panic!("{admission:?}")
            };
            let performance = if i % 3 == 2 { O } else { G };
            assert_eq!(watched.note(attempt, performance, 100), None, "{i}");
        }
    }

    /// Others are faster for some tries.
    struct Slow(Local, std::cell::Cell<u32>);

    impl Memory for Slow {
        fn recall(&self, key: &str) -> Option<(Vec<u8>, u32)> {
            self.0.recall(key)
        }
        fn remember(&self, key: &str, value: &[u8], mark: Option<u32>) -> Result<(), Contended> {
            match self.1.get() {
                0 => self.0.remember(key, value, mark),
                left => {
                    self.1.set(left - 1);
                    Err(Contended)
                }
            }
        }
    }

    #[test]
    fn a_change_is_tried_again_while_others_are_faster() {
        let slow = Slow(Local::default(), std::cell::Cell::new(5));
        let watch = watch(1, 0);
        let change = watch.note(&version(1), Attempt::Ordinary, Some(G), &slow, || 100);
        assert_eq!(change, Some(Change::Ejected(10)));
    }

    #[test]
    fn what_is_known_outlives_a_configuration() {
        let watched = Watched::new(1, 0);
        assert_eq!(watched.request(G, 100), Some(Some(Change::Ejected(10))));
        watched.0.prepare(&watched.2);
        assert_eq!(watched.admit(101), Admission::Ejected);
        let fresh = Local::default();
        watched.0.prepare(&fresh);
        assert!(fresh.recall("v1").is_some());
    }

    #[test]
    fn it_is_left_alone_longer_each_time_and_health_makes_up_for_it() {
        let watched = Watched::new(1, 0);
        assert_eq!(watched.request(G, 100), Some(Some(Change::Ejected(10))));
        assert_eq!(watched.request(G, 111), Some(Some(Change::Ejected(20))));
        assert_eq!(watched.admit(131), Admission::Ejected);
        assert_eq!(watched.request(G, 132), Some(Some(Change::Ejected(25))));
        assert_eq!(watched.admit(157), Admission::Ejected);
        assert_eq!(watched.request(O, 158), Some(Some(Change::Recovered)));
        // Three in a row and one term in health: the next is the third.
        assert_eq!(watched.request(G, 168), Some(Some(Change::Ejected(25))));
        assert_eq!(watched.request(O, 194), Some(Some(Change::Recovered)));
        assert_eq!(watched.request(G, 1000), Some(Some(Change::Ejected(10))));
    }

    #[test]
    fn a_trial_is_judged_by_what_is_watched() {
        for (gateway, server, performance, change) in [
            (1, 0, S, Change::Recovered),
            (1, 1, S, Change::Ejected(20)),
            (0, 1, G, Change::Ejected(20)),
            (0, 1, S, Change::Ejected(20)),
            (1, 0, G, Change::Ejected(20)),
        ] {
            let watched = Watched::new(gateway, server);
            assert_eq!(watched.request(G, 100), Some(Some(Change::Ejected(10))));
            assert_eq!(
                watched.request(performance, 111),
                Some(Some(change)),
                "{gateway} {server} {performance:?}"
            );
        }
    }

    #[test]
    fn the_stable_version_is_never_ejected() {
        let watched = Watched::new(1, 1);
        assert_eq!(watched.0.admit(&version(0), &watched.2, || 0), None);
        assert_eq!(
            watched
                .0
                .note(&version(0), Attempt::Ordinary, Some(G), &watched.2, || 0),
            None
        );
    }

    /// Another worker writes between each reading and writing.
    struct Crowded(Local);

    impl Memory for Crowded {
        fn recall(&self, key: &str) -> Option<(Vec<u8>, u32)> {
            let found = self.0.recall(key);
            let _ = self.0.remember(key, b"0 0 1 100 0", None);
            found
        }
        fn remember(&self, key: &str, value: &[u8], mark: Option<u32>) -> Result<(), Contended> {
            self.0.remember(key, value, mark)
        }
    }

    #[test]
    fn who_is_too_slow_does_not_get_the_trial() {
        let crowded = Crowded(Local::default());
        crowded.0.remember("v1", b"0 0 1 100 0", None).unwrap();
        assert_eq!(
            watch(1, 0).admit(&version(1), &crowded, || 200),
            Some(Admission::Ejected)
        );
    }

    #[test]
    fn what_stands_there_and_is_no_state_counts_as_none() {
        for junk in [
            &b""[..],
            b"0 0 0 0",
            b"a b c d e",
            b"-1 0 0 0 0",
            b"0 0 0 0 99999999999999999999",
            b"\xff",
        ] {
            let memory = Local::default();
            memory.remember("v1", junk, None).unwrap();
            assert_eq!(
                watch(1, 0).admit(&version(1), &memory, || 0),
                Some(Admission::Open(Attempt::Ordinary))
            );
        }
    }
}
