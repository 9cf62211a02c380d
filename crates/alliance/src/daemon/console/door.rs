//! Where browsers connect: TLS 1.3 with the operator's certificate, or plain HTTP from a proxy on this
//! machine.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use anyhow::Context;
use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::config::Console;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes at once; who comes beyond is dropped.
const HANDSHAKES: usize = 32;
/// After `accept` failed, typically for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What connections come through. Who does not finish its handshake keeps nobody waiting.
pub(crate) struct Door {
    address: SocketAddr,
    ready: mpsc::Receiver<(Stream, SocketAddr)>,
    accepting: AbortHandle,
}

impl Door {
    /// Listens, if there is to be a console.
    ///
    /// # Errors
    /// If the address is taken or not this machine's, or the certificate cannot be used.
    pub(crate) async fn open(settings: &Console) -> anyhow::Result<Option<Self>> {
        let Some(address) = settings.listen else {
            return Ok(None);
        };
        let tls = match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
            _ => None,
        };
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("listening at {address}; is it taken? see [console] listen")
        })?;
        let address = listener.local_addr()?;
        tracing::info!(console = %address, tls = tls.is_some(), "the console listens");
        let (send, ready) = mpsc::channel(HANDSHAKES);
        let accepting = tokio::spawn(accept(listener, tls, send)).abort_handle();
        Ok(Some(Self {
            address,
            ready,
            accepting,
        }))
    }

    /// Whether browsers could be served with these.
    ///
    /// # Errors
    /// If one cannot be read, or they do not belong together.
    pub(crate) fn check(certificate: &Path, key: &Path) -> anyhow::Result<()> {
        acceptor(certificate, key).map(drop)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Listener for Door {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

fn acceptor(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let pem = || format!("[console] certificate {}", certificate.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(pem)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("[console] key {}", key.display()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} and its key do not belong together", pem()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    ready: mpsc::Sender<(Stream, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections to the console; trying again");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            let _place = place;
            let stream = match tls {
                None => Stream(Box::new(stream)),
                Some(tls) => match timeout(PATIENCE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => Stream(Box::new(stream)),
                    Ok(Err(error)) => {
                        tracing::debug!(%address, %error, "no handshake with the console");
                        return;
                    }
                    Err(_) => return,
                },
            };
            // An error means that nobody serves any more.
            let _ = ready.send((stream, address)).await;
        });
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl Duplex for TcpStream {}
impl Duplex for tokio_rustls::server::TlsStream<TcpStream> {}

/// A connection, with TLS or without.
pub(crate) struct Stream(Box<dyn Duplex>);

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(poller, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(poller, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(poller)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(poller)
    }
}
