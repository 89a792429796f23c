//! What a client carries to be recognized: pins, override tokens, and their signatures.

pub mod overrides;
pub mod pin;
pub mod seal;
pub mod token;
pub mod verified;
