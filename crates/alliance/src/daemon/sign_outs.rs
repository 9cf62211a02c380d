//! Single sign-out at the host: what partners say has ended, ends here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_core::cadf::{Matter, Person};
use alliance_core::cloud::CloudId;
use alliance_core::session::Session;
use alliance_core::sign_out::Change;
use alliance_peer::request_id::RequestId;
use alliance_token::Token;

use super::Daemon;
use super::auditing::{Case, YES};
use super::clock::now;
use super::directory::Known;
use super::host::Ending;
use super::trust::{OPERATOR, SECOND_SWEEP};
use crate::wire::{Applied, SessionView};

/// How long our Keystone may take before the services' caches are swept all the same.
const KEYSTONE_WAIT: Duration = Duration::from_secs(2);

/// Pause before what could not be read is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

impl Daemon {
    /// What has changed at a partner counts here when this returns, and soon at all instances.
    ///
    /// # Errors
    /// If it might not count after a restart, or at other instances: it must be applied again.
    pub(crate) async fn apply_sign_outs(
        self: &Arc<Self>,
        known: &Arc<Known>,
        changes: Vec<Change>,
    ) -> anyhow::Result<()> {
        let passed_on = self.pass_on(known, &changes).await;
        self.apply_here(known, &changes).await?;
        passed_on
    }

    /// The same at this instance alone.
    ///
    /// # Errors
    /// If it might not count after a restart.
    pub(crate) async fn apply_here(
        self: &Arc<Self>,
        known: &Arc<Known>,
        changes: &[Change],
    ) -> anyhow::Result<()> {
        self.host.when_read().await;
        self.apply_to_the_known(known, changes).await
    }

    /// The same for the sessions that are known, if others are still being read.
    ///
    /// # Errors
    /// If it might not count after a restart.
    pub(super) async fn apply_to_the_known(
        self: &Arc<Self>,
        known: &Arc<Known>,
        changes: &[Change],
    ) -> anyhow::Result<()> {
        let heard_at = Instant::now();
        let ending = self.host.apply_changes(known, changes).await?;
        self.doubts.heed(&known.partner.cloud_id, changes);
        if ending.concerned.is_empty() {
            return Ok(());
        }
        tracing::info!(
            partner = known.partner.name,
            ended = ending.ended.len(),
            concerned = ending.concerned.len(),
            "sessions have ended at home"
        );
        for session in &ending.ended {
            self.auditor.decided(YES, || Case {
                matter: Matter::Session,
                partner: Some(known),
                person: Person {
                    token: Some(session.session.clone()),
                    user_id: Some(session.user_id.clone()),
                    ..Person::default()
                },
                via: None,
                request_id: None,
            });
        }
        self.tell(known.partner.name.clone(), ending, heard_at);
        Ok(())
    }

    /// Our Keystone must not remember what it knew of sessions that another instance has ended; that they
    /// have ended, that instance tells it.
    pub(crate) fn tell_keystone(self: &Arc<Self>, ending: Ending) {
        if ending.concerned.is_empty() {
            return;
        }
        self.publisher.end_sessions(ending.ended, true);
        let daemon = Arc::clone(self);
        self.spawn(async move { daemon.forget_in_caches(&ending.concerned, || ()).await });
    }

    /// Tells our Keystone and the services' caches, in the background. `since` is when the wish came.
    fn tell(self: &Arc<Self>, partner: String, ending: Ending, since: Instant) {
        self.metrics
            .count_ended_sessions(&partner, ending.ended.len());
        let entry = self.chronicle.ended(&partner, ending.ended.len(), now());
        self.publisher.end_sessions(ending.ended, true);
        let daemon = Arc::clone(self);
        self.spawn(async move {
            let told = || {
                daemon.metrics.measure_sign_out(&partner, since.elapsed());
                daemon.chronicle.told(entry, since.elapsed());
            };
            daemon.forget_in_caches(&ending.concerned, told).await;
        });
    }

    /// The sessions of partners' users that are here, and of our users that are abroad, the oldest
    /// first.
    pub(crate) async fn sessions(&self) -> anyhow::Result<Vec<SessionView>> {
        if self.board.is_shared() {
            self.host.read_sessions().await?;
        }
        let partners = self.directory.partners();
        let tokens = self.store.seen_tokens().count_by_session(now()).await?;
        let view = |cloud_id: &CloudId, session: &Session| SessionView {
            id: session.id().to_owned(),
            partner: partners
                .by_cloud(cloud_id)
                .map_or_else(|| cloud_id.to_string(), |known| known.partner.name.clone()),
            user_id: session.user_id().to_owned(),
            project_id: session.project_id().map(str::to_owned),
            issued_at: session.issued_at().as_second(),
            expires_at: session.expires_at(),
            tokens: 1,
            ended: false,
            abroad: true,
        };
        let here = self.host.sessions().into_iter();
        let here = here.map(|(guest, session)| SessionView {
            tokens: tokens.get(session.id()).copied().unwrap_or(1),
            ended: self.host.has_ended(session.id()),
            abroad: false,
            ..view(&guest, &session)
        });
        let abroad = self.home.abroad().list().into_iter();
        let abroad = abroad.map(|(host, session)| view(&host, &session));
        let mut views: Vec<_> = here.chain(abroad).collect();
        views.sort_by(|a, b| {
            (a.issued_at, &a.id, &a.partner).cmp(&(b.issued_at, &b.id, &b.partner))
        });
        views.dedup_by(|a, b| (&a.id, &a.partner) == (&b.id, &b.partner));
        Ok(views)
    }

    /// Ends a session here as `actor` wants it, whatever its home says; `None` if there is none with this
    /// id.
    pub(crate) async fn end_session(
        self: &Arc<Self>,
        id: &str,
        actor: &str,
    ) -> anyhow::Result<Option<Applied>> {
        let since = Instant::now();
        let Some(ending) = self.host.end_session(id).await? else {
            return Ok(None);
        };
        self.audit(actor, "session.ended", id, "").await;
        let concerned = ending.concerned.clone();
        let partner = ending.ended.first();
        let partner = partner.map_or_else(String::new, |ended| self.name_of(&ended.cloud_id));
        self.tell(partner, ending, since);
        let keystone_told = self.publisher.knows_of(&concerned, KEYSTONE_WAIT).await;
        Ok(Some(Applied {
            keystone_told,
            detail: (!keystone_told).then(|| {
                "stored, but Keystone was not told yet. The daemon keeps trying; until then a token that Keystone has cached remains valid for up to [token] cache_time".to_owned()
            }),
        }))
    }

    /// Ends a token: one of ours everywhere, by our Keystone; a partner's, and what was made from it,
    /// here. `None` if it is neither, or was not used here.
    pub(crate) async fn revoke_token(
        self: &Arc<Self>,
        text: &str,
        request_id: RequestId,
    ) -> anyhow::Result<Option<Applied>> {
        let Ok(token) = Token::parse(text) else {
            return Ok(None);
        };
        let partners = self.directory.partners();
        let known = match token.tag() {
            Some(tag) => partners.by_tag(tag),
            None => partners.by_untagged(token.format()),
        };
        if known.is_some() {
            return match self.host.session_of_token(token.digest()).await? {
                Some(id) => self.end_session(&id, OPERATOR).await,
                None => Ok(None),
            };
        }
        let own = self.identity.cloud_id().tag();
        if token.tag().is_some_and(|tag| *tag != own) {
            return Ok(None);
        }
        self.keystone
            .revoke_with_itself(token.expose(), &request_id.to_string())
            .await?;
        self.audit("operator", "token.revoked", &token.to_string(), "")
            .await;
        self.noticing.poke(None);
        Ok(Some(Applied {
            keystone_told: true,
            detail: None,
        }))
    }

    /// Reads the sessions that were here before this daemon was started: what has changed at partners counts
    /// after that.
    pub(crate) async fn read_live_sessions(self: Arc<Self>) {
        let began = Instant::now();
        while let Err(error) = self.host.read_live_sessions().await {
            tracing::error!(%error, "the sessions that were here before the start cannot be read; until they are, signed tokens are asked about");
            self.pause(READ_AGAIN).await;
        }
        let sessions = self.host.count_sessions();
        tracing::info!(
            sessions = sessions.values().sum::<usize>(),
            seconds = began.elapsed().as_secs_f64(),
            "the sessions that were here before the start are known"
        );
    }

    /// Takes out of the services' caches what has ended before this daemon was started: the last one
    /// may have died before it did, or before our Keystone knew.
    pub(crate) async fn forget_what_had_ended(self: Arc<Self>) {
        match self.store.ended_sessions().list(now()).await {
            Ok(ended) => {
                let ended = ended.into_iter().map(|(ended, _)| ended.session);
                self.forget_in_caches(&ended.collect(), || ()).await;
            }
            Err(error) => {
                tracing::error!(%error, "what had ended before the start may still be served by services that cached it");
            }
        }
    }

    /// Takes sessions' tokens out of the services' caches, once our Keystone refuses them, and once
    /// more. If that takes long, also at once: Keystone may be away. Between the two nobody takes them
    /// any more, which `told` is for.
    async fn forget_in_caches(&self, sessions: &BTreeSet<String>, told: impl FnOnce()) {
        if sessions.is_empty() {
            return;
        }
        if !self.publisher.knows_of(sessions, KEYSTONE_WAIT).await {
            self.sweep_sessions(sessions).await;
            let mut stop = self.stop.subscribe();
            tokio::select! {
                () = self.publisher.has_told(sessions) => {}
                // The next daemon does it. An error means that this one is gone already.
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
        self.sweep_sessions(sessions).await;
        told();
        self.pause(SECOND_SWEEP).await;
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
