//! Being asked: TLS, HTTP/2 and their limits around the routes of the peer API.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use alliance_core::endpoint_url::AddressRange;
use axum::Router;
use tokio::net::TcpListener;

use crate::api;
use crate::identity::Identity;
use crate::service::PeerService;
use crate::tls;

mod accept;
mod balancer;
mod connection;
mod noise;
mod request;
mod slots;

pub use self::noise::Noise;

/// What the server bears. The defaults suit a daemon that faces the Internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the first byte and the whole TLS handshake.
    pub handshake: Duration,
    /// Handshakes under way at once; above that, connections are dropped.
    pub handshakes: usize,
    /// Connections at once, of everybody.
    pub connections: usize,
    /// Of those, the ones that have shown a key which is no partner's.
    pub strangers: usize,
    /// Handshakes at once of one address (IPv6: one /64), and as many connections of strangers.
    pub per_stranger: usize,
    /// Connections at once of one partner.
    pub per_partner: usize,
    /// After so long, a stranger's connection is asked to end; after [`Limits::request`] and
    /// [`Limits::drain`] more it is cut.
    pub stranger_lifetime: Duration,
    /// Requests at once in one connection of a partner; a stranger has 8.
    pub streams: u32,
    /// Requests of partners under way at once, until their answers are read. More are told to come later.
    pub requests: usize,
    /// Those of one partner.
    pub requests_of_partner: usize,
    /// Those of one partner for lists, which are long: each of its instances reads one now and then.
    pub lists_of_partner: usize,
    /// For one request, its body included. A pairing may wait [`crate::wire::MAX_WAIT`] longer.
    pub request: Duration,
    /// Bytes of a request's body.
    pub body: usize,
    /// Bytes of a request's headers.
    pub headers: u32,
    /// Between two pings of a quiet connection, and for their answer.
    pub ping: Duration,
    /// For requests under way at shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            handshakes: 64,
            connections: 2048,
            strangers: 256,
            per_stranger: 16,
            per_partner: 16,
            stranger_lifetime: Duration::from_secs(120),
            streams: 256,
            requests: 4096,
            requests_of_partner: 512,
            lists_of_partner: 8,
            request: Duration::from_secs(10),
            body: 64 * 1024,
            headers: 16 * 1024,
            ping: Duration::from_secs(10),
            drain: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// For so many connections at once: an eighth of them may be strangers', a quarter handshakes.
    pub fn of_connections(connections: usize) -> Self {
        Self {
            connections,
            strangers: (connections / 8).max(1),
            handshakes: Self::default().handshakes.min((connections / 4).max(1)),
            ..Self::default()
        }
    }
}

/// Serves the peer API until `shutdown` is ready, then lets requests under way finish
/// ([`Limits::drain`]) and returns. Connections from `balancers` begin with whose they are, in the PROXY
/// protocol.
///
/// # Errors
/// Only if TLS cannot be set up. What goes wrong with single connections is logged.
pub async fn serve<S: PeerService>(
    listener: TcpListener,
    identity: &Identity,
    service: Arc<S>,
    limits: Limits,
    balancers: Vec<AddressRange>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let tls = tls::server_config(identity).map_err(io::Error::other)?;
    let router = router(service.clone(), limits);
    accept::run(listener, tls, router, service, limits, balancers, shutdown).await;
    Ok(())
}

fn router<S: PeerService>(service: Arc<S>, limits: Limits) -> Router {
    request::limited(api::router(service.clone()), service, limits)
}
