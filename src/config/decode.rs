//! Reads JSON into checked values and collects every error, each with its path.
//!
//! This module knows JSON and paths, and nothing about versions. A derived `Deserialize` would stop
//! at the first error and could not name its path. Here a wrong value yields [`Invalid`], the error
//! is kept, and the other values are still read.

use std::cell::RefCell;
use std::fmt;

use super::node::Node;
use crate::rollout::slots::decimals;

/// An error or a warning about a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The path: `apps[0].versions[1].weight`; empty for the configuration as a whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self.path.as_str() {
            "" => "configuration",
            path => path,
        };
        write!(f, "{path}: {}", self.reason)
    }
}

/// A wrong value, whose error was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Invalid;

pub(super) type Checked<T> = Result<T, Invalid>;

/// Reads a whole document, and returns the value and the warnings.
///
/// # Errors
/// All errors, in the order of reading.
pub(super) fn decode<T>(
    json: &[u8],
    read: impl FnOnce(Cursor<'_>) -> Checked<T>,
) -> Result<(T, Vec<ConfigError>), Vec<ConfigError>> {
    let fail = |reason: String| {
        Err(vec![ConfigError {
            path: String::new(),
            reason,
        }])
    };
    if json.trim_ascii().is_empty() {
        return fail("must be a JSON object, is empty".to_owned());
    }
    let root: Node = match serde_json::from_slice(json) {
        Ok(root) => root,
        Err(error) => {
            return fail(format!(
                "must be a JSON object: {error} (in plain Envoy, give it as a google.protobuf.StringValue of JSON)"
            ));
        }
    };
    let notes = Notes::default();
    let value = read(Cursor {
        node: &root,
        path: String::new(),
        notes: &notes,
    });
    let errors = notes.errors.into_inner();
    match value {
        Ok(value) if errors.is_empty() => Ok((value, notes.warnings.into_inner())),
        _ => Err(errors),
    }
}

/// The errors and warnings so far.
#[derive(Default)]
struct Notes {
    errors: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<ConfigError>>,
}

/// A value of the document and its path.
pub(super) struct Cursor<'a> {
    node: &'a Node,
    path: String,
    notes: &'a Notes,
}

impl<'a> Cursor<'a> {
    /// Records an error of this value.
    pub(super) fn fail<T>(&self, reason: impl Into<String>) -> Checked<T> {
        self.notes.errors.borrow_mut().push(self.note(reason));
        Err(Invalid)
    }

    /// Records a warning about this value.
    pub(super) fn warn(&self, reason: impl Into<String>) {
        self.notes.warnings.borrow_mut().push(self.note(reason));
    }

    fn note(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError {
            path: self.path.clone(),
            reason: reason.into(),
        }
    }

    /// Records an error of a field of this value. `field` is the path from this value.
    pub(super) fn field_fail<T>(&self, field: &str, reason: impl Into<String>) -> Checked<T> {
        self.child(&Node::Null, field).fail(reason)
    }

    fn expected<T>(&self, what: &str) -> Checked<T> {
        self.fail(format!("must be {what}, is {}", self.node.kind()))
    }

    fn child(&self, node: &'a Node, step: &str) -> Cursor<'a> {
        let dot = if self.path.is_empty() || step.starts_with('[') {
            ""
        } else {
            "."
        };
        Cursor {
            node,
            path: format!("{}{dot}{step}", self.path),
            notes: self.notes,
        }
    }

    pub(super) fn string(&self) -> Checked<&'a str> {
        match self.node {
            Node::String(value) => Ok(value),
            _ => self.expected("a string"),
        }
    }

    /// The string, if the value is a string. For fields that also take other types.
    pub(super) fn as_string(&self) -> Option<&'a str> {
        match self.node {
            Node::String(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn boolean(&self) -> Checked<bool> {
        match self.node {
            Node::Bool(value) => Ok(*value),
            _ => self.expected("true or false"),
        }
    }

    pub(super) fn number(&self) -> Checked<f64> {
        match self.node {
            Node::Number(value) => Ok(*value),
            _ => self.expected("a number"),
        }
    }

    /// A whole number from 0 to `max`.
    pub(super) fn integer(&self, max: u32) -> Checked<u32> {
        let value = self.number()?;
        if value < 0.0 || value > f64::from(max) || value.fract() != 0.0 {
            return self.fail(format!(
                "must be a whole number from 0 to {max}, is {}",
                shown(value)
            ));
        }
        Ok(value as u32)
    }

    /// The value of the given word, which must be one of these words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Checked<T> {
        let given = self.string()?;
        match words.iter().find(|(word, _)| *word == given) {
            Some((_, value)) => Ok(*value),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                self.fail(format!("must be {}, is {given:?}", words.join(" or ")))
            }
        }
    }

    /// Refuses a list of more than `max` items.
    pub(super) fn at_most(&self, max: usize) -> Checked<()> {
        match self.node {
            Node::List(items) if items.len() > max => {
                self.fail(format!("must have at most {max} items, has {}", items.len()))
            }
            _ => Ok(()),
        }
    }

    /// Reads every item, so that every item reports its errors.
    pub(super) fn list<T>(&self, mut read: impl FnMut(Cursor<'a>) -> Checked<T>) -> Checked<Vec<T>> {
        let Node::List(items) = self.node else {
            return self.expected("a list");
        };
        let read: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(i, item)| read(self.child(item, &format!("[{i}]"))))
            .collect();
        read.into_iter().collect()
    }

    /// A list with at least one item.
    pub(super) fn some<T>(&self, read: impl FnMut(Cursor<'a>) -> Checked<T>) -> Checked<Vec<T>> {
        let items = self.list(read)?;
        if items.is_empty() {
            return self.fail("must have at least one item");
        }
        Ok(items)
    }

    /// Reads an object whose names the user chooses.
    pub(super) fn entries<T>(
        &self,
        mut read: impl FnMut(&'a str, Cursor<'a>) -> Checked<T>,
    ) -> Checked<Vec<T>> {
        let Node::Object(fields) = self.node else {
            return self.expected("an object");
        };
        let read: Vec<_> = fields
            .iter()
            .enumerate()
            .map(|(i, (name, node))| {
                let at = self.child(node, name);
                if is_repeated(fields, i) {
                    return at.fail("is given twice");
                }
                read(name, at)
            })
            .collect();
        read.into_iter().collect()
    }

    /// Reads an object with known names, and refuses any other name.
    pub(super) fn object<T>(&self, read: impl FnOnce(&mut Fields<'a, '_>) -> Checked<T>) -> Checked<T> {
        let Node::Object(nodes) = self.node else {
            return self.expected("an object");
        };
        let mut fields = Fields {
            cursor: self,
            nodes,
            known: Vec::new(),
        };
        let value = read(&mut fields);
        let refused = fields.refuse_others();
        value.and_then(|value| refused.map(|()| value))
    }
}

/// The text of a number in an error.
pub(super) fn shown(value: f64) -> String {
    let millionths = (value.abs() * 1e6).round();
    let sign = if value < 0.0 { "-" } else { "" };
    if millionths >= 1e18 {
        format!("beyond {sign}1000000000000")
    } else if millionths == 0.0 && value != 0.0 {
        "nearly 0".to_owned()
    } else {
        format!("{sign}{}", decimals(millionths as u64, 6))
    }
}

/// Whether a field before the i-th has the same name.
fn is_repeated(fields: &[(String, Node)], i: usize) -> bool {
    let name = fields.get(i).map(|(name, _)| name);
    fields.iter().take(i).any(|(other, _)| Some(other) == name)
}

/// The fields of an object. Reading a field records the name, so that unknown names are found.
pub(super) struct Fields<'a, 'c> {
    cursor: &'c Cursor<'a>,
    nodes: &'a [(String, Node)],
    known: Vec<&'static str>,
}

impl<'a> Fields<'a, '_> {
    fn find(&mut self, name: &'static str) -> Option<Cursor<'a>> {
        self.known.push(name);
        let (_, node) = self.nodes.iter().find(|(field, _)| field == name)?;
        Some(self.cursor.child(node, name))
    }

    /// The value of a field that may be absent. Null counts as absent, as in protobuf's JSON.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Cursor<'a>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        match self.find(name) {
            Some(cursor) if *cursor.node != Node::Null => read(cursor).map(Some),
            _ => Ok(None),
        }
    }

    /// The value of a field for which null has a meaning of its own.
    pub(super) fn nullable<T>(
        &mut self,
        name: &'static str,
        absent: T,
        null: T,
        read: impl FnOnce(Cursor<'a>) -> Checked<T>,
    ) -> Checked<T> {
        match self.find(name) {
            None => Ok(absent),
            Some(cursor) if *cursor.node == Node::Null => Ok(null),
            Some(cursor) => read(cursor),
        }
    }

    pub(super) fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(Cursor<'a>) -> Checked<T>,
    ) -> Checked<T> {
        Ok(self.optional(name, read)?.unwrap_or(default))
    }

    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Cursor<'a>) -> Checked<T>,
    ) -> Checked<T> {
        match self.optional(name, read)? {
            Some(value) => Ok(value),
            None => self.fail(name, "must be given"),
        }
    }

    /// Records an error of a field, which may be absent.
    pub(super) fn fail<T>(&self, name: &str, reason: impl Into<String>) -> Checked<T> {
        self.cursor.field_fail(name, reason)
    }

    /// Records a warning about a field, which may be absent.
    pub(super) fn warn(&self, name: &str, reason: impl Into<String>) {
        self.cursor.child(&Node::Null, name).warn(reason);
    }

    /// Reads an object whose absence means `{}`, so that each default is written once.
    pub(super) fn section<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'a, '_>) -> Checked<T>,
    ) -> Checked<T> {
        const EMPTY: &Node = &Node::Object(Vec::new());
        let given = self.find(name).filter(|cursor| *cursor.node != Node::Null);
        given
            .unwrap_or_else(|| self.cursor.child(EMPTY, name))
            .object(read)
    }

    /// The value of the only field that was given. An error if no field was given, or several.
    pub(super) fn only<T>(&self, given: impl IntoIterator<Item = Option<T>>, names: &str) -> Checked<T> {
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(one), None) => Ok(one),
            _ => self.fail_all(format!("must have one of {names}")),
        }
    }

    /// Whether the field is present and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        let given = |(field, node): &(String, Node)| field == name && *node != Node::Null;
        self.nodes.iter().any(given)
    }

    /// Records an error of the object as a whole, unless a field is unknown: that error says
    /// enough.
    pub(super) fn fail_all<T>(&self, reason: impl Into<String>) -> Checked<T> {
        if self.nodes.iter().all(|(name, _)| self.is_known(name)) {
            return self.cursor.fail(reason);
        }
        Err(Invalid)
    }

    fn is_known(&self, name: &str) -> bool {
        self.known.contains(&name)
    }

    fn refuse_others(&self) -> Checked<()> {
        let mut result = Ok(());
        for (i, (name, node)) in self.nodes.iter().enumerate() {
            let at = self.cursor.child(node, name);
            if !self.is_known(name) {
                result = at.fail(format!("unknown field; known are {}", self.known.join(", ")));
            } else if is_repeated(self.nodes, i) {
                result = at.fail("is given twice");
            }
        }
        result
    }
}
