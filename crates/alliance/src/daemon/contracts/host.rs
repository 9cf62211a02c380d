//! The host's side: it signs each version, and hears what home says of it.

use std::sync::Arc;

use alliance_core::agreement::Agreement;
use alliance_core::cloud::CloudId;
use alliance_core::contract::{MAX_VERSIONS, Proposal, Reply, Said};
use alliance_core::descriptor::Jwk;
use alliance_core::refusal::Reason;
use alliance_core::statement::Statement;
use alliance_core::terms::Terms;
use alliance_core::{LONGEST_TOKEN_LIFE, Seconds};
use alliance_peer::error::ApiError as PeerRefusal;
use alliance_peer::request_id::RequestId;
use alliance_peer::statement::{self, StatementError};
use alliance_peer::wire::{self, ContractAnswer, ContractState, Topic};
use alliance_store::{AgreementVersion, Error as StoreError, Side, StoredReply};
use anyhow::Context;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::change::changed;
use super::{CAPABILITY, DAEMON, MAX_CONTRACTS};
use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::delegate::ApiError;
use crate::daemon::directory::{Known, Unheard};
use crate::wire::{AgreementApplied, Applied, ChangeRequest};

/// For how long a partner is told that an agreement has ended. Seconds.
const TELL_ENDED: Seconds = LONGEST_TOKEN_LIFE;

impl Daemon {
    /// Signs a version of an agreement and stores it. `in_force_since` is `None` while it waits for
    /// home's consent.
    pub(crate) async fn propose(
        &self,
        agreement: &Agreement,
        terms: &Terms,
        last: Option<&AgreementVersion>,
        by: &str,
        in_force_since: Option<Seconds>,
    ) -> Result<AgreementVersion, ApiError> {
        let number = last.map_or(0, |last| last.number) + 1;
        let proposal = Proposal {
            iss: self.identity.cloud_id().clone(),
            aud: agreement.partner.clone(),
            iat: now(),
            agreement: agreement.id.clone(),
            version: number,
            projects: agreement.projects.clone(),
            project_name: agreement.project_name.clone(),
            project_domain: agreement.project_domain.clone(),
            terms: terms.clone(),
            previous: last.map(|last| last.sha256.clone()),
        };
        let signed = statement::sign(&proposal, self.identity.signing_key())
            .context("signing an agreement")?;
        let next = AgreementVersion {
            number,
            terms: proposal.terms,
            sha256: statement::payload_sha256(&signed).context("signing an agreement")?,
            signed,
            made_at: proposal.iat,
            made_by: by.to_owned(),
            in_force_since,
            reply: None,
            heard: false,
        };
        let contracts = self.store.contracts();
        contracts
            .propose(&agreement.partner, &agreement.id, &next)
            .await?;
        Ok(next)
    }

    /// Signs the agreements of a version of this program that signed none.
    pub(crate) async fn sign_unsigned(&self) -> Result<(), ApiError> {
        for known in self.directory.partners().all() {
            let partner = &known.partner.cloud_id;
            let signed = self
                .store
                .contracts()
                .versions(Side::Given, partner)
                .await?;
            let unsigned = known
                .given
                .iter()
                .filter(|one| !signed.contains_key(&one.id));
            for agreement in unsigned {
                let since = agreement.version.map(|_| agreement.terms.since);
                self.propose(agreement, &agreement.terms, None, DAEMON, since)
                    .await?;
            }
        }
        Ok(())
    }

    /// Whether a partner could accept prices; who cannot is told why.
    ///
    /// # Errors
    /// What to do.
    pub(crate) fn require_consenting(known: &Known, terms: &Terms) -> Result<(), ApiError> {
        let name = &known.partner.name;
        let capabilities = known.descriptor().map(|told| &told.capabilities);
        let why = match capabilities {
            _ if terms.prices.is_none() => return Ok(()),
            Some(named) if named.iter().any(|one| one == CAPABILITY) => return Ok(()),
            Some(_) => "its daemon is of a version that signs no agreements; it must be upgraded",
            None => "it has no Alliance",
        };
        Err(ApiError::conflict(format!(
            "prices: {name} cannot accept any: {why}"
        )))
    }

    /// Makes the next version of an agreement that this cloud gave.
    pub(crate) async fn change_agreement(
        self: &Arc<Self>,
        id: &str,
        request: &ChangeRequest,
        by: &str,
    ) -> Result<AgreementApplied, ApiError> {
        let (known, agreement) = self.given(id).await?;
        let name = &known.partner.name;
        let at = now();
        if agreement.terms.till.is_some_and(|till| till <= at) {
            return Err(ApiError::conflict(
                "the agreement has ended by its date; make a new one: alliance agreement create",
            ));
        }
        let partner = &known.partner.cloud_id;
        let contracts = self.store.contracts();
        let versions = contracts.versions_of(Side::Given, partner, id).await?;
        let last = versions.last();
        let old = last.map_or(&agreement.terms, |last| &last.terms);
        let terms = changed(old, request)?;
        if terms == *old {
            return Err(ApiError::invalid(
                "nothing would change: the newest version says that already",
            ));
        }
        if last.is_some_and(|last| last.number >= MAX_VERSIONS) {
            return Err(ApiError::conflict(format!(
                "the agreement has {MAX_VERSIONS} versions; end it and make a new one"
            )));
        }
        Self::require_consenting(&known, &terms)?;
        if !terms.roles.is_subset(&old.roles) {
            self.require_roles(&terms.roles, RequestId::random())
                .await?;
        }
        let agreed = agreement.version.map(|_| &agreement.terms);
        let in_force_since = (!terms.need_consent(agreed)).then_some(at);
        let next = self
            .propose(&agreement, &terms, last, by, in_force_since)
            .await?;
        tracing::info!(
            partner = name,
            agreement = id,
            version = next.number,
            "an agreement was changed"
        );
        let detail = format!("{id} version {}", next.number);
        self.audit(by, "agreement.changed", name, &detail).await;
        let applied = self.version_added(&known, in_force_since.is_some()).await?;
        self.agreement_applied(id, &known, applied).await
    }

    /// After a version was stored: those who remember are told, if it is in force.
    pub(crate) async fn version_added(
        self: &Arc<Self>,
        known: &Arc<Known>,
        is_in_force: bool,
    ) -> Result<Applied, ApiError> {
        if is_in_force {
            return Ok(self.trust_changed(known).await?);
        }
        self.directory.reload().await?;
        self.poke_soon(known, &[Topic::Agreements]);
        Ok(Applied {
            keystone_told: true,
            detail: None,
        })
    }

    /// The agreement with this id that this cloud gave and that has not ended.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn given(&self, id: &str) -> Result<(Arc<Known>, Agreement), ApiError> {
        let agreement = self.store.agreements().by_id(id).await?;
        let partners = self.directory.partners();
        let found = agreement
            .filter(|agreement| agreement.ended_at.is_none())
            .and_then(|agreement| {
                let known = partners.by_cloud(&agreement.partner)?;
                Some((Arc::clone(known), agreement))
            });
        found.ok_or_else(|| {
            ApiError::not_found(format!(
                "this cloud gave no agreement with the id {id:?}, or it has ended; see alliance agreement list"
            ))
        })
    }

    /// How each agreement with a partner stands, for the partner.
    pub(crate) async fn contract_states(
        &self,
        known: &Known,
    ) -> Result<Vec<ContractState>, PeerRefusal> {
        let partner = &known.partner.cloud_id;
        let (agreements, contracts) = (self.store.agreements(), self.store.contracts());
        let all = agreements.list(Some(partner)).await;
        let mut all = all.map_err(PeerRefusal::internal)?;
        let versions = contracts.versions(Side::Given, partner).await;
        let versions = versions.map_err(PeerRefusal::internal)?;
        let told_since = now() - TELL_ENDED;
        all.retain(|one| one.ended_at.is_none_or(|at| at > told_since));
        let states = all.iter().rev().filter_map(|agreement| {
            let newest = versions.get(&agreement.id)?.last()?;
            Some(ContractState {
                id: agreement.id.clone(),
                newest: newest.number,
                in_force: agreement.version,
                replied: newest.reply.is_some(),
                ended: agreement.ended_at.is_some(),
            })
        });
        Ok(states.take(MAX_CONTRACTS).collect())
    }

    /// The signed versions of an agreement with a partner, for the partner.
    pub(crate) async fn contract(
        &self,
        known: &Known,
        id: Uuid,
        after: u32,
    ) -> Result<ContractAnswer, PeerRefusal> {
        let (partner, id) = (&known.partner.cloud_id, id.to_string());
        let contracts = self.store.contracts();
        let versions = contracts.versions_of(Side::Given, partner, &id).await;
        let versions = versions.map_err(PeerRefusal::internal)?;
        if versions.is_empty() {
            return Err(PeerRefusal::no_such_agreement());
        }
        let (_, ending) = contracts.ending(&id).await.map_err(PeerRefusal::internal)?;
        let own = [self.identity.signing_key().public().to_jwk()];
        let next = versions.into_iter().filter(|one| one.number > after);
        let signed = next
            .take(wire::MAX_VERSIONS)
            .map(|version| self.current::<Proposal>(&own, partner, version.signed));
        // A word of the partner's own is not told to it.
        let ending = ending.filter(|jws| {
            statement::claimed_issuer(jws).is_ok_and(|issuer| issuer == *self.identity.cloud_id())
        });
        let ending = ending.map(|jws| self.current::<Reply>(&own, partner, jws));
        Ok(ContractAnswer {
            versions: signed
                .collect::<Result<_, _>>()
                .map_err(PeerRefusal::internal)?,
            ending: ending.transpose().map_err(PeerRefusal::internal)?,
        })
    }

    /// A statement of ours for a partner, by the key that the partner knows now.
    pub(crate) fn current<T>(
        &self,
        own: &[Jwk],
        partner: &CloudId,
        jws: String,
    ) -> Result<String, StatementError>
    where
        T: Statement + DeserializeOwned,
    {
        let us = self.identity.cloud_id();
        match statement::verify::<T>(&jws, own, us, Some(partner)) {
            Err(StatementError::UnknownKey { .. }) => {
                statement::sign_again::<T>(&jws, self.identity.signing_key())
            }
            Ok(_) => Ok(jws),
            Err(error) => Err(error),
        }
    }

    /// What home has signed about a version.
    pub(crate) async fn hear_reply(
        self: &Arc<Self>,
        known: &Arc<Known>,
        id: Uuid,
        jws: String,
    ) -> Result<(), PeerRefusal> {
        let name = &known.partner.name;
        let reply = match known.hear::<Reply>(&jws, self.identity.cloud_id()) {
            Ok(reply) => reply,
            Err(error) => {
                tracing::warn!(partner = name, agreement = %id, %error, "what a partner says of an agreement is not believed");
                if matches!(&error, Unheard::Refused(StatementError::UnknownKey { .. })) {
                    self.pull_soon(&known.partner.cloud_id);
                    return Err(PeerRefusal::unavailable(Reason::HomeError));
                }
                return Err(PeerRefusal::malformed(
                    "the reply is not the caller's word to this cloud",
                ));
            }
        };
        let id = id.to_string();
        let contracts = self.store.contracts();
        let partner = &known.partner.cloud_id;
        let versions = contracts.versions_of(Side::Given, partner, &id).await;
        let versions = versions.map_err(PeerRefusal::internal)?;
        if versions.is_empty() {
            return Err(PeerRefusal::no_such_agreement());
        }
        let version = versions.iter().find(|one| one.number == reply.version);
        let version = version
            .filter(|version| reply.agreement == id && version.sha256 == reply.sha256)
            .ok_or_else(|| {
                PeerRefusal::malformed("the reply is about no version of the agreement")
            })?;
        if reply.said == Said::Ended {
            return self.ended_by_home(known, &id, &jws).await;
        }
        let is_newest = versions
            .last()
            .is_some_and(|last| last.number == version.number);
        let begins = reply.said == Said::Accepted && version.in_force_since.is_none();
        if version.in_force_since.is_none() && !is_newest {
            return Err(PeerRefusal::agreement_changed());
        }
        let said = StoredReply {
            said: reply.said,
            at: reply.decided_at(),
            by: name.clone(),
            jws,
        };
        let since = begins.then(now);
        let stored = contracts
            .reply(partner, &id, version.number, &said, since)
            .await;
        match stored {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(StoreError::AgreementChanged(_)) => return Err(PeerRefusal::agreement_changed()),
            Err(StoreError::NoSuchAgreement(_)) => return Err(PeerRefusal::no_such_agreement()),
            Err(error) => return Err(PeerRefusal::internal(error)),
        }
        tracing::info!(
            partner = name,
            agreement = id,
            version = version.number,
            said = said.said.as_str(),
            "a partner replied to an agreement"
        );
        let action = format!("agreement.{}", said.said.as_str());
        let detail = format!("{id} version {}", version.number);
        self.audit(name, &action, name, &detail).await;
        if begins {
            self.trust_changed(known)
                .await
                .map_err(PeerRefusal::internal)?;
        }
        Ok(())
    }

    async fn ended_by_home(
        self: &Arc<Self>,
        known: &Arc<Known>,
        id: &str,
        jws: &str,
    ) -> Result<(), PeerRefusal> {
        let name = &known.partner.name;
        match self.store.agreements().end(id, now()).await {
            Ok(_) => {}
            Err(StoreError::NoSuchAgreement(_)) => return Ok(()),
            Err(error) => return Err(PeerRefusal::internal(error)),
        }
        let noted = self.store.contracts().note_ending(id, name, jws).await;
        noted.map_err(PeerRefusal::internal)?;
        tracing::info!(
            partner = name,
            agreement = id,
            "a partner ended an agreement"
        );
        self.audit(name, "agreement.ended", name, id).await;
        self.trust_changed(known)
            .await
            .map_err(PeerRefusal::internal)?;
        Ok(())
    }

    /// Signs that an agreement has ended which this cloud gave.
    pub(crate) async fn sign_ending(&self, agreement: &Agreement, by: &str) -> anyhow::Result<()> {
        let (partner, id) = (&agreement.partner, agreement.id.as_str());
        let contracts = self.store.contracts();
        let versions = contracts.versions_of(Side::Given, partner, id).await?;
        if let Some(last) = versions.last() {
            let version = (last.number, last.sha256.as_str());
            let word = self.sign_word(partner, id, version, (Said::Ended, now()))?;
            contracts.note_ending(id, by, &word).await?;
        }
        Ok(())
    }
}
