//! Outlier detection of versions: a version that fails is ejected for a while, and then probed by
//! one request.
//!
//! The workers of a proxy share each version's health in a [`SharedStore`], which another worker
//! may change at any time. Names and meanings are those of Istio's `outlierDetection`, with two
//! differences: a whole version is ejected, and only one request at a time probes whether the
//! version has recovered.

use super::version::{Version, VersionRef};
use crate::environment::SharedStore;
use crate::http::origin::VIA_UPSTREAM;

/// When a version is ejected, and for how long.
#[derive(Debug)]
pub struct OutlierDetection {
    /// The number of consecutive gateway errors that ejects a version; 0 for never.
    pub consecutive_gateway_errors: u32,
    /// The number of consecutive errors of any kind that ejects a version; 0 for never.
    pub consecutive_5xx_errors: u32,
    /// The duration of an ejection in seconds, multiplied by the number of consecutive ejections.
    pub base_ejection_time: u32,
    /// The longest duration of an ejection in seconds.
    pub max_ejection_time: u32,
    /// By each version's index: the version's key and fallback. None for the stable version.
    pub watched: Vec<Option<WatchedVersion>>,
}

/// A version that may be ejected.
#[derive(Debug)]
pub struct WatchedVersion {
    /// The key of the version's health in the shared store.
    pub key: String,
    /// The version that serves the clients of the ejected version.
    pub fallback: VersionRef,
}

/// Whether a request may go to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The request may go there.
    Open(Probe),
    /// The version is ejected.
    Ejected,
}

/// How the response to a request counts for the version's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// An error counts, and a success resets the count.
    Passive,
    /// The response shows whether an ejected version has recovered. The value identifies the trial:
    /// the time, in Unix seconds, from which another request may probe the version.
    Trial(u64),
}

/// What a response says of the version that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The version answered without an error.
    Success,
    /// The version answered with an error of its own, such as 500.
    ServerError,
    /// The version answered 502, 503 or 504, or did not answer in time, or the proxy could not
    /// reach the version.
    GatewayError,
}

/// A change of a version's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The version is ejected for this number of seconds.
    Ejected(u32),
    /// The version serves its clients again.
    Recovered,
}

impl Outcome {
    /// The outcome of a response, from Envoy's `response.code_details` and the status.
    ///
    /// None if the version had no part in the response: other filters answered (an injected fault,
    /// authorization, a rate limit), the route has no upstream, a circuit breaker is open, or the
    /// stream as a whole took too long, which a client that sends slowly can cause. The gRPC status
    /// is not read.
    #[must_use]
    pub fn of(code_details: &[u8], status: impl FnOnce() -> Option<u16>) -> Option<Self> {
        if code_details == VIA_UPSTREAM {
            return Some(match status()? {
                502..=504 => Outcome::GatewayError,
                500.. => Outcome::ServerError,
                _ => Outcome::Success,
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
        failed.then_some(Outcome::GatewayError)
    }
}

/// The health of a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Health {
    gateway_errors: u32,
    server_errors: u32,
    /// The number of consecutive ejections.
    ejections: u32,
    /// When the version may be probed, in Unix seconds; 0 while the version is not ejected.
    until: u64,
    /// When the version recovered last, in Unix seconds.
    recovered: u64,
}

/// How often a write is tried while other workers write too. After the last try, the outcome of the
/// request is lost.
const TRIES: usize = 16;

impl OutlierDetection {
    fn watched_version(&self, version: &Version) -> Option<&WatchedVersion> {
        self.watched.get(version.index)?.as_ref()
    }

    /// Creates the health of every version in the store, so that no request has to: Envoy does not
    /// create a key atomically.
    pub fn prepare(&self, store: &impl SharedStore) {
        for watched in self.watched.iter().flatten() {
            if store.get(&watched.key).is_none() {
                // All workers write the same value.
                let _ = store.compare_and_set(&watched.key, &Health::default().encode(), None);
            }
        }
    }

    /// The version that serves a version's clients while it is ejected.
    #[must_use]
    pub fn fallback(&self, version: &Version) -> Option<&VersionRef> {
        Some(&self.watched_version(version)?.fallback)
    }

    /// Whether a request may go to a version at a time in Unix seconds. None if the version is
    /// never ejected.
    pub fn admit(
        &self,
        version: &Version,
        store: &impl SharedStore,
        now: impl Fn() -> u64,
    ) -> Option<Admission> {
        let watched = self.watched_version(version)?;
        for _ in 0..TRIES {
            let (health, cas) = Health::load(store, watched);
            if health.until == 0 {
                return Some(Admission::Open(Probe::Passive));
            }
            let now = now();
            // Both times are whole seconds, so the ejection lasts until the end of the second.
            if now <= health.until {
                return Some(Admission::Ejected);
            }
            // The request whose write succeeds is the trial. If its response never comes, another
            // request is the trial later.
            let until = now + u64::from(self.base_ejection_time);
            let leased = Health { until, ..health };
            if store.compare_and_set(&watched.key, &leased.encode(), cas).is_ok() {
                return Some(Admission::Open(Probe::Trial(until)));
            }
        }
        Some(Admission::Ejected)
    }

    /// Records the outcome of a request at a time in Unix seconds, and returns the change of the
    /// version's health. An outcome of None says that the version had no part in the response.
    pub fn record_outcome(
        &self,
        version: &Version,
        probe: Probe,
        outcome: Option<Outcome>,
        store: &impl SharedStore,
        now: impl Fn() -> u64,
    ) -> Option<Change> {
        let watched = self.watched_version(version)?;
        for _ in 0..TRIES {
            let (before, cas) = Health::load(store, watched);
            let (after, change) = match probe {
                Probe::Passive => self.after_passive(before, outcome?, &now),
                Probe::Trial(lease) => self.after_trial(before, lease, outcome, &now),
            };
            if after == before || store.compare_and_set(&watched.key, &after.encode(), cas).is_ok() {
                return change;
            }
        }
        None
    }

    /// The health after a request that is not a trial.
    fn after_passive(
        &self,
        before: Health,
        outcome: Outcome,
        now: impl Fn() -> u64,
    ) -> (Health, Option<Change>) {
        // The request was sent before the ejection, and changes nothing.
        if before.until != 0 {
            return (before, None);
        }
        let count = |counts: bool, errors: u32| if counts { errors.saturating_add(1) } else { 0 };
        let reached = |errors: u32, limit: u32| limit > 0 && errors >= limit;
        let health = Health {
            gateway_errors: count(outcome == Outcome::GatewayError, before.gateway_errors),
            server_errors: count(outcome != Outcome::Success, before.server_errors),
            ..before
        };
        if reached(health.gateway_errors, self.consecutive_gateway_errors)
            || reached(health.server_errors, self.consecutive_5xx_errors)
        {
            let now = now();
            // Each base ejection time without an ejection cancels one earlier ejection.
            let healthy = now.saturating_sub(before.recovered) / u64::from(self.base_ejection_time.max(1));
            let earlier = u64::from(before.ejections).saturating_sub(healthy) as u32;
            return self.eject(health, earlier, now);
        }
        (health, None)
    }

    /// The health after a trial, unless another trial has replaced this one.
    fn after_trial(
        &self,
        before: Health,
        lease: u64,
        outcome: Option<Outcome>,
        now: impl Fn() -> u64,
    ) -> (Health, Option<Change>) {
        if before.until != lease {
            return (before, None);
        }
        let Some(outcome) = outcome else {
            // The request did not reach the version, so the next request is the trial.
            let until = now();
            return (Health { until, ..before }, None);
        };
        let failed = match outcome {
            Outcome::Success => false,
            Outcome::ServerError => self.consecutive_5xx_errors > 0,
            Outcome::GatewayError => true,
        };
        if failed {
            return self.eject(before, before.ejections, now());
        }
        let recovered = Health {
            ejections: before.ejections,
            recovered: now(),
            ..Health::default()
        };
        (recovered, Some(Change::Recovered))
    }

    fn eject(&self, health: Health, earlier: u32, now: u64) -> (Health, Option<Change>) {
        let ejections = earlier.saturating_add(1);
        let duration = self.ejection_time(ejections);
        let ejected = Health {
            gateway_errors: 0,
            server_errors: 0,
            ejections,
            until: now.saturating_add(u64::from(duration)),
            ..health
        };
        (ejected, Some(Change::Ejected(duration)))
    }

    /// The duration of the n-th consecutive ejection in seconds.
    fn ejection_time(&self, ejections: u32) -> u32 {
        let time = self.base_ejection_time.saturating_mul(ejections.max(1));
        time.min(self.max_ejection_time.max(self.base_ejection_time))
    }
}

impl Health {
    /// The health of a version, and the version number of the stored value.
    fn load(store: &impl SharedStore, watched: &WatchedVersion) -> (Self, Option<u32>) {
        match store.get(&watched.key) {
            Some((value, cas)) => (Health::decode(&value).unwrap_or_default(), Some(cas)),
            None => (Health::default(), None),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let Health {
            gateway_errors,
            server_errors,
            ejections,
            until,
            recovered,
        } = self;
        format!("{gateway_errors} {server_errors} {ejections} {until} {recovered}").into_bytes()
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(value).ok()?.split(' ');
        let mut small = || numbers.next()?.parse::<u32>().ok();
        let (gateway_errors, server_errors, ejections) = (small()?, small()?, small()?);
        let mut large = || numbers.next()?.parse::<u64>().ok();
        let (until, recovered) = (large()?, large()?);
        Some(Health {
            gateway_errors,
            server_errors,
            ejections,
            until,
            recovered,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::environment::{Contended, LocalStore};
    use crate::rollout::slots::Share;
    use crate::rollout::version::State;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn version(index: usize) -> VersionRef {
        Arc::new(Version {
            name: format!("v{index}"),
            label: String::new(),
            state: State::Active,
            share: Share::NONE,
            ramp: None,
            builds: Vec::new(),
            index,
        })
    }

    fn watch(gateway: u32, server: u32) -> OutlierDetection {
        OutlierDetection {
            consecutive_gateway_errors: gateway,
            consecutive_5xx_errors: server,
            base_ejection_time: 10,
            max_ejection_time: 25,
            watched: vec![
                None,
                Some(WatchedVersion {
                    key: "v1".to_owned(),
                    fallback: version(0),
                }),
            ],
        }
    }

    /// A watched version that answers as the test says.
    struct Watched(OutlierDetection, VersionRef, LocalStore);

    impl Watched {
        fn new(gateway: u32, server: u32) -> Self {
            let watched = Watched(watch(gateway, server), version(1), LocalStore::default());
            watched.0.prepare(&watched.2);
            watched
        }

        fn admit(&self, now: u64) -> Admission {
            self.0.admit(&self.1, &self.2, || now).unwrap()
        }

        fn record(&self, probe: Probe, outcome: Outcome, now: u64) -> Option<Change> {
            self.0
                .record_outcome(&self.1, probe, Some(outcome), &self.2, || now)
        }

        /// A request that is answered in the same second. None if the version is ejected.
        fn request(&self, outcome: Outcome, now: u64) -> Option<Option<Change>> {
            match self.admit(now) {
                Admission::Open(probe) => Some(self.record(probe, outcome, now)),
                Admission::Ejected => None,
            }
        }
    }

    use Outcome::{GatewayError as G, ServerError as S, Success as O};

    #[test]
    fn code_details_and_status_give_the_outcome() {
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
            // A client that sends slowly causes this.
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
                Outcome::of(details.as_bytes(), || Some(status)),
                expected,
                "{details} {status}"
            );
        }
    }

    #[test]
    fn consecutive_errors_eject_a_version() {
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
            let last = row.iter().map(|outcome| watched.request(*outcome, 100)).last();
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
    fn one_request_probes_whether_the_version_has_recovered() {
        let watched = Watched::new(1, 0);
        assert_eq!(watched.request(G, 100), Some(Some(Change::Ejected(10))));
        assert_eq!(watched.admit(110), Admission::Ejected);
        assert_eq!(watched.admit(111), Admission::Open(Probe::Trial(121)));
        // While the trial is under way, and for a while if its response never comes, no other
        // request goes.
        assert_eq!(watched.admit(111), Admission::Ejected);
        assert_eq!(watched.admit(121), Admission::Ejected);
        assert_eq!(watched.admit(122), Admission::Open(Probe::Trial(132)));
        // Neither a request from before the ejection nor a trial that was replaced changes the
        // health.
        assert_eq!(watched.record(Probe::Passive, O, 123), None);
        assert_eq!(watched.record(Probe::Passive, G, 123), None);
        assert_eq!(watched.record(Probe::Trial(121), O, 123), None);
        assert_eq!(watched.admit(123), Admission::Ejected);
        assert_eq!(watched.record(Probe::Trial(132), O, 123), Some(Change::Recovered));
        assert_eq!(watched.admit(123), Admission::Open(Probe::Passive));
        assert_eq!(watched.record(Probe::Trial(132), G, 124), None);
        assert_eq!(watched.admit(124), Admission::Open(Probe::Passive));
        // Nor does that trial end a later ejection.
        assert_eq!(watched.request(G, 125), Some(Some(Change::Ejected(20))));
        assert_eq!(watched.record(Probe::Trial(132), O, 126), None);
        assert_eq!(watched.admit(126), Admission::Ejected);
        // However long the ejection, a lost trial is replaced after the base ejection time.
        assert_eq!(watched.admit(146), Admission::Open(Probe::Trial(156)));
        assert_eq!(watched.admit(156), Admission::Ejected);
        assert_eq!(watched.admit(157), Admission::Open(Probe::Trial(167)));
    }

    #[test]
    fn a_trial_that_another_filter_answered_is_replaced_at_once() {
        let watched = Watched::new(1, 0);
        assert_eq!(watched.request(G, 100), Some(Some(Change::Ejected(10))));
        assert_eq!(watched.admit(111), Admission::Open(Probe::Trial(121)));
        let Watched(watch, version, store) = &watched;
        assert_eq!(
            watch.record_outcome(version, Probe::Trial(121), None, store, || 112),
            None
        );
        assert_eq!(watched.admit(112), Admission::Ejected);
        assert_eq!(watched.request(O, 113), Some(Some(Change::Recovered)));
        assert_eq!(
            watch.record_outcome(version, Probe::Passive, None, store, || 114),
            None
        );
    }

    #[test]
    fn a_success_between_errors_resets_the_count_however_many_requests_are_under_way() {
        let watched = Watched::new(3, 3);
        let attempts: Vec<_> = (0..100).map(|_| watched.admit(100)).collect();
        for (i, admission) in attempts.into_iter().enumerate() {
            let Admission::Open(probe) = admission else {
                panic!("{admission:?}")
            };
            let outcome = if i % 3 == 2 { O } else { G };
            assert_eq!(watched.record(probe, outcome, 100), None, "{i}");
        }
    }

    /// A store in which other workers write first, so many times.
    struct Slow(LocalStore, std::cell::Cell<u32>);

    impl SharedStore for Slow {
        fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
            self.0.get(key)
        }
        fn compare_and_set(&self, key: &str, value: &[u8], expected: Option<u32>) -> Result<(), Contended> {
            match self.1.get() {
                0 => self.0.compare_and_set(key, value, expected),
                left => {
                    self.1.set(left - 1);
                    Err(Contended)
                }
            }
        }
    }

    #[test]
    fn a_write_is_retried_while_other_workers_write_first() {
        let slow = Slow(LocalStore::default(), std::cell::Cell::new(5));
        let watch = watch(1, 0);
        let change = watch.record_outcome(&version(1), Probe::Passive, Some(G), &slow, || 100);
        assert_eq!(change, Some(Change::Ejected(10)));
    }

    #[test]
    fn health_outlives_a_configuration() {
        let watched = Watched::new(1, 0);
        assert_eq!(watched.request(G, 100), Some(Some(Change::Ejected(10))));
        watched.0.prepare(&watched.2);
        assert_eq!(watched.admit(101), Admission::Ejected);
        let fresh = LocalStore::default();
        watched.0.prepare(&fresh);
        assert!(fresh.get("v1").is_some());
    }

    #[test]
    fn ejections_grow_longer_and_healthy_time_cancels_them() {
        let watched = Watched::new(1, 0);
        assert_eq!(watched.request(G, 100), Some(Some(Change::Ejected(10))));
        assert_eq!(watched.request(G, 111), Some(Some(Change::Ejected(20))));
        assert_eq!(watched.admit(131), Admission::Ejected);
        assert_eq!(watched.request(G, 132), Some(Some(Change::Ejected(25))));
        assert_eq!(watched.admit(157), Admission::Ejected);
        assert_eq!(watched.request(O, 158), Some(Some(Change::Recovered)));
        // Three ejections and one healthy base ejection time: the next ejection is the third.
        assert_eq!(watched.request(G, 168), Some(Some(Change::Ejected(25))));
        assert_eq!(watched.request(O, 194), Some(Some(Change::Recovered)));
        assert_eq!(watched.request(G, 1000), Some(Some(Change::Ejected(10))));
    }

    #[test]
    fn a_trial_fails_only_by_errors_that_are_counted() {
        for (gateway, server, outcome, change) in [
            (1, 0, S, Change::Recovered),
            (1, 1, S, Change::Ejected(20)),
            (0, 1, G, Change::Ejected(20)),
            (0, 1, S, Change::Ejected(20)),
            (1, 0, G, Change::Ejected(20)),
        ] {
            let watched = Watched::new(gateway, server);
            assert_eq!(watched.request(G, 100), Some(Some(Change::Ejected(10))));
            assert_eq!(
                watched.request(outcome, 111),
                Some(Some(change)),
                "{gateway} {server} {outcome:?}"
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
                .record_outcome(&version(0), Probe::Passive, Some(G), &watched.2, || 0),
            None
        );
    }

    /// A store in which another worker writes between each read and write.
    struct Crowded(LocalStore);

    impl SharedStore for Crowded {
        fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
            let found = self.0.get(key);
            let _ = self.0.compare_and_set(key, b"0 0 1 100 0", None);
            found
        }
        fn compare_and_set(&self, key: &str, value: &[u8], expected: Option<u32>) -> Result<(), Contended> {
            self.0.compare_and_set(key, value, expected)
        }
    }

    #[test]
    fn a_worker_that_always_loses_the_race_gets_no_trial() {
        let crowded = Crowded(LocalStore::default());
        crowded.0.compare_and_set("v1", b"0 0 1 100 0", None).unwrap();
        assert_eq!(
            watch(1, 0).admit(&version(1), &crowded, || 200),
            Some(Admission::Ejected)
        );
    }

    #[test]
    fn a_stored_value_that_cannot_be_decoded_counts_as_healthy() {
        for junk in [
            &b""[..],
            b"0 0 0 0",
            b"a b c d e",
            b"-1 0 0 0 0",
            b"0 0 0 0 99999999999999999999",
            b"\xff",
        ] {
            let store = LocalStore::default();
            store.compare_and_set("v1", junk, None).unwrap();
            assert_eq!(
                watch(1, 0).admit(&version(1), &store, || 0),
                Some(Admission::Open(Probe::Passive))
            );
        }
    }
}
