//! What handlers take from a request. Each failure is a problem that says what was expected.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::StatusCode;
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::pairing::PairingSecret;
use crate::service::Call;

/// Who calls. Put there by the server for every request.
pub(crate) struct CallOf(pub(crate) Call);

impl<S: Sync> FromRequestParts<S> for CallOf {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<Call>()
            .cloned()
            .map(Self)
            .ok_or_else(|| ApiError::internal("the request carries no caller"))
    }
}

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = axum::Json::<T>::from_request(request, state).await;
        body.map(|axum::Json(value)| Self(value))
            .map_err(|rejection| match rejection {
                // These may quote the body, which may hold a token.
                JsonRejection::JsonDataError(_) => {
                    ApiError::malformed("the body lacks a field, or one has another type")
                }
                JsonRejection::JsonSyntaxError(_) => ApiError::malformed("the body is not JSON"),
                JsonRejection::MissingJsonContentType(_) => ApiError::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "malformed_request",
                    "expected content-type application/json",
                ),
                other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body_too_large",
                    "the body is longer than this daemon reads",
                ),
                other => ApiError::malformed("the body cannot be read").because(other),
            })
    }
}

/// The query.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|e: QueryRejection| {
                ApiError::malformed("the query is not understood").because(e)
            })
    }
}

/// An agreement's id in the path.
pub(crate) struct AgreementId(pub(crate) uuid::Uuid);

impl<S: Send + Sync> FromRequestParts<S> for AgreementId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<uuid::Uuid>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(id)| Self(id))
            .map_err(|_: PathRejection| ApiError::no_such_agreement())
    }
}

/// An invitation's id in the path.
pub(crate) struct Id(pub(crate) uuid::Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<uuid::Uuid>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(id)| Self(id))
            .map_err(|_: PathRejection| ApiError::no_such_pairing())
    }
}

/// The invitation's secret.
pub(crate) struct Secret(pub(crate) PairingSecret);

impl<S: Sync> FromRequestParts<S> for Secret {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| PairingSecret::from_authorization(value).ok())
            .map(Self)
            .ok_or_else(ApiError::no_such_pairing)
    }
}
