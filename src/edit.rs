//! What the host shall do to a message's headers, as values.

use std::borrow::Cow;

use crate::few::Few;

/// One change of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit<'a> {
    /// A first line, where there is none.
    Add(&'a str, Cow<'a, str>),
    /// A further line; those there stay.
    Append(&'a str, Cow<'a, str>),
    /// One line, in place of all that are there.
    Replace(&'a str, Cow<'a, str>),
    /// No line.
    Remove(&'a str),
}

/// Changes in their order. Most messages need one.
pub type Edits<'a> = Few<Edit<'a>>;
