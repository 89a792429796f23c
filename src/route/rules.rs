//! An app's rules, in order, with an index: of a hundred rules that each ask for a value of a header, a request is held
//! against those that ask for its own.

use crate::environment::Ambient;
use crate::http::header::{HeaderName, Headers};
use crate::http::request::Request;
use crate::route::matching::{Match, Rule, StringMatch};

/// Rules, of which the first that applies wins.
#[derive(Debug, Default)]
pub struct Rules {
    all: Vec<Rule>,
    /// Those that no header's value tells anything of.
    unkeyed: Places,
    /// By a header's name and its value, those that may apply.
    keyed: Vec<(HeaderName, Values)>,
}

/// Values in order, and who asks for each.
type Values = Vec<(String, Places)>;

/// Places in the list of rules: a bit for each.
#[derive(Debug, Default, Clone)]
struct Places(Vec<u64>);

impl Places {
    fn insert(&mut self, place: usize) {
        let word = place / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (place % 64);
        }
    }

    fn word(&self, i: usize) -> u64 {
        self.0.get(i).copied().unwrap_or_default()
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(all: Vec<Rule>) -> Self {
        let mut rules = Rules::default();
        for (place, rule) in all.iter().enumerate() {
            let keys: Option<Vec<_>> = rule.matches.iter().map(key).collect();
            match keys {
                Some(keys) if !keys.is_empty() => keys.into_iter().for_each(|key| rules.index(key, place)),
                _ => rules.unkeyed.insert(place),
            }
        }
        Rules { all, ..rules }
    }
}

/// A header and the value that it must have, if there is one.
fn key(one: &Match) -> Option<(&HeaderName, &str)> {
    one.headers.iter().find_map(|(name, wanted)| match wanted {
        StringMatch::Exact(value) => Some((name, value.as_str())),
        _ => None,
    })
}

impl Rules {
    fn index(&mut self, (name, value): (&HeaderName, &str), place: usize) {
        let known = self.keyed.iter().position(|(known, _)| known == name);
        let known = known.unwrap_or_else(|| {
            self.keyed.push((name.clone(), Values::new()));
            self.keyed.len() - 1
        });
        let Some((_, values)) = self.keyed.get_mut(known) else {
            return;
        };
        let at = find(values, value.as_bytes()).unwrap_or_else(|at| {
            values.insert(at, (value.to_owned(), Places::default()));
            at
        });
        if let Some((_, places)) = values.get_mut(at) {
            places.insert(place);
        }
    }

    /// The first that applies, and its place.
    pub fn first<H: Headers + ?Sized, A: Ambient>(&self, request: &Request<'_, H, A>) -> Option<usize> {
        let keyed: Vec<_> = self
            .keyed
            .iter()
            .filter_map(|(name, values)| {
                let value = request.headers.joined(name.as_str())?;
                values.get(find(values, &value).ok()?)
            })
            .collect();
        if keyed.is_empty() && self.unkeyed.0.is_empty() {
            return None;
        }
        self.first_of(&keyed, request)
    }

    /// The first that applies of those that are kept under its headers' values, and of the others.
    #[inline(never)]
    fn first_of<H: Headers + ?Sized, A: Ambient>(
        &self,
        keyed: &[&(String, Places)],
        request: &Request<'_, H, A>,
    ) -> Option<usize> {
        (0..self.all.len().div_ceil(64)).find_map(|i| {
            let all = keyed
                .iter()
                .fold(self.unkeyed.word(i), |all, (_, some)| all | some.word(i));
            let mut places = std::iter::successors(Some(all), |left| Some(left & left.wrapping_sub(1)))
                .take_while(|left| *left != 0)
                .map(|left| 64 * i + left.trailing_zeros() as usize);
            places.find(|place| self.get(*place).is_some_and(|rule| rule.applies(request)))
        })
    }

    /// The rule at a place.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Rule> {
        self.all.get(place)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

fn find(values: &Values, value: &[u8]) -> Result<usize, usize> {
    values.binary_search_by(|(known, _)| known.as_bytes().cmp(value))
}
