//! Home's side: it checks each version that a host signed, keeps it as it is, and replies: by itself
//! where nothing is to be paid, else as its operator says.

use std::collections::BTreeSet;
use std::sync::Arc;

use alliance_core::Seconds;
use alliance_core::agreement::Projects;
use alliance_core::contract::{Break, Link, MAX_VERSIONS, Proposal, Reply, Said};
use alliance_core::terms::{BadTerms, Terms};
use alliance_peer::client::{PeerClient, PeerError};
use alliance_peer::request_id::RequestId;
use alliance_peer::statement::{self, StatementError};
use alliance_peer::wire::ContractState;
use alliance_store::{
    AgreementVersion, Bulletin, Error as StoreError, ReceivedAgreement, StoredReply,
};
use uuid::Uuid;

use super::{DAEMON, MAX_CONTRACTS};
use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::delegate::ApiError;
use crate::daemon::directory::Known;
use crate::wire::{AgreementApplied, Applied, ReplyRequest};

/// Why what a host says of an agreement is not believed. What was believed before stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Not its statement for us.
    #[error("version {version}: {why}")]
    Statement {
        /// The version that was expected.
        version: u32,
        /// What is wrong.
        why: StatementError,
    },
    /// Of another agreement.
    #[error("version {0} is one of another agreement")]
    Another(u32),
    /// About other projects than before.
    #[error("version {version} is about other projects ({found}) than the ones before")]
    Projects {
        /// The version.
        version: u32,
        /// What it is about.
        found: Projects,
    },
    /// Not the next one.
    #[error(transparent)]
    Break(#[from] Break),
    /// Terms that nobody could keep.
    #[error("version {version}: {why}")]
    Terms {
        /// The version.
        version: u32,
        /// What is wrong.
        why: BadTerms,
    },
    /// A version that the host said there is and does not show.
    #[error("version {0} is missing at the host")]
    Missing(u32),
    /// Older than what is known here.
    #[error(
        "the host says that its {what} version is {found}, which was {known} before; was it set back?"
    )]
    SetBack {
        /// Which of its versions.
        what: &'static str,
        /// What the host says.
        found: u32,
        /// What it said before.
        known: u32,
    },
    /// In force there without this cloud's consent.
    #[error("the host holds version {0} to be in force, which this cloud has not accepted")]
    NotAccepted(u32),
}

impl Daemon {
    /// Reads what is new in the agreements that a partner gave, and replies. What is not believed is
    /// kept beside the agreement, for operators to see. `held` is what was known before the partner was asked.
    ///
    /// # Errors
    /// Only the database's; a partner that does not answer is asked at the next pull.
    pub(crate) async fn follow_contracts(
        &self,
        known: &Known,
        client: &PeerClient,
        (states, held): (&[ContractState], &[ReceivedAgreement]),
        request_id: RequestId,
    ) -> anyhow::Result<()> {
        for state in states.iter().take(MAX_CONTRACTS) {
            let Ok(id) = state.id.parse::<Uuid>() else {
                continue;
            };
            // One agreement has one spelling of its id.
            if id.to_string() != state.id {
                continue;
            }
            let held = held.iter().find(|one| one.id == state.id);
            let visit = Visit {
                daemon: self,
                known,
                client,
                request_id,
                id,
                state,
            };
            if let Err(error) = visit.follow(held).await {
                let is_later = error.is::<PeerError>()
                    || matches!(
                        error.downcast_ref(),
                        Some(StoreError::AgreementChanged(_) | StoreError::NoSuchAgreement(_))
                    );
                if !is_later {
                    return Err(error);
                }
                tracing::info!(%request_id, partner = known.partner.name, agreement = state.id, error = format!("{error:#}"), "an agreement is looked at again at the next pull");
            }
        }
        let told: BTreeSet<&str> = states.iter().map(|state| state.id.as_str()).collect();
        for gone in held.iter().filter(|one| !told.contains(one.id.as_str())) {
            if gone.ended_at.is_none() {
                self.note_ended_by_host(known, &gone.id, None).await?;
            }
        }
        Ok(())
    }

    async fn note_ended_by_host(
        &self,
        known: &Known,
        id: &str,
        ending: Option<&str>,
    ) -> anyhow::Result<()> {
        let (partner, name) = (&known.partner.cloud_id, &known.partner.name);
        let contracts = self.store.contracts();
        if contracts
            .end_received(partner, id, name, ending, now())
            .await?
        {
            tracing::info!(
                partner = name,
                agreement = id,
                "the host ended an agreement"
            );
            self.audit(name, "agreement.ended", name, id).await;
        }
        Ok(contracts.set_ending_heard(partner, id).await?)
    }

    /// The ids of a partner's agreements that this cloud has ended, whatever the host says.
    pub(crate) async fn ended_here(&self, known: &Known) -> anyhow::Result<BTreeSet<String>> {
        let held = self.store.contracts().received(&known.partner.cloud_id);
        let ended = held.await?.into_iter().filter(|one| one.ended_at.is_some());
        Ok(ended.map(|one| one.id).collect())
    }

    /// The agreement with this id that a partner gave.
    ///
    /// # Errors
    /// If there is none, or several partners call one so.
    async fn received(&self, id: &str) -> Result<(Arc<Known>, ReceivedAgreement), ApiError> {
        let mut found = Vec::new();
        for known in self.directory.partners().all() {
            let held = self
                .store
                .contracts()
                .received(&known.partner.cloud_id)
                .await?;
            let held = held.into_iter().find(|one| one.id == id);
            found.extend(held.map(|held| (Arc::clone(known), held)));
        }
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => Err(ApiError::conflict(format!(
                "several partners call an agreement {id:?}"
            ))),
            (None, _) => Err(ApiError::not_found(format!(
                "no partner gave this cloud an agreement with the id {id:?}; see alliance agreement list"
            ))),
        }
    }

    /// Accepts or rejects the version that waits for this cloud's operator.
    pub(crate) async fn reply_to_agreement(
        self: &Arc<Self>,
        id: &str,
        request: &ReplyRequest,
        said: Said,
        by: &str,
    ) -> Result<AgreementApplied, ApiError> {
        let (known, held) = self.received(id).await?;
        if held.ended_at.is_some() {
            return Err(ApiError::conflict("the agreement has ended"));
        }
        let newest = held
            .newest()
            .ok_or_else(|| ApiError::not_found("the host has shown no version of it yet"))?;
        let number = newest.number;
        if let Some(meant) = request.version.filter(|meant| *meant != number) {
            return Err(ApiError::conflict(format!(
                "version {meant} is not the newest, which is {number}; look at it: alliance agreement show {id}"
            )));
        }
        let last = newest.reply.as_ref().map(|reply| reply.said);
        if last == Some(said) {
            return Err(ApiError::conflict(format!(
                "version {number} is {} already",
                said.as_str()
            )));
        }
        if said == Said::Rejected && (last == Some(Said::Accepted) || held.version == Some(number))
        {
            return Err(ApiError::conflict(format!(
                "version {number} is agreed; to be rid of it, end the agreement: alliance agreement end {id}"
            )));
        }
        self.say(&known, id, newest, said, by).await?;
        tracing::info!(
            partner = known.partner.name,
            agreement = id,
            version = number,
            said = said.as_str(),
            "an operator replied to an agreement"
        );
        let action = format!("agreement.{}", said.as_str());
        let detail = format!("{id} version {number}");
        self.audit(by, &action, &known.partner.name, &detail).await;
        self.tell_host(&known, id).await
    }

    /// Ends an agreement that a partner gave.
    pub(crate) async fn end_received(
        self: &Arc<Self>,
        id: &str,
        by: &str,
    ) -> Result<AgreementApplied, ApiError> {
        let (known, held) = self.received(id).await?;
        let partner = &known.partner.cloud_id;
        let word = match held.newest() {
            Some(newest) => {
                let version = (newest.number, newest.sha256.as_str());
                Some(self.sign_word(partner, id, version, (Said::Ended, now()))?)
            }
            None => None,
        };
        let contracts = self.store.contracts();
        let ended = contracts.end_received(partner, id, by, word.as_deref(), now());
        if !ended.await? {
            return Err(ApiError::conflict("the agreement has ended already"));
        }
        tracing::info!(
            partner = known.partner.name,
            agreement = id,
            "an agreement was ended"
        );
        self.audit(by, "agreement.ended", &known.partner.name, id)
            .await;
        // Here it counts at once, whether or not the host hears it now.
        let mut left = known.facts.received.clone();
        left.retain(|one| one.id.as_deref() != Some(id));
        let etag = known.facts.received_etag.as_deref();
        self.store
            .partners()
            .set_received(partner, &left, etag, etag)
            .await?;
        self.directory.reload().await?;
        self.board.tell(Bulletin::Facts);
        self.tell_host(&known, id).await
    }

    /// Tells a host now what it has not heard, and shows where the agreement stands then.
    async fn tell_host(
        self: &Arc<Self>,
        known: &Arc<Known>,
        id: &str,
    ) -> Result<AgreementApplied, ApiError> {
        // The second time it says what it has made of it.
        let told = match self.pull(known).await {
            Ok(()) => self.pull(known).await,
            Err(error) => Err(error),
        };
        let applied = match told {
            Ok(()) => self.publisher.publish(false).await?,
            Err(error) => Applied {
                keystone_told: false,
                detail: Some(format!("{error:#}")),
            },
        };
        let (known, held) = self.received(id).await?;
        let is_told = match held.ended_at {
            Some(_) => held.heard,
            None => held.newest().is_none_or(|newest| newest.heard),
        };
        let mut answer = self.agreement_applied(id, &known, applied).await?;
        answer.host_told = Some(is_told);
        Ok(answer)
    }

    /// Signs a reply and stores it.
    async fn say(
        &self,
        known: &Known,
        id: &str,
        version: &AgreementVersion,
        said: Said,
        by: &str,
    ) -> anyhow::Result<StoredReply> {
        let partner = &known.partner.cloud_id;
        let named = (version.number, version.sha256.as_str());
        let at = now();
        let reply = StoredReply {
            said,
            at,
            by: by.to_owned(),
            jws: self.sign_word(partner, id, named, (said, at))?,
        };
        let contracts = self.store.contracts();
        contracts.say(partner, id, version.number, &reply).await?;
        Ok(reply)
    }
}

/// One agreement, as its host has just said that it stands.
struct Visit<'a> {
    daemon: &'a Daemon,
    known: &'a Known,
    client: &'a PeerClient,
    request_id: RequestId,
    id: Uuid,
    state: &'a ContractState,
}

impl Visit<'_> {
    async fn follow(&self, held: Option<&ReceivedAgreement>) -> anyhow::Result<()> {
        let contracts = self.daemon.store.contracts();
        let partner = &self.known.partner.cloud_id;
        if let Some(held) = held.filter(|held| held.ended_at.is_some()) {
            return self.tell_ending(held).await;
        }
        if self.state.ended {
            return match held {
                Some(held) => self.hear_ending(held).await,
                None => Ok(()),
            };
        }
        let mut agreement = held.cloned();
        let fault = self.read(&mut agreement).await?.err();
        let Some(mut agreement) = agreement else {
            if let Some(fault) = fault {
                tracing::warn!(partner = self.known.partner.name, agreement = %self.id, %fault, "an agreement that a host signed is not believed");
            }
            return Ok(());
        };
        self.agree(&mut agreement).await?;
        let fault = fault.or_else(|| self.require_consent(&agreement).err());
        let text = fault.map(|fault| fault.to_string());
        if let Some(fault) = text
            .as_ref()
            .filter(|text| agreement.fault.as_ref() != Some(text))
        {
            tracing::warn!(partner = self.known.partner.name, agreement = %self.id, fault, "what a host says of an agreement is not believed");
        }
        let in_force = match &text {
            None => self.state.in_force,
            Some(_) => agreement.version,
        };
        if (in_force, &text) != (agreement.version, &agreement.fault) {
            contracts
                .set_state(partner, &agreement.id, in_force, text.as_deref(), now())
                .await?;
        }
        self.tell(&agreement).await
    }

    /// Reads and stores the versions that are not known here, up to one that is not believed.
    async fn read(
        &self,
        agreement: &mut Option<ReceivedAgreement>,
    ) -> anyhow::Result<Result<(), Fault>> {
        let newest = |agreement: &Option<ReceivedAgreement>| {
            let newest = agreement.as_ref().and_then(ReceivedAgreement::newest);
            newest.map_or(0, |newest| newest.number)
        };
        let known = newest(agreement);
        let in_force = agreement.as_ref().and_then(|held| held.version);
        for (what, known, found) in [
            ("newest", known, self.state.newest),
            (
                "agreed",
                in_force.unwrap_or(0),
                self.state.in_force.unwrap_or(0),
            ),
        ] {
            if found < known {
                return Ok(Err(Fault::SetBack { what, found, known }));
            }
        }
        while newest(agreement) < self.state.newest.min(MAX_VERSIONS) {
            let after = newest(agreement);
            let answer = self
                .client
                .contract(self.request_id, self.id, after)
                .await?;
            let mut fresh = Vec::new();
            let mut fault = None;
            for jws in answer.versions {
                match self.check(jws, agreement.as_ref(), fresh.last()) {
                    Ok((version, head)) => {
                        agreement.get_or_insert(head);
                        fresh.push(version);
                    }
                    Err(why) => {
                        fault = Some(why);
                        break;
                    }
                }
            }
            if let Some(held) = agreement.as_mut().filter(|_| !fresh.is_empty()) {
                let contracts = self.daemon.store.contracts();
                let partner = &self.known.partner.cloud_id;
                contracts.receive(partner, held, &fresh).await?;
                held.versions.append(&mut fresh);
            } else if fault.is_none() {
                fault = Some(Fault::Missing(after + 1));
            }
            if let Some(fault) = fault {
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }

    /// One version, and what it says of the agreement as a whole.
    fn check(
        &self,
        jws: String,
        held: Option<&ReceivedAgreement>,
        before: Option<&AgreementVersion>,
    ) -> Result<(AgreementVersion, ReceivedAgreement), Fault> {
        let last = before.or_else(|| held.and_then(ReceivedAgreement::newest));
        let expected = last.map_or(0, |last| last.number) + 1;
        let statement = |why| Fault::Statement {
            version: expected,
            why,
        };
        let own = self.daemon.identity.cloud_id();
        let proposal: Proposal = self.known.read(&jws, own).map_err(statement)?;
        if proposal.agreement != self.id.to_string() {
            return Err(Fault::Another(expected));
        }
        proposal.require_next(last.map(|last| Link {
            version: last.number,
            sha256: &last.sha256,
        }))?;
        if held.is_some_and(|held| held.projects != proposal.projects) {
            return Err(Fault::Projects {
                version: expected,
                found: proposal.projects,
            });
        }
        proposal.terms.check().map_err(|why| Fault::Terms {
            version: expected,
            why,
        })?;
        let version = AgreementVersion {
            number: proposal.version,
            terms: proposal.terms,
            sha256: statement::payload_sha256(&jws).map_err(statement)?,
            signed: jws,
            made_at: proposal.iat,
            made_by: self.known.partner.name.clone(),
            in_force_since: None,
            reply: None,
            heard: false,
        };
        let head = ReceivedAgreement {
            id: proposal.agreement,
            projects: proposal.projects,
            project_name: proposal.project_name,
            project_domain: proposal.project_domain,
            version: None,
            ended_at: None,
            ended_by: None,
            ending: None,
            heard: false,
            fault: None,
            versions: Vec::new(),
        };
        Ok((version, head))
    }

    /// Accepts what needs nobody's consent, in the order of the versions.
    async fn agree(&self, agreement: &mut ReceivedAgreement) -> anyhow::Result<()> {
        for index in 0..agreement.versions.len() {
            let agreed: Option<&Terms> = agreement.versions[..index]
                .iter()
                .rev()
                .find(|one| is_accepted(one))
                .map(|one| &one.terms);
            let version = &agreement.versions[index];
            if version.reply.is_some() || version.terms.need_consent(agreed) {
                continue;
            }
            let reply = self
                .daemon
                .say(self.known, &agreement.id, version, Said::Accepted, DAEMON)
                .await?;
            let detail = format!("{} version {}", agreement.id, version.number);
            let name = &self.known.partner.name;
            self.daemon
                .audit(DAEMON, "agreement.accepted", name, &detail)
                .await;
            agreement.versions[index].reply = Some(reply);
        }
        Ok(())
    }

    fn require_consent(&self, agreement: &ReceivedAgreement) -> Result<(), Fault> {
        let Some(number) = self.state.in_force else {
            return Ok(());
        };
        let version = agreement.versions.iter().find(|one| one.number == number);
        match version {
            Some(version) if is_accepted(version) => Ok(()),
            _ => Err(Fault::NotAccepted(number)),
        }
    }

    /// Tells the host what it has not heard.
    async fn tell(&self, agreement: &ReceivedAgreement) -> anyhow::Result<()> {
        let newest = agreement.newest().map(|newest| newest.number);
        for version in &agreement.versions {
            let Some(reply) = &version.reply else {
                continue;
            };
            let is_lost = newest == Some(version.number) && !self.state.replied;
            if version.heard && !is_lost {
                continue;
            }
            let named = (version.number, version.sha256.as_str());
            if self.send(named, (reply.said, reply.at)).await? {
                let contracts = self.daemon.store.contracts();
                let partner = &self.known.partner.cloud_id;
                contracts
                    .set_heard(partner, &agreement.id, version.number)
                    .await?;
            }
        }
        Ok(())
    }

    async fn tell_ending(&self, held: &ReceivedAgreement) -> anyhow::Result<()> {
        // A host that knew of it and says otherwise was restored from a backup.
        if held.heard && self.state.ended {
            return Ok(());
        }
        // One that was set back knows only what it has.
        let theirs = held
            .versions
            .iter()
            .find(|one| one.number == self.state.newest);
        let version = theirs.or(held.newest());
        let is_heard = match version.filter(|_| !self.state.ended) {
            Some(version) => {
                let named = (version.number, version.sha256.as_str());
                self.send(named, (Said::Ended, now())).await?
            }
            None => true,
        };
        if is_heard {
            let contracts = self.daemon.store.contracts();
            let partner = &self.known.partner.cloud_id;
            contracts.set_ending_heard(partner, &held.id).await?;
        }
        Ok(())
    }

    async fn hear_ending(&self, held: &ReceivedAgreement) -> anyhow::Result<()> {
        let after = held.newest().map_or(0, |newest| newest.number);
        let answer = self
            .client
            .contract(self.request_id, self.id, after)
            .await?;
        let own = self.daemon.identity.cloud_id();
        // Whether or not it is signed as it should be: the host grants nothing any more.
        let signed = answer.ending.filter(|jws| {
            let word = self.known.read::<Reply>(jws, own);
            word.is_ok_and(|word| word.agreement == held.id && word.said == Said::Ended)
        });
        self.daemon
            .note_ended_by_host(self.known, &held.id, signed.as_deref())
            .await
    }

    /// Signs a word and sends it; true if the host has it, or wants none.
    async fn send(&self, version: (u32, &str), said: (Said, Seconds)) -> anyhow::Result<bool> {
        let partner = &self.known.partner.cloud_id;
        let id = self.id.to_string();
        let word = self.daemon.sign_word(partner, &id, version, said)?;
        match self.client.reply(self.request_id, self.id, word).await {
            Ok(()) => Ok(true),
            Err(PeerError::Refused(problem)) if matches!(problem.status, 404 | 409) => {
                tracing::info!(
                    partner = self.known.partner.name,
                    agreement = id,
                    version = version.0,
                    detail = problem.detail,
                    "the host has gone on"
                );
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn is_accepted(version: &AgreementVersion) -> bool {
    let reply = version.reply.as_ref();
    reply.is_some_and(|reply| reply.said == Said::Accepted)
}
