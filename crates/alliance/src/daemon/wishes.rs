//! Partners that somebody wants news of: a token of theirs is signed by a key that is not known here.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use alliance_core::cloud::CloudId;
use tokio::sync::Notify;

/// The wishes that nobody has taken yet; one per partner, however many wish.
#[derive(Default)]
pub(crate) struct Wishes {
    open: Mutex<HashSet<CloudId>>,
    wished: Notify,
}

impl Wishes {
    /// Wishes news of a partner.
    pub(crate) fn wish(&self, partner: &CloudId) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.insert(partner.clone()) {
            self.wished.notify_one();
        }
    }

    /// Waits until there is a wish; takes all that there are.
    pub(crate) async fn next(&self) -> HashSet<CloudId> {
        loop {
            self.wished.notified().await;
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if !open.is_empty() {
                return std::mem::take(&mut *open);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_wishes_for_one_partner_are_one() {
        let (wishes, west) = (Wishes::default(), CloudId::from_spki(b"west"));
        for _ in 0..1000 {
            wishes.wish(&west);
        }
        assert_eq!(wishes.next().await, [west.clone()].into());
        wishes.wish(&west);
        assert_eq!(wishes.next().await, [west].into());
    }
}
