//! The peer API over real TLS on the loopback, as two daemons would use it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cloud;
mod connections;
mod limits;
mod logs;
mod proxy;
mod routes;
mod traces;
mod trust;
