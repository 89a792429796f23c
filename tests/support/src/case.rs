//! Named cases as data: a configuration, requests, and what must be seen of each. `tests/cases/README.md` describes
//! the format, which the run through a real Envoy reads too.

use std::collections::BTreeMap;

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use regex_lite::{Captures, Regex};
use serde::Deserialize;
use sha2::Sha256;

/// The header lines of a message. Values are bytes.
pub type Lines = Vec<(String, Vec<u8>)>;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../cases/", $name)))),*]
    };
}

/// The case files, by name. Compiled in, so that they run where there is no file system.
pub const FILES: &[(&str, &str)] = files![
    "apps.json",
    "browsers.json",
    "builds.json",
    "caching.json",
    "claims.json",
    "explain.json",
    "inbound.json",
    "initial.json",
    "mirror.json",
    "observe.json",
    "overrides.json",
    "pins.json",
    "precedence.json",
    "ramps.json",
    "response.json",
    "rules.json",
    "shares.json",
    "signed.json",
    "skew.json",
    "sources.json",
    "stamp.json",
    "states.json",
    "tokens.json",
];

/// The node that every case runs on: a sidecar beside v2.
pub const NODE_ID: &str = "sidecar~127.0.0.1~shop-v2.default~default.svc.cluster.local";

/// Its labels.
pub const NODE_LABELS: [(&str, &str); 3] = [("app", "shop"), ("version", "v2"), ("odd", "é")];

/// The VM's environment.
pub const ENVIRONMENT: [(&str, &str); 6] = [
    ("APP_VERSION", "2.0-SNAPSHOT"),
    ("EMPTY", ""),
    ("PINION_KEY", "the first key, which is long enough\n"),
    ("PINION_OLD_KEY", "the key before, which is long enough"),
    ("PINION_EVIL_KEY", "a key that nobody was told of, but us"),
    ("PINION_SHORT_KEY", "a key of thirty-one bytes only!\n"),
];

/// The variable that holds each key that cases sign with.
const KEYS: [(&str, &str); 3] = [
    ("k1", "PINION_KEY"),
    ("k0", "PINION_OLD_KEY"),
    ("evil", "PINION_EVIL_KEY"),
];

/// Requests under one configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What these cases are about.
    pub about: String,
    /// The plugin configuration.
    pub config: serde_json::Value,
    /// The requests.
    pub cases: Vec<Case>,
}

/// One request and what must be seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A sentence.
    pub name: String,
    /// What the client sends.
    #[serde(default)]
    pub request: Request,
    /// The claims of a token that the proxy verified.
    #[serde(default)]
    pub claims: BTreeMap<String, serde_json::Value>,
    /// The client's address, as far as Envoy trusts it.
    #[serde(default = "loopback")]
    pub source: String,
    /// What answers.
    #[serde(default)]
    pub answer: Answer,
    /// What must be seen.
    pub expect: Expect,
}

fn loopback() -> String {
    "127.0.0.1".to_owned()
}

/// What a client sends.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The `Host` header.
    pub host: String,
    /// The request target.
    pub path: String,
    /// Further header lines. `{now-60}` in a value becomes Unix seconds; each character below 256 is a byte.
    pub headers: Vec<(String, String)>,
}

impl Default for Request {
    fn default() -> Self {
        Request {
            method: "GET".to_owned(),
            host: "shop.example.com".to_owned(),
            path: "/".to_owned(),
            headers: Vec::new(),
        }
    }
}

/// What answers a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// Who does.
    pub by: Answerer,
    /// Header lines of the upstream's answer.
    pub headers: Vec<(String, String)>,
}

/// Who answers a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is one of Envoy's response code details")]
pub enum Answerer {
    #[default]
    ViaUpstream,
    DirectResponse,
    NoHealthyUpstream,
}

impl Answerer {
    /// Envoy's `response.code_details`.
    pub fn code_details(self) -> &'static str {
        match self {
            Answerer::ViaUpstream => "via_upstream",
            Answerer::DirectResponse => "direct_response",
            Answerer::NoHealthyUpstream => "no_healthy_upstream",
        }
    }
}

/// What must be seen: for each header named, all of its lines. `{slot}` and `{now}` stand for numbers.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// In the request as it reaches the upstream.
    pub upstream: BTreeMap<String, Vec<String>>,
    /// In the response as it reaches the client.
    pub response: BTreeMap<String, Vec<String>>,
    /// What access logs find as filter state; `-` is nothing.
    pub filter_state: BTreeMap<String, String>,
    /// Whether the filter answers itself with 204, and the upstream is not reached.
    pub blocked: bool,
}

/// A message pair as it was seen.
#[derive(Debug)]
pub struct Seen {
    /// The request as the filter left it.
    pub upstream: Lines,
    /// The response as the filter left it.
    pub response: Lines,
    /// The filter state that it left.
    pub filter_state: BTreeMap<String, String>,
    /// Whether the filter answered itself with 204.
    pub blocked: bool,
}

/// All groups of all files, each with its file's name.
pub fn groups() -> Vec<(&'static str, Group)> {
    FILES
        .iter()
        .flat_map(|(name, text)| {
            let groups: Vec<Group> =
                serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            groups.into_iter().map(move |group| (*name, group))
        })
        .collect()
}

/// Runs every case and gathers what failed; panics with all of it, or if there was nothing to run.
pub fn run_all(mut run: impl FnMut(&Group, &Case, u64) -> Seen, now: u64) {
    let mut failures = Vec::new();
    let mut count = 0;
    for (file, group) in groups() {
        for case in &group.cases {
            count += 1;
            let seen = run(&group, case, now);
            if let Err(why) = case.check(&seen, now) {
                failures.push(format!("{file}: {}: {}\n{why}", group.about, case.name));
            }
        }
    }
    assert!(count > 50, "only {count} cases were found");
    assert!(
        failures.is_empty(),
        "{} of {count} cases failed\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// A claim as Envoy hands it to a filter; none where that fails.
pub fn claim_bytes(claim: &serde_json::Value) -> Option<Vec<u8>> {
    use serde_json::Value;
    match claim {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Number(number) => Some(number.as_f64()?.to_le_bytes().to_vec()),
        Value::Bool(flag) => Some(vec![u8::from(*flag)]),
        Value::Array(items) => {
            let items: Vec<_> = items
                .iter()
                .filter_map(claim_bytes)
                .map(|item| (item, Vec::new()))
                .collect();
            Some(serialized(&items))
        }
        Value::Object(fields) => {
            let entry = |(name, value): (&String, &Value)| Some((name.clone(), claim_bytes(value)?));
            Some(serialized(&fields.iter().filter_map(entry).collect::<Vec<_>>()))
        }
        Value::Null => None,
    }
}

/// Pairs in Proxy-Wasm's serialization.
pub fn serialized<K: AsRef<[u8]>>(pairs: &[(K, Vec<u8>)]) -> Vec<u8> {
    let word = |n: usize| u32::try_from(n).expect("fits").to_le_bytes();
    let mut out = word(pairs.len()).to_vec();
    for (name, value) in pairs {
        out.extend(word(name.as_ref().len()));
        out.extend(word(value.len()));
    }
    for (name, value) in pairs {
        out.extend_from_slice(name.as_ref());
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

impl Case {
    /// The request's header lines, pseudo-headers first, as Envoy hands them to a filter.
    pub fn request_lines(&self, now: u64) -> Lines {
        let request = &self.request;
        let mut lines = vec![
            (":method".to_owned(), bytes(&request.method)),
            (":authority".to_owned(), bytes(&request.host)),
            (":path".to_owned(), bytes(&timed(&request.path, now))),
        ];
        let further = request.headers.iter();
        lines.extend(further.map(|(name, value)| (name.to_ascii_lowercase(), bytes(&timed(value, now)))));
        if !lines.iter().any(|(name, _)| name == "x-forwarded-proto") {
            lines.push(("x-forwarded-proto".to_owned(), b"http".to_vec()));
        }
        lines
    }

    /// The answer's header lines.
    pub fn answer_lines(&self) -> Lines {
        let mut lines = vec![(":status".to_owned(), b"200".to_vec())];
        let further = self.answer.headers.iter();
        lines.extend(further.map(|(name, value)| (name.to_ascii_lowercase(), bytes(value))));
        if self.answer.by == Answerer::ViaUpstream {
            lines.push(("x-envoy-upstream-service-time".to_owned(), b"1".to_vec()));
        }
        lines
    }

    /// Compares what was seen with what must be.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, seen: &Seen, now: u64) -> Result<(), String> {
        let upstream = differences("upstream", &self.expect.upstream, &seen.upstream, now);
        let response = differences("response", &self.expect.response, &seen.response, now);
        let mut all: Vec<_> = upstream.into_iter().chain(response).collect();
        let (state, blocked) = (&self.expect.filter_state, self.expect.blocked);
        for (name, expected) in state {
            let value = seen.filter_state.get(name).map_or("-", String::as_str);
            if value != expected {
                all.push(format!(
                    "  filter state {name}: expected {expected:?}, saw {value:?}"
                ));
            }
        }
        if seen.blocked != blocked {
            all.push(format!("  blocked: expected {blocked}, saw {}", seen.blocked));
        }
        if all.is_empty() {
            Ok(())
        } else {
            Err(all.join("\n"))
        }
    }
}

fn differences(side: &str, expected: &BTreeMap<String, Vec<String>>, seen: &Lines, now: u64) -> Vec<String> {
    let differ = |(name, expected): (&String, &Vec<String>)| {
        let values: Vec<String> = seen
            .iter()
            .filter(|(field, _)| field == name)
            .map(|(_, value)| value.iter().map(|b| char::from(*b)).collect())
            .collect();
        let alike = values.len() == expected.len()
            && expected
                .iter()
                .zip(&values)
                .all(|(pattern, value)| is_like(pattern, value, now));
        (!alike).then(|| format!("  {side} {name}: expected {expected:?}, saw {values:?}"))
    };
    expected.iter().filter_map(differ).collect()
}

/// Whether the value is the pattern, with `{now}` within ten seconds and `{slot}` any slot.
fn is_like(pattern: &str, value: &str, now: u64) -> bool {
    let escaped = regex_lite::escape(pattern)
        .replace(r"\{now\}", "([0-9]{10})")
        .replace(r"\{later\}", "[0-9]{10}")
        .replace(r"\{slot\}", "[0-9]{1,5}")
        .replace(r"\{mac\}", "[A-Za-z0-9_-]{22}");
    let regex = Regex::new(&format!("^{escaped}$")).expect("an escaped pattern is a pattern");
    regex.captures(value).is_some_and(|found| {
        found.iter().skip(1).flatten().all(|time| {
            time.as_str()
                .parse::<u64>()
                .is_ok_and(|time| time.abs_diff(now) <= 10)
        })
    })
}

/// Seals what stands in `{pin:KEY:ID:APP:VALUE}` and `{token:KEY:ID:APP:VALUE}`: with a key, under an id.
fn sealed(value: &str) -> String {
    let regex = Regex::new(r"\{(pin|token):([^:]*):([^:]*):([^:]*):([^}]*)\}").expect("a pattern");
    let seal = |found: &Captures<'_>| {
        let (kind, key, id, app, value) = (&found[1], &found[2], &found[3], &found[4], &found[5]);
        let parts = value.replace('~', "|");
        let (prefix, mark) = if kind == "pin" {
            ("pinion1", "")
        } else {
            ("pinion1-override", "~override")
        };
        let mac = mac(key, &format!("{prefix}|{app}|{parts}|{id}"));
        format!("{value}{mark}~{id}~{mac}")
    };
    regex.replace_all(value, seal).into_owned()
}

fn mac(key: &str, message: &str) -> String {
    let (_, variable) = KEYS
        .iter()
        .find(|(id, _)| *id == key)
        .expect("a key of these tests");
    let (_, key) = ENVIRONMENT
        .iter()
        .find(|(name, _)| name == variable)
        .expect("it is set");
    let mut hmac = Hmac::<Sha256>::new_from_slice(key.trim_end().as_bytes()).expect("any length");
    hmac.update(message.as_bytes());
    Base64UrlUnpadded::encode_string(&hmac.finalize().into_bytes()[..16])
}

/// Puts Unix seconds for `{now}`, `{now-60}` and `{now+60}`.
fn timed(value: &str, now: u64) -> String {
    let regex = Regex::new(r"\{now([-+][0-9]+)?\}").expect("a pattern");
    let time = |found: &Captures<'_>| {
        let offset: i64 = found
            .get(1)
            .map_or(0, |offset| offset.as_str().parse().expect("a number"));
        now.saturating_add_signed(offset).to_string()
    };
    sealed(&regex.replace_all(value, time))
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(c).expect("cases write bytes as characters below 256"))
        .collect()
}
