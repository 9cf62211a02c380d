//! How metering goes on, and whether homes hear of it. Set when they are printed.

use alliance_core::Seconds;
use alliance_store::{Flow, Notifications};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::PartnerLabel;

/// What the database says of it.
#[derive(Debug, Default)]
pub(crate) struct UsageMetrics {
    /// How many notifications `alliance work` has taken off the bus.
    pub notifications: Notifications,
    /// When it last listed resources of each kind, by the kind.
    pub listed: Vec<(&'static str, Seconds)>,
    /// The records between this cloud and each partner, by its alias.
    pub flows: Vec<(String, Flow)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Default)]
pub(super) struct Usage {
    notifications: Family<ResultLabel, Counter>,
    listed: Family<KindLabel, Gauge>,
    unheard: Family<PartnerLabel, Gauge>,
    unheard_since: Family<PartnerLabel, Gauge>,
    counted: Family<PartnerLabel, Counter>,
}

impl Usage {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let usage = Self::default();
        registry.register(
            "notifications",
            "Notifications that were taken off the message bus, by what became of them",
            usage.notifications.clone(),
        );
        registry.register_with_unit(
            "usage_listed",
            "When resources of a kind were last listed, since the epoch",
            Unit::Seconds,
            usage.listed.clone(),
        );
        registry.register(
            "usage_unheard",
            "Usage records that a partner has not counted yet",
            usage.unheard.clone(),
        );
        registry.register_with_unit(
            "usage_unheard_since",
            "When the oldest of those was noted, since the epoch",
            Unit::Seconds,
            usage.unheard_since.clone(),
        );
        registry.register(
            "usage_records_counted",
            "A partner's usage records that were counted here",
            usage.counted.clone(),
        );
        usage
    }

    pub(super) fn set(&self, usage: &UsageMetrics) {
        self.notifications.clear();
        for (result, count) in usage.notifications.by_result() {
            let label = ResultLabel { result };
            self.notifications.get_or_create(&label).inc_by(count);
        }
        self.listed.clear();
        for (kind, at) in &usage.listed {
            self.listed.get_or_create(&KindLabel { kind }).set(*at);
        }
        self.unheard.clear();
        self.unheard_since.clear();
        self.counted.clear();
        for (partner, flow) in &usage.flows {
            let label = PartnerLabel {
                partner: partner.clone(),
            };
            let unheard = i64::try_from(flow.unheard).unwrap_or(i64::MAX);
            self.unheard.get_or_create(&label).set(unheard);
            if let Some(since) = flow.unheard_since {
                self.unheard_since.get_or_create(&label).set(since);
            }
            self.counted.get_or_create(&label).inc_by(flow.counted);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use alliance_core::cloud::CloudId;

    use super::*;

    /// Something of everything.
    pub(in crate::daemon::metrics) fn sample() -> UsageMetrics {
        let flow = Flow {
            partner: CloudId::from_spki(b"west"),
            unheard: 2,
            unheard_since: Some(1000),
            counted: 7,
        };
        UsageMetrics {
            notifications: Notifications {
                read: 5,
                malformed: 1,
                too_large: 0,
            },
            listed: vec![("server", 900)],
            flows: vec![("west".into(), flow)],
        }
    }

    #[test]
    fn what_is_printed_is_what_the_database_says_however_often() -> Result<(), std::fmt::Error> {
        let mut registry = Registry::with_prefix("alliance");
        let usage = Usage::registered(&mut registry);
        let said = sample();
        let mut text = String::new();
        for _ in 0..2 {
            usage.set(&said);
        }
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        for line in [
            r#"alliance_notifications_total{result="read"} 5"#,
            r#"alliance_notifications_total{result="malformed"} 1"#,
            r#"alliance_notifications_total{result="too_large"} 0"#,
            r#"alliance_usage_listed_seconds{kind="server"} 900"#,
            r#"alliance_usage_unheard{partner="west"} 2"#,
            r#"alliance_usage_unheard_since_seconds{partner="west"} 1000"#,
            r#"alliance_usage_records_counted_total{partner="west"} 7"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        usage.set(&UsageMetrics::default());
        text.clear();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        assert!(!text.contains("west") && !text.contains("server"), "{text}");
        Ok(())
    }
}
