//! What operators see of it.

use alliance_core::Seconds;
use alliance_core::notice::Kind;
use alliance_store::{Delivery, Filter, ReceivedNotice, Receiver};

use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::wire::{NOTICES_AT_ONCE, NoticeView};

/// For how long a delivery may fail before an operator should look, in seconds.
const PATIENCE: Seconds = 600;

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
        if let Some(webhook) = &self.webhook
            && let Some(delivery) = self.delivery(Receiver::Webhook).await
        {
            let host = webhook.host();
            let is_late = is_long_ago(delivery.failing_since, now());
            let problem = delivery.problem.unwrap_or_default();
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
        if let Some(exchange) = &self.config.notify.exchange {
            for (receiver, what) in [
                (Receiver::Bus, "notices"),
                (Receiver::BusUsage, "usage records"),
                (Receiver::BusHours, "what usage there was each hour"),
                (Receiver::BusAudit, "audit events"),
            ] {
                if let Some(delivery) = self.delivery(receiver).await {
                    warnings.extend(bus_warning(what, exchange, &delivery, now()));
                }
            }
        }
        let notices = self.store.notices();
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
        let bus = self.config.notify.exchange.is_some();
        let receivers = [
            (Receiver::Webhook, self.webhook.is_some()),
            (Receiver::Bus, bus),
            (Receiver::BusUsage, bus),
            (Receiver::BusAudit, bus && self.config.audit.bus),
        ];
        for (receiver, _) in receivers.into_iter().filter(|(_, is_wanted)| *is_wanted) {
            if let Some(delivery) = self.delivery(receiver).await {
                let age = delivery
                    .waits_since
                    .map_or(0, |since| (now() - since).max(0));
                self.metrics.set_waiting(receiver, delivery.waiting, age);
            }
        }
    }

    /// How far a receiver was told, if that is known.
    async fn delivery(&self, receiver: Receiver) -> Option<Delivery> {
        self.store.deliveries().state(receiver).await.ok().flatten()
    }
}

fn is_long_ago(since: Option<Seconds>, now: Seconds) -> bool {
    since.is_some_and(|since| since < now - PATIENCE)
}

/// What an operator should know of what is said on the message bus.
fn bus_warning(what: &str, exchange: &str, delivery: &Delivery, now: Seconds) -> Option<String> {
    // Nobody notes a failure while `alliance work` does not run.
    let since = delivery.failing_since.or(delivery.waits_since);
    if !is_long_ago(since, now) {
        return None;
    }
    let waiting = delivery.waiting;
    let problem = delivery.problem.as_deref();
    let problem = problem.unwrap_or("`alliance work` does not say it");
    Some(format!(
        "{what}: not said on the message bus, exchange {exchange}, for more than ten minutes ({waiting} wait): {problem}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_warned_when_the_bus_was_told_nothing_for_ten_minutes() {
        let warning = |delivery: &Delivery| bus_warning("notices", "alliance", delivery, 1000);
        assert_eq!(warning(&Delivery::default()), None);
        let mut delivery = Delivery {
            waiting: 3,
            waits_since: Some(400),
            ..Delivery::default()
        };
        assert_eq!(warning(&delivery), None);
        delivery.waits_since = Some(399);
        let idle = warning(&delivery).unwrap_or_default();
        assert!(
            idle.ends_with("(3 wait): `alliance work` does not say it"),
            "{idle}"
        );
        delivery.failing_since = Some(399);
        delivery.problem = Some("no such exchange".into());
        let failing = warning(&delivery).unwrap_or_default();
        assert!(failing.ends_with("(3 wait): no such exchange"), "{failing}");
    }
}
