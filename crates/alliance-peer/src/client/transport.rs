//! One request, and how its failure is to be read.

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, Instant};

use alliance_core::cloud::CloudId;
use alliance_core::label::clean;
use alliance_core::revocation::RevocationList;
use alliance_core::skew::Skew;
use alliance_core::statement::Statement;
use alliance_trace::{Span, within};
use bytes::BytesMut;
use jiff::Timestamp;
use reqwest::header::{DATE, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH, SERVER};
use reqwest::{RequestBuilder, Response, StatusCode};
use rustls::CertificateError;
use serde::de::DeserializeOwned;
use uuid::Uuid;

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
/// Longest version that is repeated, in characters.
const MAX_VERSION_LEN: usize = 40;

/// What an answer shows beside what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// How long it took to come.
    pub round_trip: Duration,
    /// How far the partner's clock is from ours.
    pub skew: Option<Skew>,
    /// The version of its daemon.
    pub version: Option<String>,
}

impl Contact {
    /// By the headers of the answer to what was sent at `sent`, `round_trip` before it came.
    fn new(headers: &HeaderMap, sent: Timestamp, round_trip: Duration) -> Self {
        let text = |name: HeaderName| headers.get(name)?.to_str().ok();
        let skew = text(DATE).and_then(|date| Skew::by_date(sent, round_trip, date));
        let version = text(SERVER).and_then(|server| server.strip_prefix("alliance/"));
        Self {
            round_trip,
            skew,
            version: version.map(|version| clean(version, MAX_VERSION_LEN)),
        }
    }
}

/// Sends a request and reads its answer.
pub(super) async fn send<T: DeserializeOwned>(
    partner: &CloudId,
    request: RequestBuilder,
) -> Result<T, PeerError> {
    understand(&exchange(partner, request, MAX_ANSWER_LEN).await?)
}

/// The same for an answer that is long.
pub(super) async fn send_for_list<T: DeserializeOwned>(
    partner: &CloudId,
    request: RequestBuilder,
) -> Result<T, PeerError> {
    understand(&exchange(partner, request, MAX_LIST_LEN).await?)
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
/// same. Either way with what the answer shows.
pub(super) async fn send_unless_known<T: DeserializeOwned>(
    partner: &CloudId,
    request: RequestBuilder,
    known: Option<&str>,
) -> Result<(Option<Tagged<T>>, Contact), PeerError> {
    let request = match known {
        Some(known) => request.header(IF_NONE_MATCH, known),
        None => request,
    };
    let (span, request) = traced(partner, request)?;
    let sending = Box::pin(telling(look(request, known.is_some())));
    within(span, sending).await
}

async fn look<T: DeserializeOwned>(
    request: RequestBuilder,
    is_known: bool,
) -> Result<(Option<Tagged<T>>, Contact), PeerError> {
    let (sent, asked_at) = (Timestamp::now(), Instant::now());
    let mut response = answered(request).await?;
    let headers = std::mem::take(response.headers_mut());
    if is_known && response.status() == StatusCode::NOT_MODIFIED {
        return Ok((None, Contact::new(&headers, sent, asked_at.elapsed())));
    }
    let body = success(response, MAX_ANSWER_LEN).await?;
    let contact = Contact::new(&headers, sent, asked_at.elapsed());
    let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok());
    let etag = etag.filter(|etag| etag.len() <= MAX_ETAG_LEN);
    let tagged = Tagged {
        answer: understand(&body)?,
        etag: etag.map(str::to_owned),
    };
    Ok((Some(tagged), contact))
}

/// Sends a request whose answer is empty.
pub(super) async fn send_for_nothing(
    partner: &CloudId,
    request: RequestBuilder,
) -> Result<(), PeerError> {
    let answer = exchange(partner, request, MAX_ANSWER_LEN).await;
    answer.map(|_| ())
}

async fn exchange(
    partner: &CloudId,
    request: RequestBuilder,
    limit: usize,
) -> Result<BytesMut, PeerError> {
    let (span, request) = traced(partner, request)?;
    // Many wait between two requests, or for leave to send one: that takes no room for sending.
    let sending = async { success(answered(request).await?, limit).await };
    within(span, Box::pin(telling(sending))).await
}

/// A request, with the span that it is sent in if it belongs to a trace.
fn traced(
    partner: &CloudId,
    request: RequestBuilder,
) -> Result<(Option<Span>, RequestBuilder), PeerError> {
    let (client, request) = request.build_split();
    let mut request = request.map_err(|e| classify(&e))?;
    let route = template(request.url().path());
    let span = alliance_trace::call(|| format!("{} {route}", request.method()));
    if let Some(span) = &span {
        span.note("http.request.method", request.method().to_string());
        span.note("url.template", route);
        span.note("alliance.partner.tag", partner.tag().to_string());
        if let Some(host) = request.url().host_str() {
            span.note("server.address", host.to_owned());
        }
        span.write(request.headers_mut());
    }
    Ok((span, RequestBuilder::from_parts(client, request)))
}

/// A path without what is data in it: the ids.
fn template(path: &str) -> String {
    let parts = path.split('/').map(|part| match Uuid::try_parse(part) {
        Ok(_) => "{id}",
        Err(_) => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The span under way says why it failed, by a code.
async fn telling<T>(sending: impl Future<Output = Result<T, PeerError>>) -> Result<T, PeerError> {
    let outcome = sending.await;
    if let Err(error) = &outcome {
        alliance_trace::fail(error.reason().code());
    }
    outcome
}

async fn answered(request: RequestBuilder) -> Result<Response, PeerError> {
    let response = request.send().await.map_err(|e| classify(&e))?;
    alliance_trace::note("http.response.status_code", response.status().as_u16());
    Ok(response)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_no_ids() {
        let id = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b";
        assert_eq!(template("/v1/introspect"), "/v1/introspect");
        assert_eq!(
            template(&format!("/v1/agreements/{id}/replies")),
            "/v1/agreements/{id}/replies"
        );
    }
}
