//! Partners' revocation lists: what decides, beside the signature, whether a signed token counts
//! without asking its issuer.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::revocation::Revocations;

use crate::daemon::clock::now;

/// A partner may tell us what it told another one up to a second ago.
const TOLD_BEFORE: Duration = Duration::from_secs(1);

/// A partner's list as it was last read.
#[derive(Debug)]
pub(crate) struct ReadList {
    /// Names the content.
    pub digest: String,
    /// The content.
    pub revocations: Arc<Revocations>,
    asked_at: Instant,
    /// The same by the wall clock, which goes on while a machine sleeps.
    asked: Seconds,
}

impl ReadList {
    /// What was asked for at `asked_at`.
    pub(crate) fn new(digest: String, revocations: Arc<Revocations>, asked_at: Instant) -> Self {
        Self {
            digest,
            revocations,
            asked_at,
            asked: now(),
        }
    }

    /// How old what it says may be.
    pub(crate) fn age(&self) -> Duration {
        let by_the_clock = u64::try_from(now() - self.asked).unwrap_or_default();
        self.asked_at
            .elapsed()
            .max(Duration::from_secs(by_the_clock))
            + TOLD_BEFORE
    }
}

/// The lists of all partners. In memory only: after a restart they are read anew.
#[derive(Debug, Default)]
pub(crate) struct Lists(RwLock<Read>);

#[derive(Debug, Default)]
struct Read {
    lists: HashMap<CloudId, Arc<ReadList>>,
    /// What was asked for before counts no more.
    since: Option<Instant>,
}

impl Lists {
    /// A partner's list, however old.
    pub(crate) fn of(&self, partner: &CloudId) -> Option<Arc<ReadList>> {
        let read = self.0.read().unwrap_or_else(PoisonError::into_inner);
        read.lists.get(partner).cloned()
    }

    /// Replaces a partner's list, unless what is there was asked for later.
    pub(crate) fn put(&self, partner: &CloudId, list: ReadList) {
        let mut read = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = read.lists.get(partner);
        if known.is_none_or(|known| known.asked_at < list.asked_at)
            && read.since.is_none_or(|since| since <= list.asked_at)
        {
            read.lists.insert(partner.clone(), Arc::new(list));
        }
    }

    /// Forgets what was asked for before, also what is under way.
    pub(crate) fn forget_before(&self, at: Instant) {
        let mut read = self.0.write().unwrap_or_else(PoisonError::into_inner);
        read.lists.retain(|_, list| list.asked_at >= at);
        read.since = Some(at);
    }

    /// Forgets the lists of all but these.
    pub(crate) fn keep_only(&self, partners: &[&CloudId]) {
        let mut read = self.0.write().unwrap_or_else(PoisonError::into_inner);
        read.lists
            .retain(|cloud_id, _| partners.contains(&cloud_id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_never_replaces_one_that_was_asked_for_later() {
        let (lists, west) = (Lists::default(), CloudId::from_spki(b"west"));
        let list =
            |digest: &str, asked_at| ReadList::new(digest.to_owned(), Arc::default(), asked_at);
        let early = Instant::now();
        let late = early + Duration::from_millis(1);
        lists.put(&west, list("late", late));
        lists.put(&west, list("early", early));
        assert_eq!(
            lists.of(&west).map(|list| list.digest.clone()),
            Some("late".to_owned())
        );
        lists.keep_only(&[]);
        assert!(lists.of(&west).is_none());
    }
}
