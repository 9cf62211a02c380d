//! How much of our Keystone, and of our database, one partner may occupy at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Questions of one partner that may be at our Keystone at the same time.
const AT_KEYSTONE: usize = 32;
/// The same at the database, which has fewer connections than a partner has requests.
const AT_DATABASE: usize = 2;

/// The places of each partner.
pub(super) struct Shares {
    each: usize,
    places: Mutex<HashMap<CloudId, Arc<Semaphore>>>,
}

impl Shares {
    pub(super) fn at_keystone() -> Self {
        Self::of(AT_KEYSTONE)
    }

    pub(super) fn at_database() -> Self {
        Self::of(AT_DATABASE)
    }

    fn of(each: usize) -> Self {
        Self {
            each,
            places: Mutex::default(),
        }
    }

    /// A place for one question, until it is dropped; in turn with the partner's other questions.
    /// Who gives up while it waits gives its turn away.
    ///
    /// # Errors
    /// [`Reason::Overloaded`]: never, as long as nobody closes the places.
    pub(super) async fn place(&self, partner: &CloudId) -> Result<OwnedSemaphorePermit, Reason> {
        let own = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            let own = places
                .entry(partner.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(self.each)));
            Arc::clone(own)
        };
        own.acquire_owned().await.map_err(|_| Reason::Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_partner_that_asks_too_much_at_once_takes_nothing_from_another() {
        let (west, east) = (CloudId::from_spki(b"west"), CloudId::from_spki(b"east"));
        let shares = Shares::of(3);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(shares.place(&west).await);
        }
        assert!(held.iter().all(Result::is_ok));
        assert!(shares.place(&west).now_or_never().is_none());
        assert!(matches!(shares.place(&east).now_or_never(), Some(Ok(_))));
        held.pop();
        assert!(matches!(shares.place(&west).now_or_never(), Some(Ok(_))));
    }
}
