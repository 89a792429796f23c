//! What a client carries to be recognized: pins, client keys, override tokens, and their
//! signatures.

pub mod client_key;
pub mod overrides;
pub mod pin;
pub mod pinning;
pub mod seal;
pub mod token;
pub mod verified;
