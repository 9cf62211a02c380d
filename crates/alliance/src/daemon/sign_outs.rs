//! Single sign-out at the host: what partners say has ended, ends here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::sign_out::{Change, SignOut};
use alliance_peer::client::PeerClient;
use alliance_peer::request_id::RequestId;
use alliance_peer::wire::Poll;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use super::Daemon;
use super::clock::now;
use super::directory::{Known, Way};
use super::host::Ending;
use super::trust::SECOND_SWEEP;
use crate::wire::{Applied, SessionView};

/// How often new partners are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Pauses after a poll that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long our Keystone may take before the services' caches are swept all the same.
const KEYSTONE_WAIT: Duration = Duration::from_secs(2);

impl Daemon {
    /// Asks each partner whose guests may be here what has ended there. Runs for ever.
    pub(crate) async fn follow_sign_outs(self: Arc<Self>) {
        let mut polls = JoinSet::new();
        let mut followed = HashMap::new();
        let mut ticks = interval(LOOK);
        loop {
            ticks.tick().await;
            self.host.forget_expired_sessions();
            let partners = self.directory.partners();
            let wanted: BTreeSet<CloudId> = partners
                .all()
                .into_iter()
                .filter(|known| {
                    known.peer().is_some() && known.partner.require_guest(now()).is_ok()
                })
                .map(|known| known.partner.cloud_id.clone())
                .collect();
            followed.retain(|cloud_id, poll: &mut tokio::task::AbortHandle| {
                let stays = wanted.contains(cloud_id) && !poll.is_finished();
                if !stays {
                    poll.abort();
                }
                stays
            });
            while polls.try_join_next().is_some() {}
            for cloud_id in wanted {
                followed.entry(cloud_id.clone()).or_insert_with(|| {
                    polls.spawn(Arc::clone(&self).follow_sign_outs_of(cloud_id))
                });
            }
        }
    }

    async fn follow_sign_outs_of(self: Arc<Self>, cloud_id: CloudId) {
        let mut pause = FIRST_PAUSE;
        let mut applied = None;
        loop {
            // Its address or keys may be new ones.
            let partners = self.directory.partners();
            let Some(known) = partners.by_cloud(&cloud_id).map(Arc::clone) else {
                return;
            };
            let Way::Peer(client) = &known.way else {
                return;
            };
            match self.poll(&known, client, applied.take()).await {
                Ok(next) => {
                    applied = next;
                    pause = FIRST_PAUSE;
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    if pause == FIRST_PAUSE {
                        tracing::warn!(
                            partner = known.partner.name,
                            error,
                            "the partner did not say what has ended there; what was used here is asked about again when it is too old"
                        );
                    } else {
                        tracing::debug!(partner = known.partner.name, error, "still not");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Waits for news and applies them; returns what is to be acknowledged with the next poll.
    async fn poll(
        self: &Arc<Self>,
        known: &Arc<Known>,
        client: &PeerClient,
        applied: Option<String>,
    ) -> anyhow::Result<Option<String>> {
        let poll = Poll {
            ack: applied.into_iter().collect(),
            return_immediately: !self.host.listens_to(&known.partner.cloud_id),
            ..Poll::default()
        };
        let answer = client.sign_outs(RequestId::random(), &poll).await?;
        let (mut changes, mut last) = (Vec::new(), None);
        for (jti, set) in &answer.sets {
            last = last.max(jti.parse::<u64>().ok());
            // One that is not to be understood, or not the partner's, stays out; the others count.
            match known.hear::<SignOut>(set, self.identity.cloud_id()) {
                Ok(said) if said.jti == *jti => changes.extend(said.changes()),
                Ok(_) => {
                    tracing::warn!(
                        partner = known.partner.name,
                        jti,
                        "a sign-out was refused: it is another than the partner said"
                    );
                }
                Err(error) => {
                    tracing::warn!(partner = known.partner.name, jti, %error, "a sign-out was refused");
                }
            }
        }
        self.apply_sign_outs(known, changes).await?;
        if !answer.more_available {
            // An earlier version, which does not say, issues no login passports.
            let at = answer.now.unwrap_or(Seconds::MAX);
            self.host.listens_since(&known.partner.cloud_id, at);
        }
        Ok(last.map(|jti| jti.to_string()))
    }

    /// What has changed at a partner counts here when this returns.
    ///
    /// # Errors
    /// If it might not count after a restart: it must be applied again.
    pub(crate) async fn apply_sign_outs(
        self: &Arc<Self>,
        known: &Arc<Known>,
        changes: Vec<Change>,
    ) -> anyhow::Result<()> {
        let ending = self.host.apply_changes(known, &changes).await?;
        if ending.concerned.is_empty() {
            return Ok(());
        }
        tracing::info!(
            partner = known.partner.name,
            ended = ending.ended.len(),
            concerned = ending.concerned.len(),
            "sessions have ended at home"
        );
        self.tell(ending);
        Ok(())
    }

    /// Tells our Keystone and the services' caches, in the background.
    fn tell(self: &Arc<Self>, ending: Ending) {
        self.publisher.end_sessions(ending.ended, true);
        let daemon = Arc::clone(self);
        self.spawn(async move {
            daemon.forget_in_caches(&ending.concerned).await;
        });
    }

    /// The sessions of partners' users that are here, the oldest first.
    pub(crate) async fn sessions(&self) -> anyhow::Result<Vec<SessionView>> {
        let partners = self.directory.partners();
        let tokens = self.store.seen_tokens().count_by_session(now()).await?;
        let mut views: Vec<_> = self
            .host
            .sessions()
            .into_iter()
            .map(|(cloud_id, session)| SessionView {
                id: session.id().to_owned(),
                partner: partners
                    .by_cloud(&cloud_id)
                    .map_or_else(|| cloud_id.to_string(), |known| known.partner.name.clone()),
                user_id: session.user_id.clone(),
                project_id: session.project_id.clone(),
                issued_at: session.origin.issued_at.as_second(),
                expires_at: session.expires_at,
                tokens: tokens.get(session.id()).copied().unwrap_or(1),
                ended: self.host.has_ended(session.id()),
            })
            .collect();
        views.sort_by(|a, b| (a.issued_at, &a.id).cmp(&(b.issued_at, &b.id)));
        views.dedup_by(|a, b| a.id == b.id);
        Ok(views)
    }

    /// Ends a session here, whatever its home says; `None` if there is none with this id.
    pub(crate) async fn end_session(self: &Arc<Self>, id: &str) -> anyhow::Result<Option<Applied>> {
        let Some(ending) = self.host.end_session(id).await? else {
            return Ok(None);
        };
        self.audit("operator", "session.ended", id, "").await;
        let concerned = ending.concerned.clone();
        self.tell(ending);
        let keystone_told = self.publisher.knows_of(&concerned, KEYSTONE_WAIT).await;
        Ok(Some(Applied {
            keystone_told,
            detail: (!keystone_told).then(|| {
                "stored, but Keystone was not told yet. The daemon keeps trying; until then a token that Keystone has cached remains valid for up to [token] cache_time".to_owned()
            }),
        }))
    }

    /// Takes sessions' tokens out of the services' caches, once our Keystone refuses them, and once
    /// more.
    async fn forget_in_caches(&self, sessions: &BTreeSet<String>) {
        self.publisher.knows_of(sessions, KEYSTONE_WAIT).await;
        self.sweep_sessions(sessions).await;
        sleep(SECOND_SWEEP).await;
        self.sweep_sessions(sessions).await;
    }

    async fn sweep_sessions(&self, sessions: &BTreeSet<String>) {
        let seen = self.store.seen_tokens();
        self.sweep_hashes(seen.of_sessions(sessions)).await;
    }

    /// Our Keystone refuses these sessions by itself.
    pub(crate) async fn keystone_knows(&self, sessions: &[String]) {
        if sessions.is_empty() {
            return;
        }
        if let Err(error) = self.store.ended_sessions().told(sessions).await {
            tracing::warn!(%error, "it was not noted that Keystone knows which sessions have ended; it is told again after a restart");
        }
    }
}
