//! A cloud's Keystone: its own tokens, and what its three processes remember of others'.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use alliance_core::keystone_id;
use alliance_core::revocation::{Revocable, RevocationEvent};
use alliance_core::session::{Origin, Session};
use alliance_core::sign_out::{Change, LookAgain};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::executor::{MS, Micros, SECOND, State};
use crate::invariant::Invariant;
use crate::world::{CLOUDS, Counts, Node, World};

/// `[alliance] deadline` of the plugin.
const DEADLINE: Micros = 2 * SECOND;
/// `[alliance] max_staleness`.
pub(crate) const MAX_STALENESS: Micros = 60 * SECOND;
/// `[tokens] max_revocation_age`; 300 s by default, which takes too long to come to an end.
pub(crate) const MAX_REVOCATION_AGE: Micros = 120 * SECOND;
/// How soon an end at home counts at a host when nothing is out of order.
const FAIR: Micros = 5 * SECOND;
/// How soon it counts at all instances once the host knows it: what an instance may not have read of the
/// board, and what it takes to read it.
const KNOWN: Micros = SECOND + 100 * MS;
/// How long a token lives: longer than the simulation.
const LIFE: i64 = 3600;

/// How a token is validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By asking, or by home's last word.
    Soft,
    /// By its signature and the revocation list.
    Offline,
}

/// A token of a home, and what is true of it.
pub(crate) struct Token {
    pub number: usize,
    pub home: usize,
    pub key: [u8; 32],
    pub user: String,
    pub project: String,
    pub audit_ids: Vec<String>,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub mode: Mode,
    /// When home's Keystone stored an event that is about it.
    pub revoked_at: Cell<Option<Micros>>,
    /// When its user lost the role, and whether the daemon was told.
    pub unroled_at: Cell<Option<(Micros, bool)>>,
    /// When each host had that on its board.
    pub heard_at: RefCell<[Option<Micros>; CLOUDS]>,
}

impl Token {
    pub(crate) fn name(&self) -> String {
        format!("{}'s token {}", World::name(self.home), self.number)
    }

    pub(crate) fn is_ended_by(&self, event: &RevocationEvent) -> bool {
        event.is_about(&self.revocable(&BTreeSet::new()))
    }

    pub(crate) fn revocable<'a>(&'a self, roles: &'a BTreeSet<String>) -> Revocable<'a> {
        Revocable {
            user_id: &self.user,
            user_domain_id: Some("people"),
            project_id: Some(&self.project),
            project_domain_id: Some("labs"),
            role_ids: roles,
            audit_ids: &self.audit_ids,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
        }
    }

    pub(crate) fn session_id(&self, world: &World) -> String {
        keystone_id::audit_id(&world.clouds[self.home].id, &self.audit_ids[0])
    }

    pub(crate) fn session(&self, world: &World) -> Session {
        let origin = Origin {
            session: self.session_id(world).into(),
            audit_ids: self.audit_ids.iter().map(Into::into).collect(),
            user_domain_id: "people".into(),
            project_domain_id: Some("labs".into()),
            issued_at: self.issued_at,
        };
        let whose = (&*self.user, Some(&*self.project));
        Session::new(self.key, whose, self.expires_at.as_second(), &origin)
    }

    /// Whether it counts at home.
    pub(crate) fn is_good(&self) -> bool {
        self.revoked_at.get().is_none() && self.unroled_at.get().is_none()
    }
}

/// What Keystone has remembered of a foreign token.
struct Remembered {
    till: Micros,
    generation: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Keystone {
    pub tokens: RefCell<Vec<Rc<Token>>>,
    /// With the time, by the right clock, at which each was stored.
    pub events: RefCell<Vec<RevocationEvent>>,
    /// Shared by its processes: memcached.
    cache: RefCell<BTreeMap<[u8; 32], Remembered>>,
    generation: Cell<u64>,
    /// Sessions of guests that have ended, in its own tables.
    pub ended: RefCell<BTreeSet<String>>,
}

/// What a daemon says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Valid,
    Invalid,
    Undecided,
}

/// What the plugin tells the daemon.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "few at a time, and nearly all are events"
)]
pub(crate) enum Poke {
    Revoked(RevocationEvent),
    Doubt(LookAgain),
    Read,
}

impl Keystone {
    /// A user logs in. `chain`: with an earlier token.
    pub(crate) fn issue(&self, world: &World, node: &Node, chain: Option<&Token>) -> Rc<Token> {
        let mut tokens = self.tokens.borrow_mut();
        let number = tokens.len();
        let own = format!("{}-{number}", World::name(node.cloud));
        let (user, mut audit_ids) = match chain {
            Some(token) => {
                let root = token.audit_ids.last().cloned();
                (token.user.clone(), root.into_iter().collect())
            }
            None => (format!("user-{}", world.within(0..12)), Vec::new()),
        };
        audit_ids.insert(0, own.clone());
        let issued_at = world.clock(node);
        let expires = Timestamp::from_second(issued_at.as_second() + LIFE);
        let token = Rc::new(Token {
            number,
            home: node.cloud,
            key: Sha256::digest(own.as_bytes()).into(),
            user,
            project: format!("project-{}", world.within(0..4)),
            audit_ids,
            issued_at,
            expires_at: expires.unwrap_or_default(),
            mode: match world.chance(400) {
                true => Mode::Offline,
                false => Mode::Soft,
            },
            revoked_at: Cell::new(None),
            unroled_at: Cell::new(None),
            heard_at: RefCell::default(),
        });
        // The clock of another node may have been ahead when something of the user's ended.
        let events = self.events.borrow();
        if events.iter().any(|event| token.is_ended_by(event)) {
            token.revoked_at.set(Some(world.now()));
        }
        tokens.push(Rc::clone(&token));
        world.say(&node.name(), || {
            format!(
                "Keystone issues {} ({:?}) to {}",
                token.name(),
                token.mode,
                token.user
            )
        });
        token
    }

    /// Something ends: the event is stored, and then the daemon is poked.
    pub(crate) fn revoke(&self, world: &World, event: RevocationEvent) {
        for token in self.tokens.borrow().iter() {
            if token.revoked_at.get().is_none() && token.is_ended_by(&event) {
                token.revoked_at.set(Some(world.now()));
            }
        }
        self.events.borrow_mut().push(event);
    }

    pub(crate) fn token(&self, key: &[u8; 32]) -> Option<Rc<Token>> {
        let tokens = self.tokens.borrow();
        tokens.iter().find(|token| token.key == *key).cloned()
    }

    /// A daemon rang.
    pub(crate) fn forget(&self, ended: &[String]) {
        self.ended.borrow_mut().extend(ended.iter().cloned());
        self.generation.set(self.generation.get() + 1);
    }
}

/// Sends the daemon beside a Keystone a datagram, which may be lost.
pub(crate) fn poke(world: &Rc<World>, cloud: usize, number: usize, poke: Poke) -> bool {
    let node = world.node(cloud, number);
    if world.executor.state(node.daemon_process) == State::Dead || world.chance(20) {
        world.say(&node.name(), || format!("a datagram is lost: {poke:?}"));
        return false;
    }
    let daemon = node.daemon.borrow().clone();
    if let Some(daemon) = daemon {
        // One that is paused finds it when it goes on.
        world.executor.spawn(node.daemon_process, async move {
            daemon.poked(poke);
        });
    }
    true
}

/// A service asks one of a host's Keystones about a token. Returns what it says.
pub(crate) async fn request(world: Rc<World>, host: usize, number: usize, token: Rc<Token>) {
    let node = world.node(host, number);
    let keystone = &world.clouds[host].keystone;
    let was_good = token.is_good();
    let began = world.now();
    let verdict = decide(&world, node, &token).await;
    let (who, said) = (node.name(), token.name());
    match verdict {
        Verdict::Valid => {
            Counts::up(&world.counts.accepted);
            world.say(&who, || format!("lets {said} in"));
            require_not_revoked(&world, node, &token);
        }
        Verdict::Invalid => {
            Counts::up(&world.counts.refused);
            world.say(&who, || format!("refuses {said}"));
            if was_good && token.is_good() {
                world.fail(Invariant::LiveTokenRefused, || {
                    format!("{who} refused {said}, which counts at home")
                });
            }
        }
        Verdict::Undecided => {
            Counts::up(&world.counts.undecided);
            world.say(&who, || format!("cannot tell about {said}"));
            if world.is_fair_since(began) {
                world.fail(Invariant::LiveTokenRefused, || {
                    format!("{who} could not tell about {said} though nothing was out of order")
                });
            }
        }
    }
    // Its own tables say that it has ended; so must home.
    if verdict == Verdict::Valid && keystone.ended.borrow().contains(&token.session_id(&world)) {
        world.fail(Invariant::RevokedTokenAccepted, || {
            format!("{who} let {said} in, of which it knows itself that it has ended")
        });
    }
}

async fn decide(world: &Rc<World>, node: &Node, token: &Rc<Token>) -> Verdict {
    let keystone = &world.clouds[node.cloud].keystone;
    let session = token.session_id(world);
    world.sleep(world.within(200..2000)).await;
    if keystone.ended.borrow().contains(&session) {
        return Verdict::Invalid;
    }
    let generation = keystone.generation.get();
    let is_remembered = keystone
        .cache
        .borrow()
        .get(&token.key)
        .is_some_and(|found| found.generation == generation && found.till > world.now());
    if is_remembered {
        world.say(&node.name(), || format!("remembers {}", token.name()));
        return Verdict::Valid;
    }
    let asked_at = world.now();
    let daemon = node.daemon.borrow().clone();
    let Some(daemon) = daemon else {
        return Verdict::Undecided;
    };
    let question = Rc::clone(&daemon).validate(Rc::clone(token));
    let place = (node.cloud, node.cloud);
    let answer = world
        .call(place, node.daemon_process, DEADLINE, question)
        .await;
    // It looks at the clock before it reads.
    if world.now() > asked_at + DEADLINE {
        return Verdict::Undecided;
    }
    let verdict = answer.unwrap_or(Verdict::Undecided);
    if verdict == Verdict::Valid {
        world.sleep(world.within(200..5000)).await;
        if keystone.ended.borrow().contains(&session) {
            return Verdict::Invalid;
        }
        let begins = world.now().min(asked_at + DEADLINE);
        let remembered = Remembered {
            till: begins + world.cache_time,
            generation,
        };
        keystone.cache.borrow_mut().insert(token.key, remembered);
    }
    verdict
}

fn require_not_revoked(world: &World, node: &Node, token: &Token) {
    let late = |since: Micros| (world.now() - since) as f64 / SECOND as f64;
    let fail = |since: Micros, why: &str| {
        world.fail(Invariant::RevokedTokenAccepted, || {
            format!(
                "{} let {} in {:.3} s after it had ended at home, {why}",
                node.name(),
                token.name(),
                late(since)
            )
        });
    };
    if let Some(at) = token.revoked_at.get() {
        let bound = match token.mode {
            Mode::Soft => MAX_STALENESS,
            Mode::Offline => MAX_REVOCATION_AGE,
        };
        if world.now() > at + bound {
            fail(at, "later than any answer may be used");
        }
        if world.now() > at + FAIR && world.is_fair_since(at) {
            fail(at, "and nothing was out of order");
        }
    }
    if let Some((at, is_told)) = token.unroled_at.get()
        && token.mode == Mode::Soft
    {
        if world.now() > at + MAX_STALENESS {
            fail(at, "by a role, later than any answer may be used");
        }
        if is_told && world.now() > at + FAIR && world.is_fair_since(at) {
            fail(at, "by a role, and nothing was out of order");
        }
    }
}

/// A daemon vouches for a token from what it remembers.
pub(crate) fn require_not_known(world: &World, node: &Node, token: &Token) {
    let heard = token.heard_at.borrow()[node.cloud];
    if let Some(at) = heard
        && world.now() > at + KNOWN
    {
        world.fail(Invariant::RevokedTokenAccepted, || {
            format!(
                "the daemon of {} vouched for {} from memory {:.3} s after its cloud had it on the board that it has ended",
                node.name(),
                token.name(),
                (world.now() - at) as f64 / SECOND as f64
            )
        });
    }
}

/// A host has on its board what a home has said.
pub(crate) fn heard(world: &World, host: usize, home: usize, changes: &[Change]) {
    for token in world.clouds[home].keystone.tokens.borrow().iter() {
        let is_ended = changes.iter().any(|change| match change {
            Change::Revoked(event) => token.is_ended_by(event),
            Change::LookAgain(_) => false,
        });
        if is_ended {
            token.heard_at.borrow_mut()[host].get_or_insert(world.now());
        }
    }
}
