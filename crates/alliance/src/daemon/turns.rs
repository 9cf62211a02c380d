//! Work that is done once for all who wanted it before it began.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is so done, one at a time, and what the last one left.
#[derive(Debug, Default)]
pub(crate) struct Turns<T> {
    wanted: AtomicU64,
    last: tokio::sync::Mutex<Last<T>>,
}

#[derive(Debug, Default)]
struct Last<T> {
    /// How many wishes had come when it began.
    wishes: u64,
    left: T,
}

/// Held while it is done. If it is dropped without [`Turn::done`], the next one does it.
pub(crate) struct Turn<'a, T> {
    last: tokio::sync::MutexGuard<'a, Last<T>>,
    wish: u64,
    wishes: u64,
}

impl<T> Turns<T> {
    /// Waits for whoever is at it.
    pub(crate) async fn next(&self) -> Turn<'_, T> {
        let wish = self.wanted.fetch_add(1, Ordering::SeqCst) + 1;
        let last = self.last.lock().await;
        let wishes = self.wanted.load(Ordering::SeqCst);
        Turn { last, wish, wishes }
    }
}

impl<T> Turn<'_, T> {
    /// Whether somebody did it after this turn was asked for.
    pub(crate) fn is_done(&self) -> bool {
        self.last.wishes >= self.wish
    }

    /// What the last one that was done left.
    pub(crate) fn last(&self) -> &T {
        &self.last.left
    }

    /// It was done.
    pub(crate) fn done(mut self, left: T) {
        self.last.left = left;
        self.done_as_before();
    }

    /// It was done, and leaves what the last one left.
    pub(crate) fn done_as_before(mut self) {
        self.last.wishes = self.wishes;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_waits_while_it_is_done_shares_the_next_one() {
        let turns = Turns::<u8>::default();
        let first = turns.next().await;
        assert!(!first.is_done());
        let (mut second, mut third) = (Box::pin(turns.next()), Box::pin(turns.next()));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        first.done(1);
        let second = second.await;
        assert_eq!(
            (second.is_done(), *second.last()),
            (false, 1),
            "it had begun before"
        );
        second.done(2);
        let third = third.await;
        assert_eq!((third.is_done(), *third.last()), (true, 2));
        drop(third);
        assert!(!turns.next().await.is_done());
    }

    #[tokio::test]
    async fn what_failed_is_done_by_the_next_one() {
        let turns = Turns::<()>::default();
        let first = turns.next().await;
        let mut second = Box::pin(turns.next());
        let mut third = Box::pin(turns.next());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        let second = second.await;
        assert!(!second.is_done());
        drop(second);
        assert!(!third.await.is_done());
    }
}
