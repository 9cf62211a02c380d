//! What the peer API answers when it does not do what was asked (RFC 9457).

use std::fmt;

use alliance_core::label::clean;
use alliance_core::refusal::Reason;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The code of what a version answers to a route that it does not know.
pub(crate) const NO_SUCH_ROUTE: &str = "no_such_route";

const TYPE_PREFIX: &str = "urn:alliance:problem:";
const MEDIA_TYPE: &str = "application/problem+json";
const MAX_DETAIL_LEN: usize = 300;

/// Problem details, RFC 9457 §3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Stable: `urn:alliance:problem:<code>`.
    #[serde(rename = "type")]
    #[schema(example = "urn:alliance:problem:unknown_partner")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong and what to do next.
    #[serde(default)]
    pub detail: String,
}

impl Problem {
    /// The last part of the type.
    pub fn code(&self) -> &str {
        self.kind.strip_prefix(TYPE_PREFIX).unwrap_or(&self.kind)
    }

    /// The reason for which the partner refused, if the code is one.
    pub fn reason(&self) -> Option<Reason> {
        Reason::ALL
            .iter()
            .copied()
            .find(|r| r.code() == self.code())
    }

    /// The same, fit for logs and terminals: it came from another cloud.
    pub(crate) fn cleaned(self) -> Self {
        Self {
            kind: clean(&self.kind, 100),
            status: self.status,
            detail: clean(&self.detail, MAX_DETAIL_LEN),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code(), self.status, self.detail)
    }
}

/// An error of the peer API with two messages: one for the partner, one for our log.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    inner: Option<String>,
}

impl ApiError {
    /// The caller, or what it asks for, is refused: 403.
    pub fn refused(reason: Reason) -> Self {
        let detail = match reason {
            Reason::UnknownPartner => "this cloud has no active pairing with yours; pair first",
            Reason::PartnerSuspended => {
                "this cloud's operator has suspended the pairing; ask for it to be resumed"
            }
            Reason::PartnerExpired => "the pairing's time is over; ask for it to be extended",
            _ => "refused",
        };
        Self::new(StatusCode::FORBIDDEN, reason.code(), detail)
    }

    /// Nobody could tell; nothing may be concluded: 503.
    pub fn unavailable(reason: Reason) -> Self {
        let detail = "the question could not be decided; ask again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason.code(), detail)
    }

    /// The caller asked too often for what is not there: 429.
    pub fn over_budget() -> Self {
        let detail = "too many invalid tokens lately; ask again later";
        Self::new(StatusCode::TOO_MANY_REQUESTS, Reason::Budget.code(), detail)
    }

    /// The request is not understood: 400.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_request", detail)
    }

    /// The pairing does not exist, or the secret is not its: 401, the same for both.
    pub fn no_such_pairing() -> Self {
        let detail = "there is no such invitation, or its secret is another; ask for a new one";
        Self::new(StatusCode::UNAUTHORIZED, "pairing_refused", detail)
    }

    /// This version does not know the route: 404.
    pub fn no_such_route() -> Self {
        let detail = "there is no such route; the partner may need an upgrade";
        Self::new(StatusCode::NOT_FOUND, NO_SUCH_ROUTE, detail)
    }

    /// No agreement with the caller has that id, or it has ended: 404.
    pub fn no_such_agreement() -> Self {
        let detail = "there is no such agreement with the caller, or it has ended";
        Self::new(StatusCode::NOT_FOUND, "no_such_agreement", detail)
    }

    /// The agreement has a newer version than the one that was replied to: 409.
    pub fn agreement_changed() -> Self {
        let detail = "the agreement has a newer version; look at that one";
        Self::new(StatusCode::CONFLICT, "agreement_changed", detail)
    }

    /// What is ordered is not allowed here: 403.
    pub fn not_allowed(why: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "not_allowed", why)
    }

    /// What is ordered cannot be done as things are: 409.
    pub fn order_conflict(why: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "order_conflict", why)
    }

    /// What is ordered cannot be taken in yet; the caller sends it again: 503.
    pub fn not_yet(why: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_yet", why)
    }

    /// The pairing was accepted by somebody else, confirmed, rejected or has expired: 409.
    pub fn pairing_closed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "pairing_closed", detail)
    }

    /// What this side is to blame for: 500. `inner` goes to the log only.
    pub fn internal(inner: impl fmt::Display) -> Self {
        let detail = "an error of this daemon; its log tells more under the request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).because(inner)
    }

    /// Its stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whether it is a no, and not that nobody can tell now.
    pub fn is_definite(&self) -> bool {
        !self.status.is_server_error()
    }

    /// Any other answer. `code` is stable.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            inner: None,
        }
    }

    /// Adds what only the log may tell.
    #[must_use]
    pub fn because(mut self, inner: impl fmt::Display) -> Self {
        self.inner = Some(inner.to_string());
        self
    }

    /// What the partner gets.
    pub fn problem(&self) -> Problem {
        Problem {
            kind: format!("{TYPE_PREFIX}{}", self.code),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
        }
    }
}

impl From<Reason> for ApiError {
    /// 403 for a definite no, 429 for a spent budget, 503 for the rest.
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Budget => Self::over_budget(),
            reason if reason.is_definite() => Self::refused(reason),
            reason => Self::unavailable(reason),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)?;
        match &self.inner {
            Some(inner) => write!(f, ": {inner}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let inner = self.inner.as_deref().unwrap_or_default();
        if self.status.is_server_error() {
            tracing::warn!(
                code = self.code,
                status = self.status.as_u16(),
                error = inner,
                "{}",
                self.detail
            );
        } else {
            tracing::debug!(
                code = self.code,
                status = self.status.as_u16(),
                error = inner,
                "{}",
                self.detail
            );
        }
        let mut response = (self.status, axum::Json(self.problem())).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
