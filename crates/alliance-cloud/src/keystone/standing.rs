//! Why somebody or something does not count here: also what is disabled is shown.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::keystone_id::is_id;
use futures_util::future::try_join_all;
use serde::Deserialize;

use super::project::{ProjectBody, ProjectJson};
use super::{Call, Keystone, KeystoneError, ProjectQuery};
use crate::transport::Question;

/// How many questions are asked at once.
const AT_ONCE: usize = 4;

/// A project, whether or not it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectStanding {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its domain's id.
    pub domain_id: String,
    /// Its domain's name, if there is such a domain.
    pub domain_name: Option<String>,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Whether its domain is.
    pub domain_enabled: bool,
    /// Whether it is a project of this cloud's own: no domain, no shadow of a partner's project.
    pub is_native: bool,
}

impl Keystone {
    /// The projects that match, those included that do not count.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn project_standings(
        &self,
        query: ProjectQuery<'_>,
        request_id: &str,
    ) -> Result<Vec<ProjectStanding>, KeystoneError> {
        let call = self.call(request_id);
        let found = match query {
            ProjectQuery::Id(id) => self.projects_of(&[id], call).await?,
            ProjectQuery::Name { name: "", .. } => Vec::new(),
            ProjectQuery::Name { name, .. } => {
                let question = Question::list(["projects"]).query("name", name);
                let mut found = self.list::<Projects>(question, call).await?.projects;
                found.retain(|project| project.name == name);
                found
            }
        };
        let mut standings = self.standings(found, call).await?;
        if let ProjectQuery::Name {
            domain: Some(wanted),
            ..
        } = query
        {
            standings.retain(|standing| {
                standing.domain_id == wanted || standing.domain_name.as_deref() == Some(wanted)
            });
        }
        Ok(standings)
    }

    /// How those of these projects are that there are.
    ///
    /// # Errors
    /// If Keystone does not say of all of them.
    pub async fn standings_of(
        &self,
        ids: &[&str],
        request_id: &str,
    ) -> Result<Vec<ProjectStanding>, KeystoneError> {
        let call = self.call(request_id);
        let found = self.projects_of(ids, call).await?;
        self.standings(found, call).await
    }

    /// The ids of the users of that name, in any domain.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn user_ids(
        &self,
        name: &str,
        request_id: &str,
    ) -> Result<Vec<String>, KeystoneError> {
        let question = Question::list(["users"]).query("name", name);
        let found: Users = self.list(question, self.call(request_id)).await?;
        let found = found.users.into_iter().filter(|user| user.name == name);
        Ok(found.map(|user| user.id).collect())
    }

    async fn projects_of(
        &self,
        ids: &[&str],
        call: Call<'_>,
    ) -> Result<Vec<ProjectJson>, KeystoneError> {
        let ids: Vec<&str> = ids.iter().copied().filter(|id| is_id(id)).collect();
        let mut projects = Vec::new();
        for some in ids.chunks(AT_ONCE) {
            let asked = some.iter().map(async |id| {
                let question = Question::get(["projects", id]);
                let found: Option<ProjectBody> = self.find(question, call).await?;
                let project = found.map(|body| body.project);
                Ok::<_, KeystoneError>(project.filter(|project| project.id == *id))
            });
            projects.extend(try_join_all(asked).await?.into_iter().flatten());
        }
        Ok(projects)
    }

    /// How they are. A domain that several have is asked about once.
    async fn standings(
        &self,
        projects: Vec<ProjectJson>,
        call: Call<'_>,
    ) -> Result<Vec<ProjectStanding>, KeystoneError> {
        let ids = projects.iter().filter_map(|each| each.domain_id.clone());
        let ids: Vec<String> = ids.collect::<BTreeSet<_>>().into_iter().collect();
        let mut domains = BTreeMap::new();
        for some in ids.chunks(AT_ONCE) {
            let asked = some.iter().map(|id| self.find_domain(id, call));
            let found = try_join_all(asked).await?.into_iter().flatten();
            domains.extend(found.map(|domain| (domain.id.clone(), domain)));
        }
        let standings = projects.into_iter().map(|project| {
            let domain_id = project.domain_id.unwrap_or_default();
            let domain = domains.get(&domain_id);
            ProjectStanding {
                enabled: project.enabled,
                domain_enabled: domain.is_some_and(|domain| domain.enabled),
                is_native: !project.is_domain && project.alliance_project_id.is_none(),
                id: project.id,
                name: project.name,
                domain_name: domain.map(|domain| domain.name.clone()),
                domain_id,
            }
        });
        Ok(standings.collect())
    }
}

#[derive(Deserialize)]
struct Projects {
    projects: Vec<ProjectJson>,
}

#[derive(Deserialize)]
struct Users {
    users: Vec<UserJson>,
}

#[derive(Deserialize)]
struct UserJson {
    id: String,
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_answers_read() {
        let found: Projects = serde_json::from_str(include_str!("fixtures/projects.json")).unwrap();
        assert!(found.projects.iter().all(|project| project.enabled));
        let users = r#"{"users": [{"id": "u", "name": "ann", "domain_id": "default", "enabled": true}], "links": {}}"#;
        let found: Users = serde_json::from_str(users).unwrap();
        assert_eq!(
            (found.users[0].id.as_str(), found.users[0].name.as_str()),
            ("u", "ann")
        );
    }
}
