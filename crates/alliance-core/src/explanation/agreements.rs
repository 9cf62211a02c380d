//! What the partner grants, and what its signed agreements say.

use super::condition::Who::{PartnersOperator, ThisOperator};
use super::condition::{Condition, Name, broken, holds, unknown};
use super::{Contract, Host, Inputs, NAME_LEN, ProjectFound};
use crate::agreement::Projects;
use crate::label::clean;
use crate::partner::Status;
use crate::snapshot::Received;

/// The live grants for the project. Those for all are none of a partner's projects.
pub(super) fn grants<'a>(inputs: &Inputs<'_>, host: &Host<'a>) -> Vec<&'a Received> {
    let live = host
        .received
        .iter()
        .filter(|grant| grant.is_live(inputs.now));
    live.filter(|grant| is_for(inputs, grant)).collect()
}

pub(super) fn is_for(inputs: &Inputs<'_>, grant: &Received) -> bool {
    covers(inputs, &grant.project_id)
}

pub(super) fn covers(inputs: &Inputs<'_>, projects: &Projects) -> bool {
    match (projects, inputs.project) {
        (Projects::All, _) => true,
        (Projects::One(id), ProjectFound::Some { id: ours, .. }) => id == ours,
        (Projects::One(id), _) => id == inputs.asked_project,
    }
}

pub(super) fn agreement(inputs: &Inputs<'_>, host: &Host<'_>, grants: &[&Received]) -> Condition {
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
pub(super) fn signed<'a>(host: &Host<'a>, grant: &Received) -> Option<&'a Contract<'a>> {
    let id = grant.id.as_deref()?;
    host.contracts.iter().find(|contract| contract.id == id)
}

/// The version of an agreement, and what it costs.
pub(super) fn said_of(contract: &Contract<'_>) -> String {
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
pub(super) fn quota(
    inputs: &Inputs<'_>,
    host: &Host<'_>,
    grants: &[&Received],
) -> Option<Condition> {
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
