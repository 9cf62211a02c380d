//! What partners answered lately: one question however many wait for it, fresh answers kept,
//! definite refusals kept briefly, failures not at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alliance_core::refusal::Reason;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use moka::sync::Cache;

use crate::wire::{Signed, Via};

/// How many answers of each kind are kept.
const CAPACITY: u64 = 200_000;
/// How long a subject of a good answer is asked about again whatever others make up.
const FAMILIAR: Duration = Duration::from_secs(3600);

/// What is asked about: a SHA-256 that names it.
pub(crate) type Key = [u8; 32];

/// An answer to a question.
#[derive(Debug)]
pub(crate) enum Outcome<T> {
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

/// Who signed what our Keystone is told.
#[derive(Debug, Clone)]
pub(crate) enum Word {
    /// The partner: its passport or grant statement, as it came.
    Theirs(Signed),
    /// We, about a partner that signs none, or about a token whose own signature is enough.
    Ours(Signed),
}

/// A signed answer, verified.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    /// What our Keystone is told.
    pub word: Word,
    /// What it says.
    pub claims: T,
    /// When the question left: its age counts from here.
    pub asked_at: Instant,
}

type Flight<T> = Shared<BoxFuture<'static, Outcome<T>>>;

/// The answers about one kind of thing.
pub(crate) struct Answers<T> {
    active: Cache<Key, Arc<Kept<T>>>,
    inactive: Cache<Key, Reason>,
    /// What was answered with yes lately.
    familiar: Cache<Key, ()>,
    flights: Arc<Mutex<HashMap<Key, Flight<T>>>>,
}

impl<T: Send + Sync + 'static> Answers<T> {
    /// Nothing known. Active answers are kept for `max_age`, refusals for `negative_ttl`.
    pub(crate) fn new(max_age: Duration, negative_ttl: Duration) -> Self {
        Self {
            active: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(max_age)
                .build(),
            inactive: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(negative_ttl)
                .build(),
            familiar: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(FAMILIAR)
                .build(),
            flights: Arc::default(),
        }
    }

    /// The answer to `key`: a kept one not older than `max_age`, that of a question under way, or
    /// that of a new one, `ask`, if `may_ask` allows it or the last answer was a yes: who floods us
    /// with strings that are no tokens shall not shut out those that are. A question that has left
    /// is finished and its answer kept even if everybody who waits goes away.
    pub(crate) async fn answer<F>(
        &self,
        key: Key,
        max_age: Duration,
        may_ask: impl FnOnce() -> Result<(), Reason>,
        ask: impl FnOnce() -> F,
    ) -> (Outcome<T>, Via)
    where
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        if let Some(known) = self.known(&key, max_age) {
            return (known, Via::Cache);
        }
        let (flight, via) = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            // A flight may have landed between the look above and the lock.
            if let Some(known) = self.known(&key, max_age) {
                return (known, Via::Cache);
            }
            match flights.get(&key) {
                Some(flight) => (flight.clone(), Via::Shared),
                None => {
                    if let Err(reason) = may_ask()
                        && !self.familiar.contains_key(&key)
                    {
                        return (Outcome::Failed(reason), Via::Local);
                    }
                    let flight = self.launch(key, ask());
                    flights.insert(key, flight.clone());
                    (flight, Via::Asked)
                }
            }
        };
        (flight.await, via)
    }

    /// Forgets all answers: what a partner said before it was suspended does not count after.
    pub(crate) fn forget_all(&self) {
        self.active.invalidate_all();
        self.inactive.invalidate_all();
    }

    /// A kept *yes* that is not older than `max_age`.
    pub(crate) fn fresh(&self, key: &Key, max_age: Duration) -> Option<Arc<Kept<T>>> {
        let kept = self.active.get(key)?;
        (kept.asked_at.elapsed() <= max_age).then_some(kept)
    }

    fn known(&self, key: &Key, max_age: Duration) -> Option<Outcome<T>> {
        match self.fresh(key, max_age) {
            Some(kept) => Some(Outcome::Active(kept)),
            None => self.inactive.get(key).map(Outcome::Inactive),
        }
    }

    fn launch(
        &self,
        key: Key,
        ask: impl Future<Output = Outcome<T>> + Send + 'static,
    ) -> Flight<T> {
        let (active, inactive) = (self.active.clone(), self.inactive.clone());
        let familiar = self.familiar.clone();
        let flights = Arc::clone(&self.flights);
        let task = tokio::spawn(async move {
            let outcome = ask.await;
            match &outcome {
                Outcome::Active(kept) => {
                    inactive.invalidate(&key);
                    active.insert(key, Arc::clone(kept));
                    familiar.insert(key, ());
                }
                Outcome::Inactive(reason) => {
                    active.invalidate(&key);
                    familiar.invalidate(&key);
                    inactive.insert(key, *reason);
                }
                Outcome::Failed(_) => {}
            }
            flights
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&key);
            outcome
        });
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
        let answers = Arc::new(Answers::<()>::new(MINUTE, MINUTE));
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
    async fn an_answer_older_than_asked_for_is_not_served() {
        let answers = Answers::<()>::new(MINUTE, MINUTE);
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
        let answers = Answers::<()>::new(MINUTE, MINUTE);
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
        let answers = Answers::<()>::new(MINUTE, MINUTE);
        let (outcome, _) = answers
            .answer(KEY, MINUTE, || Err(Reason::Budget), || async { active() })
            .await;
        assert!(matches!(outcome, Outcome::Failed(Reason::Budget)));
    }

    #[tokio::test]
    async fn a_flood_does_not_shut_out_what_was_good_until_now() {
        let answers = Answers::<()>::new(MINUTE, Duration::ZERO);
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
}
