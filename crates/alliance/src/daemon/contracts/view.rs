//! Agreements as operators see them, at both sides.

use alliance_core::agreement::Agreement;
use alliance_core::contract::Said;
use alliance_core::snapshot::Received;
use alliance_store::{AgreementVersion, ReceivedAgreement};

use crate::daemon::directory::Known;
use crate::wire::{ContractView, Standing, VersionView};

/// How much of an agreement is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// How it stands.
    Standing,
    /// All versions, too.
    History,
}

/// An agreement that this cloud gave; none if nothing of it was signed yet.
pub(crate) fn given_contract(
    agreement: &Agreement,
    ended_by: Option<String>,
    versions: &[AgreementVersion],
    shown: Shown,
) -> Option<ContractView> {
    let view = view(versions, agreement.version, shown)?;
    Some(ContractView { ended_by, ..view })
}

/// An agreement that a partner gave: what holds, or what is proposed.
pub(crate) fn received_contract(
    known: &Known,
    held: &ReceivedAgreement,
    shown: Shown,
) -> Option<(Agreement, ContractView)> {
    let in_force = held.version;
    let mut versions = held.versions.iter();
    let says = versions.find(|one| Some(one.number) == in_force);
    let says = says.or_else(|| held.newest())?;
    let agreement = Agreement {
        id: held.id.clone(),
        partner: known.partner.cloud_id.clone(),
        projects: held.projects.clone(),
        project_name: held.project_name.clone(),
        project_domain: held.project_domain.clone(),
        version: in_force,
        terms: says.terms.clone(),
        ended_at: held.ended_at,
    };
    let contract = ContractView {
        fault: held.fault.clone(),
        ended_by: held.ended_by.clone(),
        ..view(&held.versions, in_force, shown)?
    };
    Some((agreement, contract))
}

/// Whether the host grants it now, as it told last.
pub(crate) fn is_offered(offers: &[Received], id: &str) -> bool {
    offers.iter().any(|offer| offer.id.as_deref() == Some(id))
}

fn view(
    versions: &[AgreementVersion],
    in_force: Option<u32>,
    shown: Shown,
) -> Option<ContractView> {
    let newest = versions.last()?;
    let holding = versions.iter().find(|one| Some(one.number) == in_force);
    Some(ContractView {
        newest: newest.number,
        standing: standing(newest, newest.number, in_force),
        countersigned: holding.is_some_and(|one| said(one) == Some(Said::Accepted)),
        fault: None,
        ended_by: None,
        versions: match shown {
            Shown::Standing => Vec::new(),
            Shown::History => versions
                .iter()
                .map(|version| version_view(version, newest.number, in_force))
                .collect(),
        },
    })
}

fn said(version: &AgreementVersion) -> Option<Said> {
    version.reply.as_ref().map(|reply| reply.said)
}

fn standing(version: &AgreementVersion, newest: u32, in_force: Option<u32>) -> Standing {
    if Some(version.number) == in_force {
        return match said(version) {
            Some(Said::Accepted) => Standing::Agreed,
            _ => Standing::NotCountersigned,
        };
    }
    match said(version) {
        _ if version.number != newest => Standing::Superseded,
        Some(Said::Accepted) => Standing::Accepted,
        Some(Said::Rejected) => Standing::Rejected,
        Some(Said::Ended) | None => Standing::Proposed,
    }
}

fn version_view(version: &AgreementVersion, newest: u32, in_force: Option<u32>) -> VersionView {
    let reply = version.reply.as_ref();
    VersionView {
        number: version.number,
        standing: standing(version, newest, in_force),
        terms: version.terms.clone(),
        sha256: version.sha256.clone(),
        made_at: version.made_at,
        made_by: version.made_by.clone(),
        in_force_since: version.in_force_since,
        said: reply.map(|reply| reply.said),
        said_at: reply.map(|reply| reply.at),
        said_by: reply.map(|reply| reply.by.clone()),
        signed: version.signed.clone(),
        reply: reply.map(|reply| reply.jws.clone()),
    }
}
