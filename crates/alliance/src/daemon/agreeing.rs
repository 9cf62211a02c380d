//! Making and ending agreements.

use std::collections::BTreeSet;
use std::sync::Arc;

use alliance_cloud::keystone::{self, KeystoneError};
use alliance_core::agreement::{Agreement, Projects};
use alliance_core::keystone_id;
use alliance_core::label::clean;
use alliance_core::statement::Project;
use alliance_peer::request_id::RequestId;
use alliance_peer::wire::ProjectQuery;
use uuid::Uuid;

use super::Daemon;
use super::clock::now;
use super::delegate::ApiError;
use super::directory::{Known, Way};
use crate::wire::{AgreementApplied, AgreementRequest, AgreementView, EndRequest};

/// Longest name that is kept for display, in characters.
const NAME_LEN: usize = 64;

impl Daemon {
    /// Grants a partner's project something.
    pub(crate) async fn agree(
        self: &Arc<Self>,
        request: &AgreementRequest,
    ) -> Result<AgreementApplied, ApiError> {
        let known = self.partner(&request.partner)?;
        if !known.partner.role.is_guest() {
            return Err(ApiError::conflict(format!(
                "{0} is a host of ours only, its users do not come here: pair again with --role guest or both",
                request.partner
            )));
        }
        if request.roles.is_empty() {
            return Err(ApiError::invalid("name at least one --role"));
        }
        if request.till.is_some_and(|till| till <= now()) {
            return Err(ApiError::invalid("the agreement would end in the past"));
        }
        let request_id = RequestId::random();
        let missing = self
            .keystone
            .roles_missing(&request.roles, &request_id.to_string())
            .await
            .map_err(|error| {
                ApiError::upstream(format!(
                    "our Keystone did not say which roles there are: {error}"
                ))
            })?;
        if !missing.is_empty() {
            return Err(ApiError::invalid(format!(
                "this cloud has no role {}; create it or name another one",
                missing
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
        let (projects, project) = self
            .home_project(
                &known,
                &request.project,
                request.project_domain.as_deref(),
                request_id,
            )
            .await?;
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
            roles: request.roles.clone(),
            services: request.services.clone(),
            transitive: request.transitive,
            allow: request.allow.clone(),
            since: now(),
            till: request.till,
            ended_at: None,
        };
        self.store.agreements().create(&agreement, now()).await?;
        tracing::info!(partner = request.partner, agreement = agreement.id, projects = %agreement.projects, "an agreement was made");
        self.audit(
            "operator",
            "agreement.made",
            &request.partner,
            &agreement.id,
        )
        .await;
        let applied = self.trust_changed(&known).await?;
        Ok(AgreementApplied {
            agreements: vec![self.agreement_view(agreement, &request.partner, false)],
            applied,
        })
    }

    /// Ends what [`Daemon::agree`] granted.
    pub(crate) async fn end_agreement(
        self: &Arc<Self>,
        request: &EndRequest,
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
        let ended = self.store.agreements().end(&agreement.id, now()).await?;
        tracing::info!(
            partner = request.partner,
            agreement = ended.id,
            "an agreement was ended"
        );
        self.audit("operator", "agreement.ended", &request.partner, &ended.id)
            .await;
        let applied = self.trust_changed(&known).await?;
        Ok(AgreementApplied {
            agreements: vec![self.agreement_view(ended, &request.partner, false)],
            applied,
        })
    }

    /// All given ones, ended ones included, then the received ones.
    pub(crate) async fn agreements(&self) -> Result<Vec<AgreementView>, ApiError> {
        let mut views = Vec::new();
        for known in self.directory.partners().all() {
            let name = &known.partner.name;
            let given = self
                .store
                .agreements()
                .list(Some(&known.partner.cloud_id))
                .await?;
            views.extend(
                given
                    .into_iter()
                    .map(|agreement| self.agreement_view(agreement, name, false)),
            );
            views.extend(known.facts.received.iter().map(|received| {
                let agreement = Agreement {
                    id: String::new(),
                    partner: known.partner.cloud_id.clone(),
                    projects: received.project_id.clone(),
                    project_name: None,
                    project_domain: None,
                    roles: received.roles.clone(),
                    services: received.services.clone(),
                    transitive: false,
                    allow: BTreeSet::new(),
                    since: 0,
                    till: received.till,
                    ended_at: None,
                };
                self.agreement_view(agreement, name, true)
            }));
        }
        Ok(views)
    }

    fn agreement_view(&self, agreement: Agreement, partner: &str, received: bool) -> AgreementView {
        let at = now();
        let home = if received {
            self.identity.cloud_id()
        } else {
            &agreement.partner
        };
        let host_project_id = match &agreement.projects {
            Projects::All => None,
            Projects::One(id) => Some(keystone_id::project(home, id)),
        };
        let state = if agreement.ended_at.is_some() {
            "ended"
        } else if agreement.is_live(at) {
            "live"
        } else if agreement.since > at {
            "future"
        } else {
            "expired"
        };
        AgreementView {
            partner_name: partner.to_owned(),
            state: state.to_owned(),
            host_project_id,
            received,
            agreement,
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
