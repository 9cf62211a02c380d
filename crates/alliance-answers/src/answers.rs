//! One question however many wait for its answer; a *yes* kept while it is fresh, a *no* briefly, a
//! failure not at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alliance_core::refusal::Reason;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::{Memory, Word};

/// What is asked about: a SHA-256 that names it.
pub type Key = [u8; 32];

/// An answer to a question.
#[derive(Debug)]
pub enum Outcome<T> {
    /// Yes, in signed form and read.
    Active(Arc<Kept<T>>),
    /// No.
    Inactive(Reason),
    /// Nobody could tell.
    Failed(Reason),
}

impl<T> Clone for Outcome<T> {
    fn clone(&self) -> Self {
        match self {
            Outcome::Active(kept) => Outcome::Active(Arc::clone(kept)),
            Outcome::Inactive(reason) => Outcome::Inactive(*reason),
            Outcome::Failed(reason) => Outcome::Failed(*reason),
        }
    }
}

/// A signed answer, verified.
#[derive(Debug)]
pub struct Kept<T> {
    /// What our Keystone is told.
    pub word: Word,
    /// What of it is needed here.
    pub claims: T,
    /// When the question left: its age counts from here.
    pub asked_at: Instant,
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// A kept one.
    Cache,
    /// That of a question which was under way.
    Shared,
    /// That of a new question.
    Asked,
    /// Asking was not allowed.
    Refused,
}

/// What is known of several subjects, and about which there is a question.
pub struct Several<T> {
    keys: Vec<Key>,
    outcomes: Vec<Option<Outcome<T>>>,
    epoch: u64,
}

impl<T> Several<T> {
    /// The numbers of those that must be asked about.
    pub fn open(&self) -> Vec<usize> {
        let open = self.outcomes.iter().enumerate();
        let open = open.filter(|(_, outcome)| outcome.is_none());
        open.map(|(number, _)| number).collect()
    }
}

type Flight<T> = Shared<BoxFuture<'static, Outcome<T>>>;

/// The answers about one kind of thing.
pub struct Answers<T> {
    memory: Arc<Memory<T>>,
    flights: Arc<Mutex<HashMap<Key, Flight<T>>>>,
}

impl<T: Send + Sync + 'static> Answers<T> {
    /// Nothing known. Remembers at most `capacity` answers of each kind; a *no* counts for
    /// `negative_ttl`, a *yes* as long as who asks says.
    pub fn new(capacity: usize, negative_ttl: Duration) -> Self {
        Self {
            memory: Arc::new(Memory::new(capacity, negative_ttl)),
            flights: Arc::default(),
        }
    }

    /// The answer to `key`: a kept one not older than `max_age`, that of a question under way, or
    /// that of a new one, `ask`, if `may_ask` allows it or the last answer was a yes: who floods us
    /// with strings that are no tokens shall not shut out those that are. A question that has left
    /// is finished and its answer kept even if everybody who waits goes away.
    pub async fn answer<F>(
        &self,
        key: Key,
        max_age: Duration,
        may_ask: impl FnOnce() -> Result<(), Reason>,
        ask: impl FnOnce() -> F,
    ) -> (Outcome<T>, Via)
    where
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        if let Some(known) = self.memory.known(&key, max_age, Instant::now()) {
            return (known, Via::Cache);
        }
        let (flight, via) = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            // A flight may have landed between the look above and the lock.
            if let Some(known) = self.memory.known(&key, max_age, Instant::now()) {
                return (known, Via::Cache);
            }
            match flights.get(&key) {
                Some(flight) => (flight.clone(), Via::Shared),
                None => {
                    if let Err(reason) = may_ask()
                        && !self.memory.is_familiar(&key, Instant::now())
                    {
                        return (Outcome::Failed(reason), Via::Refused);
                    }
                    let flight = self.launch(key, ask());
                    flights.insert(key, flight.clone());
                    (flight, Via::Asked)
                }
            }
        };
        (flight.await, via)
    }

    /// What is known of several: kept answers not older than `max_age`. One question about the others
    /// is expected, the answers to which go to [`Answers::complete`]; nobody else waits for them.
    pub fn begin(&self, keys: Vec<Key>, max_age: Duration) -> Several<T> {
        let known = keys
            .iter()
            .map(|key| self.memory.known(key, max_age, Instant::now()));
        Several {
            outcomes: known.collect(),
            epoch: self.memory.epoch(),
            keys,
        }
    }

    /// An answer of each, in their order: `told` are those to [`Several::open`], in theirs.
    pub fn complete(&self, several: Several<T>, told: Vec<Outcome<T>>) -> Vec<Outcome<T>> {
        let mut told = told.into_iter();
        let Several {
            outcomes,
            epoch,
            keys,
        } = several;
        let complete = |(outcome, key): (Option<Outcome<T>>, Key)| {
            outcome.unwrap_or_else(|| match told.next() {
                Some(outcome) => {
                    self.memory.keep(key, &outcome, epoch, Instant::now());
                    outcome
                }
                None => Outcome::Failed(Reason::HomeError),
            })
        };
        outcomes.into_iter().zip(keys).map(complete).collect()
    }

    /// A kept *yes* that is not older than `max_age`.
    pub fn fresh(&self, key: &Key, max_age: Duration) -> Option<Arc<Kept<T>>> {
        self.memory.fresh(key, max_age, Instant::now())
    }

    /// From now on no answer about this subject counts that is kept. One that is under way does.
    pub fn forget(&self, key: &Key) {
        self.memory.forget(key);
    }

    /// From now on no answer counts that was asked for before: what a partner said before it was
    /// suspended does not count after.
    pub fn forget_all(&self) {
        self.memory.forget_all();
    }

    fn launch(
        &self,
        key: Key,
        ask: impl Future<Output = Outcome<T>> + Send + 'static,
    ) -> Flight<T> {
        let (memory, epoch) = (Arc::clone(&self.memory), self.memory.epoch());
        let flights = Arc::clone(&self.flights);
        let task = tokio::spawn(alliance_trace::carried(async move {
            let outcome = ask.await;
            memory.keep(key, &outcome, epoch, Instant::now());
            flights
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&key);
            outcome
        }));
        let flights = Arc::clone(&self.flights);
        async move {
            match task.await {
                Ok(outcome) => outcome,
                Err(error) => {
                    tracing::error!(%error, "a question to a partner ended abnormally");
                    flights
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .remove(&key);
                    Outcome::Failed(Reason::HomeError)
                }
            }
        }
        .boxed()
        .shared()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const KEY: Key = [7; 32];
    const MINUTE: Duration = Duration::from_secs(60);

    fn active() -> Outcome<()> {
        Outcome::Active(Arc::new(Kept {
            word: Word::Theirs("jws".to_owned().into()),
            claims: (),
            asked_at: Instant::now(),
        }))
    }

    #[tokio::test]
    async fn a_thousand_requests_for_one_token_are_one_question() {
        let answers = Arc::new(Answers::<()>::new(1000, MINUTE));
        let asked = Arc::new(AtomicUsize::new(0));
        let (release, gate) = tokio::sync::watch::channel(false);
        let requests: Vec<_> = (0..1000)
            .map(|_| {
                let (answers, asked, mut gate) =
                    (Arc::clone(&answers), Arc::clone(&asked), gate.clone());
                tokio::spawn(async move {
                    answers
                        .answer(
                            KEY,
                            Duration::ZERO,
                            || Ok(()),
                            || async move {
                                asked.fetch_add(1, Ordering::SeqCst);
                                let _ = gate.wait_for(|open| *open).await;
                                active()
                            },
                        )
                        .await
                })
            })
            .collect();
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        release.send_replace(true);
        for request in requests {
            assert!(matches!(request.await, Ok((Outcome::Active(_), _))));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn of_several_only_those_are_asked_about_that_are_not_known() {
        let answers = Answers::<()>::new(1000, MINUTE);
        let keys = [[1; 32], [2; 32], [3; 32], [4; 32]];
        let yes = || async { active() };
        answers.answer(keys[1], MINUTE, || Ok(()), yes).await;
        let several = answers.begin(keys.to_vec(), MINUTE);
        assert_eq!(several.open(), [0, 2, 3]);
        let told = vec![active(), Outcome::Inactive(Reason::NotFound)];
        let all = answers.complete(several, told);
        assert!(
            matches!(
                all[..],
                [
                    Outcome::Active(_),
                    Outcome::Active(_),
                    Outcome::Inactive(Reason::NotFound),
                    Outcome::Failed(Reason::HomeError)
                ]
            ),
            "{all:?}"
        );
        // What was said is kept, and of the one of whom nothing was, nothing is.
        let several = answers.begin(keys.to_vec(), MINUTE);
        assert_eq!(several.open(), [3]);
        let all = answers.complete(several, vec![active()]);
        assert!(
            matches!(all[2], Outcome::Inactive(Reason::NotFound)),
            "{all:?}"
        );
        // What was asked for before everything was forgotten does not count.
        let several = answers.begin(keys.to_vec(), Duration::ZERO);
        assert_eq!(several.open(), [0, 1, 3]);
        answers.forget_all();
        let told = vec![active(), active(), active()];
        let all = answers.complete(several, told);
        assert!(matches!(all[0], Outcome::Active(_)));
        assert!(answers.fresh(&keys[0], MINUTE).is_none());
    }

    #[tokio::test]
    async fn an_answer_older_than_asked_for_is_not_served() {
        let answers = Answers::<()>::new(1000, MINUTE);
        answers
            .answer(KEY, MINUTE, || Ok(()), || async { active() })
            .await;
        let (_, via) = answers
            .answer(KEY, MINUTE, || Ok(()), || async { active() })
            .await;
        assert_eq!(via, Via::Cache);
        let (_, via) = answers
            .answer(KEY, Duration::ZERO, || Ok(()), || async { active() })
            .await;
        assert_eq!(via, Via::Asked);
    }

    #[tokio::test]
    async fn a_no_replaces_a_yes_and_a_failure_replaces_nothing() {
        let answers = Answers::<()>::new(1000, MINUTE);
        answers
            .answer(KEY, MINUTE, || Ok(()), || async { active() })
            .await;
        let failed = || async { Outcome::Failed(Reason::Unreachable) };
        let (outcome, _) = answers.answer(KEY, Duration::ZERO, || Ok(()), failed).await;
        assert!(matches!(outcome, Outcome::Failed(Reason::Unreachable)));
        let (outcome, _) = answers.answer(KEY, MINUTE, || Ok(()), failed).await;
        assert!(matches!(outcome, Outcome::Active(_)));
        let no = || async { Outcome::Inactive(Reason::NotFound) };
        answers.answer(KEY, Duration::ZERO, || Ok(()), no).await;
        let (outcome, via) = answers.answer(KEY, MINUTE, || Ok(()), no).await;
        assert!(matches!(outcome, Outcome::Inactive(Reason::NotFound)));
        assert_eq!(via, Via::Cache);
    }

    #[tokio::test]
    async fn what_may_not_be_asked_is_not_asked() {
        let answers = Answers::<()>::new(1000, MINUTE);
        let (outcome, _) = answers
            .answer(KEY, MINUTE, || Err(Reason::Budget), || async { active() })
            .await;
        assert!(matches!(outcome, Outcome::Failed(Reason::Budget)));
    }

    #[tokio::test]
    async fn a_flood_does_not_shut_out_what_was_good_until_now() {
        let answers = Answers::<()>::new(1000, Duration::ZERO);
        let spent = || Err(Reason::Budget);
        answers
            .answer(KEY, MINUTE, || Ok(()), || async { active() })
            .await;
        answers.forget_all();
        let no = || async { Outcome::Inactive(Reason::NotFound) };
        let (outcome, _) = answers.answer(KEY, Duration::ZERO, spent, no).await;
        assert!(matches!(outcome, Outcome::Inactive(Reason::NotFound)));
        let (outcome, _) = answers.answer(KEY, Duration::ZERO, spent, no).await;
        assert!(matches!(outcome, Outcome::Failed(Reason::Budget)));
    }

    #[tokio::test]
    async fn what_was_asked_before_everything_was_forgotten_does_not_count_after() {
        let answers = Arc::new(Answers::<()>::new(1000, MINUTE));
        let (release, mut gate) = tokio::sync::watch::channel(false);
        let asking = Arc::clone(&answers);
        let under_way = tokio::spawn(async move {
            let slow = || async move {
                let _ = gate.wait_for(|open| *open).await;
                active()
            };
            asking.answer(KEY, MINUTE, || Ok(()), slow).await
        });
        while answers
            .flights
            .lock()
            .is_ok_and(|flights| flights.is_empty())
        {
            tokio::task::yield_now().await;
        }
        answers.forget_all();
        release.send_replace(true);
        assert!(matches!(
            under_way.await,
            Ok((Outcome::Active(_), Via::Asked))
        ));
        assert!(answers.fresh(&KEY, MINUTE).is_none());
    }
}
