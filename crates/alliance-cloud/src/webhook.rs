//! Messages to whatever an operator names, as the Standard Webhooks specification has them: signed by a
//! shared secret, so that the receiver knows who says it, and when.
//!
//! Redirects are not followed, and little is read of an answer: who receives may be anybody.

use std::fmt;
use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::label::clean;
use aws_lc_rs::hmac;
use data_encoding::BASE64;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::transport::{TransportError, causes, client};

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How much of its answer is looked at, in bytes.
const SHOWN: usize = 200;
/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// How long a secret is, in bytes.
const SECRET: std::ops::RangeInclusive<usize> = 24..=64;
const CLOUD_EVENT: HeaderValue =
    HeaderValue::from_static("application/cloudevents+json; charset=utf-8");

/// Why a message is not delivered.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The secret cannot be used.
    #[error(
        "expected whsec_ and 24 to 64 bytes in base64; make one by: printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\""
    )]
    Secret,
    /// No HTTP client can be made.
    #[error("no HTTP client")]
    Setup(#[from] TransportError),
    /// No connection, or it broke.
    #[error("the receiver was not reached: {0}")]
    Unreachable(String),
    /// The receiver wants no more messages.
    #[error("the receiver has answered 410 Gone: it wants no more messages")]
    Gone,
    /// The receiver did not take it.
    #[error("the receiver answered {status}{said}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// The beginning of what it said, after a colon.
        said: String,
    },
}

/// A receiver.
pub struct Webhook {
    client: Client,
    url: Url,
    key: hmac::Key,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path of such a URL is often a secret.
        write!(f, "Webhook({})", self.host())
    }
}

impl Webhook {
    /// The receiver at `url`, which shares `secret` with us.
    ///
    /// # Errors
    /// If the secret is none, or there is no HTTP client.
    pub fn new(url: &Url, secret: &SecretString) -> Result<Self, WebhookError> {
        let secret = secret.expose_secret().strip_prefix(PREFIX);
        let secret = secret.and_then(|secret| BASE64.decode(secret.as_bytes()).ok());
        let secret = secret.filter(|secret| SECRET.contains(&secret.len()));
        let secret = secret.ok_or(WebhookError::Secret)?;
        Ok(Self {
            client: client(url, None)?,
            url: url.clone(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
        })
    }

    /// Where it is, without what may be secret in its URL.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Sends a CloudEvent in JSON. The same message has the same `id` each time; `now` is this attempt's.
    ///
    /// # Errors
    /// If the receiver has not said that it has it: it may have it all the same.
    pub async fn send(&self, id: &str, now: Seconds, event: &str) -> Result<(), WebhookError> {
        let request = self
            .client
            .post(self.url.clone())
            .timeout(PATIENCE)
            .header(CONTENT_TYPE, CLOUD_EVENT)
            .header("webhook-id", id)
            .header("webhook-timestamp", now.to_string())
            .header("webhook-signature", self.signature(id, now, event))
            .body(event.to_owned());
        let unreachable = |error: reqwest::Error| WebhookError::Unreachable(causes(&error));
        let mut answer = request.send().await.map_err(unreachable)?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(WebhookError::Gone),
            status => {
                let said = answer.chunk().await.ok().flatten().unwrap_or_default();
                let said = String::from_utf8_lossy(said.get(..SHOWN).unwrap_or(&said));
                let said = match clean(said.trim(), SHOWN) {
                    said if said.is_empty() => said,
                    said => format!(": {said}"),
                };
                Err(WebhookError::Refused { status, said })
            }
        }
    }

    fn signature(&self, id: &str, now: Seconds, event: &str) -> String {
        let signed = format!("{id}.{now}.{event}");
        let tag = hmac::sign(&self.key, signed.as_bytes());
        format!("v1,{}", BASE64.encode(tag.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(secret: &str) -> Result<Webhook, WebhookError> {
        let url = Url::parse("http://127.0.0.1:1/secret-path");
        let url = url.map_err(|error| WebhookError::Unreachable(error.to_string()))?;
        Webhook::new(&url, &SecretString::from(secret))
    }

    #[test]
    fn the_specifications_own_example_is_signed_as_it_says() -> Result<(), WebhookError> {
        let webhook = webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
        assert_eq!(
            webhook.signature(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert!(!format!("{webhook:?}").contains("secret"));
        Ok(())
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        for secret in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert!(
                matches!(webhook(secret), Err(WebhookError::Secret)),
                "{secret}"
            );
        }
    }
}
