//! Who is told why, and on which responses.

use std::borrow::Cow;

use super::Decision;
use crate::config::Edge;
use crate::decision::trace::{self, Explain};
use crate::environment::Ambient;
use crate::http::cacheability;
use crate::http::edit::Edit;
use crate::http::header::Headers;
use crate::http::request::Request;

/// Whether a client asks why, and may. What only observes does not answer.
pub fn is_asked_why<H: Headers + ?Sized>(
    edge: &Edge,
    headers: &H,
    decision: Option<&Decision>,
    ambient: &impl Ambient,
) -> bool {
    let Some(explain) = &edge.explain else {
        return false;
    };
    let acts = decision.map_or(edge.acts(), |decision| !decision.is_observed());
    acts && is_asked(explain, headers, ambient)
}

#[inline(never)]
fn is_asked<H: Headers + ?Sized>(explain: &Explain, headers: &H, ambient: &impl Ambient) -> bool {
    headers.first(explain.header.as_str()).is_some()
        && explain.allow.includes(&Request::new(headers, ambient))
}

/// The answer to who asks why, on a response. A shared cache would hand it to others, so it goes on none that one may
/// keep.
pub fn explained<H: Headers + ?Sized>(decision: Option<&Decision>, response: &H) -> Option<Edit<'static>> {
    let answer = || Edit::Replace(trace::ANSWER, Cow::Owned(trace::answer(decision)));
    (!cacheability::may_be_shared(response)).then(answer)
}
