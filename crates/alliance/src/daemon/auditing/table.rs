//! Events on their way to the message bus: in the database, which `alliance work` reads. The daemon has
//! no password of the bus.

use std::time::{Duration, Instant};

use alliance_store::{AuditEvent, Store};

use super::sink::{Line, Place};
use crate::daemon::metrics::AuditMetrics;

/// How many wait there; the oldest go first if nobody says them.
const MOST: u32 = 100_000;
/// How often is looked whether they are more.
const LOOK: Duration = Duration::from_secs(60);

/// The table.
pub(super) struct Table {
    store: Store,
    metrics: AuditMetrics,
    looked: Instant,
}

impl Table {
    pub(super) fn of(store: Store, metrics: AuditMetrics) -> Self {
        Self {
            store,
            metrics,
            looked: Instant::now(),
        }
    }
}

impl Place for Table {
    const NAME: &'static str = "bus";

    async fn keep(&mut self, lines: &[Line]) -> anyhow::Result<()> {
        let events: Vec<_> = lines
            .iter()
            .map(|line| AuditEvent {
                id: line.id.to_string(),
                at: line.at.as_millisecond(),
                event: line.json.to_string(),
            })
            .collect();
        let table = self.store.audit_events();
        table.append(&events).await?;
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            let lost = table.keep(MOST).await?;
            if lost > 0 {
                let count = usize::try_from(lost).unwrap_or(usize::MAX);
                self.metrics.count(Self::NAME, "lost", count);
                tracing::error!(
                    count,
                    "audit events were deleted that nobody has said on the message bus: does `alliance work` run?"
                );
            }
        }
        Ok(())
    }
}
