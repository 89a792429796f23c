//! What gives a client a slot without a pin: keys such as a user id, and the parts of a request
//! that the first slot is derived from.

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
    /// The client's key. None if the request has no such key or the key is empty.
    #[must_use]
    pub fn value<H: Headers + ?Sized, E: Environment>(&self, request: &Request<'_, H, E>) -> Option<Vec<u8>> {
        let value = match self {
            ClientKey::Header(name) => request.headers().joined(name.as_str())?.into_owned(),
            ClientKey::Cookie(name) => request.cookies(name).find(|value| !value.is_empty())?.to_vec(),
            ClientKey::Claim(name) => request.claim(name)?.text()?.to_vec(),
            ClientKey::SourceIp => request.client_address()?.to_canonical().to_string().into_bytes(),
        };
        (!value.is_empty()).then_some(value)
    }

    /// The slot of the client's key. None if the request has no such key.
    #[must_use]
    pub fn slot<H: Headers + ?Sized, E: Environment>(
        &self,
        app: &str,
        epoch: u32,
        request: &Request<'_, H, E>,
    ) -> Option<Slot> {
        Some(Slot::of_key(app, epoch, &self.value(request)?))
    }
}

/// The parts of a request from which a client's first slot is derived, in place of a random slot.
///
/// The slot is the same for all requests with the same parts. So the parallel first requests of a
/// page, two tabs, and clients without cookies agree on one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialSlot {
    /// The attributes that the slot is hashed from. The request must have all of them.
    pub parts: Vec<ClientKey>,
    /// The duration of a time bucket in seconds. In each bucket the same parts have another slot.
    pub every: Option<u32>,
}

impl InitialSlot {
    /// The slot of the request's parts. None if the request lacks a part.
    #[must_use]
    pub fn slot<H: Headers + ?Sized, E: Environment>(
        &self,
        app: &str,
        epoch: u32,
        request: &Request<'_, H, E>,
    ) -> Option<Slot> {
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(|part| part.value(request))
            .collect::<Option<_>>()?;
        let bucket = self.every.map(|every| request.now() / u64::from(every.max(1)));
        Some(Slot::of_parts(app, epoch, bucket, &parts))
    }
}
