//! Whether Keystone hears the doorbell, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::daemon::{Daemon, SNAPSHOT};
use crate::wire::Health;

/// `POST /v1/doorbell/ring`: rings now, though nothing may be to be said.
pub(crate) async fn ring(State(daemon): State<Arc<Daemon>>) -> Json<Health> {
    let health = daemon.publisher.settled().await;
    if !health.ok || !daemon.publisher.is_unheard().await {
        return Json(health);
    }
    let config = &daemon.config;
    let detail = format!(
        "Keystone does not hear the doorbell now, so partners' tokens are refused, or judged by what is old: does the Keystone at {} run with [token] provider = alliance (restart it after a change), and can it read {} and open {}?",
        config.keystone.auth_url,
        config.cloud.state_dir.join(SNAPSHOT).display(),
        config.delegate.socket.display(),
    );
    Json(Health { ok: false, detail })
}
