//! What is counted, and the names under which Envoy keeps it.
//!
//! Proxy-Wasm metrics have no labels. A label is written into the name as `TAG=.=VALUE;.;`, and one tag rule of Envoy's
//! per label, `(TAG=\.=(.*?);\.;)`, takes it out again. Only configured names enter a name, never a client's bytes.

use std::fmt;

use crate::pin::Rejection;
use crate::policy::Reason;

/// A counter of one app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter<'a> {
    /// A request decided.
    Requests {
        /// The version's name.
        version: &'a str,
        /// [`Reason::as_str`].
        reason: &'static str,
    },
    /// A pin that did not hold.
    PinsRejected {
        /// [`Rejection::as_str`].
        cause: &'static str,
    },
    /// An upstream that says it is another version than the one decided.
    VersionMismatch {
        /// The name of the version decided.
        version: &'a str,
    },
}

impl<'a> Counter<'a> {
    /// A request that went to a version for a reason.
    #[must_use]
    pub fn requests(version: &'a str, reason: Reason) -> Self {
        Counter::Requests {
            version,
            reason: reason.as_str(),
        }
    }

    /// A pin that did not hold.
    #[must_use]
    pub fn pins_rejected(cause: Rejection) -> Self {
        Counter::PinsRejected {
            cause: cause.as_str(),
        }
    }

    /// The name that Envoy knows it by.
    #[must_use]
    pub fn name(&self, app: &str) -> String {
        let app = Tag("pin_app", app);
        match self {
            Counter::Requests { version, reason } => {
                let (version, reason) = (Tag("pin_version", version), Tag("pin_reason", reason));
                format!("{app}{version}{reason}pinion_requests_total")
            }
            Counter::PinsRejected { cause } => {
                let cause = Tag("pin_cause", cause);
                format!("{app}{cause}pinion_pins_rejected_total")
            }
            Counter::VersionMismatch { version } => {
                let version = Tag("pin_version", version);
                format!("{app}{version}pinion_version_mismatch_total")
            }
        }
    }
}

struct Tag<'a>(&'a str, &'a str);

impl fmt::Display for Tag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=.={};.;", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn tags_stand_before_the_name() {
        for (counter, name) in [
            (
                Counter::requests("v2", Reason::Pin),
                "pin_app=.=web-api;.;pin_version=.=v2;.;pin_reason=.=pin;.;pinion_requests_total",
            ),
            (
                Counter::pins_rejected(Rejection::Expired),
                "pin_app=.=web-api;.;pin_cause=.=expired;.;pinion_pins_rejected_total",
            ),
            (
                Counter::VersionMismatch { version: "v2" },
                "pin_app=.=web-api;.;pin_version=.=v2;.;pinion_version_mismatch_total",
            ),
        ] {
            assert_eq!(counter.name("web-api"), name);
        }
    }
}
