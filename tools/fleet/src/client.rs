//! Clients, with a key or with a cookie jar. What they get is the core's own decision and stamp.

use std::cell::RefCell;

use pinion::decision::{self, Decision};
use pinion::http::edit::Edit;

use crate::chance::Chance;
use crate::fleet::{Moment, Proxy};

/// How a client is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By its key, in `x-user-id`.
    Keyed,
    /// By the pin that it was given, in its cookie.
    Pinned,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    key: Option<String>,
    /// The cookies that it sends.
    pub jar: Option<String>,
    chance: RefCell<Chance>,
}

impl Client {
    /// The client of that number.
    #[must_use]
    pub fn new(kind: Kind, number: usize) -> Self {
        Client {
            key: (kind == Kind::Keyed).then(|| format!("user-{number}")),
            jar: None,
            chance: RefCell::new(Chance::of(0xd1ce, number)),
        }
    }

    /// Sends a request to a proxy, at a time after the start; what is decided there.
    ///
    /// # Panics
    /// If it belongs to no app.
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

    /// The world around a message of this client's at a proxy, at a time after the start.
    #[must_use]
    pub fn moment<'a>(&'a self, proxy: &'a Proxy, time: f64) -> Moment<'a> {
        Moment {
            now: proxy.clock(time),
            chance: &self.chance,
            memory: &proxy.memory,
        }
    }

    /// Takes the response: the cookie that it sets, if any. Whether it set one.
    pub fn take(&mut self, decision: &Decision) -> bool {
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
