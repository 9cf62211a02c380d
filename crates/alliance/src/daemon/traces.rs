//! A collector is told of traces. It may be slow or away: nobody here waits for it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use alliance_cloud::collector::{Collector, CollectorError};
use alliance_trace::{Ended, Outbox, Tracer, otlp};
use anyhow::Context;
use tokio::sync::Mutex;
use tokio::time::sleep;
use uuid::Uuid;

use super::metrics::{Metrics, SpanLabels};
use crate::config::Config;

/// For how long spans are gathered before they are sent.
const GATHER: Duration = Duration::from_secs(1);
/// How many are sent at once.
const AT_ONCE: usize = 512;

/// Who makes this daemon's spans, and who is told.
pub(crate) struct Traces {
    /// Begins them.
    pub tracer: Tracer,
    telling: Option<Telling>,
}

struct Telling {
    collector: Collector,
    /// Who tells.
    resource: Vec<(&'static str, String)>,
    metrics: Arc<Metrics>,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    outbox: Outbox,
    ended: Vec<Ended>,
    /// Whether the last ones were not taken.
    is_away: bool,
}

impl Traces {
    /// As `[trace]` has it.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn open(config: &Config, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let Some(url) = &config.trace.otlp_url else {
            return Ok(Self {
                tracer: Tracer::off(),
                telling: None,
            });
        };
        let (tracer, outbox) = Tracer::keeping(config.trace.sample);
        let telling = Telling {
            collector: Collector::new(url).context("[trace] otlp_url")?,
            resource: vec![
                ("service.name", "alliance".to_owned()),
                ("service.namespace", config.cloud.name.clone()),
                ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
                ("service.instance.id", Uuid::new_v4().to_string()),
            ],
            metrics,
            waiting: Mutex::new(Waiting {
                outbox,
                ended: Vec::new(),
                is_away: false,
            }),
        };
        Ok(Self {
            tracer,
            telling: Some(telling),
        })
    }

    /// Tells the collector what ends. Runs for ever.
    pub(crate) async fn tell(&self) {
        let Some(telling) = &self.telling else {
            return pending().await;
        };
        let mut waiting = telling.waiting.lock().await;
        loop {
            let Waiting { outbox, ended, .. } = &mut *waiting;
            outbox.wait(ended, AT_ONCE).await;
            sleep(GATHER).await;
            telling.send(&mut waiting).await;
        }
    }

    /// Tells it what has ended by now, once, after [`Traces::tell`] was given up.
    pub(crate) async fn tell_the_rest(&self) {
        if let Some(telling) = &self.telling {
            telling.send(&mut *telling.waiting.lock().await).await;
        }
    }
}

impl Telling {
    async fn send(&self, waiting: &mut Waiting) {
        waiting.outbox.more(&mut waiting.ended, AT_ONCE);
        self.count("dropped", waiting.outbox.lost());
        let ended = std::mem::take(&mut waiting.ended);
        if ended.is_empty() {
            return;
        }
        let request = otlp::request(&self.resource, env!("CARGO_PKG_VERSION"), &ended);
        let sent = self.collector.send(request).await;
        let result = if sent.is_ok() { "sent" } else { "failed" };
        self.count(result, u64::try_from(ended.len()).unwrap_or(u64::MAX));
        waiting.note(&sent);
    }

    fn count(&self, result: &'static str, count: u64) {
        let labels = SpanLabels { result };
        self.metrics.spans.get_or_create(&labels).inc_by(count);
    }
}

impl Waiting {
    /// One line in the log for each change.
    fn note(&mut self, sent: &Result<(), CollectorError>) {
        match sent {
            Err(error) if !self.is_away => {
                tracing::warn!(%error, "traces are lost; see [trace] otlp_url");
            }
            Ok(()) if self.is_away => tracing::info!("the collector takes traces again"),
            Err(_) | Ok(()) => {}
        }
        self.is_away = sent.is_err();
    }
}
