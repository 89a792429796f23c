//! What the host shall do to a message's headers, as values.

use std::borrow::Cow;

/// One change of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit<'a> {
    /// A further line; those there stay.
    Append(&'a str, Cow<'a, str>),
    /// One line, in place of all that are there.
    Replace(&'a str, Cow<'a, str>),
    /// No line.
    Remove(&'a str),
}

/// Changes in their order. Most messages need one, which takes no allocation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Edits<'a> {
    first: Option<Edit<'a>>,
    more: Vec<Edit<'a>>,
}

impl<'a> Edits<'a> {
    /// Adds a change behind the others.
    pub fn push(&mut self, edit: Edit<'a>) {
        if self.first.is_none() {
            self.first = Some(edit);
        } else {
            self.more.push(edit);
        }
    }

    /// The changes so far.
    pub fn iter(&self) -> impl Iterator<Item = &Edit<'a>> {
        self.first.iter().chain(&self.more)
    }
}

impl<'a> Extend<Edit<'a>> for Edits<'a> {
    fn extend<I: IntoIterator<Item = Edit<'a>>>(&mut self, edits: I) {
        edits.into_iter().for_each(|edit| self.push(edit));
    }
}

impl<'a> FromIterator<Edit<'a>> for Edits<'a> {
    fn from_iter<I: IntoIterator<Item = Edit<'a>>>(edits: I) -> Self {
        let mut all = Edits::default();
        all.extend(edits);
        all
    }
}

impl<'a> IntoIterator for Edits<'a> {
    type Item = Edit<'a>;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Edit<'a>>, std::vec::IntoIter<Edit<'a>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.more)
    }
}
