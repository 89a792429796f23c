//! Client keys: what identifies a client without a pin, such as a user id that the request carries.

use crate::environment::Environment;
use crate::http::header::{HeaderName, Headers};
use crate::http::request::Request;
use crate::rollout::slots::Slot;

/// Where a client's key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientKey {
    /// In a header. Repeated lines are joined with a comma.
    Header(HeaderName),
    /// In a cookie.
    Cookie(String),
    /// In a claim of a verified token. The claim must be a string.
    Claim(String),
    /// The client's address, as far as Envoy trusts it.
    SourceIp,
}

impl ClientKey {
    /// The slot of the client's key. None if the request has no such key or the key is empty.
    #[must_use]
    pub fn slot<H: Headers + ?Sized, E: Environment>(
        &self,
        app: &str,
        epoch: u32,
        request: &Request<'_, H, E>,
    ) -> Option<Slot> {
        let slot = |key: &[u8]| (!key.is_empty()).then(|| Slot::of_key(app, epoch, key));
        match self {
            ClientKey::Header(name) => slot(&request.headers().joined(name.as_str())?),
            ClientKey::Cookie(name) => request.cookies(name).find_map(slot),
            ClientKey::Claim(name) => slot(request.claim(name)?.text()?),
            ClientKey::SourceIp => slot(request.client_address()?.to_canonical().to_string().as_bytes()),
        }
    }
}
