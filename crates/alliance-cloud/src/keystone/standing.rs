//! Why somebody or something does not count here: also what is disabled is shown.

use alliance_core::keystone_id::is_id;
use serde::Deserialize;

use super::project::{ProjectBody, ProjectJson};
use super::{Call, Keystone, KeystoneError, ProjectQuery};
use crate::transport::Question;

/// A project, whether or not it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectStanding {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its domain's id.
    pub domain_id: String,
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
            ProjectQuery::Id(id) if !is_id(id) => Vec::new(),
            ProjectQuery::Id(id) => {
                let found: Option<ProjectBody> =
                    self.find(Question::get(["projects", id]), call).await?;
                let found = found.map(|body| body.project);
                found
                    .filter(|project| project.id == id)
                    .into_iter()
                    .collect()
            }
            ProjectQuery::Name { name: "", .. } => Vec::new(),
            ProjectQuery::Name { name, .. } => {
                let question = Question::list(["projects"]).query("name", name);
                let mut found = self.list::<Projects>(question, call).await?.projects;
                found.retain(|project| project.name == name);
                found
            }
        };
        let mut standings = Vec::new();
        for project in found {
            let standing = self.standing(project, call).await?;
            if let ProjectQuery::Name {
                domain: Some(domain),
                ..
            } = query
                && domain != standing.domain_id
                && !self.is_called(&standing.domain_id, domain, call).await?
            {
                continue;
            }
            standings.push(standing);
        }
        Ok(standings)
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

    async fn standing(
        &self,
        project: ProjectJson,
        call: Call<'_>,
    ) -> Result<ProjectStanding, KeystoneError> {
        let domain_id = project.domain_id.clone().unwrap_or_default();
        let domain = self.find_domain(&domain_id, call).await?;
        Ok(ProjectStanding {
            enabled: project.enabled,
            domain_enabled: domain.is_some_and(|domain| domain.enabled),
            is_native: !project.is_domain && project.alliance_project_id.is_none(),
            id: project.id,
            name: project.name,
            domain_id,
        })
    }

    async fn is_called(
        &self,
        domain_id: &str,
        name: &str,
        call: Call<'_>,
    ) -> Result<bool, KeystoneError> {
        let domain = self.find_domain(domain_id, call).await?;
        Ok(domain.is_some_and(|domain| domain.name == name))
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
