//! The daemon, as the command line talks to it: HTTP/1.1 on its unix socket.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;
use url::Url;
use uuid::Uuid;

use crate::wire::Problem;

/// For what the daemon decides alone.
const DEADLINE: Duration = Duration::from_secs(10);
/// For what it asks a partner first.
const PATIENCE: Duration = Duration::from_secs(40);
const MAX_ANSWER: usize = 64 << 20;

/// A daemon behind its socket.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    socket: PathBuf,
}

/// Why there is no answer, or not the wanted one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// No file.
    #[error(
        "there is no socket {}: the daemon is not running, or --socket / ALLIANCE_SOCKET must name another place", path.display()
    )]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// A file, and nobody behind it.
    #[error("nobody listens on {}: the daemon is not running; start it with `alliance serve`", path.display())]
    Deserted {
        /// Where.
        path: PathBuf,
    },
    /// Permission denied.
    #[error("may not open {}: {}", path.display(), who_may(path))]
    Denied {
        /// Where.
        path: PathBuf,
    },
    /// Anything else that keeps us from it.
    #[error("cannot reach the daemon on {}", path.display())]
    Unreachable {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too slow.
    #[error(
        "the daemon on {} gave no answer within {} s; is it stopped or overloaded? See its log", path.display(), deadline.as_secs()
    )]
    Silent {
        /// Where.
        path: PathBuf,
        /// How long was waited.
        deadline: Duration,
    },
    /// The connection broke.
    #[error("the daemon broke off; see its log")]
    Broken(#[source] hyper::Error),
    /// An answer that makes no sense.
    #[error("{} answers, but not as this version of the daemon ({what}): is it an Alliance daemon, of version {}?", path.display(), env!("CARGO_PKG_VERSION"))]
    Strange {
        /// Where.
        path: PathBuf,
        /// What came.
        what: String,
    },
    /// A definite refusal.
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// The daemon itself failed.
    #[error("{} (request {request_id} in the daemon's log)", problem.detail)]
    Internal {
        /// What it said.
        problem: Problem,
        /// What to look for in its log.
        request_id: String,
    },
}

impl SocketError {
    /// Whether nobody answered, so that nobody knows what became of the request.
    pub(crate) fn is_unreachable(&self) -> bool {
        !matches!(self, Self::Problem(_) | Self::Internal { .. })
    }
}

/// One request, before it is sent.
pub(crate) struct Question<'d> {
    daemon: &'d Daemon,
    method: Method,
    url: Option<Url>,
    deadline: Duration,
}

impl Daemon {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET /v1/…`, the path given in segments of any characters.
    pub(crate) fn get(&self, path: &[&str]) -> Question<'_> {
        self.question(Method::GET, path)
    }

    /// `POST /v1/…`
    pub(crate) fn post(&self, path: &[&str]) -> Question<'_> {
        self.question(Method::POST, path)
    }

    /// `PATCH /v1/…`
    pub(crate) fn patch(&self, path: &[&str]) -> Question<'_> {
        self.question(Method::PATCH, path)
    }

    fn question(&self, method: Method, path: &[&str]) -> Question<'_> {
        let mut url = Url::parse("http://alliance/v1").ok();
        if let Some(Ok(mut segments)) = url.as_mut().map(Url::path_segments_mut) {
            segments.extend(path);
        }
        Question {
            daemon: self,
            method,
            url,
            deadline: DEADLINE,
        }
    }

    async fn connect(&self) -> Result<UnixStream, SocketError> {
        let path = || self.socket.clone();
        UnixStream::connect(&self.socket)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => SocketError::Missing { path: path() },
                io::ErrorKind::ConnectionRefused => SocketError::Deserted { path: path() },
                io::ErrorKind::PermissionDenied => SocketError::Denied { path: path() },
                _ => SocketError::Unreachable {
                    path: path(),
                    source,
                },
            })
    }

    fn strange(&self, what: impl ToString) -> SocketError {
        SocketError::Strange {
            path: self.socket.clone(),
            what: what.to_string(),
        }
    }
}

impl Question<'_> {
    /// The daemon has to ask a partner before it can answer.
    pub(crate) fn patiently(mut self) -> Self {
        self.deadline = PATIENCE;
        self
    }

    /// With a parameter.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        if let Some(url) = &mut self.url {
            url.query_pairs_mut().append_pair(name, value);
        }
        self
    }

    /// The daemon answers when something changed, at most `wait` later.
    pub(crate) fn waiting(mut self, wait: Duration) -> Self {
        if let Some(url) = &mut self.url {
            url.query_pairs_mut()
                .append_pair("wait", &wait.as_secs().to_string());
        }
        self.deadline = wait + DEADLINE;
        self
    }

    /// Sends it without a body.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub(crate) async fn send<A: DeserializeOwned>(self) -> Result<A, SocketError> {
        self.ask(Bytes::new(), |status| status.is_success()).await
    }

    /// Sends it with `body` as JSON.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub(crate) async fn json<A: DeserializeOwned>(
        self,
        body: &impl Serialize,
    ) -> Result<A, SocketError> {
        let body = serde_json::to_vec(body).map_err(|error| self.daemon.strange(error))?;
        self.ask(body.into(), |status| status.is_success()).await
    }

    /// As [`Question::json`], where "service unavailable" is an answer of the same form.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub(crate) async fn json_or_unavailable<A: DeserializeOwned>(
        self,
        body: &impl Serialize,
    ) -> Result<A, SocketError> {
        let body = serde_json::to_vec(body).map_err(|error| self.daemon.strange(error))?;
        self.ask(body.into(), |status| {
            status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE
        })
        .await
    }

    async fn ask<A: DeserializeOwned>(
        self,
        body: Bytes,
        is_answer: impl Fn(StatusCode) -> bool,
    ) -> Result<A, SocketError> {
        let daemon = self.daemon;
        let deadline = self.deadline;
        let request_id = format!("req-{}", Uuid::new_v4());
        let exchange = self.exchange(body, &request_id);
        let (status, body) =
            timeout(deadline, exchange)
                .await
                .map_err(|_| SocketError::Silent {
                    path: daemon.socket.clone(),
                    deadline,
                })??;
        if is_answer(status) {
            let text: &[u8] = if body.is_empty() { b"null" } else { &body };
            if let Ok(answer) = serde_json::from_slice(text) {
                return Ok(answer);
            }
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if status.is_server_error() => Err(SocketError::Internal {
                problem,
                request_id,
            }),
            Ok(problem) => Err(SocketError::Problem(problem)),
            Err(_) => Err(daemon.strange(format_args!("HTTP status {status}"))),
        }
    }

    async fn exchange(
        self,
        body: Bytes,
        request_id: &str,
    ) -> Result<(StatusCode, Bytes), SocketError> {
        let daemon = self.daemon;
        let target = self
            .url
            .map(|url| url[url::Position::BeforePath..].to_owned())
            .unwrap_or_default();
        let request = Request::builder()
            .method(self.method)
            .uri(target)
            .header(header::HOST, "alliance")
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-openstack-request-id", request_id)
            .body(Full::new(body))
            .map_err(|error| daemon.strange(error))?;
        let stream = TokioIo::new(daemon.connect().await?);
        let (mut sender, connection) = http1::handshake(stream)
            .await
            .map_err(SocketError::Broken)?;
        let connection = tokio::spawn(connection);
        let answer = sender
            .send_request(request)
            .await
            .map_err(SocketError::Broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| daemon.strange(error))?;
        connection.abort();
        Ok((status, body.to_bytes()))
    }
}

/// Who may open the socket, as far as it lets us see.
fn who_may(path: &Path) -> String {
    match std::fs::metadata(path) {
        Ok(meta) => format!(
            "its owner (user id {}), members of its group (group id {}) and root may; use sudo, or join that group",
            meta.uid(),
            meta.gid()
        ),
        Err(_) => {
            "the daemon's own user, members of the socket's group ([delegate] group) and root may; use sudo".to_owned()
        }
    }
}
