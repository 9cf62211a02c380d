//! What partners' descriptors were when they were last pulled, so that one that says the same is not
//! sent again. Forgotten at the daemon's end: the first pull after it is a whole one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::partner::Status;
use alliance_store::StoredDescriptor;

/// By partner.
#[derive(Default)]
pub(crate) struct Heard(Mutex<HashMap<CloudId, Answer>>);

/// What a partner answered.
#[derive(Clone)]
pub(crate) struct Answer {
    /// How it calls the answer.
    pub etag: String,
    /// What we were to it.
    pub status: Status,
    /// The descriptor in it.
    pub jws: String,
}

impl Heard {
    /// The partner's last answer, if `stored` is the descriptor in it and is not to be renewed: more
    /// than half of its time is left.
    pub(crate) fn last(&self, stored: &StoredDescriptor, now: Seconds) -> Option<Answer> {
        let claims = &stored.claims;
        let half = claims.exp.saturating_sub(claims.iat) / 2;
        if now >= claims.iat.saturating_add(half) {
            return None;
        }
        let answers = self.lock();
        let answer = answers.get(&claims.iss);
        answer.filter(|answer| answer.jws == stored.jws).cloned()
    }

    /// The partner has answered, and what it said is stored.
    pub(crate) fn note(&self, cloud_id: &CloudId, answer: Option<Answer>) {
        match answer {
            Some(answer) => self.lock().insert(cloud_id.clone(), answer),
            None => self.lock().remove(cloud_id),
        };
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CloudId, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use alliance_peer::identity::Identity;

    use super::*;
    use crate::daemon::bed::{Failure, descriptor};

    #[test]
    fn a_descriptor_is_renewed_when_half_of_its_time_has_passed() -> Result<(), Failure> {
        let west = Identity::ephemeral()?;
        let mut stored = descriptor(&west, &west, "https://west.example:5443")?;
        (stored.claims.iat, stored.claims.exp) = (1000, 2000);
        let heard = Heard::default();
        let answer = Answer {
            etag: "\"1\"".into(),
            status: Status::Active,
            jws: stored.jws.clone(),
        };
        assert!(heard.last(&stored, 1000).is_none());
        heard.note(west.cloud_id(), Some(answer));
        assert!(heard.last(&stored, 1499).is_some());
        assert!(heard.last(&stored, 1500).is_none());
        // Another one was stored since: the partner was paired anew.
        let again = descriptor(&west, &west, "https://elsewhere.example:5443")?;
        assert!(heard.last(&again, again.claims.iat).is_none());
        heard.note(west.cloud_id(), None);
        assert!(heard.last(&stored, 1000).is_none());
        Ok(())
    }
}
