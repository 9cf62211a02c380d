//! Why a project of this cloud sees a partner's region, or does not: what is known here, what Keystone
//! says, and if wanted whether the endpoints answer. The partner is not asked.

use std::collections::BTreeSet;
use std::time::Duration;

use alliance_cloud::keystone::{ProjectQuery, ProjectStanding, UserGrants};
use alliance_cloud::probe;
use alliance_core::contract::Said;
use alliance_core::explanation::{
    Condition, Contract, Host, Inputs, Mend, Name, ProjectFound, State, UserFound, Who, explain,
    shown,
};
use alliance_core::label::clean;
use alliance_core::snapshot::Showing;
use alliance_peer::request_id::RequestId;
use alliance_store::{AgreementVersion, ReceivedAgreement};
use futures_util::future::join_all;

use super::Daemon;
use super::clock::now;
use super::delegate::ApiError;
use super::directory::Known;
use crate::wire::{ExplainRequest, Explanation};

/// How long an endpoint may take.
const PROBE_DEADLINE: Duration = Duration::from_secs(3);

impl Daemon {
    /// Each condition for a project of ours to see a partner's region.
    ///
    /// # Errors
    /// If the name of the project or user fits several.
    pub(crate) async fn explain(&self, request: &ExplainRequest) -> Result<Explanation, ApiError> {
        let id = RequestId::random().to_string();
        let project = self
            .project_found(&request.project, request.project_domain.as_deref(), &id)
            .await?;
        let project_id = match &project {
            ProjectFound::Some { id, .. } => Some(id.clone()),
            ProjectFound::None | ProjectFound::Unknown(_) => None,
        };
        let user = match (&request.user, &project_id) {
            (Some(user), Some(project)) => Some(self.user_found(user, project, &id).await?),
            (Some(_), None) => Some(UserFound::Unknown("there is no such project".to_owned())),
            (None, _) => None,
        };
        let at = now();
        let partners = self.directory.partners();
        let all = partners.all();
        let showing = self.catalog.showing();
        let names = all.iter().flat_map(|known| regions_of(known, &showing));
        let regions: Vec<String> = names.collect();
        let found = all.iter().find_map(|known| {
            let told = known.descriptor()?.regions.iter();
            let mut there = told.map(|region| region.id.as_str());
            let id = there.find(|id| showing.names.name(&known.partner, id) == request.region)?;
            Some((*known, id))
        });
        let alias = request.region.split(':').next().unwrap_or_default();
        let known = found.map(|(known, _)| known);
        let known = known.or_else(|| all.iter().copied().find(|one| one.partner.name == alias));
        let held = match known {
            Some(known) => {
                let held = self.store.contracts().received(&known.partner.cloud_id);
                held.await?
            }
            None => Vec::new(),
        };
        let contracts: Vec<Contract<'_>> = held.iter().filter_map(as_contract).collect();
        let (own, admin_roles, health) = (
            self.catalog.current(),
            self.config.tokens.admin_roles.iter().cloned().collect(),
            self.publisher.told(),
        );
        let inputs = Inputs {
            now: at,
            cloud_name: &self.config.cloud.name,
            asked_project: &request.project,
            project: &project,
            region: &request.region,
            region_there: found.map(|(_, id)| id),
            host: known.map(|known| self.as_host(known, &contracts, at)),
            regions: &regions,
            own_service_types: &own.service_types,
            service: request.service.as_deref(),
            user: request.user.as_deref().zip(user.as_ref()),
            admin_roles: &admin_roles,
            showing: &showing,
            snapshot: (health.ok, &health.detail),
        };
        let mut conditions = explain(&inputs);
        if request.probe {
            conditions.extend(probes(&inputs).await);
        }
        let stands = |found: &Condition| matches!(found.state, State::Holds | State::LeftOut);
        Ok(Explanation {
            holds: conditions.iter().all(stands),
            project_id,
            partner: known.map(|known| known.partner.name.clone()),
            conditions,
        })
    }

    fn as_host<'k>(
        &self,
        known: &'k Known,
        contracts: &'k [Contract<'k>],
        at: alliance_core::Seconds,
    ) -> Host<'k> {
        let told = known.descriptor();
        let why = known.facts.last_error.as_deref().unwrap_or("no answer");
        Host {
            partner: &known.partner,
            their_status: known.facts.their_status,
            told: told.map(|told| (told.regions.as_slice(), told.exp)),
            received: &known.facts.received,
            contracts,
            login: known.policy.login,
            silent: self
                .border
                .silent_since(known, at)
                .map(|since| (since, why)),
            is_hidden: self.border.is_hidden(known, at),
        }
    }

    /// The project that is meant: the one of that id, else the one of that name.
    pub(super) async fn project_found(
        &self,
        name: &str,
        domain: Option<&str>,
        request_id: &str,
    ) -> Result<ProjectFound, ApiError> {
        let by_name = ProjectQuery::Name { name, domain };
        let mut found = Vec::new();
        let queries = [ProjectQuery::Id(name), by_name];
        let skipped = usize::from(domain.is_some());
        for query in queries.into_iter().skip(skipped) {
            match self.keystone.project_standings(query, request_id).await {
                Ok(standings) => found = standings,
                Err(error) => return Ok(ProjectFound::Unknown(error.to_string())),
            }
            if !found.is_empty() {
                break;
            }
        }
        // The shadow of a partner's project has any name that its home gave it.
        if found.len() > 1 {
            found.retain(|standing| standing.is_native);
        }
        match found.as_slice() {
            [] => Ok(ProjectFound::None),
            [one] => Ok(project_of(one)),
            several => {
                let ids: Vec<_> = several.iter().map(|one| one.id.as_str()).collect();
                Err(ApiError::conflict(format!(
                    "{} projects are called {:?}: {}; name the id, or add --project-domain",
                    several.len(),
                    name,
                    ids.join(", ")
                )))
            }
        }
    }

    async fn user_found(
        &self,
        user: &str,
        project_id: &str,
        request_id: &str,
    ) -> Result<UserFound, ApiError> {
        let by_id = self
            .keystone
            .grants(user, Some(project_id), request_id)
            .await;
        match by_id {
            Ok(UserGrants::Some(grants)) => return Ok(UserFound::Roles(grants.roles)),
            Ok(UserGrants::None) => {}
            Err(error) => return Ok(UserFound::Unknown(error.to_string())),
        }
        let ids = match self.keystone.user_ids(user, request_id).await {
            Ok(ids) => ids,
            Err(error) => return Ok(UserFound::Unknown(error.to_string())),
        };
        let mut roles: Vec<BTreeSet<String>> = Vec::new();
        for id in &ids {
            match self.keystone.grants(id, Some(project_id), request_id).await {
                Ok(UserGrants::Some(grants)) => roles.push(grants.roles),
                Ok(UserGrants::None) => {}
                Err(error) => return Ok(UserFound::Unknown(error.to_string())),
            }
        }
        match roles.len() {
            0 => Ok(UserFound::Nobody),
            1 => Ok(UserFound::Roles(roles.remove(0))),
            several => Err(ApiError::conflict(format!(
                "{several} users called {user:?} hold roles in that project: name the id, which is one of {}",
                ids.join(", ")
            ))),
        }
    }
}

/// An agreement that has not ended, as its host signed it.
fn as_contract(held: &ReceivedAgreement) -> Option<Contract<'_>> {
    let newest = held.newest().filter(|_| held.ended_at.is_none())?;
    let number = held.version;
    let in_force = held.versions.iter().find(|one| Some(one.number) == number);
    let is_accepted = |version: &AgreementVersion| {
        let reply = version.reply.as_ref();
        reply.is_some_and(|reply| reply.said == Said::Accepted)
    };
    let waits = newest.reply.is_none() && number != Some(newest.number);
    Some(Contract {
        id: &held.id,
        projects: &held.projects,
        in_force: in_force.map(|version| (version.number, &version.terms)),
        is_agreed: in_force.is_some_and(is_accepted),
        waiting: waits.then_some(newest.number),
    })
}

fn regions_of(known: &Known, showing: &Showing) -> Vec<String> {
    let told = known.descriptor().map_or(&[][..], |told| &told.regions);
    let names = told.iter();
    names
        .map(|region| clean(&showing.names.name(&known.partner, &region.id), 255))
        .collect()
}

fn project_of(standing: &ProjectStanding) -> ProjectFound {
    ProjectFound::Some {
        id: standing.id.clone(),
        name: standing.name.clone(),
        domain_id: standing.domain_id.clone(),
        enabled: standing.enabled,
        domain_enabled: standing.domain_enabled,
        is_native: standing.is_native,
    }
}

/// Whether the endpoints that users are shown answer, all asked at once.
async fn probes(inputs: &Inputs<'_>) -> Vec<Condition> {
    let shown = shown(inputs).into_iter();
    let probes = shown.flat_map(|(kind, urls)| {
        urls.into_iter().map(move |url| {
            let kind = kind.clone();
            async move {
                let answer = probe::root(&url, PROBE_DEADLINE).await;
                answered(&kind, &url, answer)
            }
        })
    });
    join_all(probes).await
}

fn answered(kind: &str, url: &str, answer: Result<(u16, Duration), String>) -> Condition {
    let url = clean(url, 200);
    let (state, detail, mend) = match answer {
        Ok((status, took)) => (
            State::Holds,
            format!("{url}: answers {status} in {} ms", took.as_millis()),
            None,
        ),
        Err(error) => (
            State::Broken,
            format!("{url}: {error}"),
            Some(Mend {
                who: Who::PartnersOperator,
                what: "the service, or the network between, from this machine at least".to_owned(),
            }),
        ),
    };
    Condition {
        name: Name::Endpoint,
        service: Some(clean(kind, 64)),
        state,
        detail,
        mend,
    }
}
