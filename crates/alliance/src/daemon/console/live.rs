//! Server-sent events: that something has changed. What, each page asks for itself.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Console;
use super::pace::STEP;
use super::visits::Visit;
use crate::daemon::clock::now;
use crate::daemon::stopped;

/// Where they are.
pub(super) const EVENTS: &str = "/events";
/// How often the daemon's state is looked at, while somebody listens.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is seen whether who listens is still logged in.
const STILL: Duration = Duration::from_secs(15);
/// Who comes beyond is told to come later; pages work without it.
const LISTENERS: usize = 64;

/// What those who listen wait for.
pub(super) struct Live {
    changes: watch::Sender<u64>,
    places: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            changes: watch::Sender::default(),
            places: Arc::new(Semaphore::new(LISTENERS)),
        }
    }
}

/// Somebody who listens.
struct Listener {
    console: Arc<Console>,
    visit: Visit,
    changes: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

/// `GET /events`
pub(super) async fn events(
    State(console): State<Arc<Console>>,
    Extension(visit): Extension<Visit>,
) -> Response {
    let Ok(place) = Arc::clone(&console.live.places).try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let listener = Listener {
        changes: console.live.changes.subscribe(),
        stop: console.daemon.stop.subscribe(),
        console,
        visit,
        is_over: false,
        _place: place,
    };
    let events = stream::unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let alive = KeepAlive::new().interval(STILL);
    Sse::new(events).keep_alive(alive).into_response()
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        loop {
            let changed = tokio::select! {
                () = stopped(self.stop.clone()) => return None,
                changed = timeout(STILL, self.changes.changed()) => changed,
            };
            if !self.console.visits.goes_on(&self.visit, Instant::now()) {
                self.is_over = true;
                return Some(Event::default().event("over").data("logged out"));
            }
            match changed {
                Ok(Ok(())) => {
                    let version = *self.changes.borrow_and_update();
                    return Some(Event::default().event("changed").data(version.to_string()));
                }
                Ok(Err(_)) => return None,
                Err(_) => {}
            }
        }
    }
}

impl Console {
    /// Looks at the daemon for those who listen, and counts what passes. Runs for ever.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut number, mut seen) = (0_u64, 0);
        loop {
            ticks.tick().await;
            if number.is_multiple_of(STEP) {
                self.pace.sample(self.daemon.metrics.traffic.read());
            }
            number += 1;
            if self.live.changes.receiver_count() == 0 {
                continue;
            }
            let looks = self.look().await;
            if looks != seen {
                seen = looks;
                self.live.changes.send_modify(|version| *version += 1);
            }
        }
    }

    /// Another number when a page would show something else than the time.
    async fn look(&self) -> u64 {
        let daemon = &self.daemon;
        let mut hash = DefaultHasher::new();
        let (at, partners) = (now(), daemon.directory.partners());
        let (here, abroad) = (daemon.host.count_sessions(), daemon.home.abroad().count());
        // It is another one after each reading of the database.
        Arc::as_ptr(&partners).hash(&mut hash);
        for known in partners.all() {
            let cloud_id = &known.partner.cloud_id;
            let border = daemon.border.view(known, at);
            let says = (
                known.partner.status_at(at).as_str(),
                border.unreachable_since,
            );
            says.hash(&mut hash);
            (here.get(cloud_id), abroad.get(cloud_id)).hash(&mut hash);
        }
        daemon.chronicle.version().hash(&mut hash);
        daemon.publisher.health().detail.hash(&mut hash);
        let traffic = daemon.metrics.traffic.read().into_values();
        let passed: u64 = traffic.map(|counts| counts.came + counts.went).sum();
        passed.hash(&mut hash);
        // Without the database it is what is in memory.
        let store = &daemon.store;
        if let Ok(stacks) = store.provisions().changed_since(at - 3).await {
            for stack in stacks {
                (stack.id, stack.state.as_str(), stack.changed_at).hash(&mut hash);
            }
        }
        for (labels, count) in daemon.count_retirements().await {
            (labels.state, count).hash(&mut hash);
        }
        if let Ok(last) = store.audit().list(1).await {
            for entry in last {
                (entry.at, entry.action, entry.subject).hash(&mut hash);
            }
        }
        hash.finish()
    }
}
