//! The daemon's own state, as `alliance status` tells it. It costs questions to Keystone and to caches, which
//! no page waits for: the last answer is shown, with its age.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alliance_core::Seconds;
use tokio::time::timeout;

use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::delegate::status;
use crate::wire::StatusView;

/// How old an answer may be before the next is asked for, in seconds.
const FRESH: Seconds = 10;
/// How long the first page waits.
const FIRST: Duration = Duration::from_secs(3);

/// The last answer.
#[derive(Default)]
pub(super) struct Checkup {
    last: Mutex<Option<Arc<Seen>>>,
    /// Held while asking.
    asking: tokio::sync::Mutex<()>,
}

/// An answer.
pub(super) struct Seen {
    /// When it was had.
    pub at: Seconds,
    /// What it says.
    pub status: StatusView,
}

impl Checkup {
    /// The last answer; has the next one asked for if that is old.
    pub(super) async fn see(self: &Arc<Self>, daemon: &Arc<Daemon>) -> Option<Arc<Seen>> {
        let last = self.last();
        if last.as_ref().is_some_and(|seen| now() - seen.at < FRESH) {
            return last;
        }
        let (checkup, asked) = (Arc::clone(self), Arc::clone(daemon));
        let asking = tokio::spawn(async move {
            let Ok(_asking) = checkup.asking.try_lock() else {
                return;
            };
            let seen = Seen {
                status: status(&asked).await,
                at: now(),
            };
            let mut last = checkup.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(Arc::new(seen));
        });
        if last.is_none() {
            // An elapsed time means a page without it.
            let _ = timeout(FIRST, asking).await;
        }
        self.last()
    }

    /// It is another now.
    pub(super) fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn last(&self) -> Option<Arc<Seen>> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
