//! Against a real Keystone, with an admin's `OS_*` in the environment:
//!
//! ```text
//! lab/up --without-alliance west; eval "$(lab/env west)"
//! cargo test -p alliance-cloud --test real_keystone -- --test-threads 1
//! ```
//!
//! Each test makes what it needs under names of its own and may be repeated.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod as_daemon;
mod as_operator;
