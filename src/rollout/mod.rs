//! The versions of an app, and which slots each serves: over time, and while a version fails.

pub mod outlier;
pub mod ramp;
pub mod schedule;
pub mod slots;
pub mod version;
