//! The loop that accepts connections, and its end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use alliance_core::cloud::CloudId;
use alliance_core::endpoint_url::AddressRange;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Limits;
use super::connection::Connection;
use super::noise::Noise;
use super::slots::{Slot, Slots, neighbourhood};
use crate::service::PeerService;

/// After `accept` failed, typically for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
pub(super) struct Shared<S> {
    pub(super) tls: TlsAcceptor,
    pub(super) router: Router,
    pub(super) service: Arc<S>,
    pub(super) limits: Limits,
    pub(super) balancers: Vec<AddressRange>,
    /// Places of those who have not shown a key yet.
    pub(super) handshakes: Arc<Semaphore>,
    pub(super) handshakes_of: Arc<Slots<IpAddr>>,
    /// Of those whose key is no partner's.
    pub(super) strangers: Arc<Semaphore>,
    pub(super) strangers_of: Arc<Slots<IpAddr>>,
    pub(super) partners: Arc<Slots<CloudId>>,
    pub(super) noise: Noise,
}

impl<S> Shared<S> {
    fn is_balancer(&self, address: SocketAddr) -> bool {
        let from = address.ip().to_canonical();
        self.balancers.iter().any(|range| range.contains(from))
    }

    /// A place for the handshake of who connects from there, among those of its address and of all. Whose a
    /// balancer's is, it says later.
    fn room_for(
        &self,
        address: SocketAddr,
    ) -> Option<(Option<Slot<IpAddr>>, OwnedSemaphorePermit)> {
        let own = match self.is_balancer(address) {
            true => None,
            false => Some(self.handshake_of(address)?),
        };
        let place = Arc::clone(&self.handshakes).try_acquire_owned().ok()?;
        Some((own, place))
    }

    /// A place among the handshakes of an address.
    pub(super) fn handshake_of(&self, address: SocketAddr) -> Option<Slot<IpAddr>> {
        self.handshakes_of.take(neighbourhood(address.ip()))
    }
}

pub(super) async fn run<S: PeerService>(
    listener: TcpListener,
    tls: rustls::ServerConfig,
    router: Router,
    service: Arc<S>,
    limits: Limits,
    balancers: Vec<AddressRange>,
    shutdown: impl Future<Output = ()>,
) {
    let shared = Arc::new(Shared {
        tls: TlsAcceptor::from(Arc::new(tls)),
        router,
        service,
        limits,
        balancers,
        handshakes: Arc::new(Semaphore::new(limits.handshakes)),
        handshakes_of: Slots::new(limits.per_stranger),
        strangers: Arc::new(Semaphore::new(limits.strangers)),
        strangers_of: Slots::new(limits.per_stranger),
        partners: Slots::new(limits.per_partner),
        noise: Noise::new(),
    });
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, address)) => {
                    let Some((own, place)) = shared.room_for(address) else {
                        shared.noise.refused(address, "too many of this address, or too many handshakes at once");
                        continue;
                    };
                    let connection = Connection { shared: shared.clone(), address, stopping: stopping.clone() };
                    connections.spawn(connection.run(stream, own, place));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections from partners; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        tracing::warn!(
            left = connections.len(),
            "requests of partners were cut off at shutdown"
        );
        connections.shutdown().await;
    }
}
