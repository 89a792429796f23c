//! HTTP messages: what a decision reads of them, and the changes it makes to them.

pub mod authority;
pub mod cacheability;
pub mod cookie;
pub mod edit;
pub mod fetch;
pub mod header;
pub mod multimap;
pub mod origin;
pub mod request;
