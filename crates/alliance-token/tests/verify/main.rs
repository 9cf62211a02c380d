//! Tokens that were signed by others, and what happens to them when they are tampered with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod altered;
mod corpora;
mod data;
mod foreign;
mod hostile;
mod inspected;
mod round_trip;
mod signing;
