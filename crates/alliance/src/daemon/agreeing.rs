//! Making and ending agreements.

use std::collections::BTreeSet;
use std::sync::Arc;

use alliance_cloud::keystone::{self, KeystoneError};
use alliance_core::agreement::{Agreement, Projects};
use alliance_core::keystone_id;
use alliance_core::label::clean;
use alliance_core::snapshot::Received;
use alliance_core::statement::Project;
use alliance_core::terms::Terms;
use alliance_peer::request_id::RequestId;
use alliance_peer::wire::ProjectQuery;
use alliance_store::Side;
use uuid::Uuid;

use super::Daemon;
use super::clock::now;
use super::contracts::{Shown, first_terms, given_contract, is_offered, received_contract};
use super::delegate::ApiError;
use super::directory::{Known, Way};
use crate::wire::{
    AgreementApplied, AgreementRequest, AgreementView, Applied, ContractView, EndRequest, Standing,
};

/// Longest name that is kept for display, in characters.
const NAME_LEN: usize = 64;

impl Daemon {
    /// Grants a partner's project something.
    pub(crate) async fn agree(
        self: &Arc<Self>,
        request: &AgreementRequest,
        by: &str,
    ) -> Result<AgreementApplied, ApiError> {
        let known = self.partner(&request.partner)?;
        if !known.partner.role.is_guest() {
            return Err(ApiError::conflict(format!(
                "{0} is a host of ours only, its users do not come here: pair again with --role guest or both",
                request.partner
            )));
        }
        let terms = first_terms(request)?;
        Self::require_consenting(&known, &terms)?;
        let request_id = RequestId::random();
        self.require_roles(&terms.roles, request_id).await?;
        let (projects, project) = self
            .home_project(
                &known,
                &request.project,
                request.project_domain.as_deref(),
                request_id,
            )
            .await?;
        let in_force_since = (!terms.need_consent(None)).then(now);
        let agreement = Agreement {
            id: Uuid::new_v4().to_string(),
            partner: known.partner.cloud_id.clone(),
            projects,
            project_name: project
                .as_ref()
                .map(|project| clean(&project.name, NAME_LEN)),
            project_domain: project
                .as_ref()
                .map(|project| clean(&project.domain.name, NAME_LEN)),
            version: in_force_since.map(|_| 1),
            terms,
            ended_at: None,
        };
        self.store.agreements().create(&agreement, now()).await?;
        tracing::info!(partner = request.partner, agreement = agreement.id, projects = %agreement.projects, "an agreement was made");
        self.audit(by, "agreement.made", &request.partner, &agreement.id)
            .await;
        self.propose(&agreement, &agreement.terms, None, by, in_force_since)
            .await?;
        let applied = self.version_added(&known, in_force_since.is_some()).await?;
        self.agreement_applied(&agreement.id, &known, applied).await
    }

    /// Checks that this cloud has these roles.
    ///
    /// # Errors
    /// With those that it has not, or if its Keystone does not say.
    pub(super) async fn require_roles(
        &self,
        roles: &BTreeSet<String>,
        request_id: RequestId,
    ) -> Result<(), ApiError> {
        let missing = self
            .keystone
            .roles_missing(roles, &request_id.to_string())
            .await
            .map_err(|error| {
                ApiError::upstream(format!(
                    "our Keystone did not say which roles there are: {error}"
                ))
            })?;
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<_> = missing.iter().map(String::as_str).collect();
        Err(ApiError::invalid(format!(
            "this cloud has no role {}; create it or name another one",
            missing.join(", ")
        )))
    }

    /// Ends what [`Daemon::agree`] granted.
    pub(crate) async fn end_agreement(
        self: &Arc<Self>,
        request: &EndRequest,
        by: &str,
    ) -> Result<AgreementApplied, ApiError> {
        let known = self.partner(&request.partner)?;
        let matches: Vec<&Agreement> = known
            .given
            .iter()
            .filter(|agreement| agreement.ended_at.is_none() && names(agreement, request))
            .collect();
        let agreement = match matches.as_slice() {
            [one] => one,
            [] => {
                return Err(ApiError::not_found(format!(
                    "no agreement with {} covers {:?}; see alliance agreement list",
                    request.partner, request.project
                )));
            }
            several => {
                let ids: Vec<_> = several
                    .iter()
                    .map(|agreement| agreement.id.as_str())
                    .collect();
                return Err(ApiError::conflict(format!(
                    "{} agreements with {} are about a project called {:?}: {}; name one by its id or add --project-domain",
                    several.len(),
                    request.partner,
                    request.project,
                    ids.join(", ")
                )));
            }
        };
        self.end_given(&known, agreement, by).await
    }

    /// Ends an agreement by its id, given or received.
    pub(crate) async fn end_by_id(
        self: &Arc<Self>,
        id: &str,
        by: &str,
    ) -> Result<AgreementApplied, ApiError> {
        let given = self.given(id).await;
        match given {
            Ok((known, agreement)) => self.end_given(&known, &agreement, by).await,
            Err(_) => self.end_received(id, by).await,
        }
    }

    async fn end_given(
        self: &Arc<Self>,
        known: &Arc<Known>,
        agreement: &Agreement,
        by: &str,
    ) -> Result<AgreementApplied, ApiError> {
        let partner = &known.partner.name;
        let ended = self.store.agreements().end(&agreement.id, now()).await?;
        self.sign_ending(&ended, by).await?;
        tracing::info!(partner, agreement = ended.id, "an agreement was ended");
        self.audit(by, "agreement.ended", partner, &ended.id).await;
        let applied = self.trust_changed(known).await?;
        self.agreement_applied(&ended.id, known, applied).await
    }

    /// The answer to a change of one agreement with a partner.
    pub(super) async fn agreement_applied(
        &self,
        id: &str,
        known: &Known,
        applied: Applied,
    ) -> Result<AgreementApplied, ApiError> {
        let mut agreements = self.agreements_with(known, Shown::Standing).await?;
        agreements.retain(|view| view.agreement.id == id);
        Ok(AgreementApplied {
            agreements,
            host_told: None,
            applied,
        })
    }

    /// All given ones, ended ones included, and the received ones, of each partner.
    pub(crate) async fn agreements(&self, shown: Shown) -> Result<Vec<AgreementView>, ApiError> {
        let mut views = Vec::new();
        for known in self.directory.partners().all() {
            views.extend(self.agreements_with(known, shown).await?);
        }
        Ok(views)
    }

    /// Those with one partner.
    pub(crate) async fn agreements_with(
        &self,
        known: &Known,
        shown: Shown,
    ) -> Result<Vec<AgreementView>, ApiError> {
        let partner = &known.partner.cloud_id;
        let (agreements, contracts) = (self.store.agreements(), self.store.contracts());
        let versions = contracts.versions(Side::Given, partner).await?;
        let mut views = Vec::new();
        for agreement in agreements.list(Some(partner)).await? {
            let ended_by = match agreement.ended_at {
                Some(_) => contracts.ending(&agreement.id).await?.0,
                None => None,
            };
            let signed = versions.get(&agreement.id).map_or(&[][..], Vec::as_slice);
            let contract = given_contract(&agreement, ended_by, signed, shown);
            views.push(self.agreement_view(known, agreement, contract, false));
        }
        let held = contracts.received(partner).await?;
        let signed = held
            .iter()
            .filter_map(|held| received_contract(known, held, shown));
        views.extend(signed.map(|(agreement, contract)| {
            self.agreement_view(known, agreement, Some(contract), true)
        }));
        let offers = known.facts.received.iter();
        let unsigned = offers.filter(|offer| {
            let id = offer.id.as_ref();
            !held.iter().any(|held| Some(&held.id) == id)
        });
        views.extend(
            unsigned.map(|offer| {
                self.agreement_view(known, unsigned_agreement(known, offer), None, true)
            }),
        );
        Ok(views)
    }

    fn agreement_view(
        &self,
        known: &Known,
        agreement: Agreement,
        contract: Option<ContractView>,
        received: bool,
    ) -> AgreementView {
        let at = now();
        let home = match received {
            true => self.identity.cloud_id(),
            false => &agreement.partner,
        };
        let host_project_id = match &agreement.projects {
            Projects::All => None,
            Projects::One(id) => Some(keystone_id::project(home, id)),
        };
        let is_rejected = contract
            .as_ref()
            .is_some_and(|contract| contract.standing == Standing::Rejected);
        let state = if agreement.ended_at.is_some() {
            "ended"
        } else if agreement.version.is_none() {
            match is_rejected {
                true => "rejected",
                false => "proposed",
            }
        } else if agreement.terms.since > at {
            "future"
        } else if !agreement.is_live(at) {
            "expired"
        } else if received
            && contract.is_some()
            && !is_offered(&known.facts.received, &agreement.id)
        {
            "withheld"
        } else {
            "live"
        };
        AgreementView {
            partner_name: known.partner.name.clone(),
            state: state.to_owned(),
            host_project_id,
            received,
            agreement,
            contract,
        }
    }

    /// The partner's project that an operator names by id, or by name and perhaps domain, or `*`.
    /// Its home is asked, and tells its names; where that does not answer, a UUID is enough.
    async fn home_project(
        &self,
        known: &Known,
        project: &str,
        domain: Option<&str>,
        request_id: RequestId,
    ) -> Result<(Projects, Option<Project>), ApiError> {
        if project == "*" {
            return Ok((Projects::All, None));
        }
        let partner = &known.partner.name;
        let unreachable = |error| {
            ApiError::upstream(format!(
                "{partner} did not say which project {project:?} is: {error:#}"
            ))
        };
        let mut found = Vec::new();
        if domain.is_none() && keystone_id::is_id(project) {
            found = match known.project_of_id(project, request_id).await {
                Ok(found) => told(found, Some(project)),
                Err(_) if Uuid::try_parse(project).is_ok() => {
                    return Ok((Projects::One(project.to_owned()), None));
                }
                Err(error) => return Err(unreachable(error)),
            };
        }
        if found.is_empty() {
            let answer = known.projects_named(project, domain, request_id).await;
            found = told(answer.map_err(unreachable)?, None);
        }
        match found.as_slice() {
            [one] => Ok((Projects::One(one.id.clone()), Some(one.clone()))),
            [] => Err(ApiError::not_found(format!(
                "{partner} has no project {project:?}"
            ))),
            several => {
                let domains: Vec<_> = several
                    .iter()
                    .map(|project| {
                        format!(
                            "{} in domain {}",
                            project.id,
                            clean(&project.domain.name, NAME_LEN)
                        )
                    })
                    .collect();
                Err(ApiError::conflict(format!(
                    "{partner} has {} projects called {project:?}: {}; add --project-domain or name the id",
                    several.len(),
                    domains.join(", ")
                )))
            }
        }
    }
}

impl Known {
    /// The partner's project of that id, if there is one.
    async fn project_of_id(&self, id: &str, request_id: RequestId) -> anyhow::Result<Vec<Project>> {
        Ok(match &self.way {
            Way::Peer(client) => {
                let by_id = ProjectQuery {
                    id: Some(id.to_owned()),
                    name: None,
                    domain: None,
                };
                client.projects(request_id, &by_id).await?
            }
            Way::Keystone(plain) => {
                let by_id = keystone::ProjectQuery::Id(id);
                let request_id = request_id.to_string();
                let found = plain.keystone.projects(by_id, &request_id).await;
                found.map_err(hinted)?
            }
        })
    }

    /// The partner's projects of that name, in that domain if one is named.
    async fn projects_named(
        &self,
        name: &str,
        domain: Option<&str>,
        request_id: RequestId,
    ) -> anyhow::Result<Vec<Project>> {
        Ok(match &self.way {
            Way::Peer(client) => {
                let by_name = ProjectQuery {
                    id: None,
                    name: Some(name.to_owned()),
                    domain: domain.map(str::to_owned),
                };
                client.projects(request_id, &by_name).await?
            }
            Way::Keystone(plain) => {
                let by_name = keystone::ProjectQuery::Name { name, domain };
                let request_id = request_id.to_string();
                let found = plain.keystone.projects(by_name, &request_id).await;
                found.map_err(hinted)?
            }
        })
    }
}

/// A service user that may validate tokens and nothing else is fine, too.
fn hinted(error: KeystoneError) -> anyhow::Error {
    let may_not = matches!(error, KeystoneError::MissingRole { .. });
    let error = anyhow::Error::new(error);
    if may_not {
        error.context(
            "its service user may not look for projects; name the project by its id, or let the user read",
        )
    } else {
        error
    }
}

/// Of what a partner told, projects that an agreement can be about: with an id, and that which was
/// asked about if one was. `*` is an operator's word, never a partner's.
fn told(mut found: Vec<Project>, asked: Option<&str>) -> Vec<Project> {
    found.retain(|project| {
        keystone_id::is_id(&project.id) && asked.is_none_or(|asked| project.id == asked)
    });
    found
}

/// What a host grants whose daemon signs no agreements.
fn unsigned_agreement(known: &Known, offer: &Received) -> Agreement {
    Agreement {
        id: offer.id.clone().unwrap_or_default(),
        partner: known.partner.cloud_id.clone(),
        projects: offer.project_id.clone(),
        project_name: None,
        project_domain: None,
        version: Some(offer.version.unwrap_or(1)),
        terms: Terms {
            services: offer.services.clone(),
            transitive: offer.transitive,
            till: offer.till,
            ..Terms::granting(offer.roles.clone(), 0)
        },
        ended_at: None,
    }
}

fn names(agreement: &Agreement, request: &EndRequest) -> bool {
    let project = request.project.as_str();
    if agreement.id == project || agreement.projects.to_string() == project {
        return true;
    }
    agreement.project_name.as_deref() == Some(project)
        && request
            .project_domain
            .as_deref()
            .is_none_or(|domain| agreement.project_domain.as_deref() == Some(domain))
}

#[cfg(test)]
mod tests {
    use alliance_core::statement::Named;

    use super::*;

    #[test]
    fn a_partner_cannot_widen_an_agreement_by_what_it_calls_its_project() {
        let project = |id: &str| Project {
            id: id.to_owned(),
            name: "science".into(),
            domain: Named {
                id: "default".into(),
                name: "Default".into(),
            },
        };
        let ids = |found: Vec<Project>| found.into_iter().map(|p| p.id).collect::<Vec<_>>();
        let answer = || vec![project("*"), project("a/b"), project("p"), project("q")];
        assert_eq!(ids(told(answer(), None)), ["p", "q"]);
        assert_eq!(ids(told(answer(), Some("p"))), ["p"]);
        assert!(told(answer(), Some("*")).is_empty());
    }
}
