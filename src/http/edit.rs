//! Changes of a message's headers, as values that a host applies.

use std::borrow::Cow;

use smallvec::SmallVec;

/// One change of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Adds a line. The decision has checked that the header is absent, so the host need not look.
    Add(&'a str, Cow<'a, str>),
    /// Adds a line after the existing lines.
    Append(&'a str, Cow<'a, str>),
    /// Sets one line in place of all existing lines.
    Replace(&'a str, Cow<'a, str>),
    /// Removes all lines.
    Remove(&'a str),
}

/// Changes in the order in which a host applies them. No two changes set the same header: the
/// configuration refuses equal names.
pub type Edits<'a> = SmallVec<[Edit<'a>; 2]>;
