//! Which of our signed tokens have ended: for hosts that read such tokens themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_core::Seconds;
use alliance_core::refusal::Reason;
use alliance_core::revocation::{MAX_LISTED, RevocationList, Revoked};
use alliance_peer::request_id::RequestId;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::{Answer, Home};
use crate::daemon::clock::now;
use crate::daemon::directory::Known;

/// Hosts that ask at the same time are told the same.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// What our Keystone last said.
#[derive(Default)]
pub(super) struct LastList(Mutex<Option<Arc<List>>>);

struct List {
    read: Instant,
    iat: Seconds,
    digest: String,
    revoked: Revoked,
}

impl Home {
    /// Our word about which tokens have ended; without the list itself if the host has it, by its
    /// digest.
    pub(crate) async fn revocations(
        &self,
        host: &Known,
        known: Option<&str>,
        request_id: RequestId,
    ) -> Answer {
        let list = self.list(request_id).await?;
        self.sign(&RevocationList {
            iss: self.identity.cloud_id().clone(),
            aud: host.partner.cloud_id.clone(),
            iat: list.iat,
            digest: list.digest.clone(),
            listed: (known != Some(&list.digest)).then(|| list.revoked.clone()),
        })
    }

    async fn list(&self, request_id: RequestId) -> Result<Arc<List>, Reason> {
        let mut last = self.last_list.0.lock().await;
        if let Some(list) = last.as_ref()
            && list.read.elapsed() < SHARED_FOR
        {
            return Ok(Arc::clone(list));
        }
        // One is read at a time, for all hosts: it takes no host's place at Keystone, for which the others
        // would wait.
        let (read, iat) = (Instant::now(), now());
        let id = request_id.to_string();
        let asked = async {
            let events = self.keystone.revocation_events(&id);
            tokio::try_join!(events, self.keystone.disabled(&id))
        };
        let (events, (disabled_projects, disabled_domains)) = asked.await.map_err(|error| {
            tracing::error!(%request_id, %error, "our Keystone did not say which tokens have ended");
            Reason::HomeError
        })?;
        let revoked = Revoked {
            events,
            guest_domains: self.directory.guest_domains(),
            disabled_projects,
            disabled_domains,
        };
        if revoked.len() > MAX_LISTED {
            tracing::error!(%request_id, found = revoked.len(), limit = MAX_LISTED, "our Keystone has more revocation events and disabled projects than are told to hosts; they ask about each token instead");
            return Err(Reason::HomeError);
        }
        let text = serde_json::to_vec(&revoked).map_err(|error| {
            tracing::error!(%error, "the revocation list cannot be written as JSON");
            Reason::HomeError
        })?;
        let list = Arc::new(List {
            read,
            iat,
            digest: HEXLOWER.encode(&Sha256::digest(text)),
            revoked,
        });
        *last = Some(Arc::clone(&list));
        Ok(list)
    }
}
