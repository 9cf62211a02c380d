//! Whether an agreement allows what a plan asks for.

use std::collections::BTreeMap;

use super::plan::Plan;
use crate::Seconds;
use crate::agreement::{Agreement, covering};
use crate::terms::{Resource, Terms};

/// The role that whoever makes servers has to have.
const MEMBER: &str = "member";

/// Why a plan is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// Nothing covers the project.
    #[error("no agreement of this cloud covers the project now")]
    NoAgreement,
    /// It is on its way out.
    #[error("the project is being retired here")]
    Retiring,
    /// Its users could not do it either.
    #[error("the agreement does not grant the role member, which provisioning needs")]
    Role,
    /// A service that is not granted.
    #[error("{resource}: the agreement does not grant the service {service}")]
    Service {
        /// Which resource of the plan.
        resource: String,
        /// The service's type.
        service: &'static str,
    },
    /// A region that is not granted.
    #[error("the agreement does not grant the region {0}")]
    Region(String),
    /// A flavor that is not granted.
    #[error("{resource}: the agreement does not grant the flavor {flavor}")]
    Flavor {
        /// Which resource of the plan.
        resource: String,
        /// The flavor as the plan names it.
        flavor: String,
    },
    /// More than is granted.
    #[error("the plan asks for {asked} {resource}, the agreement grants {limit}")]
    Quota {
        /// Of what.
        resource: Resource,
        /// How much the plan asks for.
        asked: u64,
        /// How much is granted.
        limit: u32,
    },
}

/// The terms that allow a plan in a project of a partner's, in `region` if that is known. `None`: nothing
/// is to be made, and any agreement will do.
///
/// # Errors
/// What the first agreement that covers the project does not allow.
pub fn allow<'a>(
    plan: Option<&Plan>,
    given: &'a [Agreement],
    (project_id, region): (&str, Option<&str>),
    now: Seconds,
) -> Result<&'a Terms, NotAllowed> {
    let mut first = None;
    for agreement in given
        .iter()
        .filter(|one| covering(std::slice::from_ref(*one), project_id, now).count() > 0)
    {
        let refused = match plan {
            None => Ok(()),
            Some(plan) => allowed_by(plan, &agreement.terms, region),
        };
        match refused {
            Ok(()) => return Ok(&agreement.terms),
            Err(why) => first = first.or(Some(why)),
        }
    }
    Err(first.unwrap_or(NotAllowed::NoAgreement))
}

fn allowed_by(plan: &Plan, terms: &Terms, region: Option<&str>) -> Result<(), NotAllowed> {
    if !terms.roles.contains(MEMBER) {
        return Err(NotAllowed::Role);
    }
    if let (Some(regions), Some(region)) = (&terms.regions, region)
        && !regions.contains(region)
    {
        return Err(NotAllowed::Region(region.to_owned()));
    }
    for (resource, node) in plan.nodes() {
        let types = node.kind.services();
        if let Some(services) = &terms.services
            && !types.iter().any(|service| services.contains(*service))
        {
            return Err(NotAllowed::Service {
                resource: resource.clone(),
                service: types.first().copied().unwrap_or_default(),
            });
        }
        let flavor = node.properties.get("flavor");
        if let (Some(flavors), Some(flavor)) = (&terms.flavors, flavor.and_then(|one| one.as_str()))
            && !flavors.contains(flavor)
        {
            return Err(NotAllowed::Flavor {
                resource: resource.clone(),
                flavor: flavor.to_owned(),
            });
        }
    }
    require_within(&plan.demand(), terms)
}

/// Checks that no more is asked for than is granted.
///
/// # Errors
/// [`NotAllowed::Quota`].
pub fn require_within(asked: &BTreeMap<Resource, u64>, terms: &Terms) -> Result<(), NotAllowed> {
    for (resource, limit) in terms.quota.limits() {
        let asked = asked.get(&resource).copied().unwrap_or_default();
        if asked > u64::from(limit) {
            return Err(NotAllowed::Quota {
                resource,
                asked,
                limit,
            });
        }
    }
    Ok(())
}
