//! The metrics, and their names in Envoy.
//!
//! Proxy-Wasm metrics have no labels. A label is written into the name as `TAG=.=VALUE;.;`, and one
//! of Envoy's tag rules per label, `(TAG=\.=(.*?);\.;)`, extracts it again. A name contains only
//! configured names, never a client's bytes.

/// A counter or gauge with its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric<'a> {
    /// Counts decided requests.
    Requests {
        /// The app's name.
        app: &'a str,
        /// The version's name.
        version: &'a str,
        /// [`Reason::as_str`](crate::decision::Reason::as_str).
        reason: &'static str,
    },
    /// Counts requests whose pins were rejected.
    PinsRejected {
        /// The app's name.
        app: &'a str,
        /// [`Rejection::as_str`](crate::identity::pin::Rejection::as_str).
        cause: &'static str,
    },
    /// Counts new pins that were withheld.
    PinsWithheld {
        /// The app's name.
        app: &'a str,
        /// [`Withheld::as_str`](crate::decision::Withheld::as_str) or
        /// [`FreshBy::as_str`](crate::http::cacheability::FreshBy::as_str).
        cause: &'static str,
    },
    /// Counts requests with a build id that no version has.
    BuildsUnknown {
        /// The app's name.
        app: &'a str,
    },
    /// Counts requests that exceeded a limit.
    LimitsExceeded {
        /// The app's name.
        app: &'a str,
        /// [`Limit::as_str`](crate::http::request::Limit::as_str).
        cause: &'static str,
    },
    /// Counts responses whose upstream names another version than the decided version.
    VersionMismatch {
        /// The app's name.
        app: &'a str,
        /// The name of the decided version.
        version: &'a str,
    },
    /// Counts ejections of a version.
    Ejections {
        /// The app's name.
        app: &'a str,
        /// The version's name.
        version: &'a str,
    },
    /// Counts mirrored requests at a workload.
    Mirrored {
        /// [`MirrorOutcome::as_str`](crate::workload::MirrorOutcome::as_str).
        outcome: &'static str,
    },
    /// A version's share in slots, 0 to 100,000. This is the only gauge.
    ShareSlots {
        /// The app's name.
        app: &'a str,
        /// The version's name.
        version: &'a str,
    },
}

impl Metric<'_> {
    /// The name in Envoy.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Metric::Requests { app, version, reason } => {
                let tags = [("app", *app), ("version", *version), ("reason", *reason)];
                tagged(&tags, "requests_total")
            }
            Metric::PinsRejected { app, cause } => {
                tagged(&[("app", *app), ("cause", *cause)], "pins_rejected_total")
            }
            Metric::PinsWithheld { app, cause } => {
                tagged(&[("app", *app), ("cause", *cause)], "pins_withheld_total")
            }
            Metric::BuildsUnknown { app } => tagged(&[("app", *app)], "builds_unknown_total"),
            Metric::LimitsExceeded { app, cause } => {
                tagged(&[("app", *app), ("cause", *cause)], "limits_exceeded_total")
            }
            Metric::VersionMismatch { app, version } => {
                tagged(&[("app", *app), ("version", *version)], "version_mismatch_total")
            }
            Metric::Ejections { app, version } => {
                tagged(&[("app", *app), ("version", *version)], "ejections_total")
            }
            Metric::Mirrored { outcome } => tagged(&[("outcome", *outcome)], "mirrored_total"),
            Metric::ShareSlots { app, version } => {
                tagged(&[("app", *app), ("version", *version)], "share_slots")
            }
        }
    }
}

fn tagged(tags: &[(&str, &str)], name: &str) -> String {
    let tags: String = tags
        .iter()
        .map(|(tag, value)| format!("pin_{tag}=.={value};.;"))
        .collect();
    format!("{tags}pinion_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn tags_stand_before_the_name() {
        let (app, version) = ("web-api", "v2");
        for (metric, name) in [
            (
                Metric::Requests {
                    app,
                    version,
                    reason: "pin",
                },
                "pin_app=.=web-api;.;pin_version=.=v2;.;pin_reason=.=pin;.;pinion_requests_total",
            ),
            (
                Metric::PinsRejected {
                    app,
                    cause: "expired",
                },
                "pin_app=.=web-api;.;pin_cause=.=expired;.;pinion_pins_rejected_total",
            ),
            (
                Metric::PinsWithheld {
                    app,
                    cause: "s-maxage",
                },
                "pin_app=.=web-api;.;pin_cause=.=s-maxage;.;pinion_pins_withheld_total",
            ),
            (
                Metric::BuildsUnknown { app },
                "pin_app=.=web-api;.;pinion_builds_unknown_total",
            ),
            (
                Metric::LimitsExceeded { app, cause: "regex" },
                "pin_app=.=web-api;.;pin_cause=.=regex;.;pinion_limits_exceeded_total",
            ),
            (
                Metric::VersionMismatch { app, version },
                "pin_app=.=web-api;.;pin_version=.=v2;.;pinion_version_mismatch_total",
            ),
            (
                Metric::Ejections { app, version },
                "pin_app=.=web-api;.;pin_version=.=v2;.;pinion_ejections_total",
            ),
            (
                Metric::Mirrored { outcome: "tagged" },
                "pin_outcome=.=tagged;.;pinion_mirrored_total",
            ),
            (
                Metric::ShareSlots { app, version },
                "pin_app=.=web-api;.;pin_version=.=v2;.;pinion_share_slots",
            ),
        ] {
            assert_eq!(metric.name(), name);
        }
    }
}
