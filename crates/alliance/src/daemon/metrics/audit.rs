//! Audit events: how many are written where, and since when none can be.

use alliance_core::Seconds;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    /// `file` or `bus`.
    to: &'static str,
    /// `written` or `lost`.
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlaceLabel {
    /// As in [`EventLabels`].
    to: &'static str,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditMetrics {
    events: Family<EventLabels, Counter>,
    failing_since: Family<PlaceLabel, Gauge>,
}

impl AuditMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let audit = Self::default();
        registry.register(
            "audit_events",
            "Audit events, by what became of them",
            audit.events.clone(),
        );
        registry.register_with_unit(
            "audit_failing_since",
            "Since when no audit event can be written, since the epoch; 0 if they can",
            Unit::Seconds,
            audit.failing_since.clone(),
        );
        audit
    }

    /// So many were written or lost.
    pub(crate) fn count(&self, to: &'static str, result: &'static str, count: usize) {
        let labels = EventLabels { to, result };
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.events.get_or_create(&labels).inc_by(count);
    }

    /// They can be written there.
    pub(crate) fn works(&self, to: &'static str) {
        self.fails_since(to, 0);
        // So that the first loss is seen as one.
        self.count(to, "lost", 0);
    }

    /// They cannot.
    pub(crate) fn fails_since(&self, to: &'static str, at: Seconds) {
        self.failing_since.get_or_create(&PlaceLabel { to }).set(at);
    }
}
