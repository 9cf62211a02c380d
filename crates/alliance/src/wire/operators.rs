//! Partners, pairings, sessions: what operators say.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::descriptor::{ApiVersion, Region, SignatureFamily};
use alliance_core::explanation::Condition;
use alliance_core::limits::Standing;
use alliance_core::partner::{KeystoneAccess, Partner, Role, Status};
use alliance_core::skew::Skew;
use alliance_core::terms::Resource;
use alliance_core::token::{Login, Mode, TokenFormat};
use alliance_core::usage::{Kind, Millis, Part, Record, Size};
use serde::{Deserialize, Serialize};

use super::double_option;

/// `GET /v1/usage`, `…/records`, `…/differences`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsageQuery {
    /// The month, as 2026-11.
    pub month: String,
    /// The partner's name; all if none.
    #[serde(default)]
    pub partner: Option<String>,
}

/// What resources of one kind and size were used by one project: an item of `GET /v1/usage`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsageLine {
    /// Whether a partner's project used it here; else one of ours there.
    pub here: bool,
    /// What the partner is called here, or its cloud id if it is one no more.
    pub partner: String,
    /// The project's id at its home.
    pub project_id: String,
    /// The region, as its cloud calls it.
    pub region: String,
    /// What.
    pub kind: Kind,
    /// How big.
    pub size: Size,
    /// How many.
    pub resources: u64,
    /// For how long, all together.
    pub milliseconds: u64,
    /// What that costs by the agreements' prices, in each currency; nothing if they have none.
    #[serde(default)]
    pub costs: Vec<CostView>,
}

/// A sum of money
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CostView {
    /// A decimal to the millionth.
    pub amount: String,
    /// Its currency (ISO 4217).
    pub currency: String,
}

/// What a record costs in a part of the month in which the same prices hold
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChargeView {
    /// From when, milliseconds.
    pub from: Millis,
    /// Until when, milliseconds.
    pub to: Millis,
    /// In millionths of the currency.
    pub micros: i64,
    /// The currency (ISO 4217); `None`: the agreement has no prices.
    pub currency: Option<String>,
}

/// One record: an item of `GET /v1/usage/records`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsageRecordView {
    /// Whether a partner's project used it here; else one of ours there.
    pub here: bool,
    /// What the partner is called here.
    pub partner: String,
    /// The partner's cloud id.
    pub partner_id: CloudId,
    /// The record.
    pub record: Record,
    /// What it costs in this month.
    pub charges: Vec<ChargeView>,
}

/// A record that host and home count differently: an item of `GET /v1/usage/differences`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsageDifference {
    /// Which.
    pub part: Part,
    /// What is counted here.
    pub here: Option<Record>,
    /// What is counted there.
    pub there: Option<Record>,
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

/// What this cloud's services allow a partner's project of one resource: an item of
/// `GET /v1/projects/limits`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LimitView {
    /// What the partner is called here.
    pub partner: String,
    /// The project's id at its home.
    pub project_id: String,
    /// Its name there, as last heard.
    pub project_name: Option<String>,
    /// This cloud's region.
    pub region: String,
    /// What; `None` if nothing is known yet.
    pub resource: Option<Resource>,
    /// What agreements allow; `None`: no limit.
    pub agreed: Option<u32>,
    /// What the service allows; -1: no limit. `None`: it has no limits for projects.
    pub limit: Option<i64>,
    /// How much is used.
    pub used: i64,
    /// How that is to be understood.
    pub standing: Standing,
    /// Why the services were not asked or told.
    pub problem: Option<String>,
    /// When this was seen.
    pub at: Seconds,
}

/// A partner's project that has, or had, something to do with this cloud: an item of
/// `GET /v1/projects`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProjectView {
    /// What the partner is called here.
    pub partner: String,
    /// The project's id at home.
    pub project_id: String,
    /// Its name at home, as last heard.
    pub name: Option<String>,
    /// The name of its domain at home, as last heard.
    pub domain_name: Option<String>,
    /// The id of the project here.
    pub host_project_id: String,
    /// The live agreements that cover it, by id.
    pub agreements: Vec<String>,
    /// How many of its users are here.
    pub users: usize,
    /// How many sessions they have.
    pub sessions: usize,
    /// When the first of its users was let in; `None`: nobody was.
    pub first_seen: Option<Seconds>,
    /// When the last was, to the minute.
    pub last_seen: Option<Seconds>,
}

/// `POST /v1/tokens/revoke`
#[derive(Serialize, Deserialize)]
pub(crate) struct RevokeRequest {
    /// The whole token, tag included.
    pub token: String,
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
    /// Whether the database answers. `None`: an earlier version.
    #[serde(default)]
    pub database: Option<Health>,
    /// The instances of the daemon; none where there can be only one.
    #[serde(default)]
    pub instances: Vec<InstanceView>,
    /// Things an operator should look at.
    pub warnings: Vec<String>,
    /// Those of them that are what makes a lab. None: an earlier version, or no lab.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// Those of them that are more than that: something does not work, or somebody may be let in who should
    /// not. None: an earlier version too.
    #[serde(default)]
    pub faults: Vec<String>,
}

/// An instance of the daemon, of several that have one database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InstanceView {
    /// What it is called.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it does what only one may.
    pub leads: bool,
    /// Whether it is the one that answers.
    pub here: bool,
    /// How long ago it last said something, in seconds.
    pub silent: Seconds,
    /// How far its clock is ahead of the database's, in seconds.
    pub clock: Seconds,
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
    /// The keys with which its daemon signs, by the hex SHA-256 of each one's DER. None: an earlier version
    /// too.
    #[serde(default)]
    pub daemon_keys: Vec<String>,
    /// Its revocation list, if some of its tokens are validated here by their signature.
    pub revocation_list: Option<ListView>,
    /// How it is asked, if it is a plain Keystone.
    pub access: Option<KeystoneAccess>,
    /// How the way to it is.
    #[serde(default)]
    pub border: Option<BorderView>,
    /// When it comes to nothing, if it is a pairing under way. `None`: an earlier version too.
    #[serde(default)]
    pub lapses_at: Option<Seconds>,
}

/// How the way to a partner is, as the daemon's pulls show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BorderView {
    /// Since when it answers, as far as this daemon has seen.
    pub reachable_since: Option<Seconds>,
    /// Since when it does not.
    pub unreachable_since: Option<Seconds>,
    /// Whether its regions are hidden for that.
    pub is_hidden: bool,
    /// How long its answers took.
    pub round_trips: Option<RoundTrips>,
    /// How far its clock is from ours.
    pub skew: Option<Skew>,
    /// When what it says of itself, or grants, was last another than before.
    pub last_change: Option<Seconds>,
    /// Until when what it said of itself holds, if it says nothing more.
    pub descriptor_till: Option<Seconds>,
    /// The version of what it says of itself.
    pub protocol: Option<u32>,
    /// The version of its daemon.
    pub version: Option<String>,
}

/// How long the answers to the last pulls took, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct RoundTrips {
    /// The last one.
    pub last: f64,
    /// The quickest.
    pub least: f64,
    /// The slowest.
    pub most: f64,
    /// How many.
    pub count: usize,
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
    /// When it ends, if it is a certificate.
    #[serde(default)]
    pub not_after: Option<Seconds>,
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
    /// If not: why, and what happens next. Else where it may not count yet.
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

/// `GET /v1/regions`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RegionView {
    /// As our catalog names it.
    pub region: String,
    /// The partner's alias.
    pub partner: String,
    /// As the partner names it.
    pub region_there: String,
    /// The name that it would have, if a region of ours did not have that.
    #[serde(default)]
    pub taken: Option<String>,
    /// Service types offered.
    pub services: Vec<String>,
    /// The same, with the versions of their APIs.
    #[serde(default)]
    pub apis: Vec<ApiView>,
    /// What is offered and shown to nobody here.
    #[serde(default)]
    pub left_out: Vec<LeftOutView>,
    /// Our projects that see it: ids, or `*`.
    pub projects: Vec<String>,
    /// Since when its partner does not answer.
    #[serde(default)]
    pub unreachable_since: Option<Seconds>,
    /// Whether it is hidden for that.
    #[serde(default)]
    pub is_hidden: bool,
}

/// `POST /v1/explain`: why a project of ours sees a partner's region, or does not.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExplainRequest {
    /// The project's id or name.
    pub project: String,
    /// Name or id of its domain, to tell projects of one name apart.
    pub project_domain: Option<String>,
    /// The region, as it is called here.
    pub region: String,
    /// A service type that is wanted.
    pub service: Option<String>,
    /// Id or name of the user who wants it.
    pub user: Option<String>,
    /// Whether the endpoints are asked too.
    #[serde(default)]
    pub probe: bool,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Explanation {
    /// Whether no condition is broken, and none unknown.
    pub holds: bool,
    /// The project's id, if there is one.
    pub project_id: Option<String>,
    /// The partner whose region it is, or would be by its name.
    pub partner: Option<String>,
    /// Each condition.
    pub conditions: Vec<Condition>,
}

/// An API that a partner offers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ApiView {
    /// Service type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its current version and newest microversion, if the partner told.
    pub there: Option<String>,
    /// Those of ours, if we have the type.
    pub here: Option<String>,
    /// Whether the versions are others than ours.
    pub differs: bool,
    /// All that the partner has.
    pub versions: Vec<ApiVersion>,
}

/// An endpoint of a partner that is shown to nobody here.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeftOutView {
    /// Service type.
    pub service: String,
    /// Interface.
    pub interface: String,
    /// URL.
    pub url: String,
    /// Why.
    pub why: String,
}
