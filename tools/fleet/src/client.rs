//! Clients with a key or with a cookie. The filter's core decides and stamps their requests.

use std::cell::RefCell;

use pinion::decision::{self, Decision};
use pinion::http::edit::Edit;

use crate::fleet::{Moment, Proxy};
use crate::random::Random;

/// How a client is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By its key, in `x-user-id`.
    Keyed,
    /// By the pin in its cookie.
    Pinned,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    key: Option<String>,
    /// The cookie that the client sends.
    pub jar: Option<String>,
    random: RefCell<Random>,
}

impl Client {
    /// The client with this number.
    #[must_use]
    pub fn new(kind: Kind, number: usize) -> Self {
        Client {
            key: (kind == Kind::Keyed).then(|| format!("user-{number}")),
            jar: None,
            random: RefCell::new(Random::of(0xd1ce, number)),
        }
    }

    /// The decision of a proxy for a request at a time after the start.
    ///
    /// # Panics
    /// If the request belongs to no app.
    pub fn ask(&self, proxy: &Proxy, time: f64) -> Decision {
        let mut headers: [(&str, &[u8]); 4] = [
            (":method", b"GET"),
            (":authority", b"shop.example.com"),
            (":path", b"/cart"),
            ("accept", b"*/*"),
        ];
        if let Some(key) = &self.key {
            headers[3] = ("x-user-id", key.as_bytes());
        } else if let Some(jar) = &self.jar {
            headers[3] = ("cookie", jar.as_bytes());
        }
        decision::decide(&proxy.edge, &headers[..], &self.moment(proxy, time)).expect("an app")
    }

    /// The environment of this client's request at a proxy, at a time after the start.
    #[must_use]
    pub fn moment<'a>(&'a self, proxy: &'a Proxy, time: f64) -> Moment<'a> {
        Moment {
            now: proxy.clock(time),
            random: &self.random,
            store: &proxy.store,
        }
    }

    /// Stores the cookie that the response sets. Whether the response sets one.
    pub fn receive(&mut self, decision: &Decision) -> bool {
        if decision.client_state.is_none() {
            return false;
        }
        let response: [(&str, &[u8]); 1] = [(":status", b"200")];
        let stamped = decision::stamp(decision, &response[..], || 0);
        let set = stamped.edits.iter().find_map(|edit| match edit {
            Edit::Append("set-cookie", value) => Some(value.split(';').next()?.to_owned()),
            _ => None,
        });
        let given = set.is_some();
        self.jar = set.or(self.jar.take());
        given
    }
}

/// Whether a decision leads to v2.
#[must_use]
pub fn is_new(decision: &Decision) -> bool {
    decision.version.index == 1
}
