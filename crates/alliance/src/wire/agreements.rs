//! Agreements, as operators speak of them.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::Seconds;
use alliance_core::agreement::{Agreement, Door};
use alliance_core::contract::Said;
use alliance_core::terms::{Resource, Terms};
use serde::{Deserialize, Serialize};

use super::{Applied, double_option};

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
    /// The rest of the terms.
    #[serde(flatten)]
    pub limits: LimitsRequest,
}

/// What an agreement limits, and what it costs; absent fields stay as they are, or at nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LimitsRequest {
    /// From when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Seconds>,
    /// Regions of this cloud; `null`: all.
    #[serde(
        default,
        with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub regions: Option<Option<BTreeSet<String>>>,
    /// Flavors, by name or id; `null`: all.
    #[serde(
        default,
        with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub flavors: Option<Option<BTreeSet<String>>>,
    /// Limits by resource; `null` takes one away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quota: BTreeMap<Resource, Option<i64>>,
    /// The currency of the prices (ISO 4217).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Prices for an hour by resource, as decimals; `null` takes one away, and the last one the list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<String, Option<String>>,
    /// Seconds from the agreement's end until servers are shut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine_after: Option<Seconds>,
    /// Seconds from then until everything is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after: Option<Seconds>,
}

/// `PATCH /v1/agreements/{id}`: the next version of an agreement; absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChangeRequest {
    /// Role names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<BTreeSet<String>>,
    /// Service types to show; `null`: those that home has.
    #[serde(
        default,
        with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub services: Option<Option<BTreeSet<String>>>,
    /// Until when; `null`: for ever.
    #[serde(
        default,
        with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub till: Option<Option<Seconds>>,
    /// Whether guests of the partner may come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transitive: Option<bool>,
    /// What its users may make here although it outlives their login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<BTreeSet<Door>>,
    /// The rest of the terms.
    #[serde(flatten)]
    pub limits: LimitsRequest,
}

/// `POST /v1/agreements/{id}/accept` and `POST …/reject`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplyRequest {
    /// The version that is meant, so that none is accepted that nobody has looked at; `None`: the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// How an agreement stands as a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContractView {
    /// Its newest version.
    pub newest: u32,
    /// How that one stands.
    pub standing: Standing,
    /// Whether home has signed the version that is in force.
    pub countersigned: bool,
    /// Why what the host last said is not believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Who ended the agreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// All versions, the newest last; where one agreement is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<VersionView>,
}

/// How a version of an agreement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// In force, and home has signed it.
    Agreed,
    /// In force; home has not signed it.
    NotCountersigned,
    /// It waits for home's operator.
    Proposed,
    /// Home's operator has accepted it; the host has not said that it is in force.
    Accepted,
    /// Home's operator has said no.
    Rejected,
    /// Another one came before anybody agreed, or after it.
    Superseded,
}

impl Standing {
    /// Its name on the screen.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::NotCountersigned => "not countersigned",
            Self::Proposed => "proposed",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
        }
    }
}

/// One version of an agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionView {
    /// 1, 2, …
    pub number: u32,
    /// How it stands.
    pub standing: Standing,
    /// What it says.
    pub terms: Terms,
    /// Lowercase hex SHA-256 of what was signed.
    pub sha256: String,
    /// When the host signed it.
    pub made_at: Seconds,
    /// Who did: an operator here, or the partner's alias.
    pub made_by: String,
    /// Since when it is, or was, in force.
    pub in_force_since: Option<Seconds>,
    /// What home said: `accepted` or `rejected`.
    pub said: Option<Said>,
    /// When home signed that.
    pub said_at: Option<Seconds>,
    /// Who did: an operator or the daemon here, or the partner's alias.
    pub said_by: Option<String>,
    /// The host's signed statement (JWS).
    pub signed: String,
    /// Home's (JWS).
    pub reply: Option<String>,
}

/// `GET /v1/agreements`, `GET /v1/agreements/{id}`: given ones; received ones have `received`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AgreementView {
    /// As stored.
    #[serde(flatten)]
    pub agreement: Agreement,
    /// The partner's alias here.
    pub partner_name: String,
    /// `live`, `ended`, `expired`, `future`, `proposed`, `rejected`, or `withheld` if the partner
    /// grants nothing at present, since it has suspended this cloud.
    pub state: String,
    /// The project's id at the host, unless `*`.
    pub host_project_id: Option<String>,
    /// True if the partner granted it to us.
    pub received: bool,
    /// How it stands as a contract; none if the host's daemon signs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractView>,
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
    /// At home, whether the host was told; else it is told by and by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_told: Option<bool>,
    /// Whether Keystone knows.
    #[serde(flatten)]
    pub applied: Applied,
}
