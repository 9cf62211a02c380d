//! The circuit breaker around what is asked.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::breaker::{Breaker, Leave, Moment};
use super::error::PeerError;

#[derive(Debug)]
pub(super) struct Guard {
    since: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    last: String,
}

impl Guard {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            inner: Mutex::new(Inner {
                breaker: Breaker::new(),
                last: String::new(),
            }),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().breaker.is_closed()
    }

    /// Asks if the breaker lets it, and tells the breaker what came of it, also if the caller
    /// drops the future halfway.
    pub(super) async fn watch<T>(
        &self,
        asking: impl Future<Output = Result<T, PeerError>>,
    ) -> Result<T, PeerError> {
        let leave = {
            let mut inner = self.lock();
            inner
                .breaker
                .ask(self.now())
                .map_err(|pause| PeerError::Paused {
                    pause,
                    last: inner.last.clone(),
                })?
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

    #[tokio::test]
    async fn a_probe_whose_caller_went_away_does_not_lock_the_partner_out() {
        let guard = Guard::new();
        for _ in 0..3 {
            let failing = ready(Err::<(), _>(PeerError::Unreachable("gone".into())));
            guard.watch(failing).await.unwrap_err();
        }
        let paused = guard.watch(ready(Ok(()))).await.unwrap_err();
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
        assert_eq!(guard.watch(ready(Ok(()))).await, Ok(()));
        assert!(guard.is_closed());
    }
}
