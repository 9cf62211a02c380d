//! Plain HTTP/1.1 for this machine: Keystone and operators on the socket, monitoring on its port. Who
//! holds a connection and says nothing, or too slowly, keeps nobody else out for long.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use http::{Extensions, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep, timeout};
use tower::ServiceExt;

use super::delegate::ApiError;

/// Longest head of a request, in bytes.
const HEAD: usize = 64 * 1024;

/// What is borne.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at once; what comes beyond is dropped.
    pub connections: usize,
    /// For the head of a request, the pause before it included, and again for its body, and for each part of
    /// the answer to be taken.
    pub patience: Duration,
    /// Bytes of a body.
    pub body: usize,
}

/// Serves `router` until `stop`, then lets running requests finish. `tag` puts with each request who
/// has connected.
pub(crate) async fn serve<L>(
    mut listener: L,
    router: Router,
    tag: fn(&L::Io, &mut Extensions),
    limits: Limits,
    stop: impl Future<Output = ()>,
) where
    L: Listener,
{
    let router = router.layer(from_fn_with_state(limits, whole_body));
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (io, _) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!(
                connections = limits.connections,
                "a connection was dropped: there are too many"
            );
            continue;
        };
        let mut tags = Extensions::new();
        tag(&io, &mut tags);
        let service = router
            .clone()
            .map_request(move |request: http::Request<Incoming>| {
                let mut request = request.map(Body::new);
                request.extensions_mut().extend(tags.clone());
                request
            });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.patience)
            .max_buf_size(HEAD)
            .serve_connection(
                TokioIo::new(Patient::new(io, limits.patience)),
                TowerToHyperService::new(service),
            );
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// What comes of an order that is finished also if who gave it goes away; `None` if it ended abnormally.
pub(crate) async fn finished(
    running: impl Future<Output = Response> + Send + 'static,
) -> Option<Response> {
    let done = tokio::spawn(alliance_trace::carried(running)).await;
    done.inspect_err(|error| tracing::error!(%error, "an operator's command ended abnormally"))
        .ok()
}

/// A connection that fails when the other end takes nothing for too long of what it is told.
struct Patient<I> {
    io: I,
    patience: Duration,
    /// How long it may go on; none while it takes.
    left: Option<Pin<Box<Sleep>>>,
}

impl<I> Patient<I> {
    fn new(io: I, patience: Duration) -> Self {
        Self {
            io,
            patience,
            left: None,
        }
    }

    fn bear<T>(
        &mut self,
        poller: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.left = None;
            return written;
        }
        let patience = self.patience;
        let left = self.left.get_or_insert_with(|| Box::pin(sleep(patience)));
        match left.as_mut().poll(poller) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Patient<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        poller: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(poller, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Patient<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        poller: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(poller, bytes);
        self.bear(poller, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, poller: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(poller);
        self.bear(poller, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, poller: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.io).poll_shutdown(poller);
        self.bear(poller, ended)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        poller: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(poller, bytes);
        self.bear(poller, written)
    }
}

/// Reads the body before anybody works on the request.
async fn whole_body(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let error = match timeout(limits.patience, to_bytes(body, limits.body)).await {
        Ok(Ok(body)) => return next.run(Request::from_parts(head, body.into())).await,
        Ok(Err(_)) => {
            let detail = format!("a body may have {} bytes, and must be whole", limits.body);
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid", detail)
        }
        Err(_) => {
            let detail = "the request's body did not come in time";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "invalid", detail)
        }
    };
    error.into_response()
}

#[cfg(test)]
mod tests {
    use axum::extract::Extension;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::{oneshot, watch};

    use super::*;

    type Failure = Box<dyn std::error::Error>;

    #[derive(Clone)]
    struct Port(u16);

    struct Served {
        address: std::net::SocketAddr,
        stop: Option<oneshot::Sender<()>>,
        done: tokio::task::JoinHandle<()>,
        /// Opens the gate behind which requests wait.
        gate: watch::Sender<bool>,
    }

    impl Served {
        async fn new(connections: usize, patience: Duration) -> Result<Self, Failure> {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let (gate, opened) = watch::channel(true);
            let answer = move |Extension(Port(port)): Extension<Port>, body: String| async move {
                let mut opened = opened.clone();
                let _ = opened.wait_for(|open| *open).await;
                format!("{port}: {body}")
            };
            let long = async || "x".repeat(16 << 20);
            let router = Router::new()
                .route("/", post(answer))
                .route("/long", get(long));
            let limits = Limits {
                connections,
                patience,
                body: 100,
            };
            let tag = |io: &TcpStream, tags: &mut Extensions| {
                tags.insert(Port(io.peer_addr().map_or(0, |peer| peer.port())));
            };
            let (stop, stopped) = oneshot::channel::<()>();
            let done = tokio::spawn(async move {
                let stop = async { drop(stopped.await) };
                serve(listener, router, tag, limits, stop).await;
            });
            Ok(Self {
                address,
                stop: Some(stop),
                done,
                gate,
            })
        }

        /// All that comes back for `text`, until the server has nothing more to say.
        async fn said(&self, text: &str) -> Result<String, Failure> {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.write_all(text.as_bytes()).await?;
            let mut answer = String::new();
            // A server that drops a connection while something is on its way resets it.
            let read = stream.read_to_string(&mut answer);
            let _ = timeout(MINUTE, read).await?;
            Ok(answer)
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(200);
    const WHOLE: &str =
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\nping";

    #[tokio::test]
    async fn a_request_is_answered_with_who_connected() -> Result<(), Failure> {
        let served = Served::new(2, MINUTE).await?;
        let answer = served.said(WHOLE).await?;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(": ping"),
            "{answer}"
        );
        assert!(!answer.ends_with("\r\n0: ping"), "{answer}");
        Ok(())
    }

    #[tokio::test]
    async fn who_says_nothing_or_too_slowly_is_cut_off() -> Result<(), Failure> {
        let served = Served::new(2, SHORT).await?;
        for (said, answer) in [
            ("", ""),
            ("POST / HT", ""),
            ("POST / HTTP/1.1\r\nhost: a\r\nx: ", ""),
            (
                "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\npi",
                "HTTP/1.1 408 ",
            ),
        ] {
            let found = served.said(said).await?;
            assert!(found.starts_with(answer), "{said:?}: {found}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_refused() -> Result<(), Failure> {
        let served = Served::new(2, MINUTE).await?;
        let long = WHOLE.replace("content-length: 4", "content-length: 101") + &"x".repeat(97);
        let answer = served.said(&long).await?;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        Ok(())
    }

    #[tokio::test]
    async fn beyond_the_limit_connections_are_dropped_until_others_end() -> Result<(), Failure> {
        let served = Served::new(2, MINUTE).await?;
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(served.address).await?;
            stream
                .write_all(WHOLE.replace("connection: close\r\n", "").as_bytes())
                .await?;
            let mut byte = [0];
            stream.read_exact(&mut byte).await?;
            held.push(stream);
        }
        assert_eq!(served.said(WHOLE).await?, "", "it is dropped");
        held.pop();
        let served_again = async {
            while served
                .said(WHOLE)
                .await
                .is_ok_and(|answer| answer.is_empty())
            {
                tokio::task::yield_now().await;
            }
        };
        timeout(MINUTE, served_again).await?;
        Ok(())
    }

    #[tokio::test]
    async fn who_takes_no_answer_keeps_its_place_for_a_while_only() -> Result<(), Failure> {
        let served = Served::new(1, SHORT).await?;
        let mut deaf = TcpStream::connect(served.address).await?;
        let asked = "GET /long HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3);
        deaf.write_all(asked.as_bytes()).await?;
        deaf.readable().await?;
        let served_again = async {
            while served
                .said(WHOLE)
                .await
                .is_ok_and(|answer| answer.is_empty())
            {
                sleep(SHORT).await;
            }
        };
        timeout(MINUTE, served_again).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_stop_lets_running_requests_finish_and_takes_no_new_ones() -> Result<(), Failure> {
        let mut served = Served::new(2, MINUTE).await?;
        served.gate.send_replace(false);
        let mut running = TcpStream::connect(served.address).await?;
        running.write_all(WHOLE.as_bytes()).await?;
        let waits = async {
            while served.gate.receiver_count() < 2 {
                tokio::task::yield_now().await;
            }
        };
        timeout(MINUTE, waits).await?;
        drop(served.stop.take());
        let refused = async {
            while TcpStream::connect(served.address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(MINUTE, refused).await?;
        served.gate.send_replace(true);
        let mut answer = String::new();
        timeout(MINUTE, running.read_to_string(&mut answer)).await??;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        timeout(MINUTE, served.done).await??;
        Ok(())
    }
}
