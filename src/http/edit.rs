//! Changes of a message's headers, as values that a host applies.

use std::borrow::Cow;

use smallvec::SmallVec;

/// One change of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Adds a first line. The decision has seen that there is none, so the host does not look.
    Add(&'a str, Cow<'a, str>),
    /// Adds a line behind those that are there.
    Append(&'a str, Cow<'a, str>),
    /// Sets one line in place of all that are there.
    Replace(&'a str, Cow<'a, str>),
    /// Removes all lines.
    Remove(&'a str),
}

/// Changes in the order in which a host applies them. No two set the same header: the configuration refuses equal names.
pub type Edits<'a> = SmallVec<[Edit<'a>; 2]>;
