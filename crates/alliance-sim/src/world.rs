//! Clouds, what is between them, and what is true.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use jiff::Timestamp;

use crate::daemon::Daemon;
use crate::database::Database;
use crate::executor::{Executor, MS, Micros, ProcessId, SECOND, Signal, State, letter};
use crate::invariant::{Invariant, Violation};
use crate::keystone::Keystone;
use crate::random::Random;
use crate::services::Services;
use crate::settings::{Guard, Settings};

pub(crate) const CLOUDS: usize = 5;
pub(crate) const NODES: usize = 3;
const NAMES: [&str; CLOUDS] = ["west", "east", "north", "south", "centre"];

/// When the simulation begins, by a clock that is right.
const EPOCH: Seconds = 1_800_000_000;
/// After which time a connection is given up on which nothing arrives: a ping each 3 s, an answer in 2 s.
const DEAD: Micros = 5 * SECOND;
/// For how long after the last fault a promise for fair weather is not asked for.
const RECOVERY: Micros = 30 * SECOND;

/// One of three machines of a cloud: a Keystone, a daemon beside it, a metering process.
pub(crate) struct Node {
    pub cloud: usize,
    pub number: usize,
    pub daemon_process: ProcessId,
    pub keystone_process: ProcessId,
    pub work_process: ProcessId,
    pub daemon: RefCell<Option<Rc<Daemon>>>,
    /// How often its daemon and its metering process were started.
    pub starts: Cell<u64>,
    /// Whether it reaches the database.
    pub reaches_database: Cell<bool>,
    /// Whether the load balancer sends anything there.
    pub is_in_service: Cell<bool>,
    /// It never comes back.
    pub is_gone: Cell<bool>,
    /// How far its clock is from the right time, microseconds.
    pub clock_off: Cell<i64>,
    /// And how much that grows in a second, microseconds.
    pub drift: i64,
}

impl Node {
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", NAMES[self.cloud], self.number + 1)
    }
}

pub(crate) struct Cloud {
    pub id: CloudId,
    pub database: Database,
    pub keystone: Keystone,
    pub services: Services,
    pub nodes: Vec<Node>,
}

/// The way from one cloud to another.
#[derive(Default)]
pub(crate) struct Link {
    pub is_down: Cell<bool>,
    /// By how much everything takes longer.
    pub slowness: Cell<u64>,
    /// What comes from there cannot be read: it is signed by a key that is not known yet.
    pub is_unreadable: Cell<bool>,
    pub latency: Micros,
    pub changes: Signal,
}

/// See the module.
pub(crate) struct World {
    pub executor: Rc<Executor>,
    pub random: RefCell<Random>,
    pub settings: Settings,
    pub clouds: Vec<Cloud>,
    /// Whose users come where: home, host.
    pub pairs: Vec<(usize, usize)>,
    links: Vec<Link>,
    /// What is nobody's in particular.
    pub process: ProcessId,
    pub base: Instant,
    /// How long a Keystone remembers a validated token.
    pub cache_time: Micros,
    /// How many faults there are now, and when the last one ended.
    pub faults: Cell<u64>,
    pub calm_since: Cell<Micros>,
    /// By home and host: since when either could hear the other.
    pub able_since: RefCell<BTreeMap<(usize, usize), Option<Micros>>>,
    /// By home and host: the sign-outs that were on the host's board.
    pub heard: RefCell<BTreeMap<(usize, usize), BTreeSet<u64>>>,
    /// Whom a host told last how its agreements stand, by cloud and node.
    pub last_asker: Cell<(usize, usize)>,
    pub was_answered: Signal,
    violation: RefCell<Option<Violation>>,
    history: RefCell<String>,
    pub counts: Counts,
}

/// What happened how often.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub accepted: Cell<u64>,
    pub refused: Cell<u64>,
    pub undecided: Cell<u64>,
    pub ended: Cell<u64>,
    pub records: Cell<u64>,
    pub agreements: Cell<u64>,
}

impl Counts {
    pub(crate) fn up(cell: &Cell<u64>) {
        cell.set(cell.get() + 1);
    }
}

impl World {
    pub(crate) fn new(seed: u64, settings: Settings) -> Rc<Self> {
        let mut random = Random::new(seed);
        let executor = Rc::new(Executor::new(Random::new(random.next())));
        let process = executor.process();
        let mut clouds = Vec::new();
        for (cloud, name) in NAMES.iter().enumerate() {
            let nodes = (0..NODES).map(|number| Node {
                cloud,
                number,
                daemon_process: executor.process(),
                keystone_process: executor.process(),
                work_process: executor.process(),
                daemon: RefCell::new(None),
                starts: Cell::new(0),
                reaches_database: Cell::new(true),
                is_in_service: Cell::new(true),
                is_gone: Cell::new(false),
                clock_off: Cell::new(random.within(0..60_000_000) as i64 - 30_000_000),
                drift: random.within(0..100) as i64 - 50,
            });
            clouds.push(Cloud {
                id: CloudId::from_spki(name.as_bytes()),
                nodes: nodes.collect(),
                database: Database::new(),
                keystone: Keystone::default(),
                services: Services::default(),
            });
        }
        let mut links = Vec::new();
        let mut pairs = Vec::new();
        for from in 0..CLOUDS {
            for to in 0..CLOUDS {
                links.push(Link {
                    slowness: Cell::new(1),
                    latency: random.within(2..80) * MS,
                    ..Link::default()
                });
                let is_next = (from + 1) % CLOUDS == to;
                if is_next || (from != to && random.one_in_thousand(250)) {
                    pairs.push((from, to));
                }
            }
        }
        let cache_time = if random.one_in_thousand(250) { 20 } else { 55 };
        let able = pairs.iter().map(|pair| (*pair, Some(0))).collect();
        Rc::new(Self {
            executor,
            random: RefCell::new(random),
            settings,
            clouds,
            pairs,
            links,
            process,
            base: Instant::now(),
            cache_time: cache_time * SECOND,
            faults: Cell::new(0),
            calm_since: Cell::new(0),
            able_since: RefCell::new(able),
            heard: RefCell::default(),
            last_asker: Cell::default(),
            was_answered: Signal::default(),
            violation: RefCell::new(None),
            history: RefCell::new(String::new()),
            counts: Counts::default(),
        })
    }

    pub(crate) fn now(&self) -> Micros {
        self.executor.now()
    }

    /// Now, for code that takes an instant.
    pub(crate) fn instant(&self) -> Instant {
        self.base + Duration::from_micros(self.now())
    }

    pub(crate) async fn sleep(&self, time: Micros) {
        self.executor.sleep(time).await;
    }

    pub(crate) fn keeps(&self, guard: Guard) -> bool {
        self.settings.keeps(guard)
    }

    pub(crate) fn node(&self, cloud: usize, number: usize) -> &Node {
        &self.clouds[cloud].nodes[number]
    }

    pub(crate) fn name(cloud: usize) -> &'static str {
        NAMES[cloud]
    }

    pub(crate) fn hosts_of(&self, home: usize) -> impl Iterator<Item = usize> {
        let pairs = self.pairs.iter();
        pairs.filter_map(move |(from, to)| (*from == home).then_some(*to))
    }

    pub(crate) fn homes_of(&self, host: usize) -> impl Iterator<Item = usize> {
        let pairs = self.pairs.iter();
        pairs.filter_map(move |(from, to)| (*to == host).then_some(*from))
    }

    /// What a node's clock shows.
    pub(crate) fn clock(&self, node: &Node) -> Timestamp {
        let now = self.now() as i64;
        let drifted = now / 1_000_000 * node.drift;
        let micros = EPOCH * 1_000_000 + now + node.clock_off.get() + drifted;
        Timestamp::from_microsecond(micros).unwrap_or_default()
    }

    /// The same in seconds.
    pub(crate) fn seconds(&self, node: &Node) -> Seconds {
        self.clock(node).as_second()
    }

    pub(crate) fn within(&self, range: std::ops::Range<u64>) -> u64 {
        self.random.borrow_mut().within(range)
    }

    pub(crate) fn chance(&self, of_thousand: u64) -> bool {
        self.random.borrow_mut().one_in_thousand(of_thousand)
    }

    pub(crate) fn pick<'a, T>(&self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() {
            return None;
        }
        all.get(self.random.borrow_mut().index(all.len()))
    }

    pub(crate) fn link(&self, from: usize, to: usize) -> &Link {
        &self.links[from * CLOUDS + to]
    }

    /// Lets a message travel. What is held up by a broken link is sent again, and may come long after;
    /// false if its connection is given up before.
    async fn travel(&self, from: usize, to: usize) -> bool {
        if from == to {
            self.sleep(self.within(50..400)).await;
            return true;
        }
        let link = self.link(from, to);
        while link.is_down.get() {
            let seen = link.changes.count();
            let changes = link.changes.after(&self.executor, seen);
            let in_time = self.executor.timeout(DEAD, changes).await;
            if in_time.is_none() && self.chance(800) {
                return false;
            }
            // Sent once more, and then waited for longer.
            self.sleep(self.within(0..SECOND)).await;
        }
        let jitter = if self.chance(20) { 200 * MS } else { 5 * MS };
        let time = link.latency * link.slowness.get() + self.within(0..jitter);
        self.sleep(time).await;
        true
    }

    /// Has `process` of the cloud `to` do something, and waits for what comes of it. `None`: no answer
    /// within the limit; it may have been done nevertheless.
    pub(crate) async fn call<T: 'static>(
        self: &Rc<Self>,
        (from, to): (usize, usize),
        process: ProcessId,
        limit: Micros,
        work: impl Future<Output = T> + 'static,
    ) -> Option<T> {
        let (sender, receiver) = letter(&self.executor);
        let world = Rc::clone(self);
        self.executor.spawn(self.process, async move {
            if !world.travel(from, to).await {
                return;
            }
            let carrier = Rc::clone(&world);
            world.executor.spawn(process, async move {
                let answer = work.await;
                let world = Rc::clone(&carrier);
                carrier.executor.spawn(carrier.process, async move {
                    if world.travel(to, from).await {
                        sender.send(answer);
                    }
                });
            });
        });
        self.executor
            .timeout(limit, receiver.receive())
            .await
            .flatten()
    }

    /// An instance of a cloud, as its load balancer chooses.
    pub(crate) fn balanced(&self, cloud: usize) -> Option<&Node> {
        let nodes = self.clouds[cloud].nodes.iter();
        let able: Vec<_> = nodes
            .filter(|node| {
                node.is_in_service.get()
                    && self.executor.state(node.daemon_process) != State::Dead
                    && node.daemon.borrow().is_some()
            })
            .collect();
        self.pick(&able).copied()
    }

    /// Writes down what somebody does.
    pub(crate) fn say(&self, who: &str, what: impl FnOnce() -> String) {
        if self.settings.record {
            let (seconds, micros) = (self.now() / SECOND, self.now() % SECOND);
            // Writing to a string does not fail.
            let _ = writeln!(
                self.history.borrow_mut(),
                "{seconds:>4}.{micros:06}  {who:<9}  {}",
                what()
            );
        }
    }

    /// An invariant does not hold; the first one counts.
    pub(crate) fn fail(&self, invariant: Invariant, what: impl FnOnce() -> String) {
        let mut violation = self.violation.borrow_mut();
        if violation.is_none() {
            let what = what();
            self.say("!", || format!("{invariant}: {what}"));
            *violation = Some(Violation {
                invariant,
                at: self.now(),
                what,
            });
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.violation.borrow().is_some()
    }

    pub(crate) fn outcome(&self) -> (Option<Violation>, String) {
        (self.violation.borrow().clone(), self.history.take())
    }

    /// Whether nothing was out of order since some time before `at`.
    pub(crate) fn is_fair_since(&self, at: Micros) -> bool {
        self.faults.get() == 0 && at >= self.calm_since.get() + RECOVERY
    }

    /// Whether one instance at least could do what a cloud does, and not more than one that runs is cut off
    /// from the database: nobody who is balanced to an instance knows that it is.
    fn is_able(&self, cloud: usize) -> bool {
        let cloud = &self.clouds[cloud];
        let running = cloud.nodes.iter().filter(|node| {
            let state = self.executor.state(node.daemon_process);
            state == State::Running && node.daemon.borrow().is_some()
        });
        let (able, cut): (Vec<_>, Vec<_>) = running.partition(|node| node.reaches_database.get());
        cloud.database.is_up() && !able.is_empty() && cut.len() < 2
    }

    /// To be called whenever something broke or was mended.
    pub(crate) fn note_ability(&self) {
        let mut since = self.able_since.borrow_mut();
        for (home, host) in &self.pairs {
            let is_able = self.is_able(*home)
                && self.is_able(*host)
                && !self.link(*home, *host).is_down.get()
                && !self.link(*host, *home).is_down.get()
                && self.link(*home, *host).slowness.get() == 1
                && self.link(*host, *home).slowness.get() == 1
                && !self.link(*home, *host).is_unreadable.get();
            let place = since.entry((*home, *host)).or_default();
            match (is_able, &place) {
                (true, None) => *place = Some(self.now()),
                (false, Some(_)) => *place = None,
                _ => {}
            }
        }
    }
}
