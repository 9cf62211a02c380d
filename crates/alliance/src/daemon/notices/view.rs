//! What operators see of it.

use alliance_core::notice::Kind;
use alliance_store::{Filter, ReceivedNotice};

use super::webhook::WEBHOOK;
use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::wire::{NOTICES_AT_ONCE, NoticeView};
use crate::work::publishing::BUS;

/// For how long a delivery may fail before an operator should look, in seconds.
const PATIENCE: i64 = 600;

impl Daemon {
    /// Notices of hosts, the first ones that are wanted.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn notices(&self, filter: &Filter) -> anyhow::Result<Vec<NoticeView>> {
        let found = self.store.notices().list(filter, NOTICES_AT_ONCE).await?;
        Ok(found.into_iter().map(|one| self.view_notice(one)).collect())
    }

    fn view_notice(&self, one: ReceivedNotice) -> NoticeView {
        NoticeView {
            number: one.number,
            partner: self.name_of(&one.host),
            partner_id: one.host,
            id: one.id,
            received_at: one.received_at,
            severity: one.notice.kind.severity().to_string(),
            notice: one.notice,
        }
    }

    /// What an operator should know of how they are handed on.
    pub(crate) async fn notice_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let notices = self.store.notices();
        if let Some(webhook) = &self.webhook
            && let Ok(Some(delivery)) = notices.delivery(WEBHOOK).await
        {
            let host = webhook.host();
            let problem = delivery.problem.unwrap_or_default();
            let is_late = delivery
                .failing_since
                .is_some_and(|since| since < now() - PATIENCE);
            if delivery.is_over {
                warnings.push(format!(
                    "the webhook at {host} is told nothing more: {problem}; name another in [notify] webhook_url, or start the daemon again to try once more"
                ));
            } else if is_late {
                let waiting = delivery.waiting;
                warnings.push(format!(
                    "the webhook at {host} has taken nothing for more than ten minutes ({waiting} notices wait): {problem}"
                ));
            }
        }
        if let Some(exchange) = &self.config.notify.exchange
            && let Ok(Some(delivery)) = notices.delivery(BUS).await
            && delivery
                .failing_since
                .is_some_and(|since| since < now() - PATIENCE)
        {
            let (waiting, problem) = (delivery.waiting, delivery.problem.unwrap_or_default());
            warnings.push(format!(
                "no notice was said on the message bus, exchange {exchange}, for more than ten minutes ({waiting} wait): {problem}"
            ));
        }
        for position in notices.positions().await.unwrap_or_default() {
            if position.missed > 0 {
                warnings.push(format!(
                    "{} notices of {} were not kept there until they were asked for; what they said is not known here",
                    position.missed,
                    self.name_of(&position.partner)
                ));
            }
        }
        warnings
    }

    /// Counts what was taken in, for those who watch.
    pub(super) fn count_notices(&self, kinds: impl Iterator<Item = Kind>) {
        for kind in kinds {
            self.metrics.count_notice(kind);
        }
    }

    /// Sets what those who watch see of how notices are handed on.
    pub(crate) async fn measure_notices(&self) {
        let receivers = [
            (WEBHOOK, self.webhook.is_some()),
            (BUS, self.config.notify.exchange.is_some()),
        ];
        for (to, _) in receivers.into_iter().filter(|(_, is_wanted)| *is_wanted) {
            if let Ok(Some(delivery)) = self.store.notices().delivery(to).await {
                let age = delivery
                    .waits_since
                    .map_or(0, |since| (now() - since).max(0));
                self.metrics.set_waiting(to, delivery.waiting, age);
            }
        }
    }
}
