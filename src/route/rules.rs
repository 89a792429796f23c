//! An ordered list of rules. The first rule that applies decides.
//!
//! An index by exact values keeps long lists fast. If a hundred rules each require another value of
//! the same header, cookie, query parameter or claim, only the rules that require the request's own
//! value are checked.

use smallvec::SmallVec;

use super::matching::{Attribute, Condition, Match, StringMatch};
use crate::environment::Environment;
use crate::http::header::Headers;
use crate::http::request::Request;

/// A rule: the requests that it applies to, and their target.
#[derive(Debug)]
pub struct Rule<T> {
    /// The rule applies if any of these matches holds. With an empty list, the rule applies to
    /// every request.
    pub matches: Vec<Match>,
    /// The target of these requests.
    pub target: T,
}

impl<T> Rule<T> {
    /// Whether any of the matches holds.
    #[must_use]
    pub fn applies<H: Headers + ?Sized, E: Environment>(&self, request: &Request<'_, H, E>) -> bool {
        self.matches.is_empty() || self.matches.iter().any(|each| each.holds(request))
    }
}

/// Rules in order.
#[derive(Debug)]
pub struct Rules<T> {
    all: Vec<Rule<T>>,
    /// The rules that need no exact value.
    unkeyed: IndexSet,
    /// By attribute and value, the rules that need that value.
    keyed: Vec<(Attribute, Values)>,
}

/// Values in ascending order, and the rules that need each value.
type Values = Vec<(String, IndexSet)>;

/// A set of indices into the list of rules: one bit for each.
#[derive(Debug, Default, Clone)]
struct IndexSet(Vec<u64>);

impl IndexSet {
    fn insert(&mut self, index: usize) {
        let word = index / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (index % 64);
        }
    }

    fn word(&self, i: usize) -> u64 {
        self.0.get(i).copied().unwrap_or_default()
    }
}

impl<T> From<Vec<Rule<T>>> for Rules<T> {
    fn from(all: Vec<Rule<T>>) -> Self {
        let mut rules = Rules {
            all: Vec::new(),
            unkeyed: IndexSet::default(),
            keyed: Vec::new(),
        };
        for (index, rule) in all.iter().enumerate() {
            let keys: Option<Vec<_>> = rule.matches.iter().map(key).collect();
            match keys {
                Some(keys) if !keys.is_empty() => {
                    keys.into_iter().for_each(|key| rules.insert_key(key, index));
                }
                _ => rules.unkeyed.insert(index),
            }
        }
        Rules { all, ..rules }
    }
}

/// An attribute and the exact value that a match needs, if it needs one.
fn key(each: &Match) -> Option<(&Attribute, &str)> {
    each.conditions.iter().find_map(|condition| match condition {
        Condition::Value(attribute, StringMatch::Exact(value)) => Some((attribute, value.as_str())),
        _ => None,
    })
}

impl<T> Rules<T> {
    fn insert_key(&mut self, (attribute, value): (&Attribute, &str), index: usize) {
        let known = self.keyed.iter().position(|(known, _)| known == attribute);
        let known = known.unwrap_or_else(|| {
            self.keyed.push((attribute.clone(), Values::new()));
            self.keyed.len() - 1
        });
        let Some((_, values)) = self.keyed.get_mut(known) else {
            return;
        };
        let at = find(values, value.as_bytes()).unwrap_or_else(|at| {
            values.insert(at, (value.to_owned(), IndexSet::default()));
            at
        });
        if let Some((_, indices)) = values.get_mut(at) {
            indices.insert(index);
        }
    }

    /// The first rule that applies, and its index.
    pub fn first<H: Headers + ?Sized, E: Environment>(
        &self,
        request: &Request<'_, H, E>,
    ) -> Option<(usize, &Rule<T>)> {
        let mut candidates = SmallVec::<[&IndexSet; 4]>::from_slice(&[&self.unkeyed]);
        for (attribute, values) in &self.keyed {
            // An attribute may have several values: each is looked up.
            attribute.any(request, |value| {
                let found = find(values, value).ok().and_then(|at| values.get(at));
                candidates.extend(found.map(|(_, indices)| indices));
                false
            });
        }
        for i in 0..self.all.len().div_ceil(64) {
            let mut word = candidates.iter().fold(0, |word, set| word | set.word(i));
            while word != 0 {
                let index = 64 * i + word.trailing_zeros() as usize;
                if let Some(rule) = self.all.get(index)
                    && rule.applies(request)
                {
                    return Some((index, rule));
                }
                // Clears the lowest bit.
                word &= word - 1;
            }
        }
        None
    }

    /// The rule at an index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Rule<T>> {
        self.all.get(index)
    }

    /// The number of rules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

fn find(values: &Values, value: &[u8]) -> Result<usize, usize> {
    values.binary_search_by(|(known, _)| known.as_bytes().cmp(value))
}
