//! Changes of a message's headers, as values that a host applies.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::header::{Headers, trim_ows};

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

/// The edit of a request's `Connection` header that keeps the next hop from removing headers that these edits set
/// (RFC 9110 section 7.6.1). Envoy passes the header on for an upgrade. None if it names no such header.
pub fn unconnected<H: Headers + ?Sized>(headers: &H, edits: &Edits<'_>) -> Option<Edit<'static>> {
    let value = headers.joined("connection")?;
    let sets = |option: &[u8]| {
        edits.iter().any(|edit| match edit {
            Edit::Add(name, _) | Edit::Append(name, _) | Edit::Replace(name, _) => {
                option.eq_ignore_ascii_case(name.as_bytes())
            }
            Edit::Remove(_) => false,
        })
    };
    let options = || value.split(|b| *b == b',').map(trim_ows);
    if !options().any(sets) {
        return None;
    }
    let kept: Vec<_> = options().filter(|option| !sets(option)).collect();
    let kept = String::from_utf8_lossy(&kept.join(&b", "[..])).into_owned();
    Some(Edit::Replace("connection", Cow::Owned(kept)))
}

/// Changes in the order in which a host applies them. No two set the same header: the configuration refuses equal names.
pub type Edits<'a> = SmallVec<[Edit<'a>; 2]>;
