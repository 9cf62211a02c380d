//! Which roles users have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alliance_core::keystone_id::is_id;
use alliance_core::statement::{Grants, HomeUser, Named, Project};
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::domain::DomainJson;
use super::project::{ProjectBody, ProjectJson};
use super::role::{Assignment, Assignments};
use super::{Call, Keystone, KeystoneError};
use crate::transport::Question;

/// How many things Keystone is asked at once for one who asks about many users.
const AT_ONCE: usize = 4;
/// Of so many users in one project all its assignments are listed, instead of those of each.
const LISTED: usize = 4;

/// Keystone's word about a user.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "made once per question and taken apart at once"
)]
pub enum UserGrants {
    /// The user is native and enabled, and holds roles in the project if one was asked about.
    Some(Grants),
    /// There is no such user or project, one of them or its domain is disabled, the user is
    /// federated, or holds no role there.
    None,
}

impl Keystone {
    /// The roles of a user in a project, implied and inherited ones and those of groups included.
    /// Without a project: only the user, no roles.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn grants(
        &self,
        user_id: &str,
        project_id: Option<&str>,
        request_id: &str,
    ) -> Result<UserGrants, KeystoneError> {
        if !is_id(user_id) || project_id.is_some_and(|id| !is_id(id)) {
            return Ok(UserGrants::None);
        }
        let call = self.call(request_id);
        let grants = match project_id {
            None => self.native_user(user_id, call).await?.map(|user| Grants {
                user,
                project: None,
                roles: BTreeSet::new(),
            }),
            Some(project_id) => {
                let (user, project, roles) = tokio::try_join!(
                    self.enabled_user(user_id, call),
                    self.enabled_project(project_id, call),
                    self.effective_roles(user_id, project_id, call),
                )?;
                match (user, project) {
                    (Some(user), Some(project)) if !roles.is_empty() => {
                        self.within_domains(user, project, roles, call).await?
                    }
                    _ => None,
                }
            }
        };
        Ok(grants.map_or(UserGrants::None, UserGrants::Some))
    }

    /// The same of several users, each in a project or without one, in their order: what they have
    /// in common is asked for once.
    ///
    /// # Errors
    /// If Keystone does not say of all of them.
    pub async fn grants_of_many(
        &self,
        asked: &[(&str, Option<&str>)],
        request_id: &str,
    ) -> Result<Vec<UserGrants>, KeystoneError> {
        let of_ids =
            |(user, project): &&(&str, Option<&str>)| is_id(user) && project.is_none_or(is_id);
        let mut users_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (user, project) in asked.iter().filter(of_ids) {
            if let Some(project) = project {
                users_of.entry(project).or_default().insert(user);
            }
        }
        let users: BTreeSet<&str> = asked.iter().filter(of_ids).map(|(user, _)| *user).collect();
        // Each thing has a deadline of its own: together they may take longer than one question.
        let call = || self.call(request_id);
        let asked_users = users
            .into_iter()
            .map(|id| (id, self.enabled_user(id, call())));
        let users = a_few_at_a_time(asked_users.collect()).await?;
        let ids = users_of.keys();
        let asked_projects = ids.map(|id| (*id, self.enabled_project(id, call())));
        let projects = a_few_at_a_time(asked_projects.collect()).await?;
        let asked_roles = users_of.iter();
        let asked_roles =
            asked_roles.map(|(id, users)| (*id, self.roles_of(users, id, request_id)));
        let roles = a_few_at_a_time(asked_roles.collect()).await?;
        let of_users = users.values().flatten().map(|user| &user.domain_id);
        let of_projects = projects.values().flatten();
        let of_projects = of_projects.filter_map(|project| project.domain_id.as_ref());
        let domains: BTreeSet<&str> = of_users.chain(of_projects).map(String::as_str).collect();
        let domains = domains
            .into_iter()
            .map(|id| (id, self.live_domain(id, call())));
        let domains = a_few_at_a_time(domains.collect()).await?;
        let domain = |id: &str| domains.get(id).cloned().flatten();
        let grants = |user: &str, project: Option<&str>| {
            let home_user = users.get(user)?.clone()?;
            let user_domain = domain(&home_user.domain_id)?;
            let (project, roles) = match project {
                None => (None, BTreeSet::new()),
                Some(id) => {
                    let project = projects.get(id)?.clone()?;
                    let project_domain = domain(project.domain_id.as_ref()?)?;
                    let roles = roles.get(id)?.get(user)?.clone();
                    (Some(project.within(project_domain)), roles)
                }
            };
            Some(Grants {
                user: home_user.within(user_domain),
                project,
                roles,
            })
        };
        let found = asked.iter().map(|(user, project)| grants(user, *project));
        Ok(found
            .map(|grants| grants.map_or(UserGrants::None, UserGrants::Some))
            .collect())
    }

    /// The roles in a project of those of `users` that have any.
    async fn roles_of(
        &self,
        users: &BTreeSet<&str>,
        project_id: &str,
        request_id: &str,
    ) -> Result<RolesOf, KeystoneError> {
        if users.len() >= LISTED {
            let question = Question::list(["role_assignments"])
                .query("effective", "true")
                .query("include_names", "true")
                .query("scope.project.id", project_id);
            let found: Option<Assignments> = self.find(question, self.call(request_id)).await?;
            return Ok(found.map(|all| all.by_user(project_id)).unwrap_or_default());
        }
        let mut all = RolesOf::new();
        for user in users {
            let roles = self.effective_roles(user, project_id, self.call(request_id));
            let roles = roles.await?;
            if !roles.is_empty() {
                all.insert((*user).to_owned(), roles);
            }
        }
        Ok(all)
    }

    /// Mostly both are in one domain: it is asked about once.
    async fn within_domains(
        &self,
        user: UserJson,
        project: ProjectJson,
        roles: BTreeSet<String>,
        call: Call<'_>,
    ) -> Result<Option<Grants>, KeystoneError> {
        let Some(project_domain_id) = &project.domain_id else {
            return Ok(None);
        };
        let (of_user, of_project) = if *project_domain_id == user.domain_id {
            let domain = self.live_domain(project_domain_id, call).await?;
            (domain.clone(), domain)
        } else {
            tokio::try_join!(
                self.live_domain(&user.domain_id, call),
                self.live_domain(project_domain_id, call),
            )?
        };
        Ok(of_user.zip(of_project).map(|(of_user, of_project)| Grants {
            user: user.within(of_user),
            project: Some(project.within(of_project)),
            roles,
        }))
    }

    async fn native_user(
        &self,
        id: &str,
        call: Call<'_>,
    ) -> Result<Option<HomeUser>, KeystoneError> {
        let Some(user) = self.enabled_user(id, call).await? else {
            return Ok(None);
        };
        let domain = self.live_domain(&user.domain_id, call).await?;
        Ok(domain.map(|domain| user.within(domain)))
    }

    async fn enabled_user(
        &self,
        id: &str,
        call: Call<'_>,
    ) -> Result<Option<UserJson>, KeystoneError> {
        let found: Option<UserBody> = self.find(Question::get(["users", id]), call).await?;
        let user = found.map(|body| body.user);
        Ok(user.filter(|user| user.is_native(id)))
    }

    pub(super) async fn live_project(
        &self,
        id: &str,
        call: Call<'_>,
    ) -> Result<Option<Project>, KeystoneError> {
        match self.enabled_project(id, call).await? {
            Some(project) => self.with_domain(project, call).await,
            None => Ok(None),
        }
    }

    async fn enabled_project(
        &self,
        id: &str,
        call: Call<'_>,
    ) -> Result<Option<ProjectJson>, KeystoneError> {
        let found: Option<ProjectBody> = self.find(Question::get(["projects", id]), call).await?;
        let project = found.map(|body| body.project);
        Ok(project.filter(|project| project.id == id && project.is_native()))
    }

    /// A project with its domain, none if that is disabled.
    async fn with_domain(
        &self,
        project: ProjectJson,
        call: Call<'_>,
    ) -> Result<Option<Project>, KeystoneError> {
        let domain = match &project.domain_id {
            Some(id) => self.live_domain(id, call).await?,
            None => None,
        };
        Ok(domain.map(|domain| project.within(domain)))
    }

    async fn live_domain(&self, id: &str, call: Call<'_>) -> Result<Option<Named>, KeystoneError> {
        let domain = self.find_domain(id, call).await?;
        Ok(domain
            .filter(|domain| domain.enabled)
            .map(DomainJson::named))
    }

    async fn effective_roles(
        &self,
        user_id: &str,
        project_id: &str,
        call: Call<'_>,
    ) -> Result<BTreeSet<String>, KeystoneError> {
        let question = Question::get(["role_assignments"])
            .query("effective", "true")
            .query("include_names", "true")
            .query("user.id", user_id)
            .query("scope.project.id", project_id);
        let found: Option<Assignments> = self.find(question, call).await?;
        Ok(found
            .and_then(|assignments| assignments.by_user(project_id).remove(user_id))
            .unwrap_or_default())
    }
}

/// What Keystone says of each of these, by their ids.
async fn a_few_at_a_time<T, F>(asked: Vec<(&str, F)>) -> Result<HashMap<&str, T>, KeystoneError>
where
    F: Future<Output = Result<T, KeystoneError>>,
{
    let mut found = HashMap::new();
    let mut asked = asked.into_iter();
    loop {
        let (ids, answers): (Vec<_>, Vec<_>) = asked.by_ref().take(AT_ONCE).unzip();
        if ids.is_empty() {
            return Ok(found);
        }
        found.extend(ids.into_iter().zip(try_join_all(answers).await?));
    }
}

impl DomainJson {
    pub(super) fn named(self) -> Named {
        Named {
            id: self.id,
            name: self.name,
        }
    }
}

#[derive(Deserialize)]
struct UserBody {
    user: UserJson,
}

#[derive(Clone, Deserialize)]
struct UserJson {
    id: String,
    name: String,
    domain_id: String,
    enabled: bool,
    #[serde(default)]
    federated: Vec<IgnoredAny>,
}

impl UserJson {
    /// A database may find an id that differs in case; that is another one.
    fn is_native(&self, id: &str) -> bool {
        self.id == id && self.enabled && self.federated.is_empty()
    }

    fn within(self, domain: Named) -> HomeUser {
        HomeUser {
            id: self.id,
            name: self.name,
            domain,
        }
    }
}

/// Names of roles, by the ids of those who have them.
type RolesOf = HashMap<String, BTreeSet<String>>;

impl Assignments {
    /// A role of a single domain is never in a token.
    fn by_user(self, project_id: &str) -> RolesOf {
        let mut all = RolesOf::new();
        for Assignment {
            role, user, scope, ..
        } in self.role_assignments
        {
            let is_there = scope.project.is_some_and(|found| found.id == project_id);
            if let Some(user) = user
                && is_there
                && role.is_global()
            {
                all.entry(user.id).or_default().insert(role.name);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_role_assignments_read_once_each() {
        let fixture = include_str!("fixtures/role-assignments.json");
        let read = || serde_json::from_str::<Assignments>(fixture).unwrap();
        let first = &read().role_assignments[0];
        let user = first.user.as_ref().unwrap().id.clone();
        let project = first.scope.project.as_ref().unwrap().id.clone();
        let both = ["member".to_owned(), "reader".to_owned()];
        assert_eq!(read().by_user(&project), [(user, both.into())].into());
        assert!(read().by_user("other").is_empty());
    }

    #[test]
    fn only_an_enabled_user_of_our_own_is_native() {
        let ann: UserBody = serde_json::from_str(include_str!("fixtures/user.json")).unwrap();
        let id = ann.user.id.clone();
        assert!(ann.user.is_native(&id));
        assert!(!ann.user.is_native(&id.to_uppercase()));
        let disabled = UserJson {
            enabled: false,
            ..ann.user
        };
        assert!(!disabled.is_native(&id));
        let shadow: UserBody =
            serde_json::from_str(include_str!("fixtures/user-federated.json")).unwrap();
        let id = shadow.user.id.clone();
        assert!(!shadow.user.is_native(&id));
    }
}
