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

use crate::database::{Bulletin, Failed, Seen, read, transact};
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
/// After which time another instance tells Keystone.
const UNTOLD: Micros = 10 * SECOND;
/// How often sessions are read that began at other instances.
const LEARN_EVERY: Micros = SECOND;
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
    has_read: Signal,
    /// Since when it applies what is new, and what it applied.
    pub loaded_at: Cell<Micros>,
    pub applied: RefCell<BTreeSet<u64>>,
    /// How many of the sessions in the database it knows.
    learned: Cell<usize>,
    pub sessions: RefCell<BTreeMap<usize, Sessions>>,
    pub ended: RefCell<BTreeSet<String>>,
    pub answers: Memory<()>,
    pub lists: RefCell<BTreeMap<usize, ReadList>>,
    leads_until: Cell<Micros>,
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
        has_read: Signal::default(),
        loaded_at: Cell::new(0),
        applied: RefCell::default(),
        learned: Cell::new(0),
        sessions: RefCell::default(),
        ended: RefCell::default(),
        answers: Memory::new(REMEMBERED, NEGATIVE_TTL),
        lists: RefCell::default(),
        leads_until: Cell::new(0),
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
        if self.world.keeps(Guard::SessionsOfOthers) {
            self.spawn(Rc::clone(&self).learn_of_others());
        }
        let homes: Vec<_> = self.world.homes_of(self.cloud).collect();
        for home in homes {
            self.spawn(Rc::clone(&self).follow_sign_outs_of(home));
        }
    }

    /// Begins with what the database has.
    async fn load(self: &Rc<Self>) -> Result<(), Failed> {
        let began = self.world.now();
        let (seen, ended, untold, newest, rows) = read(&self.world, self.node(), |tables| {
            let ended = tables.ended.keys().cloned().collect::<BTreeSet<_>>();
            let untold = tables.ended.iter().filter(|(_, row)| !row.is_told);
            let untold: BTreeSet<_> = untold.map(|(id, _)| id.clone()).collect();
            let rows: Vec<_> = tables
                .board
                .iter()
                .map(|(number, (_, bulletin))| (*number, bulletin.clone()))
                .collect();
            (tables.seen.clone(), ended, untold, tables.newest(), rows)
        })
        .await?;
        self.learned.set(seen.len());
        let mut sessions: BTreeMap<usize, Sessions> = BTreeMap::new();
        for Seen { home, session } in seen {
            let place = sessions.entry(home).or_default();
            place.begin(session, self.seconds());
        }
        *self.sessions.borrow_mut() = sessions;
        *self.ended.borrow_mut() = ended;
        // What was heard before counts no more than after a restart.
        self.answers.forget_all();
        self.lists.borrow_mut().clear();
        self.applied.borrow_mut().clear();
        self.loaded_at.set(self.world.now());
        self.position.set(newest);
        if self.world.keeps(Guard::Replay) {
            for (number, bulletin) in rows {
                self.take(number, bulletin);
            }
        }
        self.read_at.set(began);
        let mut bell = self.bell.borrow_mut();
        bell.is_to_flush = true;
        bell.sessions.extend(untold);
        drop(bell);
        self.is_rung.happen(&self.world.executor);
        Ok(())
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
            let oldest = tables.board.first_key_value().map(|(number, _)| *number);
            let next = tables.board.range(position + 1..);
            let next: Vec<_> = next
                .map(|(number, (_, bulletin))| (*number, bulletin.clone()))
                .collect();
            (oldest, next)
        });
        match found.await {
            Ok((Some(oldest), _)) if oldest > position + 1 => {
                self.say(|| format!("missed what was on the board before {oldest}"));
                if let Err(why) = self.load().await {
                    self.say(|| format!("cannot read the database: {why:?}"));
                }
            }
            Ok((_, next)) => {
                for (number, bulletin) in next {
                    self.take(number, bulletin);
                    self.position.set(number);
                }
                self.read_at.set(began);
            }
            Err(_) => {}
        }
        self.is_reading.set(false);
        self.has_read.happen(&self.world.executor);
    }

    fn take(self: &Rc<Self>, number: u64, bulletin: Bulletin) {
        self.applied.borrow_mut().insert(number);
        match bulletin {
            Bulletin::Heard { home, changes } => self.apply(home, &changes),
            Bulletin::Noted => self.noted.happen(&self.world.executor),
            Bulletin::Pull(partner) => self.pull_soon(partner),
            Bulletin::ReadKeystone => {
                self.said.borrow_mut().is_to_read = true;
                self.is_poked.happen(&self.world.executor);
            }
        }
    }

    /// Whether what is remembered counts. What is on the board is read first, if that was long ago.
    pub(crate) async fn is_fresh(self: &Rc<Self>) -> bool {
        if !self.world.keeps(Guard::Freshness) {
            return true;
        }
        if self.has_read_lately() {
            return true;
        }
        self.read_board().await;
        self.has_read_lately()
    }

    /// Whether it has read the board within the last second.
    pub(crate) fn has_read_lately(&self) -> bool {
        self.read_at.get() + FRESH >= self.world.now()
    }

    /// Puts something on the board; what is lost is done later anyway.
    pub(crate) async fn post(&self, bulletin: Bulletin) {
        let posted = transact(&self.world, self.node(), Some((1, 0)), |tables, numbers| {
            tables.put(numbers, self.world.now(), bulletin);
            Ok(())
        });
        if let Err(why) = posted.await {
            self.say(|| format!("nothing was put on the board: {why:?}"));
        }
    }

    pub(crate) fn leads(&self) -> bool {
        self.world.now() < self.leads_until.get()
    }

    async fn run_for_leader(self: Rc<Self>) {
        loop {
            let began = self.world.now();
            let taken = transact(&self.world, self.node(), None, |tables, _| {
                let now = self.world.now();
                Ok(tables.take_lease("leader", &self.name, now, now + LEASE))
            });
            if taken.await == Ok(true) {
                if !self.leads() {
                    self.say(|| format!("{} leads", self.name));
                    self.term.happen(&self.world.executor);
                }
                // By what it knows for sure: it was given after it asked.
                self.leads_until.set(began + LEASE);
            }
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
                tables.tidy_board(now);
                let untold = tables.ended.iter();
                let untold = untold.filter(|(_, row)| !row.is_told && row.at + UNTOLD < now);
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
    async fn learn_of_others(self: Rc<Self>) {
        loop {
            self.world.sleep(LEARN_EVERY).await;
            let learned = self.learned.get();
            let found = read(&self.world, self.node(), |tables| {
                tables.seen[learned.min(tables.seen.len())..].to_vec()
            });
            let Ok(found) = found.await else { continue };
            // It was begun anew meanwhile.
            if self.learned.get() != learned {
                continue;
            }
            self.learned.set(learned + found.len());
            for Seen { home, session } in found {
                let id = session.id().to_owned();
                if self.begin(home, session) {
                    self.spawn(Rc::clone(&self).conclude(vec![id]));
                }
            }
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
