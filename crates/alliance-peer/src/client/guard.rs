//! The circuit breaker around what is asked.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::breaker::{Breaker, Leave, Moment};

/// Why there is no answer.
pub trait NoAnswer: Display {
    /// Whether the partner is there: it answered, if only with a refusal.
    fn is_answer(&self) -> bool;

    /// It was not asked, since it did not answer before; `last` says why.
    fn paused(pause: Duration, last: String) -> Self;
}

/// Keeps from asking a partner that does not answer: after a few failures, one question at a time
/// finds out whether it is back.
#[derive(Debug)]
pub struct Guard {
    since: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    last: String,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            inner: Mutex::new(Inner {
                breaker: Breaker::new(),
                last: String::new(),
            }),
        }
    }
}

impl Guard {
    /// Whether the partner answered lately.
    pub fn is_closed(&self) -> bool {
        self.lock().breaker.is_closed()
    }

    /// Asks if the breaker lets it, and tells the breaker what came of it, also if the caller
    /// drops the future halfway.
    ///
    /// # Errors
    /// What `asking` came to, or that it was not tried.
    pub async fn watch<T, E: NoAnswer>(
        &self,
        asking: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let leave = {
            let mut inner = self.lock();
            inner
                .breaker
                .ask(self.now())
                .map_err(|pause| E::paused(pause, inner.last.clone()))?
        };
        let mut pending = Pending {
            guard: self,
            leave: Some(leave),
        };
        let result = asking.await;
        pending.leave = None;
        let mut inner = self.lock();
        match &result {
            Err(error) if !error.is_answer() => {
                inner.breaker.failed(leave, self.now());
                inner.last = error.to_string();
            }
            _ => inner.breaker.succeeded(leave),
        }
        drop(inner);
        result
    }

    fn now(&self) -> Moment {
        self.since.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Pending<'a> {
    guard: &'a Guard,
    leave: Option<Leave>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(leave) = self.leave {
            let now = self.guard.now();
            self.guard.lock().breaker.abandoned(leave, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;
    use crate::client::PeerError;

    #[tokio::test]
    async fn a_probe_whose_caller_went_away_does_not_lock_the_partner_out() {
        let guard = Guard::default();
        for _ in 0..3 {
            let failing = ready(Err::<(), _>(PeerError::Unreachable("gone".into())));
            guard.watch(failing).await.unwrap_err();
        }
        let fine = || ready(Ok::<(), PeerError>(()));
        let paused = guard.watch(fine()).await.unwrap_err();
        assert!(paused.to_string().contains("gone"), "{paused}");
        // Until the pause is over, asking fails at once; then the probe hangs and is given up.
        let given_up = async || {
            let probe = guard.watch(pending::<Result<(), PeerError>>());
            tokio::time::timeout(Duration::from_millis(10), probe)
                .await
                .is_err()
        };
        while !given_up().await {
            tokio::task::yield_now().await;
        }
        assert_eq!(guard.watch(fine()).await, Ok(()));
        assert!(guard.is_closed());
    }
}
