//! Who is told why, and on which responses.

use std::borrow::Cow;

use super::Decision;
use crate::ambient::Ambient;
use crate::cache;
use crate::config::Edge;
use crate::edit::Edit;
use crate::explain::{self, Explain};
use crate::header::Headers;
use crate::request::Request;

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
    let answer = || Edit::Replace(explain::ANSWER, Cow::Owned(explain::answer(decision)));
    (!cache::may_be_shared(response)).then(answer)
}
