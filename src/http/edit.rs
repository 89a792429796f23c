//! What the host shall do to a message's headers, as values.

use std::borrow::Cow;

use crate::http::few::Few;

/// One change of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit<'a> {
    /// A first line. Whoever makes it has seen that there is none; the host does not look.
    Add(&'a str, Cow<'a, str>),
    /// A further line; those there stay.
    Append(&'a str, Cow<'a, str>),
    /// One line, in place of all that are there.
    Replace(&'a str, Cow<'a, str>),
    /// No line.
    Remove(&'a str),
}

/// Changes in their order. Most messages need one. No two write the same name, as a configuration whose headers have the
/// same names is refused.
pub type Edits<'a> = Few<Edit<'a>>;
