//! Reads the revocation lists of those partners whose signed tokens are validated here, and of those
//! that have no daemon to say what has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_cloud::keystone::{Keystone, KeystoneError};
use alliance_core::cloud::CloudId;
use alliance_core::revocation::{RevocationList, Revocations, Revoked};
use alliance_core::sign_out::Change;
use alliance_core::token::{Mode, TokenFormat};
use alliance_peer::client::PeerClient;
use alliance_peer::request_id::RequestId;
use anyhow::Context;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Daemon;
use super::clock::now;
use super::directory::{Known, Way};
use super::host::ReadList;

impl Known {
    /// Whether our daemon vouches for tokens of its.
    pub(crate) fn is_attested(&self) -> bool {
        self.plain().is_some() || self.is_read_offline()
    }

    /// Whether some of its tokens are validated by signature and revocation list.
    pub(crate) fn is_read_offline(&self) -> bool {
        self.partner.role.is_guest()
            && TokenFormat::ALL.into_iter().any(|format| {
                self.policy.mode(format) == Mode::Offline
                    && format.family().is_some_and(|family| self.ring.has(family))
            })
    }
}

impl Daemon {
    /// Reads each such partner's list every `refresh`. Runs for ever.
    pub(crate) async fn follow_revocations(self: Arc<Self>, refresh: Duration) {
        let mut ticks = interval(refresh);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let partners = self.directory.partners();
            let all = partners.all();
            let read: Vec<_> = all
                .iter()
                .filter(|known| {
                    known.partner.require_guest(now()).is_ok()
                        && (known.is_read_offline() || known.plain().is_some())
                })
                .collect();
            let ids: Vec<&CloudId> = read.iter().map(|known| &known.partner.cloud_id).collect();
            self.host.lists().keep_only(&ids);
            for known in read {
                let (daemon, known) = (Arc::clone(&self), Arc::clone(known));
                // One that hangs is given up before the next begins.
                self.spawn_until_stopped(async move {
                    let reading = timeout(refresh, daemon.read_list(&known)).await;
                    let failure = match reading {
                        Ok(Ok(())) => return,
                        Ok(Err(error)) => format!("{error:#}"),
                        Err(_) => "no answer in time".to_owned(),
                    };
                    let partner = &known.partner.name;
                    // That it does not answer at all was said.
                    if daemon.border.silent_since(&known, now()).is_some() {
                        tracing::debug!(partner, error = failure, "nor is its revocation list");
                        return;
                    }
                    tracing::warn!(
                        partner,
                        error = failure,
                        "a partner's revocation list was not read; what was used here is asked about again when it or the last list is too old"
                    );
                });
            }
        }
    }

    pub(super) async fn read_list(self: &Arc<Self>, known: &Arc<Known>) -> anyhow::Result<()> {
        let request_id = RequestId::random();
        let last = self.host.lists().of(&known.partner.cloud_id);
        let asked_at = Instant::now();
        let list = match &known.way {
            Way::Peer(client) => {
                let known_digest = last.as_ref().map(|list| list.digest.clone());
                let list = self
                    .ask_for_list(known, client, known_digest, request_id)
                    .await?;
                match (list.listed, last) {
                    (Some(revoked), _) => {
                        ReadList::new(list.digest, Arc::new(revoked.into()), asked_at)
                    }
                    (None, Some(last)) if last.digest == list.digest => {
                        ReadList::new(list.digest, Arc::clone(&last.revocations), asked_at)
                    }
                    (None, _) => {
                        anyhow::bail!("the partner left out a list that is not known here")
                    }
                }
            }
            Way::Keystone(plain) => {
                let revoked = plain_list(&plain.keystone, &request_id.to_string()).await;
                let revoked = revoked.context("asking for revocation events")?;
                // All of them each time: that Keystone may remember what it told before, and what has
                // ended here already costs nothing.
                let events = revoked.events.iter().cloned().map(Change::Revoked);
                // Each instance reads it.
                self.apply_here(known, &events.collect::<Vec<_>>()).await?;
                ReadList::new(
                    String::new(),
                    Arc::new(Revocations::from(revoked)),
                    asked_at,
                )
            }
        };
        self.host.lists().put(&known.partner.cloud_id, list);
        Ok(())
    }

    /// The list itself, unless it is the one with that digest.
    ///
    /// # Errors
    /// If the partner does not tell it, or is not believed.
    pub(super) async fn ask_for_list(
        &self,
        known: &Known,
        client: &PeerClient,
        digest: Option<String>,
        request_id: RequestId,
    ) -> anyhow::Result<RevocationList> {
        let answer = client.revocations(request_id, digest).await?;
        let list = known.hear(&answer.revocations, self.identity.cloud_id());
        list.context("the partner's revocation list was refused")
    }
}

/// What a Keystone without a daemon says has ended. Its service user may not be allowed to see what is
/// disabled there; its tokens then count until they expire, as they do for that Keystone's own offline
/// readers.
async fn plain_list(keystone: &Keystone, request_id: &str) -> Result<Revoked, KeystoneError> {
    let events = keystone.revocation_events(request_id).await?;
    let (disabled_projects, disabled_domains) = match keystone.disabled(request_id).await {
        Ok(disabled) => disabled,
        Err(KeystoneError::MissingRole { .. }) => Default::default(),
        Err(error) => return Err(error),
    };
    Ok(Revoked {
        events,
        disabled_projects,
        disabled_domains,
        ..Revoked::default()
    })
}
