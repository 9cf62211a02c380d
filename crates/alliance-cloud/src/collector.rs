//! What a collector of traces is sent, by OTLP over HTTP.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use url::Url;

use crate::transport::{TransportError, causes, client};

/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a collector has not taken what it was sent.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// No connection, or it broke.
    #[error("the collector was not reached: {0}")]
    Unreachable(String),
    /// It did not take it.
    #[error("the collector answered {0}")]
    Refused(StatusCode),
}

/// A collector. Redirects are not followed, and nothing is read of an answer but its status.
#[derive(Debug)]
pub struct Collector {
    client: Client,
    url: Url,
}

impl Collector {
    /// The one that takes traces at `url`.
    ///
    /// # Errors
    /// If there is no HTTP client.
    pub fn new(url: &Url) -> Result<Self, TransportError> {
        Ok(Self {
            client: client(url, None)?,
            url: url.clone(),
        })
    }

    /// Sends an `ExportTraceServiceRequest` in JSON, once.
    ///
    /// # Errors
    /// If the collector has not said that it has it.
    pub async fn send(&self, request: String) -> Result<(), CollectorError> {
        let sending = self
            .client
            .post(self.url.clone())
            .timeout(PATIENCE)
            .header(CONTENT_TYPE, "application/json")
            .body(request);
        let answer = sending.send().await;
        let answer = answer.map_err(|error| CollectorError::Unreachable(causes(&error)))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(CollectorError::Refused(status)),
        }
    }
}
