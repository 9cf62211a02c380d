//! One request, and how its failure is to be read.

use std::error::Error as StdError;
use std::io;

use alliance_core::label::clean;
use alliance_core::revocation::RevocationList;
use alliance_core::statement::Statement;
use bytes::BytesMut;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{RequestBuilder, Response, StatusCode};
use rustls::CertificateError;
use serde::de::DeserializeOwned;

use super::error::PeerError;
use crate::error::Problem;
use crate::tls::WrongKey;

/// Longest answer that is read, in bytes.
const MAX_ANSWER_LEN: usize = 512 * 1024;
/// Longest revocation list, with what is around it.
const MAX_LIST_LEN: usize = RevocationList::MAX_LEN + 1024;
const MAX_TEXT_LEN: usize = 300;
/// Longest ETag that is sent back.
const MAX_ETAG_LEN: usize = 128;

/// Sends a request and reads its answer.
pub(super) async fn send<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, PeerError> {
    understand(&exchange(request, MAX_ANSWER_LEN).await?)
}

/// The same for an answer that is long.
pub(super) async fn send_for_list<T: DeserializeOwned>(
    request: RequestBuilder,
) -> Result<T, PeerError> {
    understand(&exchange(request, MAX_LIST_LEN).await?)
}

fn understand<T: DeserializeOwned>(body: &[u8]) -> Result<T, PeerError> {
    serde_json::from_slice(body)
        .map_err(|e| PeerError::Protocol(clean(&e.to_string(), MAX_TEXT_LEN)))
}

/// An answer, and the name under which its sender knows it again.
pub(super) struct Tagged<T> {
    pub(super) answer: T,
    pub(super) etag: Option<String>,
}

/// Sends a request for an answer that is known already, if `known` names one. `None`: it is still the
/// same.
pub(super) async fn send_unless_known<T: DeserializeOwned>(
    request: RequestBuilder,
    known: Option<&str>,
) -> Result<Option<Tagged<T>>, PeerError> {
    let request = match known {
        Some(known) => request.header(IF_NONE_MATCH, known),
        None => request,
    };
    let response = request.send().await.map_err(|e| classify(&e))?;
    if known.is_some() && response.status() == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    let etag = response.headers().get(ETAG);
    let etag = etag.and_then(|etag| etag.to_str().ok());
    let etag = etag.filter(|etag| etag.len() <= MAX_ETAG_LEN);
    let etag = etag.map(str::to_owned);
    let answer = understand(&success(response, MAX_ANSWER_LEN).await?)?;
    Ok(Some(Tagged { answer, etag }))
}

/// Sends a request whose answer is empty.
pub(super) async fn send_for_nothing(request: RequestBuilder) -> Result<(), PeerError> {
    exchange(request, MAX_ANSWER_LEN).await.map(|_| ())
}

async fn exchange(request: RequestBuilder, limit: usize) -> Result<BytesMut, PeerError> {
    let response = request.send().await.map_err(|e| classify(&e))?;
    success(response, limit).await
}

async fn success(response: Response, limit: usize) -> Result<BytesMut, PeerError> {
    let status = response.status();
    let body = read(response, limit).await?;
    if status.is_success() {
        return Ok(body);
    }
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) if problem.status == status.as_u16() => {
            Err(PeerError::Refused(problem.cleaned()))
        }
        _ => Err(PeerError::Protocol(format!(
            "status {status} without problem details"
        ))),
    }
}

async fn read(mut response: Response, limit: usize) -> Result<BytesMut, PeerError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| classify(&e))? {
        if body.len() + chunk.len() > limit {
            return Err(PeerError::Protocol(format!(
                "an answer of more than {limit} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn classify(error: &reqwest::Error) -> PeerError {
    if let Some(wrong) = wrong_key(error) {
        return PeerError::WrongKey(wrong);
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => PeerError::Unreachable("no connection in time".into()),
        (false, true) => PeerError::Timeout,
        (_, false) => PeerError::Unreachable(clean(&root(error), MAX_TEXT_LEN)),
    }
}

/// The pin's mismatch, somewhere below: HTTP client, I/O error, TLS error, ours.
fn wrong_key(error: &(dyn StdError + 'static)) -> Option<WrongKey> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(wrong) = error.downcast_ref::<WrongKey>() {
            return Some(wrong.clone());
        }
        if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) =
            error.downcast_ref()
        {
            return wrong_key(other);
        }
        // An I/O error's source is the source of what it wraps: look at that first.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|inner| wrong_key(inner));
        if wrapped.is_some() {
            return wrapped;
        }
        next = error.source();
    }
    None
}

/// The innermost message, which says the most; the outer ones repeat the URL.
fn root(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
