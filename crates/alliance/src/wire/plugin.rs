//! Tokens, guests, logins, the doorbell: what Keystone's plugin says, and `alliance token`.

use std::collections::BTreeMap;

use alliance_answers::Signed;
use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use alliance_core::token::Mode;
use alliance_token::body::TokenView;
use serde::{Deserialize, Serialize};

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
    /// What became of the projects, by their ids here: null, or why one is not there. None from a
    /// plugin of an earlier version.
    #[serde(default)]
    pub projects: Option<BTreeMap<String, Option<String>>>,
}

/// `POST /v1/doorbell/done`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DoorbellDone {
    /// The doorbell secret without its `ring~`.
    pub ring: String,
    /// Which Keystone process answered.
    pub node: String,
    /// What failed, if anything.
    pub error: Option<String>,
    /// As in [`LaterWork::sweep`].
    pub sweep: Option<u64>,
    /// As in [`DoorbellAck::projects`].
    pub projects: BTreeMap<String, Option<String>>,
}

/// `POST /v1/doorbell/answer`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DoorbellQuestion {
    /// The doorbell secret without its `ring~`.
    pub secret: String,
    /// Whether the plugin knows [`DoorbellWork::later`]. One of an earlier version says nothing, and does
    /// everything before it acknowledges.
    #[serde(default)]
    pub knows_later: bool,
}

/// What Keystone has to do.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DoorbellWork {
    /// Read the snapshot again, forget tokens and catalogs; without [`Self::later`], also take grants away
    /// that no agreement allows.
    pub changed: bool,
    /// To be acknowledged.
    pub batch: u64,
    /// Sessions that have ended.
    pub sessions: Vec<SessionEnd>,
    /// Forget tokens: home must be asked again.
    pub flush: bool,
    /// Partners' projects that are to be there, whether or not one of their users has come: for a plugin
    /// that knows no later.
    pub projects: Vec<ProjectToMake>,
    /// What takes Keystone its time, and is acknowledged for itself when the rest has been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<LaterWork>,
}

/// What Keystone has to do, though nobody's session may wait for it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaterWork {
    /// Take grants away that no agreement allows, since this change of the snapshot.
    pub sweep: Option<u64>,
    /// As in [`DoorbellWork::projects`].
    pub projects: Vec<ProjectToMake>,
}

/// A partner's project that is to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProjectToMake {
    /// The partner.
    pub cloud_id: CloudId,
    /// The project's id at home.
    pub project_id: String,
    /// Its name there.
    pub name: String,
    /// The name of its domain there.
    pub domain_name: String,
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

/// `POST /v1/guests/sweep`: an operator shut a partner's guests out in Keystone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SweepRequest {
    /// The Keystone domain of the partner's guests.
    pub domain_id: String,
}
