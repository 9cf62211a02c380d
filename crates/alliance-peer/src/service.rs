//! What a daemon does behind the peer API.

use std::collections::BTreeSet;
use std::time::Duration;

use alliance_core::cloud::CloudId;
use alliance_core::descriptor::Descriptor;
use alliance_core::refusal::Reason;
use alliance_core::statement::Project;
use alliance_token::Token;
use alliance_trace::Tracer;
use http::StatusCode;
use uuid::Uuid;

use crate::error::ApiError;
use crate::pairing::PairingSecret;
use crate::request_id::RequestId;
use crate::wire::{
    AgreementsAnswer, ContractAnswer, DescriptorAnswer, GrantsAnswer, GrantsQuestion,
    Introspection, NoticeAnswer, NoticePoll, PairingView, PlanAnswer, PlanQuestion, Poll,
    PollAnswer, ProjectQuery, ProvisionAnswer, ReceiptAnswer, ReceiptPoll, RevocationsAnswer,
    StacksAnswer, StacksQuery, StandingAnswer, StandingQuestion, Topic, UsageAnswer, UsagePoll,
};

/// Who asks, and under which id.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks; proved by TLS in this connection.
    pub caller: CloudId,
    /// Hand it on to Keystone.
    pub request_id: RequestId,
}

/// A token that was more powerful than may leave its home, and was seen.
#[derive(Debug, Clone)]
pub struct Report {
    /// The token; who reports it has it.
    pub token: Token,
    /// Why it was refused.
    pub reason: Reason,
}

/// The daemon as its partners see it.
///
/// The server calls [`admit`](Self::admit) before every method but the three of pairing, on every
/// request, so that the others may rely on an active partner; what its *role* allows is theirs to
/// check. A method whose caller has given up or whose deadline is over is dropped where it waits:
/// what must be finished belongs in a task of its own.
pub trait PeerService: Send + Sync + 'static {
    /// Whether `caller` is an active partner now. Answered from memory: it precedes every request,
    /// also those of strangers.
    fn admit(&self, caller: &CloudId) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// A request was answered, for those who count: by which route (`other` if by none), how, and how
    /// long it took. Must return at once.
    fn answered(&self, caller: &CloudId, route: &str, status: StatusCode, took: Duration) {
        let _ = (caller, route, status, took);
    }

    /// Who traces what is asked by `caller`, and what that is called in traces; `None` for strangers,
    /// of whom nothing is traced. Must return at once.
    fn tracer(&self, caller: &CloudId) -> Option<(&Tracer, String)> {
        let _ = caller;
        None
    }

    /// `GET /v1/descriptor`
    fn descriptor(
        &self,
        call: &Call,
    ) -> impl Future<Output = Result<DescriptorAnswer, ApiError>> + Send;

    /// `POST /v1/introspect`. The token's form is checked, that its tag is ours is not. A definite
    /// no is [`Introspection::Inactive`], an open question [`ApiError::unavailable`].
    fn introspect(
        &self,
        call: &Call,
        token: Token,
    ) -> impl Future<Output = Result<Introspection, ApiError>> + Send;

    /// `POST /v1/grants`
    fn grants(
        &self,
        call: &Call,
        question: GrantsQuestion,
    ) -> impl Future<Output = Result<GrantsAnswer, ApiError>> + Send;

    /// `POST /v1/grants/batch`: at most [`crate::wire::MAX_QUESTIONS`]. As many answers, in their
    /// order.
    fn grants_of_many(
        &self,
        call: &Call,
        questions: Vec<GrantsQuestion>,
    ) -> impl Future<Output = Result<Vec<GrantsAnswer>, ApiError>> + Send;

    /// `GET /v1/projects`
    fn projects(
        &self,
        call: &Call,
        query: ProjectQuery,
    ) -> impl Future<Output = Result<Vec<Project>, ApiError>> + Send;

    /// `GET /v1/revocations`: which of our signed tokens have ended. Without the list itself if it is
    /// the one with the digest `known`.
    fn revocations(
        &self,
        call: &Call,
        known: Option<String>,
    ) -> impl Future<Output = Result<RevocationsAnswer, ApiError>> + Send;

    /// `POST /v1/sign-outs/poll`: what has ended here and the caller has not acknowledged. Waits for
    /// news, less than [`crate::wire::MAX_WAIT`].
    fn sign_outs(
        &self,
        call: &Call,
        poll: Poll,
    ) -> impl Future<Output = Result<PollAnswer, ApiError>> + Send;

    /// `POST /v1/usage/poll`: what the caller's projects have used here and it has not counted.
    fn usage(
        &self,
        call: &Call,
        poll: UsagePoll,
    ) -> impl Future<Output = Result<UsageAnswer, ApiError>> + Send;

    /// `POST /v1/notices/poll`: what has happened here to the caller's projects and it has not taken in.
    fn notices(
        &self,
        call: &Call,
        poll: NoticePoll,
    ) -> impl Future<Output = Result<NoticeAnswer, ApiError>> + Send;

    /// `POST /v1/projects/standing`: whether projects of ours are enabled, disabled or gone.
    fn standing(
        &self,
        call: &Call,
        question: StandingQuestion,
    ) -> impl Future<Output = Result<StandingAnswer, ApiError>> + Send;

    /// `POST /v1/retirements/poll`: what was deleted here of the caller's projects.
    fn receipts(
        &self,
        call: &Call,
        poll: ReceiptPoll,
    ) -> impl Future<Output = Result<ReceiptAnswer, ApiError>> + Send;

    /// `GET /v1/agreements`: what we grant the caller.
    fn agreements(
        &self,
        call: &Call,
    ) -> impl Future<Output = Result<AgreementsAnswer, ApiError>> + Send;

    /// `GET /v1/agreements/{id}`: the versions of an agreement with the caller, from the one after
    /// `after` on.
    fn contract(
        &self,
        call: &Call,
        id: Uuid,
        after: u32,
    ) -> impl Future<Output = Result<ContractAnswer, ApiError>> + Send;

    /// `POST /v1/agreements/{id}/replies`: what the caller has signed about a version. Nothing of it
    /// is verified yet.
    fn contract_reply(
        &self,
        call: &Call,
        id: Uuid,
        reply: String,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// `POST /v1/provisions`: what a project of the caller's is to have here. Nothing of it is verified
    /// yet.
    fn provision(
        &self,
        call: &Call,
        order: String,
    ) -> impl Future<Output = Result<ProvisionAnswer, ApiError>> + Send;

    /// `POST /v1/provisions/plan`: what would be done for it.
    fn provision_plan(
        &self,
        call: &Call,
        question: PlanQuestion,
    ) -> impl Future<Output = Result<PlanAnswer, ApiError>> + Send;

    /// `GET /v1/provisions`: how far that is.
    fn stacks(
        &self,
        call: &Call,
        query: StacksQuery,
    ) -> impl Future<Output = Result<StacksAnswer, ApiError>> + Send;

    /// `POST /v1/poke`: the caller says that these have changed over there. Returns at once.
    fn poke(
        &self,
        call: &Call,
        changed: BTreeSet<Topic>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// `POST /v1/reports`: the caller has seen a token that it should not have.
    fn report(
        &self,
        call: &Call,
        report: Report,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// `GET /v1/pairings/{id}`: answers when the state changes, or after `wait` (at most
    /// [`crate::wire::MAX_WAIT`]), whichever is first. The caller may be anybody.
    fn pairing_look(
        &self,
        call: &Call,
        id: Uuid,
        secret: PairingSecret,
        wait: Duration,
    ) -> impl Future<Output = Result<PairingView, ApiError>> + Send;

    /// `POST /v1/pairings/{id}/accept`. The descriptor is verified to be the caller's; its time is
    /// not looked at. The caller may be anybody.
    fn pairing_accept(
        &self,
        call: &Call,
        id: Uuid,
        secret: PairingSecret,
        acceptor: Acceptor,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// `POST /v1/pairings/{id}/withdraw`: who accepted takes it back. The caller may be anybody.
    fn pairing_withdraw(
        &self,
        call: &Call,
        id: Uuid,
        secret: PairingSecret,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;
}

/// Who accepts an invitation.
#[derive(Debug, Clone)]
pub struct Acceptor {
    /// The descriptor as it was signed.
    pub jws: String,
    /// What it says.
    pub descriptor: Descriptor,
}
