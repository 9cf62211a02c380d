//! Audit events: into a file, and on their way to the message bus. No request waits for either.

mod file;
mod sink;
mod table;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alliance_core::cadf::{
    Cloud, Decision, Event, Ground, Matter, Observer, Person, Record, Sieve, Stamp, Sum,
};
use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use alliance_peer::request_id::RequestId;
use alliance_store::{AuditEntry, Store};
use alliance_token::Token;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{interval, timeout};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::file::AuditFile;
use self::sink::{Line, Sink};
use self::table::Table;
use super::directory::{Directory, Known};
use super::metrics::AuditMetrics;
use crate::config::Config;
use crate::wire::Via;

/// How often is looked whether decisions were only counted.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end of the daemon waits for what is not written yet.
const DRAIN: Duration = Duration::from_secs(2);

/// Writes down what is decided; nothing, unless somebody wants it.
#[derive(Clone, Default)]
pub(crate) struct Auditor(Option<Arc<Desk>>);

struct Desk {
    observer: Observer,
    /// Whether users' names are written.
    names: bool,
    sieve: Mutex<Sieve>,
    began: Instant,
    sinks: Vec<Sink>,
    stop: watch::Sender<bool>,
    tasks: TaskTracker,
}

/// What is known when something about a person is decided.
pub(crate) struct Case<'a> {
    /// About what.
    pub matter: Matter,
    /// The other cloud, if it is known.
    pub partner: Option<&'a Known>,
    /// About whom.
    pub person: Person,
    /// How.
    pub via: Option<Via>,
    /// The request.
    pub request_id: Option<RequestId>,
}

impl Auditor {
    /// Begins to write where the configuration says. Must be called within a runtime.
    pub(crate) fn start(
        config: &Config,
        cloud_id: &CloudId,
        store: &Store,
        metrics: &AuditMetrics,
    ) -> Self {
        let audit = &config.audit;
        let observer = Observer {
            cloud_id: cloud_id.clone(),
            name: config.cloud.name.clone(),
        };
        let stop = watch::Sender::default();
        let tasks = TaskTracker::new();
        let mut sinks = Vec::new();
        let open = sink::Opening {
            observer: &observer,
            metrics,
            stop: &stop,
            tasks: &tasks,
        };
        if let Some(path) = &audit.file {
            sinks.push(open.sink(AuditFile::at(path.clone())));
        }
        if audit.bus && config.notify.exchange.is_some() {
            sinks.push(open.sink(Table::of(store.clone(), metrics.clone())));
        }
        if sinks.is_empty() {
            return Self(None);
        }
        let desk = Arc::new(Desk {
            observer,
            names: audit.names,
            sieve: Mutex::default(),
            began: Instant::now(),
            sinks,
            stop,
            tasks,
        });
        desk.tasks.spawn(tell_sums(Arc::downgrade(&desk)));
        Self(Some(desk))
    }

    /// Something was decided; `reason` is why not. Nothing is asked of `case` where nobody wants it.
    pub(crate) fn decided<'a>(
        &self,
        reason: Option<impl Into<Ground>>,
        case: impl FnOnce() -> Case<'a>,
    ) {
        let Some(desk) = &self.0 else { return };
        let case = case();
        let decision = Decision {
            matter: case.matter,
            partner: case.partner.map(cloud),
            reason: reason.map(Into::into),
            person: Person {
                user_name: case.person.user_name.filter(|_| desk.names),
                ..case.person
            },
            via: case.via.map(Via::as_str),
            request_id: case.request_id.map(|id| id.to_string()),
        };
        if desk.sieve().lets_through(&decision, desk.now()) {
            desk.say(|stamp, observer| decision.event(stamp, observer));
        }
    }

    /// Something of the audit trail has happened.
    pub(crate) fn recorded(&self, entry: &AuditEntry, directory: &Directory) {
        let Some(desk) = &self.0 else { return };
        let partners = directory.partners();
        let find = |text: &str| {
            let by_id = text.parse::<CloudId>().ok();
            let known = by_id.as_ref().and_then(|id| partners.by_cloud(id));
            let known = known.or_else(|| partners.by_name(text));
            known.map(|known| cloud(known)).or_else(|| {
                by_id.map(|id| Cloud {
                    name: id.to_string(),
                    id,
                })
            })
        };
        // Who is about to become a partner is none yet.
        let stranger = entry.detail.parse().ok().map(|id| Cloud {
            id,
            name: entry.subject.clone(),
        });
        let (by, to) = (find(&entry.actor), find(&entry.subject).or(stranger));
        let record = Record {
            actor: &entry.actor,
            action: &entry.action,
            subject: &entry.subject,
            detail: &entry.detail,
            by: by.as_ref(),
            to: to.as_ref(),
        };
        desk.say(|stamp, observer| record.event(stamp, observer));
    }

    /// Writes what is not written yet, for as long as a stop may take.
    pub(crate) async fn finish(&self) {
        let Some(desk) = &self.0 else { return };
        let rest = desk.sieve().rest();
        desk.say_sums(&rest);
        desk.stop.send_replace(true);
        desk.tasks.close();
        if timeout(DRAIN, desk.tasks.wait()).await.is_err() {
            tracing::error!("not all audit events were written before the stop");
        }
    }
}

impl Desk {
    fn say(&self, event: impl FnOnce(&Stamp, &Observer) -> Event) {
        let at = Timestamp::now();
        let stamp = Stamp {
            id: Uuid::new_v4(),
            at,
        };
        match Line::of(&event(&stamp, &self.observer), at) {
            Ok(line) => {
                for sink in &self.sinks {
                    sink.take(line.clone());
                }
            }
            Err(error) => tracing::error!(%error, "an audit event could not be written as JSON"),
        }
    }

    fn say_sums(&self, sums: &[Sum]) {
        for sum in sums {
            self.say(|stamp, observer| sum.event(stamp, observer));
        }
    }

    fn sieve(&self) -> MutexGuard<'_, Sieve> {
        self.sieve.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// Says of how many decisions there is no event. Runs until the desk is closed or gone.
async fn tell_sums(desk: std::sync::Weak<Desk>) {
    let mut ticks = interval(LOOK);
    loop {
        ticks.tick().await;
        let Some(desk) = desk.upgrade() else { return };
        if *desk.stop.borrow() {
            return;
        }
        let sums = desk.sieve().due(desk.now());
        desk.say_sums(&sums);
    }
}

/// Whose token it is, as far as the token says.
pub(crate) fn bearer(token: &Token) -> Person {
    Person {
        token: Some(token.to_string()),
        format: Some(token.format().as_str()),
        ..Person::default()
    }
}

fn cloud(known: &Known) -> Cloud {
    Cloud {
        id: known.partner.cloud_id.clone(),
        name: known.partner.name.clone(),
    }
}

/// Nothing was against it.
pub(crate) const YES: Option<Reason> = None;
