//! Which app a request belongs to, and which conditions it meets.

pub mod cidr;
pub mod matching;
pub mod rules;
pub mod scope;
