//! A host's instance decides about a foreign token, and a home's answers.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use alliance_answers::{Kept, Outcome, Word};
use alliance_core::CLOCK_SKEW;
use alliance_core::refusal::Reason;
use alliance_core::revocation::{RevocationEvent, Revocations, Revoked};

use crate::daemon::{Daemon, ReadList};
use crate::database::{Failed, Seen, transact};
use crate::executor::{MS, Micros, SECOND, letter};
use crate::keystone::{MAX_REVOCATION_AGE, MAX_STALENESS, Mode, Token, Verdict, require_not_known};
use crate::settings::Guard;
use crate::world::World;

/// How long a question to a home may take.
const QUESTION: Micros = 1700 * MS;
/// How long a request waits for the database to note its token.
const NOTE_WAIT: Micros = 300 * MS;
/// How often revocation lists are read.
const LIST_EVERY: Micros = 15 * SECOND;
/// A home may tell what it told another host up to a second ago.
const TOLD_BEFORE: Micros = SECOND;
/// `[alliance] deadline` of the plugin.
const DEADLINE: Micros = 2 * SECOND;

/// What a home says of one of its tokens, and when by its clock.
#[derive(Debug, Clone, Copy)]
struct Said {
    is_good: bool,
    at: i64,
}

impl Daemon {
    /// Whether a foreign token opens anything here.
    pub(crate) async fn validate(self: Rc<Self>, token: Rc<Token>) -> Verdict {
        let world = &self.world;
        let is_fresh = self.is_fresh().await;
        if self.has_ended(&token) {
            return Verdict::Invalid;
        }
        if is_fresh && token.mode == Mode::Offline && self.is_vouched_for(&token) {
            if self.begin(token.home, token.session(world)) {
                return Verdict::Invalid;
            }
            self.say(|| format!("{} counts by its signature and the list", token.name()));
            require_not_known(world, self.node(), &token);
            self.note_seen(&token).await;
            return self.judge(&token);
        }
        if is_fresh {
            match self
                .answers
                .known(&token.key, self.max_age(), self.instant())
            {
                Some(Outcome::Active(_)) => {
                    self.say(|| format!("{} counts by what home said lately", token.name()));
                    require_not_known(world, self.node(), &token);
                    return self.judge(&token);
                }
                Some(Outcome::Inactive(_)) => return Verdict::Invalid,
                Some(Outcome::Failed(_)) | None => {}
            }
        }
        self.ask_home(&token).await
    }

    async fn ask_home(self: &Rc<Self>, token: &Rc<Token>) -> Verdict {
        let (asked_at, epoch) = (self.instant(), self.answers.epoch());
        let outcome = match self.introspect(token).await {
            // As in a daemon, that is no word about the token: who was halted with it asks anew.
            Some(said) if (said.at - self.seconds()).abs() > CLOCK_SKEW => {
                Outcome::Failed(Reason::WrongStatement)
            }
            Some(said) if said.is_good => Outcome::Active(Arc::new(Kept {
                word: Word::Theirs(String::new().into()),
                claims: (),
                asked_at,
            })),
            Some(_) => Outcome::Inactive(Reason::NotFound),
            None => Outcome::Failed(Reason::Unreachable),
        };
        if epoch != self.answers.epoch() && self.world.keeps(Guard::StartOver) {
            // It was begun anew meanwhile, and may have missed that this has ended since.
            return Verdict::Undecided;
        }
        if matches!(outcome, Outcome::Active(_))
            && self.begin(token.home, token.session(&self.world))
        {
            return Verdict::Invalid;
        }
        self.answers
            .keep(token.key, &outcome, epoch, self.instant());
        match outcome {
            Outcome::Active(_) => {
                // It may have ended while its home was asked.
                if self.has_ended(token) {
                    return Verdict::Invalid;
                }
                self.note_seen(token).await;
                self.judge(token)
            }
            Outcome::Inactive(_) => Verdict::Invalid,
            Outcome::Failed(_) => Verdict::Undecided,
        }
    }

    fn judge(&self, token: &Token) -> Verdict {
        match self.has_ended(token) {
            true => Verdict::Invalid,
            false => Verdict::Valid,
        }
    }

    fn has_ended(&self, token: &Token) -> bool {
        let id = token.session_id(&self.world);
        self.ended.borrow().contains(&id)
    }

    /// What of the promise Keystone's own cache leaves.
    fn max_age(&self) -> Duration {
        let world = &self.world;
        if !world.keeps(Guard::AnswerAge) {
            return Duration::MAX;
        }
        Duration::from_micros(MAX_STALENESS - world.cache_time - DEADLINE)
    }

    fn is_vouched_for(&self, token: &Token) -> bool {
        let lists = self.lists.borrow();
        let Some(list) = lists.get(&token.home) else {
            return false;
        };
        let by_the_clock = (self.seconds() - list.asked).max(0).unsigned_abs() * SECOND;
        let age = (self.world.now() - list.asked_at).max(by_the_clock) + TOLD_BEFORE;
        let bound = MAX_REVOCATION_AGE - self.world.cache_time - DEADLINE;
        let roles = Default::default();
        age <= bound && !list.revocations.ends(&token.revocable(&roles))
    }

    /// Notes on disk that a token was let in; who asked does not wait long for that.
    async fn note_seen(self: &Rc<Self>, token: &Rc<Token>) {
        let world = &self.world;
        let (sender, receiver) = letter(&world.executor);
        let (home, session) = (token.home, token.session(world));
        let daemon = Rc::clone(self);
        self.spawn(async move {
            loop {
                let noted = transact(&daemon.world, daemon.node(), None, |tables, _| {
                    let (session, at) = (session.clone(), daemon.world.now());
                    tables.note_seen(Seen { home, session, at });
                    Ok(())
                });
                if noted.await.is_ok() {
                    break;
                }
                daemon.world.sleep(SECOND).await;
            }
            sender.send(());
        });
        world.executor.timeout(NOTE_WAIT, receiver.receive()).await;
    }

    async fn introspect(&self, token: &Rc<Token>) -> Option<Said> {
        let world = &self.world;
        let node = world.balanced(token.home)?;
        let there = node.daemon.borrow().clone()?;
        let way = (self.cloud, token.home);
        let answer = there.answer(token.key);
        let said = world.call(way, node.daemon_process, QUESTION, answer);
        said.await.flatten()
    }

    /// Home's side: its Keystone is asked.
    async fn answer(self: Rc<Self>, key: [u8; 32]) -> Option<Said> {
        let (world, cloud) = (Rc::clone(&self.world), self.cloud);
        let asked = async move {
            world.sleep(world.within(1000..20_000)).await;
            let token = world.clouds[cloud].keystone.token(&key);
            token.is_some_and(|token| token.is_good())
        };
        let process = self.node().keystone_process;
        let way = (cloud, cloud);
        let is_good = self.world.call(way, process, QUESTION, asked).await?;
        let at = self.seconds();
        Some(Said { is_good, at })
    }

    /// Reads the revocation lists of homes.
    pub(crate) async fn follow_lists(self: Rc<Self>) {
        let world = &self.world;
        let homes: Vec<_> = world.homes_of(self.cloud).collect();
        loop {
            for home in &homes {
                let (daemon, home) = (Rc::clone(&self), *home);
                self.spawn(async move {
                    let (asked_at, asked) = (daemon.world.now(), daemon.seconds());
                    let Ok(events) = daemon.ask_for_list(home).await else {
                        daemon.say(|| format!("the list of {} was not read", World::name(home)));
                        return;
                    };
                    let revoked = Revoked {
                        events,
                        ..Revoked::default()
                    };
                    let list = ReadList {
                        revocations: Arc::new(Revocations::from(revoked)),
                        asked_at,
                        asked,
                    };
                    let mut lists = daemon.lists.borrow_mut();
                    let last = lists.get(&home);
                    if daemon.is_since_start(asked_at)
                        && last.is_none_or(|last| last.asked_at < asked_at)
                    {
                        lists.insert(home, list);
                    }
                });
            }
            world.sleep(LIST_EVERY).await;
        }
    }

    pub(crate) async fn ask_for_list(&self, home: usize) -> Result<Vec<RevocationEvent>, Failed> {
        let world = &self.world;
        let node = world.balanced(home).ok_or(Failed::Away)?;
        let there = node.daemon.borrow().clone().ok_or(Failed::Away)?;
        let way = (self.cloud, home);
        let told = async move { there.events_since(0).await };
        let answer = world.call(way, node.daemon_process, 5 * SECOND, told);
        answer.await.flatten().ok_or(Failed::Away)
    }
}
