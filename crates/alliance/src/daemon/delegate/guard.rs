//! Keystone may ask; only operators may command.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::caller::Caller;
use super::problem::ApiError;
use crate::daemon::listening::finished;

/// The uids whose processes are an operator's.
#[derive(Debug, Clone)]
pub(crate) struct AdminUids(Arc<BTreeSet<u32>>);

impl AdminUids {
    /// root, the daemon's own user, and those that the configuration names.
    pub(crate) fn new(own: u32, configured: impl IntoIterator<Item = u32>) -> Self {
        Self(Arc::new([0, own].into_iter().chain(configured).collect()))
    }
}

/// A command that has begun is finished, also if the operator goes away: what is stored must count,
/// and Keystone and the caches be told. A question may be dropped.
async fn to_its_end(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    finished(next.run(request)).await.unwrap_or_else(|| {
        ApiError::internal("the command ended abnormally; see the daemon's log").into_response()
    })
}

/// Refuses everybody else.
pub(crate) async fn operators_only(
    State(admins): State<AdminUids>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    match caller.uid {
        Some(uid) if admins.0.contains(&uid) => to_its_end(request, next).await,
        uid => {
            let who = uid.map_or_else(|| "an unknown user".to_owned(), |uid| format!("uid {uid}"));
            tracing::warn!(
                caller = who,
                path = request.uri().path(),
                "an operator's command was refused"
            );
            ApiError::new(
                StatusCode::FORBIDDEN,
                "not_an_operator",
                format!("{who} may not command this daemon; run the command as root or as the daemon's user, or add the uid to [delegate] admin_uids"),
            )
            .into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use tokio::sync::watch;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_command_whose_operator_went_away_is_finished()
    -> Result<(), Box<dyn std::error::Error>> {
        let (done, mut finished) = watch::channel(false);
        let command = post(move || async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            done.send_replace(true);
        });
        let router = Router::new()
            .route("/", command)
            .route_layer(from_fn_with_state(AdminUids::new(0, []), operators_only));
        let mut request = Request::post("/").body(Body::empty())?;
        let operator = ConnectInfo(Caller { uid: Some(0) });
        request.extensions_mut().insert(operator);
        let gone = tokio::time::timeout(Duration::from_millis(10), router.oneshot(request)).await;
        assert!(gone.is_err());
        tokio::time::timeout(Duration::from_secs(5), finished.wait_for(|done| *done)).await??;
        Ok(())
    }
}
