//! An empty Keystone that grants everything and remembers what was asked.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::{Method, StatusCode, Uri};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::daemon::FakeDaemon;
use crate::run::command;

/// The double. It stops when dropped.
pub(crate) struct FakeKeystone {
    address: SocketAddr,
    changes: Arc<Mutex<Vec<Method>>>,
    _runtime: Runtime,
}

impl FakeKeystone {
    pub(crate) fn empty() -> Result<Self> {
        let changes = Arc::default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let router = Router::new()
            .fallback(grant)
            .with_state(Arc::clone(&changes));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            changes,
            _runtime: runtime,
        })
    }

    /// What an operator's shell has in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, String); 6] {
        environment(&format!("http://{}/v3", self.address))
    }

    /// How many objects were made, and how many deleted.
    pub(crate) fn made_and_deleted(&self) -> (usize, usize) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |methods: &[Method]| changes.iter().filter(|m| methods.contains(m)).count();
        (
            count(&[Method::PUT, Method::POST]),
            count(&[Method::DELETE]),
        )
    }
}

/// The command, by an operator whose Keystone is down.
pub(crate) fn with_dead_keystone(daemon: &FakeDaemon, arguments: &[&str]) -> Command {
    let mut command = command(&daemon.socket());
    command.args(arguments);
    command.envs(environment("http://127.0.0.1:1/v3"));
    command
}

/// The environment of an operator of the Keystone at `url`.
fn environment(url: &str) -> [(&'static str, String); 6] {
    [
        ("OS_AUTH_URL", url),
        ("OS_USERNAME", "admin"),
        ("OS_PASSWORD", "hunter2"),
        ("OS_PROJECT_NAME", "admin"),
        ("OS_USER_DOMAIN_NAME", "Default"),
        ("OS_PROJECT_DOMAIN_NAME", "Default"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
}

async fn grant(
    State(changes): State<Arc<Mutex<Vec<Method>>>>,
    method: Method,
    uri: Uri,
) -> Response {
    let path = uri.path();
    if path.ends_with("/auth/tokens") {
        let token = [("x-subject-token", "operator")];
        return (StatusCode::CREATED, token, Json(json!({"token": {}}))).into_response();
    }
    if method == Method::GET {
        return match path {
            "/v3/domains" => Json(json!({"domains": []})).into_response(),
            _ => {
                let error = json!({"error": {"code": 404, "title": "Not Found", "message": "Could not find it."}});
                (StatusCode::NOT_FOUND, Json(error)).into_response()
            }
        };
    }
    let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
    changes.push(method.clone());
    match method {
        Method::DELETE => StatusCode::NO_CONTENT.into_response(),
        Method::PATCH => Json(json!({})).into_response(),
        _ => (StatusCode::CREATED, Json(json!({}))).into_response(),
    }
}
