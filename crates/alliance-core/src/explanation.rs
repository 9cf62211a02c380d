//! Why a project of this cloud sees a partner's region, or does not: each condition by itself.

mod agreements;
mod condition;
mod people;
mod services;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use self::agreements::{agreement, grants, quota};
use self::condition::Who::{PartnersOperator, ThisOperator};
pub use self::condition::{Condition, Mend, Name, State, Who};
use self::condition::{broken, holds, unknown};
use self::people::{login, user};
use self::services::services;
pub use self::services::shown;
use crate::Seconds;
use crate::agreement::Projects;
use crate::descriptor::Region;
use crate::label::clean;
use crate::partner::{Partner, Status};
use crate::snapshot::{Received, Showing};
use crate::terms::Terms;
use crate::token::Login;

/// Longest name of a partner's that is repeated, in characters.
const NAME_LEN: usize = 64;

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
