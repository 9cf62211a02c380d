//! Which project here belongs to which project of which partner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alliance_core::agreement::{Agreement, Projects, covering};
use alliance_core::cloud::CloudId;
use alliance_core::keystone_id;
use alliance_core::limits::Standing;
use alliance_core::session::Session;
use alliance_store::GuestProject;

use super::Daemon;
use super::clock::now;
use super::directory::Known;
use crate::wire::{LimitView, ProjectView};

impl Daemon {
    /// The projects of partners that were here, and those that may come.
    pub(crate) fn guest_projects(&self) -> Vec<ProjectView> {
        let at = now();
        let mut here: BTreeMap<(CloudId, String), Vec<Arc<Session>>> = BTreeMap::new();
        for (cloud_id, session) in self.host.sessions() {
            if session.expires_at() > at
                && !self.host.has_ended(session.id())
                && let Some(project_id) = session.project_id()
            {
                let place = here.entry((cloud_id, project_id.to_owned())).or_default();
                place.push(session);
            }
        }
        let mut seen: BTreeMap<(CloudId, String), GuestProject> = BTreeMap::new();
        for project in self.host.projects() {
            let key = (project.cloud_id.clone(), project.project_id.clone());
            seen.insert(key, project);
        }
        let mut views = Vec::new();
        for known in self.directory.partners().all() {
            let cloud_id = &known.partner.cloud_id;
            let named = known.given.iter().filter(|agreement| agreement.is_live(at));
            let named = named.filter_map(|agreement| match &agreement.projects {
                Projects::All => None,
                Projects::One(id) => Some(id.clone()),
            });
            let came = seen.keys().filter(|(of, _)| of == cloud_id);
            let ids: BTreeSet<String> = came.map(|(_, id)| id.clone()).chain(named).collect();
            views.extend(ids.into_iter().map(|id| {
                let key = (cloud_id.clone(), id);
                let sessions = here.get(&key).map_or(&[][..], Vec::as_slice);
                let given: Vec<&Agreement> = covering(&known.given, &key.1, at).collect();
                view(known, &key.1, seen.get(&key), &given, sessions)
            }));
        }
        views
    }

    /// What the services allow partners' projects, as `alliance work` last saw it.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn guest_limits(&self) -> anyhow::Result<Vec<LimitView>> {
        let seen = self.store.project_limits().list().await?;
        let partners = self.directory.partners();
        let projects = self.host.projects();
        let mut views = Vec::new();
        for one in seen {
            let Some(known) = partners.by_cloud(&one.cloud_id) else {
                continue;
            };
            // Without an agreement nobody looks any more.
            let mut given = covering(&known.given, &one.project_id, now());
            if given.next().is_none() {
                continue;
            }
            let named = projects.iter().find(|project| {
                project.cloud_id == one.cloud_id && project.project_id == one.project_id
            });
            let nothing = LimitView {
                partner: known.partner.name.clone(),
                project_id: one.project_id.clone(),
                project_name: named.and_then(|project| project.name.clone()),
                region: one.region.clone(),
                resource: None,
                agreed: None,
                limit: None,
                used: 0,
                standing: Standing::Pending,
                problem: one.problem.clone(),
                at: one.at,
            };
            if one.limits.is_empty() {
                views.push(nothing);
                continue;
            }
            views.extend(one.limits.into_iter().map(|(resource, held)| LimitView {
                resource: Some(resource),
                agreed: held.agreed,
                limit: held.found.limit,
                used: held.found.used,
                standing: held.standing(),
                ..nothing.clone()
            }));
        }
        Ok(views)
    }
}

fn view(
    known: &Known,
    project_id: &str,
    seen: Option<&GuestProject>,
    given: &[&Agreement],
    sessions: &[Arc<Session>],
) -> ProjectView {
    // What home said when the agreement was made stands in until somebody comes.
    let agreed = given
        .iter()
        .find(|agreement| agreement.projects != Projects::All);
    let said = seen.and_then(|seen| seen.name.clone().zip(seen.domain_name.clone()));
    let said = said.or_else(|| {
        let agreed = agreed?;
        agreed
            .project_name
            .clone()
            .zip(agreed.project_domain.clone())
    });
    let (name, domain_name) = said.unzip();
    // Spellings of one token are one session.
    let ids: BTreeSet<&str> = sessions.iter().map(|session| session.id()).collect();
    let users: BTreeSet<&str> = sessions.iter().map(|one| one.user_id()).collect();
    ProjectView {
        partner: known.partner.name.clone(),
        project_id: project_id.to_owned(),
        name,
        domain_name,
        host_project_id: keystone_id::project(&known.partner.cloud_id, project_id),
        agreements: given.iter().map(|agreement| agreement.id.clone()).collect(),
        users: users.len(),
        sessions: ids.len(),
        first_seen: seen.map(|seen| seen.first_seen),
        last_seen: seen.map(|seen| seen.last_seen),
    }
}
