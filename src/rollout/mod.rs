//! Versions and which slots they serve, over time and through failures.

pub mod outlier;
pub mod ramp;
pub mod schedule;
pub mod slots;
pub mod version;
