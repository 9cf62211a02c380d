//! The peer API, as this daemon answers it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use alliance_core::cadf::{Ground, Matter, Person};
use alliance_core::cloud::CloudId;
use alliance_core::partner::Role;
use alliance_core::refusal::Reason;
use alliance_core::statement::Project;
use alliance_peer::error::ApiError;
use alliance_peer::pairing::PairingSecret;
use alliance_peer::request_id::RequestId;
use alliance_peer::service::{Acceptor, Call, PeerService, Report};
use alliance_peer::wire::{
    AgreementsAnswer, ContractAnswer, DescriptorAnswer, GrantsAnswer, GrantsQuestion,
    Introspection, NoticeAnswer, NoticePoll, Offer, PairingView, PlanAnswer, PlanQuestion, Poll,
    PollAnswer, ProjectQuery, ProvisionAnswer, ReceiptAnswer, ReceiptPoll, RevocationsAnswer,
    StacksAnswer, StacksQuery, StandingAnswer, StandingQuestion, Topic, UsageAnswer, UsagePoll,
};
use alliance_token::Token;
use alliance_trace::Tracer;
use data_encoding::HEXLOWER;
use http::StatusCode;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Answer;
use super::shares::Place;
use crate::daemon::Daemon;
use crate::daemon::auditing::Case;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;

/// The daemon, as partners see it.
pub(crate) struct PeerSide(pub Arc<Daemon>);

impl PeerSide {
    fn known(&self, call: &Call) -> Result<Arc<Known>, ApiError> {
        let partners = self.0.directory.partners();
        partners
            .by_cloud(&call.caller)
            .map(Arc::clone)
            .ok_or_else(|| ApiError::refused(Reason::UnknownPartner))
    }

    /// A place at the database, until it is dropped: what one partner asks for keeps nobody else waiting.
    async fn desk(&self, call: &Call) -> Result<Place, ApiError> {
        Ok(self.0.home.desk(&call.caller).await?)
    }

    /// The caller, if its users may come here.
    fn guest(&self, call: &Call) -> Result<Arc<Known>, ApiError> {
        self.of_role(call, Role::is_guest)
    }

    /// The caller, if it may ask about our users.
    fn host(&self, call: &Call) -> Result<Arc<Known>, ApiError> {
        self.of_role(call, Role::is_host)
    }

    fn of_role(&self, call: &Call, is_it: fn(Role) -> bool) -> Result<Arc<Known>, ApiError> {
        let known = self.known(call)?;
        if is_it(known.partner.role) {
            return Ok(known);
        }
        self.refuses(Reason::NotAGuest, Some(&known), Some(call.request_id));
        Err(ApiError::refused(Reason::NotAGuest))
    }

    /// Has it in the record that a caller was turned away.
    fn refuses(&self, reason: Reason, known: Option<&Known>, request_id: Option<RequestId>) {
        self.0.auditor.decided(Some(reason), || Case {
            matter: Matter::Caller,
            partner: known,
            person: Person::default(),
            via: None,
            request_id,
        });
    }
}

impl PeerService for PeerSide {
    fn answered(&self, caller: &CloudId, route: &str, status: StatusCode, took: Duration) {
        let partners = self.0.directory.partners();
        let partner = partners
            .by_cloud(caller)
            .map_or("stranger", |known| known.partner.name.as_str());
        let requests = &self.0.metrics.requests;
        requests.count_peer(partner, route, status, took);
    }

    fn tracer(&self, caller: &CloudId) -> Option<(&Tracer, String)> {
        let partners = self.0.directory.partners();
        let known = partners.by_cloud(caller)?;
        let name = known.partner.name.clone();
        Some((&self.0.traces.tracer, name))
    }

    async fn admit(&self, caller: &CloudId) -> Result<(), ApiError> {
        self.0.be_current().await;
        let partners = self.0.directory.partners();
        let known = partners.by_cloud(caller);
        let admitted = known
            .ok_or(Reason::UnknownPartner)
            .and_then(|known| known.partner.require_active(now()));
        if let Err(reason) = admitted {
            self.refuses(reason, known.map(Arc::as_ref), None);
        }
        Ok(admitted?)
    }

    async fn descriptor(&self, call: &Call) -> Result<DescriptorAnswer, ApiError> {
        let known = self.known(call)?;
        Ok(DescriptorAnswer {
            descriptor: self.0.descriptor().map_err(ApiError::internal)?,
            status: known.partner.status_at(now()),
        })
    }

    async fn introspect(&self, call: &Call, token: Token) -> Result<Introspection, ApiError> {
        let host = self.host(call)?;
        match decided(self.0.home.introspect(&host, &token, call.request_id).await)? {
            Ok(passport) => Ok(Introspection::Active { passport }),
            Err(reason) => Ok(Introspection::Inactive { reason }),
        }
    }

    async fn grants(
        &self,
        call: &Call,
        question: GrantsQuestion,
    ) -> Result<GrantsAnswer, ApiError> {
        let host = self.host(call)?;
        let project_id = question.project_id.as_deref();
        let answer = self
            .0
            .home
            .grants(&host, &question.user_id, project_id, call.request_id)
            .await;
        told(answer)
    }

    async fn grants_of_many(
        &self,
        call: &Call,
        questions: Vec<GrantsQuestion>,
    ) -> Result<Vec<GrantsAnswer>, ApiError> {
        let host = self.host(call)?;
        let asked: Vec<_> = questions
            .iter()
            .map(|question| (question.user_id.as_str(), question.project_id.as_deref()))
            .collect();
        let answers = self.0.home.grants_of_many(&host, &asked, call.request_id);
        answers.await?.into_iter().map(told).collect()
    }

    async fn projects(&self, call: &Call, query: ProjectQuery) -> Result<Vec<Project>, ApiError> {
        let host = self.host(call)?;
        self.0.home.projects(&host, &query, call.request_id).await
    }

    async fn revocations(
        &self,
        call: &Call,
        known: Option<String>,
    ) -> Result<RevocationsAnswer, ApiError> {
        let host = self.host(call)?;
        let list = self
            .0
            .home
            .revocations(&host, known.as_deref(), call.request_id)
            .await;
        Ok(RevocationsAnswer { revocations: list? })
    }

    async fn sign_outs(&self, call: &Call, poll: Poll) -> Result<PollAnswer, ApiError> {
        let host = self.host(call)?;
        self.0.tell_sign_outs(&host, &poll, call.request_id).await
    }

    async fn usage(&self, call: &Call, poll: UsagePoll) -> Result<UsageAnswer, ApiError> {
        let known = self.guest(call)?;
        let _desk = self.desk(call).await?;
        self.0.tell_usage(&known, poll.after, call.request_id).await
    }

    async fn notices(&self, call: &Call, poll: NoticePoll) -> Result<NoticeAnswer, ApiError> {
        let known = self.guest(call)?;
        let _desk = self.desk(call).await?;
        self.0
            .tell_notices(&known, poll.after, call.request_id)
            .await
    }

    async fn standing(
        &self,
        call: &Call,
        question: StandingQuestion,
    ) -> Result<StandingAnswer, ApiError> {
        let host = self.host(call)?;
        self.0
            .home
            .standing(&host, &question.project_ids, call.request_id)
            .await
    }

    async fn receipts(&self, call: &Call, poll: ReceiptPoll) -> Result<ReceiptAnswer, ApiError> {
        let known = self.guest(call)?;
        let _desk = self.desk(call).await?;
        self.0.tell_receipts(&known, &poll, call.request_id).await
    }

    async fn agreements(&self, call: &Call) -> Result<AgreementsAnswer, ApiError> {
        let known = self.known(call)?;
        let _desk = self.desk(call).await?;
        let agreements: Vec<Offer> = if known.partner.role.is_guest() {
            known
                .given
                .iter()
                .filter(|agreement| agreement.is_live(now()))
                .map(|agreement| Offer {
                    id: Some(agreement.id.clone()),
                    version: agreement.version,
                    project_id: agreement.projects.clone(),
                    roles: agreement.terms.roles.clone(),
                    services: agreement.terms.services.clone(),
                    till: agreement.terms.till,
                    transitive: agreement.terms.transitive,
                })
                .collect()
        } else {
            Vec::new()
        };
        let text = serde_json::to_vec(&agreements).map_err(ApiError::internal)?;
        Ok(AgreementsAnswer {
            agreements,
            etag: HEXLOWER.encode(&Sha256::digest(text)),
            contracts: Some(self.0.contract_states(&known).await?),
        })
    }

    async fn contract(
        &self,
        call: &Call,
        id: Uuid,
        after: u32,
    ) -> Result<ContractAnswer, ApiError> {
        let known = self.known(call)?;
        let _desk = self.desk(call).await?;
        self.0.contract(&known, id, after).await
    }

    async fn contract_reply(&self, call: &Call, id: Uuid, reply: String) -> Result<(), ApiError> {
        let known = self.known(call)?;
        let _desk = self.desk(call).await?;
        let daemon = Arc::clone(&self.0);
        // What was stored must count, also if the caller goes away.
        let hearing = async move { daemon.hear_reply(&known, id, reply).await };
        let heard = tokio::spawn(alliance_trace::carried(hearing));
        heard.await.map_err(ApiError::internal)?
    }

    async fn provision(&self, call: &Call, order: String) -> Result<ProvisionAnswer, ApiError> {
        let known = self.guest(call)?;
        let _desk = self.desk(call).await?;
        let (daemon, request_id) = (Arc::clone(&self.0), call.request_id);
        // What was stored must be told, also if the caller goes away.
        let taking = async move {
            let taken = daemon.take_order(&known, order).await;
            if let Err(error) = &taken {
                let ground = Ground {
                    code: error.code(),
                    is_definite: error.is_definite(),
                };
                daemon.auditor.decided(Some(ground), || Case {
                    matter: Matter::Order,
                    partner: Some(&known),
                    person: Person::default(),
                    via: None,
                    request_id: Some(request_id),
                });
            }
            taken
        };
        let taken = tokio::spawn(alliance_trace::carried(taking));
        taken.await.map_err(ApiError::internal)?
    }

    async fn provision_plan(
        &self,
        call: &Call,
        question: PlanQuestion,
    ) -> Result<PlanAnswer, ApiError> {
        let known = self.guest(call)?;
        let _desk = self.desk(call).await?;
        self.0.plan_here(&known, &question).await
    }

    async fn stacks(&self, call: &Call, query: StacksQuery) -> Result<StacksAnswer, ApiError> {
        let known = self.guest(call)?;
        let _desk = self.desk(call).await?;
        self.0.stacks_here(&known, &query).await
    }

    async fn poke(&self, call: &Call, _changed: BTreeSet<Topic>) -> Result<(), ApiError> {
        self.0.pull_soon(&call.caller);
        Ok(())
    }

    async fn report(&self, call: &Call, report: Report) -> Result<(), ApiError> {
        let host = self.host(call)?;
        self.0.home.may_report(&call.caller)?;
        self.0
            .home
            .report(&host, &report.token, report.reason, call.request_id)
            .await;
        Ok(())
    }

    async fn pairing_look(
        &self,
        call: &Call,
        id: Uuid,
        secret: PairingSecret,
        wait: Duration,
    ) -> Result<PairingView, ApiError> {
        self.0.pairing_look(&call.caller, id, &secret, wait).await
    }

    async fn pairing_accept(
        &self,
        call: &Call,
        id: Uuid,
        secret: PairingSecret,
        acceptor: Acceptor,
    ) -> Result<(), ApiError> {
        self.0
            .pairing_accept(&call.caller, id, &secret, acceptor)
            .await
    }

    async fn pairing_withdraw(
        &self,
        call: &Call,
        id: Uuid,
        secret: PairingSecret,
    ) -> Result<(), ApiError> {
        self.0.pairing_withdraw(&call.caller, id, &secret).await
    }
}

fn told(answer: Answer) -> Result<GrantsAnswer, ApiError> {
    match decided(answer)? {
        Ok(statement) => Ok(GrantsAnswer::Active { statement }),
        Err(reason) => Ok(GrantsAnswer::Inactive { reason }),
    }
}

/// A definite answer, or the error that says that there is none.
fn decided(answer: Answer) -> Result<Answer, ApiError> {
    match answer {
        Err(reason) if !reason.is_definite() => Err(reason.into()),
        definite => Ok(definite),
    }
}
