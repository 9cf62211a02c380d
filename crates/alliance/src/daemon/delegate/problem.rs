//! Errors as problem details (RFC 9457).

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::wire::Problem;

/// An error that the caller may read. What it may not read is logged where it happens.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl ApiError {
    /// `code` is the stable end of the problem's `type`; `detail` says what to do next.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
        }
    }

    /// As HTTP has it.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What to do next.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// 404
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 409
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// 400
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// 500
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// 502: a partner or Keystone did not do its part.
    pub(crate) fn upstream(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "upstream", detail)
    }
}

impl From<alliance_store::Error> for ApiError {
    /// What the operator can do something about, with 409; the rest is the database's fault.
    fn from(error: alliance_store::Error) -> Self {
        use alliance_store::Error as E;
        match error {
            E::NoSuchPartner(_) | E::NoSuchInvitation(_) | E::NoSuchAgreement(_) => {
                Self::not_found(error.to_string())
            }
            E::NotOffline(_) => Self::invalid(error.to_string()),
            E::NameTaken { .. }
            | E::CloudTaken { .. }
            | E::TagCollision { .. }
            | E::PairingUnderWay { .. }
            | E::FormatTaken { .. }
            | E::IllegalChange(_)
            | E::TrustIsOver { .. }
            | E::AlreadyUsed
            | E::NotExpected { .. }
            | E::InvitationIs(_)
            | E::AcceptanceIs(_)
            | E::AgreementExists(_)
            | E::AgreementChanged(_) => Self::conflict(error.to_string()),
            E::Damaged { .. }
            | E::ReadOnly(_)
            | E::Full(_)
            | E::Busy(_)
            | E::LeaseLost(_)
            | E::Unreachable(_)
            | E::Other(_) => anyhow::Error::new(error).into(),
        }
    }
}

impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "a command failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("{error:#}"),
        )
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "invalid", rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "invalid", rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Problem {
            kind: format!("urn:alliance:problem:{}", self.code),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

/// 404 for unknown paths.
pub(crate) async fn no_such_route() -> ApiError {
    ApiError::not_found("no such call; is the command line of the daemon's version?")
}
