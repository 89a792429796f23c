//! The stamp: the response header that shows which version served a request.

use std::borrow::Cow;

use crate::http::edit::Edit;
use crate::http::header::HeaderName;

/// The stamp of a workload.
#[derive(Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The response header.
    pub header: HeaderName,
    /// The text that the header shows.
    pub label: String,
    /// The name of this workload's version.
    pub version: String,
}

impl Stamp {
    /// The edit of a response that the app gave. The stamp replaces the app's own header: an app
    /// that passes on a header of another service would show that service's version.
    #[must_use]
    pub fn edit(&self) -> Edit<'_> {
        Edit::Replace(self.header.as_str(), Cow::Borrowed(&self.label))
    }
}
