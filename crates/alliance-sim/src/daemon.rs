//! One instance of a cloud's daemon: what it remembers, how it starts, what it reads on the board, whether
//! it leads.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_answers::Memory;
use alliance_core::Seconds;
use alliance_core::revocation::Revocations;
use alliance_core::session::Sessions;

use crate::database::{Bulletin, Failed, Posted, Seen, read, transact};
use crate::executor::{MS, Micros, SECOND, Signal};
use crate::noticing::Said;
use crate::settings::Guard;
use crate::world::{Node, World};

/// How often the board is read.
const READ_EVERY: Micros = 50 * MS;
/// How long ago it must have been read for memory to count.
const FRESH: Micros = SECOND;
/// For how long the lease is taken, and how often.
const LEASE: Micros = 4 * SECOND;
const RENEW: Micros = SECOND;
/// How often the leader deletes what is old, and looks for what Keystone was not told.
const TIDY: Micros = 5 * SECOND;
/// How far back sessions are looked for that began at other instances.
const LATELY: Micros = 5 * SECOND;
/// The same, when the leader has changed.
const TAKEN_OVER: Micros = 60 * SECOND;
/// How long a request waits for a board that was not read lately.
const REQUEST_PATIENCE: Micros = 500 * MS;
/// Rings are this far apart.
const BETWEEN_RINGS: Micros = 500 * MS;
/// How often partners are read though nobody poked.
const PULL_EVERY: Micros = 20 * SECOND;
/// How many answers are remembered.
const REMEMBERED: usize = 200;
/// For how long a *no* counts.
const NEGATIVE_TTL: Duration = Duration::from_secs(5);

/// A partner's revocation list as it was last read.
pub(crate) struct ReadList {
    pub revocations: Arc<Revocations>,
    pub asked_at: Micros,
    /// The same by the wall clock.
    pub asked: Seconds,
}

/// What Keystone is still to be told.
#[derive(Default)]
struct Bell {
    sessions: BTreeSet<String>,
    is_to_flush: bool,
}

/// See the module.
pub(crate) struct Daemon {
    pub world: Rc<World>,
    pub cloud: usize,
    pub number: usize,
    /// Names this start of it.
    pub name: String,
    /// The last bulletin that was applied.
    position: Cell<u64>,
    read_at: Cell<Micros>,
    is_reading: Cell<bool>,
    /// When it looked last for sessions that began at other instances.
    looked_at: Cell<Micros>,
    has_read: Signal,
    /// When it began, or began anew; after which bulletin; and which ones it applied since.
    loaded_at: Cell<Micros>,
    pub began_after: Cell<u64>,
    pub applied: RefCell<BTreeSet<u64>>,
    pub sessions: RefCell<BTreeMap<usize, Sessions>>,
    pub ended: RefCell<BTreeSet<String>>,
    /// Those of them that the database has too.
    pub stored: RefCell<BTreeSet<String>>,
    pub answers: Memory<()>,
    pub lists: RefCell<BTreeMap<usize, ReadList>>,
    leads: Cell<bool>,
    pub term: Signal,
    pub noted: Signal,
    pub said: RefCell<Said>,
    pub is_poked: Signal,
    bell: RefCell<Bell>,
    is_rung: Signal,
    pulls: RefCell<BTreeSet<usize>>,
    is_to_pull: Signal,
}

/// Starts the daemon of a node: it serves once it has read the database.
pub(crate) fn start(world: &Rc<World>, cloud: usize, number: usize) {
    let node = world.node(cloud, number);
    node.starts.set(node.starts.get() + 1);
    let name = format!("{}/{}", node.name(), node.starts.get());
    let daemon = Rc::new(Daemon {
        world: Rc::clone(world),
        cloud,
        number,
        name,
        position: Cell::new(0),
        read_at: Cell::new(0),
        is_reading: Cell::new(false),
        looked_at: Cell::new(0),
        has_read: Signal::default(),
        loaded_at: Cell::new(0),
        began_after: Cell::new(0),
        applied: RefCell::default(),
        sessions: RefCell::default(),
        ended: RefCell::default(),
        stored: RefCell::default(),
        answers: Memory::new(REMEMBERED, NEGATIVE_TTL),
        lists: RefCell::default(),
        leads: Cell::new(false),
        term: Signal::default(),
        noted: Signal::default(),
        said: RefCell::default(),
        is_poked: Signal::default(),
        bell: RefCell::default(),
        is_rung: Signal::default(),
        pulls: RefCell::default(),
        is_to_pull: Signal::default(),
    });
    world.executor.spawn(node.daemon_process, async move {
        while let Err(why) = daemon.load().await {
            daemon.say(|| format!("cannot read the database: {why:?}"));
            daemon.world.sleep(SECOND).await;
        }
        daemon.serve();
    });
}

impl Daemon {
    pub(crate) fn node(&self) -> &Node {
        self.world.node(self.cloud, self.number)
    }

    pub(crate) fn seconds(&self) -> Seconds {
        self.world.seconds(self.node())
    }

    pub(crate) fn instant(&self) -> Instant {
        self.world.instant()
    }

    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        self.world.say(&self.node().name(), what);
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.world.executor.spawn(self.node().daemon_process, task);
    }

    fn serve(self: Rc<Self>) {
        self.say(|| format!("{} is ready", self.name));
        *self.node().daemon.borrow_mut() = Some(Rc::clone(&self));
        self.world.note_ability();
        self.spawn(Rc::clone(&self).follow_board());
        self.spawn(Rc::clone(&self).run_for_leader());
        self.spawn(Rc::clone(&self).note_sign_outs());
        self.spawn(Rc::clone(&self).ring());
        self.spawn(Rc::clone(&self).tidy());
        self.spawn(Rc::clone(&self).follow_lists());
        self.spawn(Rc::clone(&self).follow_partners());
        self.spawn(Rc::clone(&self).follow_usage());
        let homes: Vec<_> = self.world.homes_of(self.cloud).collect();
        for home in homes {
            self.spawn(Rc::clone(&self).follow_sign_outs_of(home));
        }
    }

    /// Begins with what the database has, and with what is new on the board from then on.
    async fn load(self: &Rc<Self>) -> Result<(), Failed> {
        let began = self.world.now();
        let newest = read(&self.world, self.node(), |tables| tables.newest()).await?;
        // What was heard before counts no more than after a restart.
        self.answers.forget_all();
        if self.world.keeps(Guard::StartOver) {
            self.lists.borrow_mut().clear();
        }
        self.applied.borrow_mut().clear();
        self.loaded_at.set(began);
        self.began_after.set(newest);
        self.looked_at.set(began);
        self.read_sessions(0).await?;
        self.position.set(newest);
        self.read_at.set(began);
        Ok(())
    }

    /// As after a restart. What was let in here and could not be noted is no session that the database knows:
    /// of what homes have said since, the board still has all.
    async fn start_over(self: &Rc<Self>) -> Result<(), Failed> {
        let before = self.position.get();
        self.load().await?;
        if self.world.keeps(Guard::LongMemory) {
            let missed = self.heed_what_homes_said_after(before).await;
            if missed.is_err() {
                // All of it once more.
                self.position.set(before);
            }
            missed?;
        }
        Ok(())
    }

    async fn heed_what_homes_said_after(self: &Rc<Self>, before: u64) -> Result<(), Failed> {
        let said = read(&self.world, self.node(), |tables| {
            let left = tables.board.range(before + 1..);
            let said = left.filter(|(_, posted)| matches!(posted.what, Bulletin::Heard { .. }));
            said.map(|(number, posted)| (*number, posted.clone()))
                .collect::<Vec<_>>()
        });
        for (number, posted) in said.await? {
            self.heed(number, posted).await?;
        }
        Ok(())
    }

    /// What the database knows of sessions: those that were noted since then, and all that have ended.
    async fn read_sessions(self: &Rc<Self>, since: Micros) -> Result<(), Failed> {
        let (seen, ended, untold) = read(&self.world, self.node(), |tables| {
            let ended: Vec<_> = tables.ended.keys().cloned().collect();
            let untold = tables.ended.iter().filter(|(_, row)| !row.is_told);
            let untold: Vec<_> = untold.map(|(id, _)| id.clone()).collect();
            (tables.seen_since(since), ended, untold)
        })
        .await?;
        self.ended.borrow_mut().extend(ended.iter().cloned());
        self.stored.borrow_mut().extend(ended);
        self.take_in(seen).await;
        self.tell_keystone(untold);
        Ok(())
    }

    /// Whether what was asked then was asked since it began, or began anew.
    pub(crate) fn is_since_start(&self, at: Micros) -> bool {
        !self.world.keeps(Guard::StartOver) || self.loaded_at.get() <= at
    }

    /// What this process writes on the board.
    pub(crate) fn posted(&self, what: Bulletin) -> Posted {
        Posted {
            at: self.world.now(),
            author: self.name.as_str().into(),
            what,
        }
    }

    async fn follow_board(self: Rc<Self>) {
        loop {
            self.world.sleep(READ_EVERY).await;
            self.read_board().await;
        }
    }

    /// Reads what is new on the board; if somebody is at it, waits for that.
    async fn read_board(self: &Rc<Self>) {
        if self.is_reading.replace(true) {
            let seen = self.has_read.count();
            self.has_read.after(&self.world.executor, seen).await;
            return;
        }
        let (began, position) = (self.world.now(), self.position.get());
        let found = read(&self.world, self.node(), |tables| {
            let next = tables.board.range(position + 1..);
            let next = next.map(|(number, posted)| (*number, posted.clone()));
            let next: Vec<_> = next.collect();
            let is_whole = next.len() as u64 == tables.newest().saturating_sub(position);
            (is_whole || !self.world.keeps(Guard::BoardOrder), next)
        });
        match found.await {
            Ok((false, _)) => {
                self.say(|| format!("missed something on the board after {position}"));
                if let Err(why) = self.start_over().await {
                    self.say(|| format!("cannot begin anew: {why:?}"));
                }
            }
            Ok((true, next)) => {
                let mut is_heeded = true;
                for (number, posted) in next {
                    is_heeded = is_heeded && self.heed(number, posted).await.is_ok();
                    if is_heeded {
                        self.position.set(number);
                    }
                }
                if is_heeded {
                    self.read_at.set(began);
                }
            }
            Err(_) => {}
        }
        self.is_reading.set(false);
        self.has_read.happen(&self.world.executor);
    }

    /// It counts here, if this returns no error. To heed one again changes nothing.
    async fn heed(self: &Rc<Self>, number: u64, posted: Posted) -> Result<(), Failed> {
        self.applied.borrow_mut().insert(number);
        if *posted.author == *self.name {
            if matches!(posted.what, Bulletin::Noted) && self.world.keeps(Guard::WakeAnyway) {
                self.noted.happen(&self.world.executor);
            }
            return Ok(());
        }
        match posted.what {
            Bulletin::Heard { home, changes } => {
                let ended = self.apply(home, &changes);
                Rc::clone(self).conclude(ended).await?;
            }
            Bulletin::Ended(ended) => self.take_ended(&ended),
            Bulletin::Noted => self.noted.happen(&self.world.executor),
            Bulletin::Pull(partner) => self.pull_soon(partner),
            Bulletin::ReadKeystone => {
                self.said.borrow_mut().is_to_read = true;
                self.is_poked.happen(&self.world.executor);
            }
        }
        Ok(())
    }

    /// Whether what is remembered counts. What is on the board is read first, if that was long ago.
    pub(crate) async fn is_fresh(self: &Rc<Self>) -> bool {
        if !self.world.keeps(Guard::Freshness) {
            return true;
        }
        if self.has_read_lately() {
            return true;
        }
        let (daemon, seen) = (Rc::clone(self), self.has_read.count());
        self.spawn(async move { daemon.read_board().await });
        let read = self.has_read.after(&self.world.executor, seen);
        self.world.executor.timeout(REQUEST_PATIENCE, read).await;
        self.has_read_lately()
    }

    /// Whether it has read the board within the last second.
    pub(crate) fn has_read_lately(&self) -> bool {
        self.read_at.get() + FRESH >= self.world.now()
    }

    /// Puts something on the board; what is lost is done later anyway.
    pub(crate) async fn post(&self, bulletin: Bulletin) {
        let posted = transact(&self.world, self.node(), Some((1, 0)), |tables, numbers| {
            tables.put(numbers, self.posted(bulletin));
            Ok(())
        });
        if let Err(why) = posted.await {
            self.say(|| format!("nothing was put on the board: {why:?}"));
        }
    }

    pub(crate) fn leads(&self) -> bool {
        self.leads.get()
    }

    async fn run_for_leader(self: Rc<Self>) {
        loop {
            let taken = transact(&self.world, self.node(), None, |tables, _| {
                let now = self.world.now();
                Ok(tables.take_lease("leader", &self.name, now, now + LEASE))
            });
            match taken.await {
                Ok(true) if !self.leads() => {
                    // What one instance knew that may be gone is in the database.
                    let since = self.looked_at.get().saturating_sub(TAKEN_OVER);
                    if self.read_sessions(since).await.is_ok() {
                        self.say(|| format!("{} leads", self.name));
                        self.leads.set(true);
                        self.term.happen(&self.world.executor);
                    }
                }
                Ok(false) if self.leads() => {
                    self.say(|| format!("{} leads no more", self.name));
                    self.leads.set(false);
                }
                // It goes on: nobody else can take the lease either, or has.
                Ok(_) | Err(_) => {}
            }
            self.learn_of_others().await;
            self.world.sleep(RENEW).await;
        }
    }

    /// Until it leads.
    pub(crate) async fn leadership(&self) {
        while !self.leads() {
            let seen = self.term.count();
            self.term.after(&self.world.executor, seen).await;
        }
    }

    async fn tidy(self: Rc<Self>) {
        loop {
            self.world.sleep(TIDY).await;
            if !self.leads() {
                continue;
            }
            let tidied = transact(&self.world, self.node(), None, |tables, _| {
                let now = self.world.now();
                tables.tidy_board(now, self.world.keeps(Guard::LongMemory));
                let untold = tables.ended.iter().filter(|(_, row)| !row.is_told);
                Ok(untold.map(|(id, _)| id.clone()).collect::<Vec<_>>())
            });
            if let Ok(untold) = tidied.await
                && self.world.keeps(Guard::Untold)
                && !untold.is_empty()
            {
                self.say(|| format!("Keystone was not told of {untold:?}"));
                self.tell_keystone(untold);
            }
        }
    }

    /// Sessions that began at other instances end here too.
    async fn learn_of_others(self: &Rc<Self>) {
        if !self.world.keeps(Guard::SessionsOfOthers) {
            return;
        }
        let began = self.world.now();
        let since = match self.world.keeps(Guard::LookBack) {
            true => self.looked_at.get().min(began).saturating_sub(LATELY),
            false => began.saturating_sub(LATELY),
        };
        let found = read(&self.world, self.node(), |tables| tables.seen_since(since));
        if let Ok(found) = found.await {
            self.take_in(found).await;
            self.looked_at.set(began);
        }
    }

    async fn take_in(self: &Rc<Self>, seen: Vec<Seen>) {
        let mut ended = Vec::new();
        for Seen { home, session, .. } in seen {
            let is_known = self
                .sessions
                .borrow()
                .get(&home)
                .is_some_and(|sessions| sessions.get(&session.token).is_some());
            let id = session.id().to_owned();
            if !is_known && self.begin(home, session) && !self.stored.borrow().contains(&id) {
                ended.push(id);
            }
        }
        while Rc::clone(self).conclude(ended.clone()).await.is_err() {
            self.world.sleep(SECOND).await;
        }
    }

    /// What ended is told to Keystone, and it forgets what it remembers.
    pub(crate) fn tell_keystone(&self, ended: Vec<String>) {
        let mut bell = self.bell.borrow_mut();
        bell.sessions.extend(ended);
        bell.is_to_flush = true;
        drop(bell);
        self.is_rung.happen(&self.world.executor);
    }

    async fn ring(self: Rc<Self>) {
        let world = &self.world;
        loop {
            let seen = self.is_rung.count();
            let told = std::mem::take(&mut *self.bell.borrow_mut());
            if !told.is_to_flush {
                self.is_rung.after(&world.executor, seen).await;
                continue;
            }
            let sessions: Vec<_> = told.sessions.into_iter().collect();
            let (keystone, ended) = (Rc::clone(world), sessions.clone());
            let cloud = self.cloud;
            let done = world.call(
                (cloud, cloud),
                self.node().keystone_process,
                2 * SECOND,
                async move { keystone.clouds[cloud].keystone.forget(&ended) },
            );
            if done.await.is_none() {
                self.tell_keystone(sessions);
            } else if !sessions.is_empty() {
                self.say(|| format!("Keystone knows of the end of {sessions:?}"));
                let noted = transact(world, self.node(), None, |tables, _| {
                    for session in &sessions {
                        if let Some(row) = tables.ended.get_mut(session) {
                            row.is_told = true;
                        }
                    }
                    Ok(())
                });
                if let Err(why) = noted.await {
                    self.say(|| format!("that was not noted: {why:?}"));
                }
            }
            world.sleep(BETWEEN_RINGS).await;
        }
    }

    fn pull_soon(&self, partner: usize) {
        self.pulls.borrow_mut().insert(partner);
        self.is_to_pull.happen(&self.world.executor);
    }

    async fn follow_partners(self: Rc<Self>) {
        let world = &self.world;
        let mut next = world.now() + world.within(0..PULL_EVERY);
        loop {
            let seen = self.is_to_pull.count();
            let wish = self.is_to_pull.after(&world.executor, seen);
            world
                .executor
                .timeout(next.saturating_sub(world.now()), wish)
                .await;
            let mut wanted = std::mem::take(&mut *self.pulls.borrow_mut());
            if next <= world.now() {
                next = world.now() + PULL_EVERY;
                wanted.extend(world.hosts_of(self.cloud));
            }
            for host in wanted {
                if self.leads() && world.hosts_of(self.cloud).any(|one| one == host) {
                    let daemon = Rc::clone(&self);
                    self.spawn(async move {
                        if let Err(why) = daemon.pull(host).await {
                            daemon.say(|| format!("{} was not heard: {why:?}", World::name(host)));
                        }
                    });
                }
            }
        }
    }
}
