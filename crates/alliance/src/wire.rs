//! What the plugin and the command line say to the daemon over its socket, as JSON.
//!
//! Errors are problem details (RFC 9457) of the form of [`Problem`].

use std::collections::{BTreeMap, BTreeSet};

use alliance_answers::Signed;
use alliance_core::Seconds;
use alliance_core::agreement::{Agreement, Door};
use alliance_core::cloud::CloudId;
use alliance_core::descriptor::{Region, SignatureFamily};
use alliance_core::partner::{KeystoneAccess, Partner, Role, Status};
use alliance_core::refusal::Reason;
use alliance_core::token::{Login, Mode, TokenFormat};
use alliance_token::body::TokenView;
use serde::{Deserialize, Serialize};

/// RFC 9457 problem details. `type` is stable: `urn:alliance:problem:<code>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// Stable: `urn:alliance:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// HTTP status.
    pub status: u16,
    /// What went wrong, and what to do next.
    pub detail: String,
}

/// `POST /v1/tokens/validate`
#[derive(Serialize, Deserialize)]
pub(crate) struct ValidateRequest {
    /// The whole token, tag included.
    pub token: String,
    /// How old a passport may be, in seconds. Zero: asked for after this request began.
    #[serde(default)]
    pub max_age: f64,
    /// For how many seconds the asker goes on using the answer. What a revocation list may be old is
    /// shortened by it.
    #[serde(default)]
    pub held_for: f64,
    /// How to validate, in place of the partner's policy.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Whether a token that has expired is refused here. Keystone does that itself, since it lets
    /// services finish what was begun in time.
    #[serde(default)]
    pub refuse_expired: bool,
    /// Whether the steps are wanted.
    #[serde(default)]
    pub explain: bool,
}

/// `POST /v1/passports`: a user of ours wants to log in at a partner.
#[derive(Deserialize)]
pub(crate) struct PassportRequest {
    /// The partner's alias, the id of one of its regions as catalogs show it, or its cloud id.
    pub cloud: String,
    /// Lowercase hex SHA-256 of the token that the user has here.
    pub token_sha256: String,
    /// What Keystone says of the token, as `GET /v3/auth/tokens`.
    pub token: TokenView,
    /// The JWK thumbprint of a key that the user has (RFC 7638).
    #[serde(default)]
    pub jkt: Option<String>,
}

/// The answer, if there is no reason against it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum PassportAnswer {
    /// Here it is.
    #[serde(rename = "valid")]
    Issued(PassportView),
    /// A definite no.
    Invalid {
        /// Why.
        reason: Reason,
    },
}

/// A login passport, and where it counts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PassportView {
    /// The passport (JWS).
    pub passport: String,
    /// Until when it can be used.
    pub expires_at: Seconds,
    /// The partner's Keystone, if it names one that may be called.
    pub auth_url: Option<String>,
    /// The token's project, as the partner calls it; `None` if the token is unscoped.
    pub project_id: Option<String>,
}

/// `POST /v1/logins`: somebody shows a login passport of a partner. Answered by a [`Verdict`].
#[derive(Serialize, Deserialize)]
pub(crate) struct LoginRequest {
    /// The passport (JWS).
    pub passport: String,
    /// The proof that whoever shows it has the key that it names (JWS).
    #[serde(default)]
    pub proof: Option<String>,
}

/// `POST /v1/guests/confirm`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConfirmRequest {
    /// The guest's home.
    pub cloud_id: CloudId,
    /// The guest's id at home.
    pub user_id: String,
    /// The project's id at home; `null` asks about the user alone.
    pub project_id: Option<String>,
    /// See [`ValidateRequest::max_age`].
    #[serde(default)]
    pub max_age: f64,
    /// How old home's word may be if home does not answer now, seconds: of what a guest has made
    /// here because an agreement allows it. At most `[tokens] guest_grace`.
    #[serde(default)]
    pub grace: f64,
    /// The token of this cloud for which the plugin asks: what to drop from the services' caches
    /// when the partner is suspended.
    #[serde(default)]
    pub token: Option<DerivedToken>,
}

/// A token that this cloud's Keystone made for a guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DerivedToken {
    /// Lowercase hex SHA-256 of the whole token.
    pub sha256: String,
    /// When it expires, seconds.
    pub expires_at: Seconds,
    /// The session that it belongs to: the last of its audit ids.
    #[serde(default)]
    pub session: Option<String>,
}

/// The answer to both. 200 for `valid` and `invalid`, 503 for `indeterminate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The issuer vouches for it.
    Valid {
        /// Who that is.
        partner: PartnerRef,
        /// The passport, for a token; the login passport, for a login (JWS).
        #[serde(skip_serializing_if = "Option::is_none")]
        passport: Option<Signed>,
        /// The grant statement, for a guest (JWS).
        #[serde(skip_serializing_if = "Option::is_none")]
        statement: Option<Signed>,
        /// In place of either: this daemon's own word (JWS), about a token that it validated itself
        /// or about a partner that has no daemon.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attestation: Option<Signed>,
        /// How the answer came about, for people.
        path: Path,
    },
    /// A definite no.
    Invalid {
        /// Why.
        reason: Reason,
        /// How the answer came about.
        path: Path,
    },
    /// Nobody could tell. Nobody is let in; nothing is remembered.
    Indeterminate {
        /// Why.
        reason: Reason,
        /// How the answer came about.
        path: Path,
    },
}

/// How a verdict came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Path {
    /// `local` (decided here), `offline` (by signature and revocation list), `cache`, `asked` or
    /// `shared` (another request was asking).
    pub via: Via,
    /// How long it took here, in milliseconds.
    pub took_ms: f64,
    /// What was done, if that was wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// One step of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// What was done.
    pub name: String,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
}

/// See [`Path::via`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Via {
    /// Decided without asking anybody.
    Local,
    /// By the token's signature and its issuer's revocation list.
    Offline,
    /// From a fresh answer.
    Cache,
    /// The issuer was asked.
    Asked,
    /// Another request was asking.
    Shared,
}

impl Via {
    /// The word in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Via::Local => "local",
            Via::Offline => "offline",
            Via::Cache => "cache",
            Via::Asked => "asked",
            Via::Shared => "shared",
        }
    }
}

impl From<alliance_answers::Via> for Via {
    fn from(via: alliance_answers::Via) -> Self {
        match via {
            alliance_answers::Via::Cache => Via::Cache,
            alliance_answers::Via::Shared => Via::Shared,
            alliance_answers::Via::Asked => Via::Asked,
            alliance_answers::Via::Refused => Via::Local,
        }
    }
}

/// A partner in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartnerRef {
    /// Its id.
    pub cloud_id: CloudId,
    /// Its alias here.
    pub name: String,
}

/// `POST /v1/doorbell/ack`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DoorbellAck {
    /// The doorbell secret without its `ring~`.
    pub ring: String,
    /// Which Keystone process answered.
    pub node: String,
    /// What failed, if anything.
    pub error: Option<String>,
    /// As in [`DoorbellWork::batch`]; none from a plugin of an earlier version.
    #[serde(default)]
    pub batch: Option<u64>,
}

/// `POST /v1/doorbell/answer`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DoorbellQuestion {
    /// The doorbell secret without its `ring~`.
    pub secret: String,
}

/// What Keystone has to do.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DoorbellWork {
    /// Read the snapshot again, forget tokens and catalogs, take grants away that no agreement allows.
    pub changed: bool,
    /// To be acknowledged.
    pub batch: u64,
    /// Sessions that have ended.
    pub sessions: Vec<SessionEnd>,
    /// Forget tokens: home must be asked again.
    pub flush: bool,
}

/// A partner's session that has ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionEnd {
    /// The audit id that our Keystone gave the partner's token.
    pub id: String,
    /// When the token expires, seconds.
    pub until: Seconds,
    /// The partner.
    pub cloud_id: CloudId,
    /// The user's id there.
    pub user_id: String,
}

/// A session of a partner's user here, or of one of ours there: an item of `GET /v1/sessions`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionView {
    /// Its id: the audit id of the partner's token here.
    pub id: String,
    /// What the partner is called here.
    pub partner: String,
    /// The user's id at home.
    pub user_id: String,
    /// The project's id at home; none if the token is unscoped.
    pub project_id: Option<String>,
    /// When the token was issued at home, seconds.
    pub issued_at: Seconds,
    /// When it expires, seconds.
    pub expires_at: Seconds,
    /// How many tokens belong to it: the partner's, and those that were made from it here.
    pub tokens: usize,
    /// Whether it was ended before its time.
    pub ended: bool,
    /// Whether it is one of our users there, instead of one of theirs here.
    #[serde(default)]
    pub abroad: bool,
}

/// `POST /v1/tokens/revoke`
#[derive(Serialize, Deserialize)]
pub(crate) struct RevokeRequest {
    /// The whole token, tag included.
    pub token: String,
}

/// `POST /v1/guests/sweep`: an operator shut a partner's guests out in Keystone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SweepRequest {
    /// The Keystone domain of the partner's guests.
    pub domain_id: String,
}

/// `GET /v1/status`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StatusView {
    /// This cloud's id.
    pub cloud_id: CloudId,
    /// What it calls itself.
    pub name: String,
    /// Where partners reach it.
    pub peer_url: String,
    /// The daemon's version.
    pub version: String,
    /// Whether the local Keystone answers.
    pub keystone: Health,
    /// Whether the plugin acknowledged the newest state; the last doorbell.
    pub doorbell: Health,
    /// Things an operator should look at.
    pub warnings: Vec<String>,
}

/// Whether something works.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Health {
    /// Does it.
    pub ok: bool,
    /// What was last seen.
    pub detail: String,
}

/// A partner, with what both sides say of it. `GET /v1/partners`, `GET /v1/partners/{name}`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PartnerView {
    /// As stored; `status` is the effective one.
    #[serde(flatten)]
    pub partner: Partner,
    /// The words that both sides see; none where the other side is a plain Keystone.
    pub fingerprint: Option<String>,
    /// What it calls itself.
    pub calls_itself: String,
    /// Its regions, as our catalog names them.
    pub regions: Vec<String>,
    /// What it holds of us, if it said so lately.
    pub their_status: Option<Status>,
    /// When its daemon last answered.
    pub last_seen: Option<Seconds>,
    /// Why it does not answer, if it does not.
    pub last_error: Option<String>,
    /// State of our Keystone's objects for it, e.g. `identity provider disabled`.
    pub keystone: Option<Health>,
    /// The Keystone domain of its guests.
    pub domain_id: String,
    /// Live agreements that we gave.
    pub agreements_given: usize,
    /// Live agreements that we got.
    pub agreements_received: usize,
    /// How tokens are validated, for each format that it may issue.
    pub modes: BTreeMap<TokenFormat, Mode>,
    /// Whether its signatures over SHA-1 count.
    pub allow_sha1: bool,
    /// How users of the two clouds log in at the other.
    #[serde(default)]
    pub login: Login,
    /// The keys that may sign its tokens.
    pub signing_keys: Vec<KeyView>,
    /// Its revocation list, if some of its tokens are validated here by their signature.
    pub revocation_list: Option<ListView>,
    /// How it is asked, if it is a plain Keystone.
    pub access: Option<KeystoneAccess>,
}

/// A key that signs tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyView {
    /// What it signs.
    pub family: SignatureFamily,
    /// Hex SHA-256 of its DER.
    pub id: String,
    /// When its tokens stop counting, if it is not used any more.
    pub retired_at: Option<Seconds>,
}

/// A partner's revocation list as it was last read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ListView {
    /// How old what it says may be, in seconds; `None` if it was never read since the daemon started.
    pub age: Option<f64>,
    /// How old it may be to be relied on.
    pub max_age: f64,
    /// How many events it lists.
    pub events: usize,
}

/// `PATCH /v1/partners/{name}`; absent fields stay.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartnerChange {
    /// `null` takes the bound away.
    #[serde(
        default,
        with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub trust_till: Option<Option<Seconds>>,
    /// `null` takes the limit away.
    #[serde(
        default,
        with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_users: Option<Option<u32>>,
    /// `null` takes the limit away.
    #[serde(
        default,
        with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_projects: Option<Option<u32>>,
    /// How tokens of these formats are validated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modes: BTreeMap<TokenFormat, Mode>,
    /// Whether signatures over SHA-1 count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_sha1: Option<bool>,
    /// How users of the two clouds log in at the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
}

/// The answer to a change of a partner or an agreement: stored, and whether Keystone knows yet.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// Whether every cache of Keystone was told within the deadline.
    pub keystone_told: bool,
    /// If not: why, and what happens next.
    pub detail: Option<String>,
}

/// `POST /v1/invitations`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InviteRequest {
    /// The partner's alias here.
    pub name: String,
    /// What it shall be to us.
    pub role: Role,
    /// Who may accept, if known.
    pub expect: Option<CloudId>,
    /// When the trust ends.
    pub trust_till: Option<Seconds>,
    /// How users will log in.
    #[serde(default)]
    pub login: Login,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InviteAnswer {
    /// The invitation's id.
    pub id: String,
    /// The string to give to the partner.
    pub invitation: String,
    /// Until when.
    pub expires_at: Seconds,
}

/// `GET /v1/invitations/{id}?wait=SECONDS` answers when the state differs from `open` or the time
/// is over. `POST …/confirm` and `POST …/reject` answer the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InvitationView {
    /// `open`, `accepted`, `confirmed`, `rejected` or `expired`.
    pub state: String,
    /// Who accepted.
    pub acceptor: Option<CloudView>,
    /// The partner's alias here.
    pub name: String,
    /// What it shall be to us.
    pub role: Role,
}

/// A cloud that pairs with us.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CloudView {
    /// Its id.
    pub cloud_id: CloudId,
    /// What it calls itself, cleaned.
    pub name: String,
    /// Where it answers.
    pub peer_url: String,
    /// Its regions.
    pub regions: Vec<Region>,
    /// The words that its operator sees too.
    pub fingerprint: String,
    /// The id of the Keystone domain for its guests here.
    pub domain_id: String,
}

/// `POST /v1/acceptances/inspect`
#[derive(Serialize, Deserialize)]
pub(crate) struct InspectRequest {
    /// The invitation.
    pub invitation: String,
}

/// The answer: who invites.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InspectAnswer {
    /// Its id.
    pub id: String,
    /// Who invites.
    pub inviter: CloudView,
    /// What the inviter becomes to us.
    pub role: Role,
    /// Until when it can be accepted.
    pub expires_at: Seconds,
}

/// `POST /v1/acceptances`
#[derive(Serialize, Deserialize)]
pub(crate) struct AcceptRequest {
    /// The invitation.
    pub invitation: String,
    /// The partner's alias here.
    pub name: String,
    /// When the trust ends.
    pub trust_till: Option<Seconds>,
    /// How users will log in.
    #[serde(default)]
    pub login: Login,
}

/// `POST /v1/acceptances`, `GET /v1/acceptances/{id}?wait=SECONDS`, `POST …/{id}/cancel`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AcceptanceView {
    /// The invitation's id.
    pub id: String,
    /// `waiting`, `paired`, `rejected`, `expired` or `cancelled`.
    pub state: String,
}

/// `POST /v1/keystones/inspect` and `POST /v1/keystones`: a cloud without Alliance that shall become
/// a partner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeystoneRequest {
    /// Its alias here.
    pub name: String,
    /// How it is asked.
    pub access: KeystoneAccess,
    /// When the trust ends.
    pub trust_till: Option<Seconds>,
    /// At most this many of its users here.
    pub max_users: Option<u32>,
    /// At most this many of its projects here.
    pub max_projects: Option<u32>,
}

/// The answer to the first of the two: what was found there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeystoneFound {
    /// The id that it has here.
    pub cloud_id: CloudId,
    /// The version of its Identity API.
    pub version: String,
    /// The roles of the service user on its project.
    pub roles: BTreeSet<String>,
    /// The keys that the operator has of it.
    pub signing_keys: usize,
    /// What works, yet an operator should know.
    pub warnings: Vec<String>,
}

/// `POST /v1/agreements`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AgreementRequest {
    /// The partner's alias.
    pub partner: String,
    /// `*`, an id at home, or a name at home.
    pub project: String,
    /// Name or id of the project's domain at home, to tell projects of one name apart.
    pub project_domain: Option<String>,
    /// Role names.
    pub roles: BTreeSet<String>,
    /// Service types to show; `None`: those that home has.
    pub services: Option<BTreeSet<String>>,
    /// Until when.
    pub till: Option<Seconds>,
    /// Whether guests of the partner may come.
    pub transitive: bool,
    /// What its users may make here although it outlives their login.
    #[serde(default)]
    pub allow: BTreeSet<Door>,
}

/// `GET /v1/agreements`, `GET /v1/agreements/{id}`: given ones; received ones have `received`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AgreementView {
    /// As stored.
    #[serde(flatten)]
    pub agreement: Agreement,
    /// The partner's alias here.
    pub partner_name: String,
    /// `live`, `ended`, `expired` or `future`.
    pub state: String,
    /// The project's id at the host, unless `*`.
    pub host_project_id: Option<String>,
    /// True if the partner granted it to us.
    pub received: bool,
}

/// `POST /v1/agreements/end`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EndRequest {
    /// The partner's alias.
    pub partner: String,
    /// As in [`AgreementRequest`]; also an agreement's id.
    pub project: String,
    /// As in [`AgreementRequest`].
    pub project_domain: Option<String>,
}

/// `POST /v1/agreements` and `POST /v1/agreements/end`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AgreementApplied {
    /// The agreements concerned.
    pub agreements: Vec<AgreementView>,
    /// Whether Keystone knows.
    #[serde(flatten)]
    pub applied: Applied,
}

/// `GET /v1/regions`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RegionView {
    /// As our catalog names it.
    pub region: String,
    /// The partner's alias.
    pub partner: String,
    /// As the partner names it.
    pub region_there: String,
    /// Service types offered.
    pub services: Vec<String>,
    /// Our projects that see it: ids, or `*`.
    pub projects: Vec<String>,
}

mod double_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::option_option, reason = "absent and null differ in a PATCH")]
    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Option::deserialize(deserializer).map(Some)
    }

    #[expect(clippy::option_option, reason = "absent and null differ in a PATCH")]
    pub(super) fn serialize<T, S>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
        S: Serializer,
    {
        value
            .as_ref()
            .and_then(Option::as_ref)
            .serialize(serializer)
    }
}
