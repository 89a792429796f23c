//! HTTP messages: what a decision reads of them, and how they are changed.

pub mod cacheability;
pub mod cookie;
pub mod edit;
pub mod few;
pub mod header;
pub mod origin;
pub mod request;
