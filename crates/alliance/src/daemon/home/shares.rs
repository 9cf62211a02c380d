//! How much of our Keystone, and of our database, one partner may occupy at a time, and all of them together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Questions of one partner that may be at the database at the same time, which has fewer connections than a
/// partner has requests.
const AT_DATABASE: usize = 2;

/// See [`Shares::place`].
#[derive(Debug)]
pub(super) struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// The places of each partner.
pub(super) struct Shares {
    each: usize,
    all: Arc<Semaphore>,
    places: Mutex<HashMap<CloudId, Arc<Semaphore>>>,
}

impl Shares {
    /// So many for all partners together, of which one has half at most.
    pub(super) fn at_keystone(all: usize) -> Self {
        Self::of(all.div_ceil(2), all)
    }

    /// The database has a limit for all by itself.
    pub(super) fn at_database() -> Self {
        Self::of(AT_DATABASE, Semaphore::MAX_PERMITS)
    }

    fn of(each: usize, all: usize) -> Self {
        Self {
            each,
            all: Arc::new(Semaphore::new(all)),
            places: Mutex::default(),
        }
    }

    /// A place for one question, until it is dropped; in turn with the partner's other questions, and of
    /// those with other partners'. Who gives up while it waits gives its turn away.
    ///
    /// # Errors
    /// [`Reason::Overloaded`]: never, as long as nobody closes the places.
    pub(super) async fn place(&self, partner: &CloudId) -> Result<Place, Reason> {
        let own = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            let own = places
                .entry(partner.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(self.each)));
            Arc::clone(own)
        };
        // Its own first: however many it asks, no more than these wait for what all have.
        let own = own.acquire_owned().await;
        let all = Arc::clone(&self.all).acquire_owned().await;
        match (own, all) {
            (Ok(own), Ok(all)) => Ok(Place {
                _own: own,
                _all: all,
            }),
            _ => Err(Reason::Overloaded),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_partner_that_asks_too_much_at_once_takes_nothing_from_another() {
        let (west, east) = (CloudId::from_spki(b"west"), CloudId::from_spki(b"east"));
        let shares = Shares::of(3, 100);
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

    #[tokio::test]
    async fn all_partners_together_take_no_more_than_keystone_bears() {
        let [west, east, north] =
            ["west", "east", "north"].map(|it| CloudId::from_spki(it.as_bytes()));
        let shares = Shares::at_keystone(4);
        let mut held = Vec::new();
        for partner in [&west, &west, &east, &east] {
            held.push(shares.place(partner).now_or_never());
        }
        assert!(held.iter().all(|place| matches!(place, Some(Ok(_)))));
        let mut third = Box::pin(shares.place(&west));
        assert!(third.as_mut().now_or_never().is_none());
        let mut first = Box::pin(shares.place(&north));
        assert!(first.as_mut().now_or_never().is_none());
        held.pop();
        // It waits for none of west's that wait.
        assert!(matches!(first.as_mut().now_or_never(), Some(Ok(_))));
        assert!(third.as_mut().now_or_never().is_none());
    }
}
