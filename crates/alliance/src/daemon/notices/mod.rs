//! What has happened at a host to what a home's projects have there: noticed, told, taken in and handed on.
//!
//! What `alliance work` learns of servers it writes down itself. The rest stands in the host's tables, and
//! is looked for here.

mod home;
mod host;
#[cfg(test)]
mod tests;
mod view;
mod watching;
pub(crate) mod webhook;
