//! Finding projects.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::keystone_id::is_id;
use alliance_core::statement::{Named, Project};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::domain::DomainJson;
use super::{Call, Keystone, KeystoneError};
use crate::transport::Question;

/// Above so many different domains, all are listed at once.
const DOMAINS_ONE_BY_ONE: usize = 3;

/// Which projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectQuery<'a> {
    /// The one of this id.
    Id(&'a str),
    /// Those of this name.
    Name {
        /// The name, exactly.
        name: &'a str,
        /// The id or name of their domain; any if none.
        domain: Option<&'a str>,
    },
}

impl Keystone {
    /// The enabled projects that match, in enabled domains; no domains, no shadows of partners'
    /// projects.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn projects(
        &self,
        query: ProjectQuery<'_>,
        request_id: &str,
    ) -> Result<Vec<Project>, KeystoneError> {
        let call = self.call(request_id);
        match query {
            ProjectQuery::Id(id) if !is_id(id) => Ok(Vec::new()),
            ProjectQuery::Id(id) => {
                let project = self.live_project(id, call).await?;
                Ok(project.into_iter().collect())
            }
            ProjectQuery::Name { name: "", .. } => Ok(Vec::new()),
            ProjectQuery::Name { name, domain } => self.projects_named(name, domain, call).await,
        }
    }

    async fn projects_named(
        &self,
        name: &str,
        domain: Option<&str>,
        call: Call<'_>,
    ) -> Result<Vec<Project>, KeystoneError> {
        let question = Question::list(["projects"])
            .query("name", name)
            .query("enabled", "true");
        let found: Projects = self.list(question, call).await?;
        let found: Vec<ProjectJson> = found
            .projects
            .into_iter()
            .filter(|project| project.name == name && project.is_native())
            .collect();
        let domains = self.enabled_domains(&found, call).await?;
        let wanted = |found: &Named| domain.is_none_or(|d| found.id == d || found.name == d);
        Ok(found
            .into_iter()
            .filter_map(|project| {
                let domain = domains.get(project.domain_id.as_deref()?)?;
                wanted(domain).then(|| project.within(domain.clone()))
            })
            .collect())
    }

    /// The ids of projects and of domains that are disabled: their tokens do not count, and Keystone
    /// stores no revocation event for that.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn disabled(
        &self,
        request_id: &str,
    ) -> Result<(BTreeSet<String>, BTreeSet<String>), KeystoneError> {
        let call = self.call(request_id);
        let projects = Question::list(["projects"]).query("enabled", "false");
        let domains = Question::list(["domains"]).query("enabled", "false");
        let (projects, domains): (Projects, Domains) =
            tokio::try_join!(self.list(projects, call), self.list(domains, call))?;
        let projects = projects.projects.into_iter().filter(|each| !each.enabled);
        let domains = domains.domains.into_iter().filter(|each| !each.enabled);
        Ok((
            projects.map(|project| project.id).collect(),
            domains.map(|domain| domain.id).collect(),
        ))
    }

    async fn enabled_domains(
        &self,
        projects: &[ProjectJson],
        call: Call<'_>,
    ) -> Result<BTreeMap<String, Named>, KeystoneError> {
        let mut ids: Vec<&str> = projects
            .iter()
            .filter_map(|p| p.domain_id.as_deref())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mut domains = Vec::new();
        if ids.len() > DOMAINS_ONE_BY_ONE {
            let all: Domains = self.list(Question::list(["domains"]), call).await?;
            domains = all.domains;
        } else {
            for id in ids {
                domains.extend(self.find_domain(id, call).await?);
            }
        }
        Ok(domains
            .into_iter()
            .filter(|domain| domain.enabled)
            .map(|domain| (domain.id.clone(), domain.named()))
            .collect())
    }
}

#[derive(Deserialize)]
pub(super) struct Projects {
    pub(super) projects: Vec<ProjectJson>,
}

#[derive(Deserialize)]
struct Domains {
    domains: Vec<DomainJson>,
}

#[derive(Deserialize)]
pub(super) struct ProjectBody {
    pub(super) project: ProjectJson,
}

/// A project as Keystone shows it.
#[derive(Clone, Deserialize)]
pub(super) struct ProjectJson {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) domain_id: Option<String>,
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) is_domain: bool,
    /// The plugin's mark on the shadow of a partner's project.
    pub(super) alliance_project_id: Option<IgnoredAny>,
}

impl ProjectJson {
    /// Whether it is an enabled project of this cloud's own.
    pub(super) fn is_native(&self) -> bool {
        self.enabled && !self.is_domain && self.alliance_project_id.is_none()
    }

    pub(super) fn within(self, domain: Named) -> Project {
        Project {
            id: self.id,
            name: self.name,
            domain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_projects_read() {
        let found: Projects = serde_json::from_str(include_str!("fixtures/projects.json")).unwrap();
        assert_eq!(found.projects.len(), 1);
        let body: ProjectBody =
            serde_json::from_str(include_str!("fixtures/project.json")).unwrap();
        assert!(body.project.is_native());
        assert_eq!(body.project.domain_id.as_deref(), Some("default"));
    }

    #[test]
    fn shadows_domains_and_disabled_ones_are_not_native() {
        for extra in [
            r#""enabled": false"#,
            r#""enabled": true, "is_domain": true"#,
            r#""enabled": true, "alliance_project_id": "x""#,
        ] {
            let json = format!(r#"{{"id": "p", "name": "n", "domain_id": "d", {extra}}}"#);
            let project: ProjectJson = serde_json::from_str(&json).unwrap();
            assert!(!project.is_native(), "{extra}");
        }
    }
}
