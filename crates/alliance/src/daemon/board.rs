//! What this instance of the daemon has heard of the others by the board in their database, what it has to
//! tell them, and whether it does what only one of them may.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alliance_store::{Bulletin, Store};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// For how long what was read last counts: an instance that has not looked for longer was paused, or its
/// database is away.
const CURRENT_FOR: Duration = Duration::from_secs(1);
/// For how long an instance is fit that cannot read it: a look may be slow.
const FIT_FOR: Duration = Duration::from_secs(5);
/// How many bulletins wait at most to be written.
const MOST: usize = 10_000;

/// See the module.
pub(crate) struct Board {
    /// Without other instances nothing is read and nothing written.
    is_shared: bool,
    name: String,
    process: String,
    leads: watch::Sender<bool>,
    /// The number of the last bulletin that counts here.
    pub(super) position: tokio::sync::Mutex<u64>,
    looked: Mutex<Looked>,
    untold: Mutex<Vec<Bulletin>>,
    /// When what other instances have let in was last read.
    sessions_read: Mutex<Instant>,
    pub(super) to_tell: Notify,
}

/// When the board was looked at.
#[derive(Debug, Default)]
struct Looked {
    /// When the last look that succeeded began.
    read: Option<Instant>,
    /// When the last one that failed ended.
    failed: Option<Instant>,
}

impl Board {
    /// Of an instance that is called so. Alone it leads at once.
    pub(crate) fn new(name: String, process: String, store: &Store) -> Self {
        let is_shared = store.is_shared();
        Self {
            is_shared,
            name,
            process,
            leads: watch::Sender::new(!is_shared),
            position: tokio::sync::Mutex::default(),
            looked: Mutex::default(),
            untold: Mutex::default(),
            sessions_read: Mutex::new(Instant::now()),
            to_tell: Notify::new(),
        }
    }

    /// What was read of the database since `began` counts, and all bulletins after this one.
    pub(crate) async fn begin(&self, began: Instant, position: u64) {
        *self.position.lock().await = position;
        self.was_read(began);
        self.tell(Bulletin::Joined);
    }

    /// Whether there may be other instances.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// What this instance is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// This process: the instance's name, and something that no other process of its has.
    pub(crate) fn process(&self) -> &str {
        &self.process
    }

    /// Whether this instance does what only one may.
    pub(crate) fn leads(&self) -> bool {
        *self.leads.borrow()
    }

    /// It does from now on, or does not any more. Returns whether it was otherwise.
    pub(crate) fn set_leads(&self, leads: bool) -> bool {
        self.leads.send_if_modified(|before| {
            let is_new = *before != leads;
            *before = leads;
            is_new
        })
    }

    /// Waits until it does, or does not.
    pub(crate) async fn when_it_leads(&self, leads: bool) {
        let mut changes = self.leads.subscribe();
        // The sender lives as long as this.
        let _ = changes.wait_for(|now| *now == leads).await;
    }

    /// Whether all that other instances have told counts here.
    pub(crate) fn is_current(&self) -> bool {
        let read = self.looked().read;
        !self.is_shared || read.is_some_and(|read| read.elapsed() < CURRENT_FOR)
    }

    /// Whether others should be sent here: what has ended elsewhere may count here only later.
    pub(crate) fn is_fit(&self) -> bool {
        !self.is_shared || self.age().is_some_and(|age| age < FIT_FOR)
    }

    /// Whether it is of use to look again now: the database may have been away just before.
    pub(crate) fn may_look(&self) -> bool {
        let failed = self.looked().failed;
        failed.is_none_or(|failed| failed.elapsed() >= CURRENT_FOR)
    }

    /// How long ago the board was last read.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.looked().read.map(|read| read.elapsed())
    }

    /// All that was told before `began` counts here.
    pub(super) fn was_read(&self, began: Instant) {
        let mut looked = self.looked();
        *looked = Looked {
            read: looked.read.max(Some(began)),
            failed: None,
        };
    }

    pub(super) fn was_not_read(&self) {
        self.looked().failed = Some(Instant::now());
    }

    /// Other instances are told soon. What waits to be told already is not told twice.
    pub(crate) fn tell(&self, what: Bulletin) {
        if !self.is_shared {
            return;
        }
        let mut untold = self.untold();
        if untold.len() < MOST && !untold.contains(&what) {
            untold.push(what);
        }
        drop(untold);
        self.to_tell.notify_one();
    }

    /// How long ago what other instances have let in was last read.
    pub(super) fn sessions_age(&self) -> Duration {
        self.sessions_read().elapsed()
    }

    /// What they had let in before `began` is known.
    pub(super) fn sessions_were_read(&self, began: Instant) {
        *self.sessions_read() = began;
    }

    fn sessions_read(&self) -> MutexGuard<'_, Instant> {
        let read = &self.sessions_read;
        read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_untold(&self) -> Vec<Bulletin> {
        std::mem::take(&mut *self.untold())
    }

    /// These were not told.
    pub(super) fn give_back(&self, mut untold: Vec<Bulletin>) {
        let mut waiting = self.untold();
        untold.append(&mut waiting);
        untold.truncate(MOST);
        *waiting = untold;
    }

    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn untold(&self) -> MutexGuard<'_, Vec<Bulletin>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What no other process of an instance is called.
pub(crate) fn process_of(instance: &str) -> String {
    let number = Uuid::new_v4().simple().to_string();
    format!("{instance}/{}", number.get(..16).unwrap_or_default())
}
