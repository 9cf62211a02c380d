//! At home: what hosts have told is handed on, in order, to the webhook that the operator has named.

use std::sync::Arc;
use std::time::Duration;

use alliance_cloud::webhook::{Webhook, WebhookError};
use alliance_core::notice::event;
use alliance_store::{Filter, ReceivedNotice};
use anyhow::Context;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::config::{Notify, read_secret};
use crate::daemon::Daemon;
use crate::daemon::clock::now;

/// Its name among those who are told.
pub(crate) const WEBHOOK: &str = "webhook";
/// How many notices are read at once.
const AT_ONCE: usize = 50;
/// How often is looked whether there are some, though nobody has said so.
const LOOK: Duration = Duration::from_secs(5);
/// Pauses after a failure: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How a delivery ended.
enum Stop {
    /// It is tried again.
    Failed(anyhow::Error),
    /// The receiver wants no more.
    Over(WebhookError),
}

/// The receiver that is configured, if one is.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn configured(notify: &Notify) -> anyhow::Result<Option<Webhook>> {
    let (url, file) = match (&notify.webhook_url, &notify.webhook_secret_file) {
        (Some(url), Some(file)) => (url, file),
        (None, None) => return Ok(None),
        _ => anyhow::bail!(
            "[notify] webhook_url and webhook_secret_file go together: one is missing"
        ),
    };
    let secret = read_secret(file);
    let secret = secret
        .with_context(|| format!("[notify] webhook_secret_file: reading {}", file.display()))?;
    let webhook = Webhook::new(url, &secret).context("[notify] webhook_secret_file")?;
    Ok(Some(webhook))
}

impl Daemon {
    /// Hands on what comes, if there is a webhook. Runs for ever.
    pub(crate) async fn follow_webhook(self: Arc<Self>) {
        let Some(webhook) = &self.webhook else {
            return;
        };
        let mut pause = FIRST_PAUSE;
        let mut is_begun = false;
        loop {
            let delivered = self.hand_on(webhook, &mut is_begun).await;
            match delivered {
                Ok(0) => {
                    // A time-out is as good as news.
                    let _ = timeout(LOOK, self.news.notified()).await;
                }
                Ok(_) => pause = FIRST_PAUSE,
                Err(Stop::Over(error)) => {
                    self.note_failure(&error.to_string(), true).await;
                    tracing::error!(
                        host = webhook.host(),
                        %error,
                        "the webhook is told nothing more until the daemon is started again"
                    );
                    return;
                }
                Err(Stop::Failed(error)) => {
                    let error = format!("{error:#}");
                    if pause == FIRST_PAUSE {
                        tracing::warn!(
                            host = webhook.host(),
                            error,
                            "the webhook was not told; it is tried again, and this is said once"
                        );
                    }
                    self.note_failure(&error, false).await;
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Hands on what waits, some at a time. Returns how much was delivered.
    async fn hand_on(&self, webhook: &Webhook, is_begun: &mut bool) -> Result<usize, Stop> {
        let notices = self.store.notices();
        if !*is_begun {
            notices.begin_delivery(WEBHOOK).await.map_err(failed)?;
            *is_begun = true;
        }
        let delivery = notices.delivery(WEBHOOK).await.map_err(failed)?;
        let waiting = Filter {
            after: delivery.unwrap_or_default().number,
            ..Filter::default()
        };
        let waiting = notices.list(&waiting, AT_ONCE).await.map_err(failed)?;
        for one in &waiting {
            let body = self.body(one).map_err(failed)?;
            match webhook.send(&one.id, now(), &body).await {
                Ok(()) => {}
                Err(error @ WebhookError::Gone) => return Err(Stop::Over(error)),
                Err(error) => return Err(failed(error)),
            }
            notices
                .delivered(WEBHOOK, one.number)
                .await
                .map_err(failed)?;
        }
        Ok(waiting.len())
    }

    /// A notice as an event of this cloud's: who told it is called as its operator calls it.
    fn body(&self, one: &ReceivedNotice) -> serde_json::Result<String> {
        let own = self.identity.cloud_id();
        let mut event = event(&one.notice, one.number, &one.host, own);
        let partner = self.name_of(&one.host);
        event
            .extensions
            .insert("partner".to_owned(), Value::from(partner));
        serde_json::to_string(&event)
    }

    async fn note_failure(&self, problem: &str, is_over: bool) {
        let notices = self.store.notices();
        let noted = notices
            .not_delivered(WEBHOOK, problem, is_over, now())
            .await;
        if let Err(error) = noted {
            tracing::error!(%error, "that the webhook fails is not in the database");
        }
    }
}

fn failed(error: impl Into<anyhow::Error>) -> Stop {
    Stop::Failed(error.into())
}
