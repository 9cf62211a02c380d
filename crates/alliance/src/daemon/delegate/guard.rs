//! Keystone may ask; only operators may command.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::caller::Caller;
use super::problem::ApiError;

/// The uids whose processes are an operator's.
#[derive(Debug, Clone)]
pub(crate) struct AdminUids(Arc<BTreeSet<u32>>);

impl AdminUids {
    /// root, the daemon's own user, and those that the configuration names.
    pub(crate) fn new(own: u32, configured: impl IntoIterator<Item = u32>) -> Self {
        Self(Arc::new([0, own].into_iter().chain(configured).collect()))
    }
}

/// Refuses everybody else.
pub(crate) async fn operators_only(
    State(admins): State<AdminUids>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    match caller.uid {
        Some(uid) if admins.0.contains(&uid) => next.run(request).await,
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
