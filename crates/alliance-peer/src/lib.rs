//! Cloud to cloud: who a cloud is on the wire, what it signs, and the API that daemons speak.
//!
//! Two clouds that federate share no certificate authority, no directory and no clock. What they
//! share is one public key each, exchanged at pairing. This crate makes that key carry everything:
//!
//! * [`identity`]: the key itself, in a file that only the daemon reads. Its hash is the cloud's
//!   id, so the id *is* the pin.
//! * [`tls`]: TLS 1.3 in which both ends show a self-signed certificate of that key. No name, no
//!   authority and no date decides; the key's hash does.
//! * [`statement`]: what is said must also be shown to others later (a passport ends in Keystone),
//!   so it is signed as well (JWS), and one type of statement is never taken for another.
//! * [`server`] and [`client`]: the peer API, HTTP/2. A server refuses strangers per request, so
//!   that a removed partner's open connection is worth nothing; a client gives up in time, because
//!   somebody's request in Keystone waits for it.
//!
//! It decides nothing about users, roles or agreements: that is `alliance-core`'s. It stores
//! nothing but the two keys: what it serves comes from a [`service::PeerService`].
//!
//! # Example
//! ```no_run
//! use alliance_peer::identity::Identity;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::load_or_create("/var/lib/alliance".as_ref())?;
//! println!("{} (tag {})", identity.cloud_id(), identity.cloud_id().tag());
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod api;
pub mod client;
pub mod error;
pub mod identity;
pub mod key;
pub mod openapi;
pub mod pairing;
pub mod proof;
pub mod request_id;
pub mod server;
pub mod service;
pub mod statement;
pub mod tls;
pub mod wire;
