//! One place for events: a queue of bounded length, and who empties it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alliance_core::cadf::{Event, Observer, Stamp};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::daemon::clock::now;
use crate::daemon::metrics::AuditMetrics;

/// How many events wait at most; each takes about a kilobyte.
const QUEUE: usize = 8192;
/// How many are written at once.
const AT_ONCE: usize = 256;
/// Pause after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// An event as it is written.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) id: Arc<str>,
    pub(super) at: Timestamp,
    pub(super) json: Arc<str>,
}

impl Line {
    pub(super) fn of(event: &Event, at: Timestamp) -> serde_json::Result<Self> {
        Ok(Self {
            id: event.id().into(),
            at,
            json: serde_json::to_string(event)?.into(),
        })
    }
}

/// Where events are kept.
pub(super) trait Place: Send + 'static {
    /// What it is called in metrics.
    const NAME: &'static str;

    /// Keeps some. After a failure it is called again with the same ones.
    fn keep(&mut self, lines: &[Line]) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// The way into a place.
pub(super) struct Sink {
    queue: mpsc::Sender<Line>,
    lost: Arc<AtomicU64>,
    metrics: AuditMetrics,
    name: &'static str,
}

/// What a sink is opened with.
pub(super) struct Opening<'a> {
    pub(super) observer: &'a Observer,
    pub(super) metrics: &'a AuditMetrics,
    pub(super) stop: &'a watch::Sender<bool>,
    pub(super) tasks: &'a TaskTracker,
}

impl Opening<'_> {
    pub(super) fn sink<P: Place>(&self, place: P) -> Sink {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let lost = Arc::<AtomicU64>::default();
        let emptying = Emptying {
            place,
            waiting,
            lost: Arc::clone(&lost),
            observer: self.observer.clone(),
            metrics: self.metrics.clone(),
            stop: self.stop.subscribe(),
        };
        self.metrics.works(P::NAME);
        self.tasks.spawn(emptying.run());
        Sink {
            queue,
            lost,
            metrics: self.metrics.clone(),
            name: P::NAME,
        }
    }
}

impl Sink {
    /// Takes an event, or counts it as lost.
    pub(super) fn take(&self, line: Line) {
        if self.queue.try_send(line).is_ok() {
            return;
        }
        self.metrics.count(self.name, "lost", 1);
        if self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!(
                to = self.name,
                "audit events come faster than they are written: some are lost, an event will say how many"
            );
        }
    }
}

struct Emptying<P> {
    place: P,
    waiting: mpsc::Receiver<Line>,
    lost: Arc<AtomicU64>,
    observer: Observer,
    metrics: AuditMetrics,
    stop: watch::Receiver<bool>,
}

impl<P: Place> Emptying<P> {
    /// Runs until a stop, and then until nothing waits.
    async fn run(mut self) {
        let mut failing = false;
        while let Some(batch) = self.next().await {
            while let Err(error) = self.place.keep(&batch).await {
                if !failing {
                    tracing::error!(
                        to = P::NAME,
                        error = format!("{error:#}"),
                        "audit events are not written; it is tried again each second, and this is said once"
                    );
                    self.metrics.fails_since(P::NAME, now());
                }
                failing = true;
                if self.is_stopped() {
                    let count = batch.len() + self.waiting.len();
                    self.metrics.count(P::NAME, "lost", count);
                    tracing::error!(to = P::NAME, count, "audit events are lost by the stop");
                    return;
                }
                // An elapsed time is what is meant.
                let _ = timeout(AGAIN, self.stop.wait_for(|stop| *stop)).await;
            }
            self.metrics.count(P::NAME, "written", batch.len());
            if failing {
                tracing::info!(to = P::NAME, "audit events are written again");
                self.metrics.works(P::NAME);
            }
            failing = false;
        }
    }

    /// What is to be written next; `None` if that was all.
    async fn next(&mut self) -> Option<Vec<Line>> {
        let mut batch = Vec::new();
        if !self.is_stopped() {
            tokio::select! {
                count = self.waiting.recv_many(&mut batch, AT_ONCE) => if count == 0 {
                    return None;
                },
                _ = self.stop.wait_for(|stop| *stop) => {}
            }
        }
        while batch.len() < AT_ONCE
            && let Ok(line) = self.waiting.try_recv()
        {
            batch.push(line);
        }
        batch.extend(self.loss());
        (!batch.is_empty()).then_some(batch)
    }

    /// That events were lost since it was last said.
    fn loss(&self) -> Option<Line> {
        let count = self.lost.swap(0, Ordering::Relaxed);
        let at = Timestamp::now();
        let stamp = Stamp {
            id: Uuid::new_v4(),
            at,
        };
        let line = (count > 0).then(|| Line::of(&Event::lost(&stamp, &self.observer, count), at));
        line?.ok()
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }
}
