//! One cloud's database: transactions, the order of the board's numbers, leases by its own clock.
//!
//! What a transaction does becomes visible in one moment, when it is committed, and it sees what is
//! committed by then: so do statements that name the row they change and what they expect in it. A client
//! may die, or hang, before that moment and after it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use alliance_core::session::Session;
use alliance_core::sign_out::Change;
use alliance_core::usage::{Part, Record};

use crate::contracts::{Given, Received};
use crate::executor::{MS, Micros, SECOND, Signal};
use crate::invariant::Invariant;
use crate::metering::Metered;
use crate::settings::Guard;
use crate::world::{Node, World};

/// How long a client waits for a lock (`innodb_lock_wait_timeout`).
const LOCK_WAIT: Micros = 5 * SECOND;
/// After which silence of its client a transaction is given up.
const IDLE: Micros = 3 * SECOND;
/// How long a client waits for a database that does not answer.
const UNANSWERED: Micros = 2 * SECOND;
/// For how long the board keeps what is on it: much shorter than in a cloud, so that instances fall
/// behind it.
const KEPT: Micros = 25 * SECOND;
/// For how long it keeps what homes have said: longer than an instance may be away.
const HEARD_KEPT: Micros = 200 * SECOND;

/// What is on the board.
#[derive(Debug, Clone)]
pub(crate) enum Bulletin {
    /// A home has said this.
    Heard { home: usize, changes: Rc<[Change]> },
    /// These sessions have ended.
    Ended(Rc<[String]>),
    /// Something was noted for hosts.
    Noted,
    /// This partner should be read.
    Pull(usize),
    /// Keystone should be read.
    ReadKeystone,
}

/// A bulletin as it stands on the board.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub at: Micros,
    pub author: Rc<str>,
    pub what: Bulletin,
}

/// A change with its number.
#[derive(Debug, Clone)]
pub(crate) struct NotedSignOut {
    pub change: Change,
    pub at: Micros,
}

/// A session that has ended.
#[derive(Debug, Clone)]
pub(crate) struct EndedRow {
    pub is_told: bool,
}

/// A foreign token that was let in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub home: usize,
    pub session: Session,
    pub at: Micros,
}

/// Everything that is stored.
#[derive(Default)]
pub(crate) struct Tables {
    last_bulletin: u64,
    pub board: BTreeMap<u64, Posted>,
    last_sign_out: u64,
    pub sign_outs: BTreeMap<u64, NotedSignOut>,
    digests: BTreeSet<String>,
    /// How far each host has heard.
    pub heard: BTreeMap<usize, u64>,
    leases: BTreeMap<&'static str, (String, Micros)>,
    /// In the order in which they came.
    pub seen: Vec<Seen>,
    seen_keys: BTreeSet<[u8; 32]>,
    pub ended: BTreeMap<String, EndedRow>,
    pub metered: Metered,
    /// At home: the last number of each host that was counted.
    pub positions: BTreeMap<usize, u64>,
    /// At home: each record that was counted, as it came.
    pub arrivals: Vec<(usize, u64)>,
    pub counted: BTreeMap<(usize, Part), Record>,
    /// Agreements that this cloud gave.
    pub given: BTreeMap<String, Given>,
    /// Those that hosts gave, by host and id.
    pub received: BTreeMap<(usize, String), Received>,
}

/// Numbers for what a transaction adds: given at its commit, or, without the guard, at its beginning.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    board: VecDeque<u64>,
    sign_outs: VecDeque<u64>,
}

impl Tables {
    pub(crate) fn put(&mut self, numbers: &mut Numbers, posted: Posted) {
        let number = numbers.board.pop_front().unwrap_or_else(|| {
            self.last_bulletin += 1;
            self.last_bulletin
        });
        self.board.insert(number, posted);
    }

    /// The number of the newest bulletin.
    pub(crate) fn newest(&self) -> u64 {
        self.board.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// Notes those that are new. Returns how many were.
    pub(crate) fn append(
        &mut self,
        numbers: &mut Numbers,
        now: Micros,
        found: &[(Option<String>, Change)],
    ) -> usize {
        let mut count = 0;
        for (digest, change) in found {
            if let Some(digest) = digest
                && !self.digests.insert(digest.clone())
            {
                continue;
            }
            let number = numbers.sign_outs.pop_front().unwrap_or_else(|| {
                self.last_sign_out += 1;
                self.last_sign_out
            });
            let noted = NotedSignOut {
                change: change.clone(),
                at: now,
            };
            self.sign_outs.insert(number, noted);
            count += 1;
        }
        count
    }

    /// A host has heard all up to this one.
    pub(crate) fn hears(&mut self, host: usize, number: u64) {
        let newest = self.sign_outs.last_key_value().map_or(0, |(last, _)| *last);
        let heard = self.heard.entry(host).or_default();
        if number <= newest && *heard < number {
            *heard = number;
        }
    }

    pub(crate) fn unheard(&self, host: usize, limit: usize) -> Vec<(u64, Change)> {
        let heard = self.heard.get(&host).copied().unwrap_or_default();
        let next = self.sign_outs.range(heard + 1..).take(limit);
        next.map(|(number, noted)| (*number, noted.change.clone()))
            .collect()
    }

    pub(crate) fn note_seen(&mut self, seen: Seen) {
        if self.seen_keys.insert(seen.session.token) {
            self.seen.push(seen);
        }
    }

    /// What was noted since then; in the order of time.
    pub(crate) fn seen_since(&self, since: Micros) -> Vec<Seen> {
        let from = self.seen.partition_point(|seen| seen.at < since);
        self.seen[from..].to_vec()
    }

    /// Those of these that had not ended before.
    pub(crate) fn end(&mut self, sessions: &[String]) -> Vec<String> {
        let mut new = Vec::new();
        for session in sessions {
            if !self.ended.contains_key(session) {
                let row = EndedRow { is_told: false };
                self.ended.insert(session.clone(), row);
                new.push(session.clone());
            }
        }
        new
    }

    /// Takes a lease, or goes on holding it.
    pub(crate) fn take_lease(
        &mut self,
        name: &'static str,
        holder: &str,
        now: Micros,
        till: Micros,
    ) -> bool {
        let lease = self.leases.entry(name).or_default();
        if lease.0 != holder && lease.1 > now {
            return false;
        }
        *lease = (holder.to_owned(), till);
        true
    }

    pub(crate) fn holds_lease(&self, name: &str, holder: &str) -> bool {
        self.leases
            .get(name)
            .is_some_and(|(found, _)| found == holder)
    }

    /// Rows that nobody needs who is not far behind; the newest stays.
    pub(crate) fn tidy_board(&mut self, now: Micros, remembers_long: bool) {
        let newest = self.newest();
        self.board.retain(|number, posted| {
            let kept = match posted.what {
                Bulletin::Heard { .. } if remembers_long => HEARD_KEPT,
                _ => KEPT,
            };
            *number == newest || posted.at + kept > now
        });
    }
}

/// See the module.
pub(crate) struct Database {
    is_up: Cell<bool>,
    starts: Cell<u64>,
    tables: RefCell<Tables>,
    /// Whose transaction has the row that numbers come from, and since when its client is silent.
    lock: Cell<Option<(u64, Micros)>>,
    transactions: Cell<u64>,
    released: Signal,
    /// The node whose client had the lock last, and that it got it.
    last_client: Cell<usize>,
    locked: Signal,
}

/// Why a transaction did not succeed, or is not known to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The database cannot be reached.
    Away,
    /// Another transaction takes too long, or this one was given up.
    GivenUp,
    /// It may have been committed.
    Unanswered,
    /// What it was computed from is another by now.
    Changed,
    /// Somebody else holds the lease.
    LeaseLost,
}

/// The lock, until the transaction ends or its client dies.
struct Lock {
    world: Rc<World>,
    cloud: usize,
    transaction: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let database = &self.world.clouds[self.cloud].database;
        if database.is_locked_by(self.transaction) {
            database.lock.set(None);
            database.released.happen(&self.world.executor);
        }
    }
}

impl Database {
    pub(crate) fn new() -> Self {
        Self {
            is_up: Cell::new(true),
            starts: Cell::new(0),
            tables: RefCell::default(),
            lock: Cell::new(None),
            transactions: Cell::new(0),
            released: Signal::default(),
            last_client: Cell::new(0),
            locked: Signal::default(),
        }
    }

    /// Until a client gets the lock; whose it is.
    pub(crate) async fn when_locked(&self, world: &World) -> usize {
        self.locked
            .after(&world.executor, self.locked.count())
            .await;
        self.last_client.get()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_up.get()
    }

    /// Transactions under way are gone.
    pub(crate) fn set_up(&self, is_up: bool) {
        self.is_up.set(is_up);
        self.starts.set(self.starts.get() + 1);
        self.lock.set(None);
    }

    /// What is stored, for who checks it afterwards.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Tables) -> T) -> T {
        look(&self.tables.borrow())
    }

    fn is_locked_by(&self, transaction: u64) -> bool {
        self.lock.get().is_some_and(|(by, _)| by == transaction)
    }
}

async fn reach(world: &World, node: &Node) -> Result<(), Failed> {
    let database = &world.clouds[node.cloud].database;
    if database.is_up() && node.reaches_database.get() {
        return Ok(());
    }
    world.sleep(UNANSWERED).await;
    Err(Failed::Away)
}

fn is_reached(world: &World, node: &Node, starts: u64) -> bool {
    let database = &world.clouds[node.cloud].database;
    database.is_up() && database.starts.get() == starts && node.reaches_database.get()
}

/// Reads something.
pub(crate) async fn read<T>(
    world: &Rc<World>,
    node: &Node,
    look: impl FnOnce(&Tables) -> T,
) -> Result<T, Failed> {
    reach(world, node).await?;
    let database = &world.clouds[node.cloud].database;
    let starts = database.starts.get();
    world.sleep(world.within(100..900)).await;
    if !is_reached(world, node, starts) {
        return Err(Failed::Away);
    }
    let found = look(&database.tables.borrow());
    world.sleep(world.within(100..900)).await;
    if !is_reached(world, node, starts) {
        return Err(Failed::Away);
    }
    Ok(found)
}

/// Changes something in one transaction. With `numbered`, it adds to the board, or to sign-outs: that
/// many of each at most.
pub(crate) async fn transact<T>(
    world: &Rc<World>,
    node: &Node,
    numbered: Option<(u64, u64)>,
    work: impl FnOnce(&mut Tables, &mut Numbers) -> Result<T, Failed>,
) -> Result<T, Failed> {
    reach(world, node).await?;
    let database = &world.clouds[node.cloud].database;
    let starts = database.starts.get();
    world.sleep(world.within(200..1000)).await;
    let transaction = database.transactions.get() + 1;
    database.transactions.set(transaction);
    let (mut numbers, mut lock) = (Numbers::default(), None);
    if let Some((board, sign_outs)) = numbered {
        if world.keeps(Guard::BoardOrder) {
            lock = Some(acquire(world, node, transaction).await?);
        } else {
            let mut tables = database.tables.borrow_mut();
            numbers.board = (1..=board).map(|n| tables.last_bulletin + n).collect();
            tables.last_bulletin += board;
            numbers.sign_outs = (1..=sign_outs).map(|n| tables.last_sign_out + n).collect();
            tables.last_sign_out += sign_outs;
        }
    }
    // The client says what to do next: it may be slow, or hang here with the lock.
    let thinks = if world.chance(50) { 300 * MS } else { 2 * MS };
    world.sleep(world.within(200..thinks)).await;
    if lock.is_some() && !database.is_locked_by(transaction) {
        return Err(Failed::GivenUp);
    }
    if !is_reached(world, node, starts) {
        return Err(Failed::Away);
    }
    let done = work(&mut database.tables.borrow_mut(), &mut numbers)?;
    drop(lock);
    world.sleep(world.within(200..1000)).await;
    if !is_reached(world, node, starts) || world.chance(1) {
        return Err(Failed::Unanswered);
    }
    Ok(done)
}

async fn acquire(world: &Rc<World>, node: &Node, transaction: u64) -> Result<Lock, Failed> {
    let cloud = node.cloud;
    let database = &world.clouds[cloud].database;
    let began = world.now();
    loop {
        let is_free = match database.lock.get() {
            None => true,
            Some((_, since)) => world.keeps(Guard::IdleTransactions) && since + IDLE < world.now(),
        };
        if is_free {
            database.lock.set(Some((transaction, world.now())));
            database.last_client.set(node.number);
            database.locked.happen(&world.executor);
            return Ok(Lock {
                world: Rc::clone(world),
                cloud,
                transaction,
            });
        }
        if began + LOCK_WAIT < world.now() {
            return Err(Failed::GivenUp);
        }
        let released = database
            .released
            .after(&world.executor, database.released.count());
        world.executor.timeout(100 * MS, released).await;
    }
}

/// Keeps a lease with its holder until the transaction ends.
pub(crate) fn hold(
    world: &World,
    tables: &Tables,
    name: &'static str,
    holder: &str,
) -> Result<(), Failed> {
    if tables.holds_lease(name, holder) {
        return Ok(());
    }
    if world.keeps(Guard::Fence) {
        return Err(Failed::LeaseLost);
    }
    world.fail(Invariant::TwoLeadersWrite, || {
        format!("{holder} wrote under the lease {name:?}, which another one holds")
    });
    Ok(())
}
