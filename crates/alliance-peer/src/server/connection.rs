//! One connection: first byte, TLS, then HTTP/2 until either end has enough.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alliance_core::cloud::CloudId;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::accept::Shared;
use super::balancer::{self, NoClient};
use super::request::Caller;
use super::slots::{Slot, neighbourhood};
use crate::service::PeerService;
use crate::tls;

/// RFC 8446 §5.1: the record type that every TLS connection begins with.
const TLS_HANDSHAKE: u8 = 0x16;
const STREAMS_OF_A_STRANGER: u32 = 8;
/// A body has at most 64 KiB; larger windows would only let more be buffered.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const MAX_FRAME: u32 = 16 * 1024;
const MAX_PENDING_RESETS: usize = 32;

pub(super) struct Connection<S> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) address: SocketAddr,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Why a connection never got to HTTP.
#[derive(Debug, thiserror::Error)]
enum NoHandshake {
    #[error("plain HTTP on the TLS port; the partner's peer URL must begin with https://")]
    PlainHttp,
    #[error("too many of this address at once")]
    Crowd,
    #[error(transparent)]
    NoClient(#[from] NoClient),
    #[error("the first byte is not TLS's")]
    NotTls,
    #[error("no TLS handshake within {0:?}")]
    Slow(Duration),
    #[error("the TLS handshake failed: {0}")]
    Tls(std::io::Error),
    #[error("the other end does not speak HTTP/2")]
    NotHttp2,
    #[error("the other end showed no usable certificate")]
    NoCertificate,
    #[error("the other end was gone at once")]
    Gone,
}

impl<S: PeerService> Connection<S> {
    pub(super) async fn run(
        mut self,
        stream: TcpStream,
        own: Option<Slot<IpAddr>>,
        place: OwnedSemaphorePermit,
    ) {
        let limit = self.shared.limits.handshake;
        let mut stopping = self.stopping.clone();
        let handshake = tokio::time::timeout(limit, self.handshake(stream, own));
        let result = tokio::select! {
            result = handshake => result.unwrap_or(Err(NoHandshake::Slow(limit))),
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        drop(place);
        match result {
            Ok((stream, caller, own)) => self.serve(stream, caller, own).await,
            // Port scanners and health checks do this all day.
            Err(NoHandshake::Gone | NoHandshake::NoClient(NoClient::Gone(_))) => {}
            Err(error) => self.shared.noise.refused(self.address, error),
        }
    }

    /// `own` is the place of who has connected; of a balancer's it is not known yet whose to take.
    async fn handshake(
        &mut self,
        mut stream: TcpStream,
        own: Option<Slot<IpAddr>>,
    ) -> Result<(TlsStream<TcpStream>, CloudId, Slot<IpAddr>), NoHandshake> {
        let own = match own {
            Some(own) => own,
            None => {
                let client = balancer::client(&mut stream).await?;
                self.address = client.unwrap_or(self.address);
                let own = self.shared.handshake_of(self.address);
                own.ok_or(NoHandshake::Crowd)?
            }
        };
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0] == TLS_HANDSHAKE => {}
            Ok(1) if first[0].is_ascii_uppercase() => return Err(NoHandshake::PlainHttp),
            Ok(1) => return Err(NoHandshake::NotTls),
            _ => return Err(NoHandshake::Gone),
        }
        // Small frames of HTTP/2 must not wait for each other. Failing that, it is only slower.
        let _ = stream.set_nodelay(true);
        let stream = self
            .shared
            .tls
            .accept(stream)
            .await
            .map_err(NoHandshake::Tls)?;
        let (_, session) = stream.get_ref();
        if !tls::is_http2(session.alpn_protocol()) {
            return Err(NoHandshake::NotHttp2);
        }
        let caller = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|certificate| tls::cloud_of(certificate).ok())
            .ok_or(NoHandshake::NoCertificate)?;
        Ok((stream, caller, own))
    }

    async fn serve(mut self, stream: TlsStream<TcpStream>, caller: CloudId, own: Slot<IpAddr>) {
        let limits = self.shared.limits;
        let is_partner = self.shared.service.admit(&caller).await.is_ok();
        // A partner is counted by its key, so that many of them may share an address, and strangers
        // leave them room.
        let shared = Arc::clone(&self.shared);
        let (of_partner, of_stranger);
        if is_partner {
            of_partner = shared.partners.take(caller.clone());
            if of_partner.is_none() {
                let why = format_args!("partner {} has too many", caller.tag());
                return shared.noise.refused(self.address, why);
            }
        } else {
            let from = neighbourhood(self.address.ip());
            of_stranger = shared
                .strangers_of
                .take(from)
                .zip(shared.strangers.try_acquire().ok());
            if of_stranger.is_none() {
                return shared
                    .noise
                    .refused(self.address, "too many strangers at once");
            }
        }
        // Who has shown a key is counted by it, or as a stranger.
        drop(own);
        let streams = if is_partner {
            limits.streams
        } else {
            STREAMS_OF_A_STRANGER
        };
        let tagged = Caller {
            cloud_id: caller.clone(),
            is_partner,
        };
        let has_asked = Arc::new(AtomicBool::new(false));
        let asks = Arc::clone(&has_asked);
        let service = self.shared.router.clone().map_request(
            move |mut request: http::Request<hyper::body::Incoming>| {
                asks.store(true, Ordering::Relaxed);
                request.extensions_mut().insert(tagged.clone());
                request
            },
        );
        let mut connection = std::pin::pin!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(streams)
                .max_header_list_size(limits.headers)
                .max_frame_size(MAX_FRAME)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
                .max_local_error_reset_streams(MAX_PENDING_RESETS)
                .keep_alive_interval(limits.ping)
                .keep_alive_timeout(limits.ping)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        );
        let mut lifetime = std::pin::pin!(tokio::time::sleep(limits.stranger_lifetime));
        // Asking is of no use before HTTP/2 has begun, or while the other end takes no answer.
        let cut = limits.stranger_lifetime + limits.request + limits.drain;
        let mut cut = std::pin::pin!(tokio::time::sleep(cut));
        // A connection in which HTTP/2 does not even begin is pinged by nobody, a partner's neither.
        let silence = tokio::time::sleep(limits.handshake + limits.request);
        let mut silence = std::pin::pin!(silence);
        let (mut ending, mut watched) = (false, is_partner);
        let result = loop {
            tokio::select! {
                result = connection.as_mut() => break result,
                () = &mut silence, if watched => {
                    watched = false;
                    if !has_asked.load(Ordering::Relaxed) {
                        self.shared.noise.refused(self.address, "it asks nothing");
                        return;
                    }
                }
                () = &mut cut, if !is_partner => {
                    self.shared.noise.refused(self.address, "it did not end when asked to");
                    return;
                }
                _ = self.stopping.wait_for(|stop| *stop), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = &mut lifetime, if !ending && !is_partner => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(caller = %caller.tag(), %error, "a connection ended early");
        }
    }
}
