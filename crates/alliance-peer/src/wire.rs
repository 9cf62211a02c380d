//! The peer API's JSON. Unknown fields are ignored, so that a newer partner may say more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::agreement::Projects;
use alliance_core::partner::{Role, Status};
use alliance_core::refusal::Reason;
use alliance_core::statement::Project;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

mod answer;
mod notices;
mod provisions;

pub use answer::{GrantsAnswer, Introspection};
pub(crate) use answer::{GrantsBody, IntrospectionBody};
pub(crate) use notices::NOTICES;
pub use notices::{NoticeAnswer, NoticePoll};
pub use provisions::{
    PlanAnswer, PlanQuestion, ProvisionAnswer, ProvisionRequest, ResourceReport, StackReport,
    StacksAnswer, StacksQuery,
};

/// Most questions in one `POST /v1/grants/batch`.
pub const MAX_QUESTIONS: usize = 50;
/// Longest wait for a pairing to change.
pub const MAX_WAIT: Duration = Duration::from_secs(30);

/// `GET /v1/descriptor`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DescriptorAnswer {
    /// The answering cloud's descriptor (JWS, `alliance-descriptor+jwt`).
    pub descriptor: String,
    /// What the answering cloud holds of the caller.
    #[schema(value_type = String, example = "active")]
    pub status: Status,
}

/// `POST /v1/introspect`
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct IntrospectQuestion {
    /// The whole token, tag included.
    pub token: String,
}

impl fmt::Debug for IntrospectQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntrospectQuestion(…)")
    }
}

/// `POST /v1/grants`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantsQuestion {
    /// A user of the answering cloud.
    pub user_id: String,
    /// A project of the answering cloud; `null` asks about the user alone.
    #[serde(default)]
    pub project_id: Option<String>,
}

/// `POST /v1/grants/batch`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantsBatch {
    /// At most 50.
    #[schema(max_items = 50)]
    pub questions: Vec<GrantsQuestion>,
}

/// The answer to `POST /v1/grants/batch`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantsBatchAnswer {
    /// One to each question, in their order.
    #[schema(value_type = Vec<GrantsBody>)]
    pub answers: Vec<GrantsAnswer>,
}

/// `GET /v1/revocations`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RevocationsQuery {
    /// The digest of the list that the caller has: that one is not sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
}

/// The answer to `GET /v1/revocations`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevocationsAnswer {
    /// Which of the answering cloud's tokens have ended (JWS, `alliance-revocations+jwt`).
    pub revocations: String,
}

/// Where partners poll for sign-outs.
/// Where a host asks about a token.
pub(crate) const INTROSPECT: &str = "/v1/introspect";
/// Where a host asks about a user.
pub(crate) const GRANTS: &str = "/v1/grants";
/// Where the revocation list is.
pub(crate) const REVOCATIONS: &str = "/v1/revocations";
pub(crate) const SIGN_OUTS: &str = "/v1/sign-outs/poll";
/// How many sign-outs one answer carries at most.
pub const MAX_SIGN_OUTS: usize = 500;

/// `POST /v1/sign-outs/poll` (RFC 8936 §2.2)
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Poll {
    /// How many are wanted at most; [`MAX_SIGN_OUTS`] is the bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_events: Option<usize>,
    /// Whether to answer at once, also if there is none; else the answer may take up to 25 s.
    #[serde(default)]
    pub return_immediately: bool,
    /// The `jti`s of those that were taken in. They are numbered: one acknowledges all before it.
    #[serde(default)]
    pub ack: Vec<String>,
    /// The first of those that were not understood, by its `jti`; it is not acknowledged, and home is
    /// told why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set_errs: BTreeMap<String, SetError>,
}

/// Why a sign-out was not understood (RFC 8936 §2.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetError {
    /// One of RFC 8935's error codes.
    #[schema(example = "invalid_key")]
    pub err: String,
    /// The same for people.
    #[serde(default)]
    pub description: String,
}

/// The answer to `POST /v1/sign-outs/poll`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PollAnswer {
    /// Security event tokens (JWS, `secevent+jwt`) by their `jti`.
    pub sets: BTreeMap<String, String>,
    /// Whether there are more.
    pub more_available: bool,
    /// What home's clock showed, seconds. `None`: an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Seconds>,
}

/// Where homes poll for usage records.
pub(crate) const RETIREMENTS: &str = "/v1/retirements/poll";
pub(crate) const STANDING: &str = "/v1/projects/standing";
pub(crate) const USAGE: &str = "/v1/usage/poll";

/// `POST /v1/usage/poll`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsagePoll {
    /// The number of the last record that the caller has counted: all up to it are acknowledged.
    #[serde(default)]
    pub after: u64,
}

/// The answer to `POST /v1/usage/poll`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageAnswer {
    /// The next usage records of the caller's projects (JWS, `alliance-usage+jwt`), perhaps none.
    pub usage: String,
    /// Whether there are more.
    pub more: bool,
}

/// `POST /v1/projects/standing`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandingQuestion {
    /// The ids of projects of the answering cloud; at most 100.
    #[schema(max_items = 100)]
    pub project_ids: Vec<String>,
}

/// The answer to `POST /v1/projects/standing`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandingAnswer {
    /// How the projects are now (JWS, `alliance-project-standing+jwt`).
    pub standing: String,
}

/// `POST /v1/retirements/poll`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptPoll {
    /// The number of the last receipt that the caller has taken in: all up to it are acknowledged.
    #[serde(default)]
    pub after: u64,
    /// Why the caller does not take in the next one; it is told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// The answer to `POST /v1/retirements/poll`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptAnswer {
    /// The next receipt, if there is one (JWS, `alliance-retirement-receipt+jwt`).
    pub receipt: String,
}

/// `GET /v1/projects`: by `id`, or by `name` and perhaps `domain` (its id or name).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ProjectQuery {
    /// The project's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The project's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its domain's id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// The answer to `GET /v1/projects`: none, one, or several of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectsAnswer {
    /// The projects.
    #[schema(value_type = Vec<ProjectSchema>)]
    pub projects: Vec<Project>,
}

/// `GET /v1/agreements`: what the answering cloud grants the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgreementsAnswer {
    /// Those that hold now.
    pub agreements: Vec<Offer>,
    /// Changes when they do.
    pub etag: String,
    /// How each agreement stands that has not ended, or that ended lately. `None`: a daemon of a
    /// version that signs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contracts: Option<Vec<ContractState>>,
}

/// How an agreement stands at its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContractState {
    /// Its id (UUID).
    pub id: String,
    /// Its newest version.
    pub newest: u32,
    /// The version that is in force, if any is.
    #[serde(default)]
    pub in_force: Option<u32>,
    /// Whether the host has the caller's reply to the newest.
    #[serde(default)]
    pub replied: bool,
    /// Whether it has ended.
    #[serde(default)]
    pub ended: bool,
}

/// How many versions one answer carries at most.
pub const MAX_VERSIONS: usize = 16;

/// `GET /v1/agreements/{id}`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VersionsQuery {
    /// The newest version that the caller has; 0: none.
    #[serde(default)]
    pub after: u32,
}

/// The answer: what both sides sign.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContractAnswer {
    /// The next versions, each signed (JWS, `alliance-agreement+jwt`), in their order; not always all.
    pub versions: Vec<String>,
    /// The answering cloud's word that the agreement has ended (JWS, `alliance-agreement-reply+jwt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<String>,
}

/// `POST /v1/agreements/{id}/replies`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContractReply {
    /// What the caller says of a version (JWS, `alliance-agreement-reply+jwt`).
    pub reply: String,
}

/// One agreement as the guest's home sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// The agreement's id (UUID).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The version that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The project's id at the caller, or `*`.
    #[schema(value_type = String, example = "*")]
    pub project_id: Projects,
    /// Roles that a user may have there, if it has them at home.
    pub roles: BTreeSet<String>,
    /// Service types to show; `null`: those that home has itself.
    #[serde(default)]
    pub services: Option<BTreeSet<String>>,
    /// Until when, seconds since the epoch.
    #[serde(default)]
    pub till: Option<Seconds>,
    /// Whether the caller's own guests may come too.
    #[serde(default)]
    pub transitive: bool,
}

/// `POST /v1/poke`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Poke {
    /// What has changed at the caller.
    pub changed: BTreeSet<Topic>,
}

/// Something that a partner pulls.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// What the caller grants us.
    Agreements,
    /// The caller's descriptor.
    Descriptor,
    /// What we are to the caller.
    Status,
    /// Something that only a newer daemon knows.
    #[serde(other)]
    Unknown,
}

/// `POST /v1/reports`
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenReport {
    /// Lowercase hex SHA-256 of `token`.
    pub token_sha256: String,
    /// The whole token, tag included: who reports it has it, who issued it may have only hashes.
    pub token: String,
    /// Why it was refused.
    #[schema(value_type = String, example = "admin_role")]
    pub reason: Reason,
}

impl fmt::Debug for TokenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenReport(#{:.8} {})", self.token_sha256, self.reason)
    }
}

/// `GET /v1/pairings/{id}?wait=`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Answer only when the state has changed, or after so many seconds (30 at most).
    #[serde(default)]
    pub wait: u64,
}

/// The answer: the invitation, to who knows its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairingView {
    /// The inviter's descriptor (JWS).
    pub descriptor: String,
    /// What the acceptor becomes to the inviter.
    #[schema(value_type = String, example = "host")]
    pub role_offered: Role,
    /// How far it is.
    pub state: PairingState,
}

/// How far an invitation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairingState {
    /// Nobody has accepted.
    Open,
    /// Somebody has; the inviter's operator looks at who.
    Accepted,
    /// Paired.
    Confirmed,
    /// The inviter's operator said no.
    Rejected,
    /// Too late.
    Expired,
}

impl PairingState {
    /// The word on the wire and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            PairingState::Open => "open",
            PairingState::Accepted => "accepted",
            PairingState::Confirmed => "confirmed",
            PairingState::Rejected => "rejected",
            PairingState::Expired => "expired",
        }
    }
}

impl fmt::Display for PairingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `POST /v1/pairings/{id}/accept`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairingAcceptance {
    /// The acceptor's descriptor (JWS); its cloud id is that of the client certificate.
    pub descriptor: String,
}

/// A name with its id, for the API's description.
#[derive(ToSchema)]
#[schema(as = Named)]
pub(crate) struct NamedSchema {
    #[expect(dead_code, reason = "describes alliance_core's type")]
    id: String,
    #[expect(dead_code, reason = "describes alliance_core's type")]
    name: String,
}

/// A project of the answering cloud, for the API's description.
#[derive(ToSchema)]
#[schema(as = Project)]
pub(crate) struct ProjectSchema {
    #[expect(dead_code, reason = "describes alliance_core's type")]
    id: String,
    #[expect(dead_code, reason = "describes alliance_core's type")]
    name: String,
    #[expect(dead_code, reason = "describes alliance_core's type")]
    domain: NamedSchema,
}
