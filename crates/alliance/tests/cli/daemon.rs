//! A daemon that only plays back answers: a double for what the command line shows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

/// What came: `POST /v1/partners/west/suspend`, and its body.
pub(crate) type Seen = (String, Value);

#[derive(Default)]
struct Script {
    /// Answers to a request, in turn; the last one is repeated.
    answers: BTreeMap<String, Vec<(u16, Value)>>,
    seen: Vec<Seen>,
}

/// The double. It stops when dropped.
pub(crate) struct FakeDaemon {
    folder: TempDir,
    script: Arc<Mutex<Script>>,
    _runtime: Runtime,
}

impl FakeDaemon {
    /// Answers each request with what is given for it, in turn; the last answer is repeated.
    pub(crate) fn answering<const N: usize>(answers: [(&str, u16, Value); N]) -> Result<Self> {
        let mut script = Script::default();
        for (request, status, answer) in answers {
            let list = script.answers.entry(request.to_owned()).or_default();
            list.push((status, answer));
        }
        let script = Arc::new(Mutex::new(script));
        let folder = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let router = Router::new().fallback(play).with_state(Arc::clone(&script));
        let path = folder.path().join("sock");
        let listener = runtime.block_on(async { UnixListener::bind(path) })?;
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            folder,
            script,
            _runtime: runtime,
        })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.seen.clone()
    }

    /// Every request so far, without bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen()
            .into_iter()
            .map(|(request, _)| request)
            .collect()
    }
}

async fn play(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let request = format!("{method} {uri}");
    let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    script.seen.push((request.clone(), body));
    let answer = match script.answers.get_mut(&request) {
        Some(answers) if answers.len() > 1 => answers.remove(0),
        Some(answers) => answers.first().cloned().unwrap_or((200, Value::Null)),
        None => (
            404,
            json!({"type": "urn:alliance:problem:not_found", "status": 404, "detail": format!("the test has no answer to {request}")}),
        ),
    };
    let status = StatusCode::from_u16(answer.0).unwrap_or(StatusCode::OK);
    (status, axum::Json(answer.1)).into_response()
}
