//! Why a project of this cloud sees a partner's region, or does not: each condition by itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Seconds;
use crate::agreement::Projects;
use crate::descriptor::{Endpoint, Region, Service};
use crate::endpoint_url::UnfitUrl;
use crate::label::clean;
use crate::partner::{Partner, Status};
use crate::snapshot::{LeftOut, Received, Showing};
use crate::terms::Terms;
use crate::token::Login;

/// Longest name of a partner's that is repeated, in characters.
const NAME_LEN: usize = 64;

/// One of the things that must be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which.
    pub name: Name,
    /// The service type, where it is about one.
    #[serde(default)]
    pub service: Option<String>,
    /// How it is.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do, if something must be done.
    #[serde(default)]
    pub mend: Option<Mend>,
}

/// The conditions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// The project is here, and enabled, and so is its domain.
    Project,
    /// A partner has told of the region.
    Region,
    /// The partner is active here, and a host.
    Partner,
    /// This cloud is active there.
    TheirStatus,
    /// What the partner said of itself has not run out.
    Descriptor,
    /// The partner's daemon answers.
    Reachable,
    /// The partner grants this project something.
    Agreement,
    /// What the agreement limits.
    Quota,
    /// A service of the region is shown.
    Service,
    /// A token of home's may be shown there.
    Login,
    /// The user holds no role that is refused abroad.
    AdminRole,
    /// The user holds a role that the agreement names.
    Role,
    /// Keystone has been told.
    Snapshot,
    /// An endpoint answers.
    Endpoint,
}

impl Name {
    /// Its name on the screen, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Region => "region",
            Self::Partner => "partner",
            Self::TheirStatus => "their_status",
            Self::Descriptor => "descriptor",
            Self::Reachable => "reachable",
            Self::Agreement => "agreement",
            Self::Quota => "quota",
            Self::Service => "service",
            Self::Login => "login",
            Self::AdminRole => "admin_role",
            Self::Role => "role",
            Self::Snapshot => "snapshot",
            Self::Endpoint => "endpoint",
        }
    }
}

/// How a condition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It holds.
    Holds,
    /// It does not.
    Broken,
    /// Nobody could tell.
    Unknown,
    /// It need not hold: left out on purpose.
    LeftOut,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mend {
    /// Whose turn it is.
    pub who: Who,
    /// The command, or what to do.
    pub what: String,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// This cloud's operator.
    ThisOperator,
    /// The partner's.
    PartnersOperator,
}

/// What Keystone knows of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectFound {
    /// There is none of that id or name.
    None,
    /// It is here.
    Some {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Its domain's id.
        domain_id: String,
        /// Whether it is enabled.
        enabled: bool,
        /// Whether its domain is.
        domain_enabled: bool,
        /// Whether it is a shadow of a partner's project, or a domain.
        is_native: bool,
    },
    /// Keystone did not say.
    Unknown(String),
}

/// What Keystone knows of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserFound {
    /// Who is not here, is disabled or holds no role in the project.
    Nobody,
    /// The roles in the project.
    Roles(BTreeSet<String>),
    /// Keystone did not say.
    Unknown(String),
}

/// A partner, with what it told.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// It.
    pub partner: &'a Partner,
    /// What it holds of us.
    pub their_status: Option<Status>,
    /// Its regions, and until when its descriptor holds.
    pub told: Option<(&'a [Region], Seconds)>,
    /// What it grants our projects.
    pub received: &'a [Received],
    /// What of that it has signed.
    pub contracts: &'a [Contract<'a>],
    /// How users log in there.
    pub login: Login,
    /// Since when its daemon does not answer, and why.
    pub silent: Option<(Seconds, &'a str)>,
    /// Whether its regions are not shown for that.
    pub is_hidden: bool,
}

/// An agreement that the partner has signed and that has not ended.
#[derive(Debug, Clone, Copy)]
pub struct Contract<'a> {
    /// Its id.
    pub id: &'a str,
    /// For which projects of ours.
    pub projects: &'a Projects,
    /// The version that is in force, and what it says.
    pub in_force: Option<(u32, &'a Terms)>,
    /// Whether this cloud has signed that version.
    pub is_agreed: bool,
    /// A newer version that waits for this cloud's operator.
    pub waiting: Option<u32>,
}

/// All that decides.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Now.
    pub now: Seconds,
    /// What this cloud calls itself.
    pub cloud_name: &'a str,
    /// The project, as the operator named it.
    pub asked_project: &'a str,
    /// What Keystone knows of it.
    pub project: &'a ProjectFound,
    /// The region, as it is called here.
    pub region: &'a str,
    /// The same, as its partner calls it; `None`: it told of no such region.
    pub region_there: Option<&'a str>,
    /// The partner whose region it is, or would be by its name.
    pub host: Option<Host<'a>>,
    /// All regions of partners, as they are called here.
    pub regions: &'a [String],
    /// Service types that this cloud has.
    pub own_service_types: &'a BTreeSet<String>,
    /// A service type that is wanted.
    pub service: Option<&'a str>,
    /// Who wants it, as the operator named the user, and what Keystone knows.
    pub user: Option<(&'a str, &'a UserFound)>,
    /// Roles that are refused abroad.
    pub admin_roles: &'a BTreeSet<String>,
    /// How partners' regions are shown.
    pub showing: &'a Showing,
    /// Whether Keystone acknowledged the newest snapshot, and what was last seen of that.
    pub snapshot: (bool, &'a str),
}

/// Each condition, in the order in which one mends them.
pub fn explain(inputs: &Inputs<'_>) -> Vec<Condition> {
    let mut found = vec![project(inputs), region(inputs)];
    if let Some(host) = &inputs.host {
        let grants = grants(inputs, host);
        found.extend([
            partner(inputs, host),
            their_status(host),
            descriptor(inputs, host),
            reachable(host),
            agreement(inputs, host, &grants),
        ]);
        found.extend(quota(inputs, host, &grants));
        found.extend(services(inputs, host, &grants));
        found.push(login(host));
        found.extend(user(inputs, host, &grants));
    }
    found.push(snapshot(inputs));
    found
}

/// The URLs of a service in the region that are shown to users, templates unresolved; none if the
/// agreement leaves the service out.
pub fn shown(inputs: &Inputs<'_>) -> BTreeMap<String, Vec<String>> {
    let Some(host) = &inputs.host else {
        return BTreeMap::new();
    };
    let grants = grants(inputs, host);
    let offered = offered(inputs, host).into_iter();
    offered
        .filter(|(kind, _)| is_granted(inputs, &grants, kind))
        .map(|(kind, offers)| {
            let shown = offers
                .into_iter()
                .filter(|o| o.require_shown(inputs).is_ok());
            let urls = shown.map(|offer| offer.endpoint.url.clone());
            (kind.to_owned(), urls.collect())
        })
        .collect()
}

fn condition(name: Name, state: State, detail: impl Into<String>) -> Condition {
    Condition {
        name,
        service: None,
        state,
        detail: detail.into(),
        mend: None,
    }
}

fn holds(name: Name, detail: impl Into<String>) -> Condition {
    condition(name, State::Holds, detail)
}

fn unknown(name: Name, detail: impl Into<String>) -> Condition {
    condition(name, State::Unknown, detail)
}

fn broken(name: Name, detail: impl Into<String>, who: Who, what: impl Into<String>) -> Condition {
    Condition {
        mend: Some(Mend {
            who,
            what: what.into(),
        }),
        ..condition(name, State::Broken, detail)
    }
}

use Who::{PartnersOperator, ThisOperator};

fn project(inputs: &Inputs<'_>) -> Condition {
    let (id, name, domain_id, enabled, domain_enabled, is_native) = match inputs.project {
        ProjectFound::None => {
            return broken(
                Name::Project,
                format!("this cloud has no project {:?}", inputs.asked_project),
                ThisOperator,
                "look for its name or id: openstack project list",
            );
        }
        ProjectFound::Unknown(error) => return unknown(Name::Project, error),
        ProjectFound::Some {
            id,
            name,
            domain_id,
            enabled,
            domain_enabled,
            is_native,
        } => (id, name, domain_id, enabled, domain_enabled, is_native),
    };
    let what = format!("{} ({id})", clean(name, NAME_LEN));
    if !is_native {
        broken(
            Name::Project,
            format!(
                "{what} is a domain, or the project of a partner, whose users see their own home"
            ),
            ThisOperator,
            "name a project of this cloud's own: openstack project list",
        )
    } else if !enabled {
        broken(
            Name::Project,
            format!("{what} is disabled"),
            ThisOperator,
            format!("openstack project set --enable {id}"),
        )
    } else if !domain_enabled {
        broken(
            Name::Project,
            format!("the domain {domain_id} of {what} is disabled"),
            ThisOperator,
            format!("openstack domain set --enable {domain_id}"),
        )
    } else {
        holds(Name::Project, format!("{what} is here and enabled"))
    }
}

fn region(inputs: &Inputs<'_>) -> Condition {
    match (inputs.region_there, &inputs.host) {
        (Some(there), Some(host)) => holds(
            Name::Region,
            format!(
                "{} of partner {}",
                clean(there, NAME_LEN),
                host.partner.name
            ),
        ),
        (_, host) => {
            let there = if inputs.regions.is_empty() {
                "no partner has told of any".to_owned()
            } else {
                format!("there are: {}", inputs.regions.join(", "))
            };
            let what = match host {
                Some(host) => format!(
                    "if {0} should have it: it must be in {0}'s Keystone, with a public endpoint; alliance region list",
                    host.partner.name
                ),
                None => "alliance region list".to_owned(),
            };
            broken(
                Name::Region,
                format!("no partner has a region {:?}; {there}", inputs.region),
                ThisOperator,
                what,
            )
        }
    }
}

fn partner(inputs: &Inputs<'_>, host: &Host<'_>) -> Condition {
    let name = &host.partner.name;
    let status = host.partner.status_at(inputs.now);
    let (detail, what) = match status {
        Status::Active if host.partner.role.is_host() => {
            return holds(Name::Partner, format!("{name} is active and a host"));
        }
        Status::Active => (
            format!("{name} is a guest only: users of this cloud do not go there"),
            format!("pair again, with --role host or both: alliance partner invite {name}"),
        ),
        Status::Suspended => (
            format!("{name} is suspended here"),
            format!("alliance partner resume {name}"),
        ),
        Status::Expired => (
            format!("the trust in {name} has ended by its date"),
            format!("alliance partner set {name} --trust-till DATE"),
        ),
        Status::Draft | Status::Removed => (
            format!("{name} is {status}"),
            format!("alliance partner invite {name}"),
        ),
    };
    broken(Name::Partner, detail, ThisOperator, what)
}

fn their_status(host: &Host<'_>) -> Condition {
    let name = &host.partner.name;
    match host.their_status {
        Some(Status::Active) => holds(
            Name::TheirStatus,
            format!("{name} holds this cloud to be active"),
        ),
        None => unknown(
            Name::TheirStatus,
            format!("{name} has not said what it holds of this cloud"),
        ),
        Some(Status::Suspended) => broken(
            Name::TheirStatus,
            format!("{name} has suspended this cloud"),
            PartnersOperator,
            "alliance partner resume, for this cloud",
        ),
        Some(status) => broken(
            Name::TheirStatus,
            format!("for {name}, this cloud is {status}"),
            PartnersOperator,
            if status == Status::Expired {
                "alliance partner set --trust-till DATE, for this cloud"
            } else {
                "pair anew"
            },
        ),
    }
}

fn descriptor(inputs: &Inputs<'_>, host: &Host<'_>) -> Condition {
    let name = &host.partner.name;
    match host.told {
        Some((_, till)) if till > inputs.now => holds(
            Name::Descriptor,
            format!(
                "what {name} says of itself holds for {} s more",
                till - inputs.now
            ),
        ),
        Some((_, till)) => broken(
            Name::Descriptor,
            format!(
                "what {name} says of itself ran out {} s ago",
                inputs.now - till
            ),
            PartnersOperator,
            "its daemon has to answer: alliance status, there",
        ),
        None => broken(
            Name::Descriptor,
            format!("{name} has said nothing of itself: it has no Alliance"),
            PartnersOperator,
            "install Alliance",
        ),
    }
}

fn reachable(host: &Host<'_>) -> Condition {
    let name = &host.partner.name;
    let Some((_, why)) = host.silent else {
        return holds(Name::Reachable, format!("the daemon of {name} answers"));
    };
    let why = clean(why, 200);
    let effect = if host.is_hidden {
        "its regions are hidden since ([catalog] hide_unreachable)"
    } else {
        "its regions are shown nevertheless"
    };
    broken(
        Name::Reachable,
        format!("the daemon of {name} does not answer: {why}; {effect}"),
        PartnersOperator,
        format!(
            "its daemon or the network between: alliance status, there; alliance partner show {name}, here"
        ),
    )
}

/// The live grants for the project. Those for all are none of a partner's projects.
fn grants<'a>(inputs: &Inputs<'_>, host: &Host<'a>) -> Vec<&'a Received> {
    let live = host
        .received
        .iter()
        .filter(|grant| grant.is_live(inputs.now));
    live.filter(|grant| is_for(inputs, grant)).collect()
}

fn is_for(inputs: &Inputs<'_>, grant: &Received) -> bool {
    covers(inputs, &grant.project_id)
}

fn covers(inputs: &Inputs<'_>, projects: &Projects) -> bool {
    match (projects, inputs.project) {
        (Projects::All, _) => true,
        (Projects::One(id), ProjectFound::Some { id: ours, .. }) => id == ours,
        (Projects::One(id), _) => id == inputs.asked_project,
    }
}

fn agreement(inputs: &Inputs<'_>, host: &Host<'_>, grants: &[&Received]) -> Condition {
    let name = &host.partner.name;
    if !grants.is_empty() {
        let all: Vec<String> = grants
            .iter()
            .map(|grant| {
                let roles: Vec<_> = grant
                    .roles
                    .iter()
                    .map(|role| clean(role, NAME_LEN))
                    .collect();
                let whom = match grant.project_id {
                    Projects::All => "every project",
                    Projects::One(_) => "this project",
                };
                let terms = signed(host, grant).map_or_else(String::new, said_of);
                format!("{} for {whom}{terms}", roles.join(", "))
            })
            .collect();
        return holds(Name::Agreement, format!("{name} grants {}", all.join("; ")));
    }
    let for_us = host.contracts.iter();
    let mut for_us = for_us.filter(|contract| covers(inputs, contract.projects));
    let proposed = for_us.find_map(|contract| Some((contract.id, contract.waiting?)));
    if let Some((id, version)) = proposed {
        let id = clean(id, NAME_LEN);
        return broken(
            Name::Agreement,
            format!("version {version} of agreement {id}, which {name} proposes, is not accepted"),
            ThisOperator,
            format!("alliance agreement accept {id}, or reject"),
        );
    }
    if host
        .their_status
        .is_some_and(|status| status != Status::Active)
    {
        return unknown(
            Name::Agreement,
            format!("{name} says nothing of agreements while this cloud is not active there"),
        );
    }
    let project = match inputs.project {
        ProjectFound::Some { id, .. } => id,
        ProjectFound::None | ProjectFound::Unknown(_) => inputs.asked_project,
    };
    let ended = host.received.iter().any(|grant| is_for(inputs, grant));
    let detail = if ended {
        format!("the agreement of {name} for this project has ended by its date")
    } else {
        format!("{name} grants this project nothing")
    };
    broken(
        Name::Agreement,
        detail,
        PartnersOperator,
        format!(
            "alliance agreement create {} --project {project} --role member",
            inputs.cloud_name
        ),
    )
}

/// The signed agreement by which the partner grants something.
fn signed<'a>(host: &Host<'a>, grant: &Received) -> Option<&'a Contract<'a>> {
    let id = grant.id.as_deref()?;
    host.contracts.iter().find(|contract| contract.id == id)
}

/// The version of an agreement, and what it costs.
fn said_of(contract: &Contract<'_>) -> String {
    let mut said = String::new();
    if let Some((version, terms)) = contract.in_force {
        let word = if contract.is_agreed {
            "agreed"
        } else {
            "not countersigned"
        };
        said = format!(", version {version}, {word}");
        if let Some(prices) = &terms.prices {
            said = format!("{said}, {}", clean(&prices.to_string(), 200));
        }
    }
    if let Some(version) = contract.waiting {
        said = format!("{said} (version {version} waits for this cloud's operator)");
    }
    said
}

/// What the partner's signed agreements limit. What is used of that, nobody has told yet.
fn quota(inputs: &Inputs<'_>, host: &Host<'_>, grants: &[&Received]) -> Option<Condition> {
    let limits = grants.iter().filter_map(|grant| {
        let contract = signed(host, grant).filter(|one| covers(inputs, one.projects))?;
        let (_, terms) = contract.in_force?;
        Some(match terms.quota.is_empty() {
            true => "no limit".to_owned(),
            false => terms.quota.to_string(),
        })
    });
    let limits: Vec<String> = limits.collect();
    (!limits.is_empty()).then(|| {
        let limits = limits.join("; ");
        let detail =
            format!("the agreement sets {limits}; how much is used there is not known here");
        holds(Name::Quota, detail)
    })
}

/// An endpoint that the partner offers.
#[derive(Debug, Clone, Copy)]
struct Offer<'a> {
    region: &'a Region,
    service: &'a Service,
    endpoint: &'a Endpoint,
}

/// Why no user sees an endpoint.
#[derive(Debug, thiserror::Error)]
enum Unseen {
    /// It is not in the snapshot.
    #[error(transparent)]
    LeftOut(#[from] LeftOut),
    /// The plugin can fill in no more than the project's id.
    #[error("has a template other than the project's id")]
    Template,
}

impl Unseen {
    /// Whether this cloud's operator has a say in it.
    fn is_by_range(&self) -> bool {
        matches!(self, Self::LeftOut(LeftOut::Url(UnfitUrl::Refused { .. })))
    }
}

impl Offer<'_> {
    fn require_shown(&self, inputs: &Inputs<'_>) -> Result<(), Unseen> {
        let showing = inputs.showing;
        showing.require_shown(self.region, self.service, self.endpoint)?;
        let mut rest = self.endpoint.url.clone();
        for open in ["%(", "$("] {
            for of in ["project_id)s", "tenant_id)s"] {
                rest = rest.replace(&format!("{open}{of}"), "");
            }
        }
        if rest.contains("%(") || rest.contains("$(") {
            return Err(Unseen::Template);
        }
        Ok(())
    }
}

/// The endpoints of each service type in the region.
fn offered<'a>(inputs: &Inputs<'_>, host: &Host<'a>) -> BTreeMap<&'a str, Vec<Offer<'a>>> {
    let mut offered: BTreeMap<&str, Vec<Offer<'_>>> = BTreeMap::new();
    let regions = host.told.map_or(&[][..], |(regions, _)| regions);
    let here = regions.iter();
    for region in here.filter(|region| Some(region.id.as_str()) == inputs.region_there) {
        for service in &region.services {
            let offers = offered.entry(&service.kind).or_default();
            offers.extend(service.endpoints.iter().map(|endpoint| Offer {
                region,
                service,
                endpoint,
            }));
        }
    }
    offered
}

fn is_granted(inputs: &Inputs<'_>, grants: &[&Received], kind: &str) -> bool {
    // The identity service goes along always: clients warn or fail without.
    kind == "identity"
        || grants.iter().any(|grant| {
            let types = grant.services.as_ref().unwrap_or(inputs.own_service_types);
            types.contains(kind)
        })
}

fn services(inputs: &Inputs<'_>, host: &Host<'_>, grants: &[&Received]) -> Vec<Condition> {
    if inputs.region_there.is_none() || grants.is_empty() {
        return Vec::new();
    }
    let offered = offered(inputs, host);
    let agreed = grants.iter().filter_map(|grant| grant.services.as_ref());
    let mut types: BTreeSet<&str> = agreed.flatten().map(String::as_str).collect();
    types.extend(offered.keys());
    types.extend(inputs.service);
    let types = types.into_iter();
    types
        .map(|kind| Condition {
            service: Some(clean(kind, NAME_LEN)),
            ..service(inputs, host, grants, kind, offered.get(kind))
        })
        .collect()
}

fn service(
    inputs: &Inputs<'_>,
    host: &Host<'_>,
    grants: &[&Received],
    kind: &str,
    offers: Option<&Vec<Offer<'_>>>,
) -> Condition {
    let name = &host.partner.name;
    let left_out = |detail: String, who, what: String| {
        let condition = broken(Name::Service, detail, who, what);
        if inputs.service == Some(kind) {
            condition
        } else {
            Condition {
                state: State::LeftOut,
                ..condition
            }
        }
    };
    let Some(offers) = offers else {
        return left_out(
            format!("{name} does not offer it in this region"),
            PartnersOperator,
            "a public endpoint in its Keystone, and [catalog] offer of its daemon".to_owned(),
        );
    };
    if !is_granted(inputs, grants, kind) {
        let by_type = grants.iter().any(|grant| grant.services.is_none());
        return left_out(
            if by_type {
                "this cloud has no service of that type, and the agreement does not name it"
                    .to_owned()
            } else {
                "the agreement does not name it".to_owned()
            },
            PartnersOperator,
            format!(
                "end the agreement and make it again with --service {}",
                clean(kind, NAME_LEN)
            ),
        );
    }
    let unseen = offers.iter().filter_map(|offer| {
        let why = offer.require_shown(inputs).err()?;
        Some((offer.endpoint, why))
    });
    let unseen: Vec<(&Endpoint, Unseen)> = unseen.collect();
    if unseen.len() < offers.len() {
        return holds(Name::Service, "shown");
    }
    let each = unseen.iter().map(|(endpoint, why)| match why {
        Unseen::LeftOut(LeftOut::Interface) => {
            format!("interface {} {why}", clean(&endpoint.interface, NAME_LEN))
        }
        _ => format!("{} {why}", clean(&endpoint.url, 200)),
    });
    let detail = format!(
        "no endpoint that may be shown: {}",
        each.collect::<Vec<_>>().join("; ")
    );
    if unseen.iter().any(|(_, why)| why.is_by_range()) {
        broken(
            Name::Service,
            detail,
            ThisOperator,
            "if users may go there, the host in [catalog] allow_hosts",
        )
    } else {
        broken(
            Name::Service,
            detail,
            PartnersOperator,
            "a public endpoint with an https URL that is reached from elsewhere",
        )
    }
}

fn login(host: &Host<'_>) -> Condition {
    let name = &host.partner.name;
    match host.login.require_bearer() {
        Ok(()) => holds(
            Name::Login,
            match host.login {
                Login::Both => "by token or by passport",
                Login::Bearer | Login::Passport => "by token",
            },
        ),
        Err(_) => broken(
            Name::Login,
            format!(
                "users log in at {name} by passport only, so that tokens do not show its regions"
            ),
            ThisOperator,
            format!("users take auth_type v3alliance; or alliance partner set {name} --login both"),
        ),
    }
}

fn user(inputs: &Inputs<'_>, host: &Host<'_>, grants: &[&Received]) -> Vec<Condition> {
    let Some((user, found)) = inputs.user else {
        return Vec::new();
    };
    let held = match found {
        UserFound::Roles(held) => held,
        UserFound::Nobody => {
            return vec![broken(
                Name::Role,
                format!("{user:?} is nobody here, is disabled, or holds no role in the project"),
                ThisOperator,
                format!(
                    "openstack role add --user {user} --project {} member",
                    inputs.asked_project
                ),
            )];
        }
        UserFound::Unknown(error) => return vec![unknown(Name::Role, error)],
    };
    let powerful: Vec<&str> = held
        .intersection(inputs.admin_roles)
        .map(String::as_str)
        .collect();
    let admin = if powerful.is_empty() {
        holds(
            Name::AdminRole,
            format!("{user} holds none that is refused abroad"),
        )
    } else {
        broken(
            Name::AdminRole,
            format!(
                "{user} holds {} in this project: such tokens see no region of a partner",
                powerful.join(", ")
            ),
            ThisOperator,
            "use a user without it: [tokens] admin_roles",
        )
    };
    let agreed: BTreeSet<&String> = grants.iter().flat_map(|grant| &grant.roles).collect();
    if agreed.is_empty() {
        return vec![admin];
    }
    let list = |roles: &mut dyn Iterator<Item = &String>| {
        roles
            .map(|role| clean(role, NAME_LEN))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let common: Vec<&String> = held.iter().filter(|role| agreed.contains(role)).collect();
    let role = if common.is_empty() {
        broken(
            Name::Role,
            format!(
                "{user} holds {}, {} grants {}",
                list(&mut held.iter()),
                host.partner.name,
                list(&mut agreed.into_iter()),
            ),
            ThisOperator,
            "give the user one of the granted roles; or the partner's operator agrees to one that the user holds",
        )
    } else {
        holds(
            Name::Role,
            format!("{user} holds {}", list(&mut common.into_iter())),
        )
    };
    vec![admin, role]
}

fn snapshot(inputs: &Inputs<'_>) -> Condition {
    let (acknowledged, detail) = inputs.snapshot;
    if acknowledged {
        holds(Name::Snapshot, detail)
    } else {
        broken(
            Name::Snapshot,
            detail,
            ThisOperator,
            "alliance doctor; a token that was issued before is not concerned: log in again",
        )
    }
}

#[cfg(test)]
mod tests;
