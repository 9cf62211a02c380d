//! The file that the daemon leaves for the plugin: what Keystone must know of partners, so that
//! neither a local login nor a catalog ever waits for the daemon. Replaced atomically; read by
//! `keystone-plugin`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::agreement::{Agreement, Door, Projects};
use crate::cloud::{CloudId, Tag};
use crate::descriptor::{Endpoint, Jwk, Region, Service};
use crate::endpoint_url::{UnfitUrl, UrlRules};
use crate::label::clean;
use crate::partner::{Kind, PROTOCOL, Partner, Role, Status};
use crate::region_name::RegionNames;
use crate::token::{Login, TokenFormat};
use crate::{Seconds, keystone_id};

/// Whom [`SnapshotCatalog::services`] means by a partner's own users.
const GUESTS: &str = "guests";

/// Version of the file's form; the plugin refuses a newer one.
pub const VERSION: u32 = 1;

/// Longest name of a partner's region or service in a catalog, in characters: Keystone's own limit.
const LONGEST_NAME: usize = 255;

/// The interfaces that an endpoint can have.
const INTERFACES: [&str; 3] = ["public", "internal", "admin"];

/// How partners' regions are shown here.
#[derive(Debug, Clone, Default)]
pub struct Showing {
    /// Which URLs are.
    pub urls: UrlRules,
    /// What regions are called.
    pub names: RegionNames,
}

/// Why something that a partner offers is shown to nobody here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// A region or a service type that nobody could type, or that drives a terminal.
    #[error("has a name that cannot be shown as it is")]
    Name,
    /// An interface that no catalog has.
    #[error("is none of {}", INTERFACES.join(", "))]
    Interface,
    /// An endpoint's URL.
    #[error(transparent)]
    Url(#[from] UnfitUrl),
}

impl Showing {
    /// Why this endpoint of a partner is not shown, if it is not.
    ///
    /// # Errors
    /// Why not.
    pub fn require_shown(
        &self,
        region: &Region,
        service: &Service,
        endpoint: &Endpoint,
    ) -> Result<(), LeftOut> {
        if !is_plain(&region.id) || !is_plain(&service.kind) {
            return Err(LeftOut::Name);
        }
        if !INTERFACES.contains(&endpoint.interface.as_str()) {
            return Err(LeftOut::Interface);
        }
        Ok(self.urls.require_fit(&endpoint.url)?)
    }
}

/// Everything that decides what stands in the file.
#[derive(Debug, Clone)]
pub struct Inputs<'a> {
    /// This cloud.
    pub cloud_id: &'a CloudId,
    /// What it calls itself.
    pub cloud_name: &'a str,
    /// Its daemon's signing keys.
    pub cloud_keys: &'a [Jwk],
    /// The service types that this cloud's own catalog has.
    pub own_service_types: &'a BTreeSet<String>,
    /// See [`SnapshotCloud::guest_grace`].
    pub guest_grace: Seconds,
    /// Every partner that is not draft or removed.
    pub partners: &'a [PartnerInputs],
    /// How partners' regions are shown.
    pub showing: &'a Showing,
    /// Now.
    pub now: Seconds,
}

/// What is known of one partner.
#[derive(Debug, Clone)]
pub struct PartnerInputs {
    /// The partner.
    pub partner: Partner,
    /// Its signing keys.
    pub keys: Vec<Jwk>,
    /// Whether this cloud's daemon vouches for tokens of its: it has no daemon, or some are validated
    /// here by their own signature.
    pub attested: bool,
    /// The formats whose tokens without a tag are its.
    pub untagged: BTreeSet<TokenFormat>,
    /// Its regions, by its descriptor.
    pub regions: Vec<Region>,
    /// What we grant its projects.
    pub given: Vec<Agreement>,
    /// What it grants our projects.
    pub received: Vec<Received>,
    /// How users of the two clouds log in at the other.
    pub login: Login,
    /// Whether its regions are shown to nobody for now, since it does not answer.
    pub is_hidden: bool,
}

/// What a host grants one of our projects, as it told us.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// The agreement's id; `None`: an earlier version of the partner's daemon told none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The version of the agreement that is in force there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Our project's id, or `*`.
    pub project_id: Projects,
    /// The roles there.
    pub roles: BTreeSet<String>,
    /// Service types to show; `None`: those that we have.
    pub services: Option<BTreeSet<String>>,
    /// Until when.
    pub till: Option<Seconds>,
    /// Whether guests of ours may go there too.
    #[serde(default)]
    pub transitive: bool,
}

impl Received {
    /// Whether it holds at `now`.
    pub fn is_live(&self, now: Seconds) -> bool {
        self.till.is_none_or(|till| now < till)
    }
}

/// The file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`VERSION`].
    pub version: u32,
    /// Grows with every file written.
    pub generation: u64,
    /// This cloud.
    pub cloud: SnapshotCloud,
    /// Hex SHA-256 of the pending doorbell secret.
    pub ring: Option<String>,
    /// By tag.
    pub partners: BTreeMap<Tag, SnapshotPartner>,
    /// What to append to catalogs.
    pub catalog: SnapshotCatalog,
}

/// This cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotCloud {
    /// Its id.
    pub id: CloudId,
    /// Its tokens' tag.
    pub tag: Tag,
    /// What it calls itself.
    pub name: String,
    /// The keys that sign its daemon's attestations.
    #[serde(default)]
    pub keys: Vec<Jwk>,
    /// For how long a silent home's last word still bears what its guests have made here, seconds.
    #[serde(default)]
    pub guest_grace: Seconds,
}

/// A partner whose tokens Keystone may meet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotPartner {
    /// Its id.
    pub cloud_id: CloudId,
    /// Its alias here.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// Its status when the file was written; `trust_till` may pass later.
    pub status: Status,
    /// What it is to us.
    pub role: Role,
    /// When trust ends.
    pub trust_till: Option<Seconds>,
    /// The Keystone domain of its users and projects.
    pub domain_id: String,
    /// Its identity provider.
    pub idp_id: String,
    /// Its protocol.
    pub protocol_id: String,
    /// Its signing keys.
    pub keys: Vec<Jwk>,
    /// See [`PartnerInputs::attested`].
    #[serde(default)]
    pub attested: bool,
    /// See [`PartnerInputs::untagged`].
    #[serde(default)]
    pub untagged: BTreeSet<TokenFormat>,
    /// See [`PartnerInputs::login`].
    #[serde(default)]
    pub login: Login,
    /// How much it may have here.
    pub limits: SnapshotLimits,
    /// What we grant.
    pub agreements: Vec<SnapshotAgreement>,
}

/// How much a partner may have here; `None`: no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotLimits {
    /// Shadow users.
    pub users: Option<u32>,
    /// Projects.
    pub projects: Option<u32>,
}

/// An agreement, as Keystone needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotAgreement {
    /// `*` or an id at home.
    pub project_id: Projects,
    /// The id here, unless `*`.
    pub host_project_id: Option<String>,
    /// Role names.
    pub roles: BTreeSet<String>,
    /// Until when.
    pub till: Option<Seconds>,
    /// Whether the partner's guests may come.
    pub transitive: bool,
    /// See [`Agreement::allow`].
    #[serde(default)]
    pub allow: BTreeSet<Door>,
}

/// What to append to catalogs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapshotCatalog {
    /// Local project id → the partners whose endpoints it sees.
    pub projects: BTreeMap<String, BTreeSet<Tag>>,
    /// The partners whose endpoints every native project sees.
    pub all_projects: BTreeSet<Tag>,
    /// A partner's domain here → its tag: guests see their own home.
    pub guests: BTreeMap<String, Tag>,
    /// A partner's services, ready for the catalog.
    pub entries: BTreeMap<Tag, Vec<CatalogService>>,
    /// Which of their types are shown to whom: a local project id, `*` (every native project) or
    /// `guests`. Identity is always shown.
    pub services: BTreeMap<Tag, BTreeMap<String, BTreeSet<String>>>,
}

/// A service in Keystone's catalog form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogService {
    /// Stable id, computed from partner, type and name.
    pub id: String,
    /// Service type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Service name.
    pub name: String,
    /// Endpoints.
    pub endpoints: Vec<CatalogEndpoint>,
}

/// An endpoint in Keystone's catalog form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogEndpoint {
    /// Stable id.
    pub id: String,
    /// `public`, and where the partner offers them `internal` and `admin`.
    pub interface: String,
    /// Region.
    pub region: String,
    /// Region again, as Keystone does.
    pub region_id: String,
    /// URL, templates unresolved.
    pub url: String,
}

impl Snapshot {
    /// The content of the file at `inputs.now`.
    pub fn build(inputs: &Inputs<'_>, generation: u64, ring: Option<String>) -> Self {
        let mut partners = BTreeMap::new();
        let mut catalog = SnapshotCatalog::default();
        for known in inputs.partners {
            let tag = known.partner.cloud_id.tag();
            partners.insert(tag.clone(), snapshot_partner(known, inputs.now));
            // Who shows a token of home's at those endpoints would be refused.
            if known.is_hidden
                || known.partner.require_active(inputs.now).is_err()
                || known.login.require_bearer().is_err()
            {
                continue;
            }
            let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            if known.partner.role.is_guest() {
                catalog
                    .guests
                    .insert(known.partner.domain_id(), tag.clone());
                shown.insert(GUESTS.to_owned(), inputs.own_service_types.clone());
            }
            if known.partner.role.is_host() {
                for grant in known
                    .received
                    .iter()
                    .filter(|grant| grant.is_live(inputs.now))
                {
                    match &grant.project_id {
                        Projects::All => {
                            catalog.all_projects.insert(tag.clone());
                        }
                        Projects::One(id) => {
                            catalog
                                .projects
                                .entry(id.clone())
                                .or_default()
                                .insert(tag.clone());
                        }
                    }
                    let types = grant.services.as_ref().unwrap_or(inputs.own_service_types);
                    shown
                        .entry(grant.project_id.to_string())
                        .or_default()
                        .extend(types.iter().cloned());
                }
            }
            if !shown.is_empty() {
                let offered = shown.values().flatten().cloned().collect();
                catalog
                    .entries
                    .insert(tag.clone(), entries(known, &offered, inputs));
                catalog.services.insert(tag, shown);
            }
        }
        Self {
            version: VERSION,
            generation,
            cloud: SnapshotCloud {
                id: inputs.cloud_id.clone(),
                tag: inputs.cloud_id.tag(),
                name: inputs.cloud_name.to_owned(),
                keys: inputs.cloud_keys.to_vec(),
                guest_grace: inputs.guest_grace,
            },
            ring,
            partners,
            catalog,
        }
    }

    /// Whether `other` says the same, whatever its generation and doorbell.
    pub fn same_content(&self, other: &Self) -> bool {
        self.cloud == other.cloud
            && self.partners == other.partners
            && self.catalog == other.catalog
    }
}

fn snapshot_partner(known: &PartnerInputs, now: Seconds) -> SnapshotPartner {
    let partner = &known.partner;
    SnapshotPartner {
        cloud_id: partner.cloud_id.clone(),
        name: partner.name.clone(),
        kind: partner.kind,
        status: partner.status_at(now),
        role: partner.role,
        trust_till: partner.trust_till,
        domain_id: partner.domain_id(),
        idp_id: partner.name.clone(),
        protocol_id: PROTOCOL.to_owned(),
        keys: known.keys.clone(),
        attested: known.attested,
        untagged: known.untagged.clone(),
        login: known.login,
        limits: SnapshotLimits {
            users: partner.max_users,
            projects: partner.max_projects,
        },
        agreements: known
            .given
            .iter()
            .filter(|agreement| agreement.is_live(now))
            .map(|agreement| SnapshotAgreement {
                project_id: agreement.projects.clone(),
                host_project_id: match &agreement.projects {
                    Projects::All => None,
                    Projects::One(id) => Some(keystone_id::project(&partner.cloud_id, id)),
                },
                roles: agreement.terms.roles.clone(),
                till: agreement.terms.till,
                transitive: agreement.terms.transitive,
                allow: agreement.terms.allow.clone(),
            })
            .collect(),
    }
}

/// The identity service goes along always: clients warn or fail without.
fn entries(
    known: &PartnerInputs,
    offered: &BTreeSet<String>,
    inputs: &Inputs<'_>,
) -> Vec<CatalogService> {
    let mut services: Vec<CatalogService> = Vec::new();
    for region in &known.regions {
        for service in &region.services {
            if service.kind != "identity" && !offered.contains(&service.kind) {
                continue;
            }
            let shown = service.endpoints.iter().filter(|endpoint| {
                let judged = inputs.showing.require_shown(region, service, endpoint);
                judged.is_ok()
            });
            let name = inputs.showing.names.name(&known.partner, &region.id);
            let endpoints: Vec<CatalogEndpoint> = shown
                .map(|endpoint| {
                    catalog_endpoint(&known.partner, &name, &region.id, &service.kind, endpoint)
                })
                .collect();
            if endpoints.is_empty() {
                continue;
            }
            let id = keystone_id::project(
                &known.partner.cloud_id,
                &format!("service:{}:{}", service.kind, service.name),
            );
            match services.iter_mut().find(|known| known.id == id) {
                Some(known) => known.endpoints.extend(endpoints),
                None => services.push(CatalogService {
                    id,
                    kind: service.kind.clone(),
                    name: match service.name.as_str() {
                        "" => String::new(),
                        name => clean(name, LONGEST_NAME),
                    },
                    endpoints,
                }),
            }
        }
    }
    services
}

/// Whether a partner's name for something can be typed and shown as it is.
fn is_plain(name: &str) -> bool {
    clean(name, LONGEST_NAME) == name
}

fn catalog_endpoint(
    partner: &Partner,
    name: &str,
    region: &str,
    kind: &str,
    endpoint: &Endpoint,
) -> CatalogEndpoint {
    CatalogEndpoint {
        id: keystone_id::project(
            &partner.cloud_id,
            &format!(
                "endpoint:{region}:{kind}:{}:{}",
                endpoint.interface, endpoint.url
            ),
        ),
        interface: endpoint.interface.clone(),
        region: name.to_owned(),
        region_id: name.to_owned(),
        url: endpoint.url.clone(),
    }
}
