//! Keystone's part: the project itself, and those of its users who have no other.

use reqwest::Method;
use serde_json::Value;

use super::{Kind, Site};
use crate::services::{Service, ServiceError, found};

impl Site<'_> {
    /// The partner's users who have a role in the project, or a server or volume there: their roles may
    /// have been taken away already.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn users(&self) -> Result<Vec<String>, ServiceError> {
        let mut users = Vec::new();
        if self.is_in_keystone {
            let grants = self.grants(("scope.project.id", &self.project)).await?;
            let ids = grants
                .iter()
                .filter_map(|grant| grant.pointer("/user/id")?.as_str());
            users.extend(ids.map(str::to_owned));
        }
        for kind in [Kind::Server, Kind::Volume] {
            let things = self.things(kind).await?;
            let ids = things.iter().filter_map(|thing| thing.text("user_id"));
            users.extend(ids.map(str::to_owned));
        }
        users.sort_unstable();
        users.dedup();
        let mut ours = Vec::new();
        for user in users {
            if self.is_partners(&user).await? {
                ours.push(user);
            }
        }
        Ok(ours)
    }

    /// All users of the partner, if it has no other project here: whose roles were taken away before are
    /// among them.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn last_users(&self) -> Result<Vec<String>, ServiceError> {
        let of_domain = [("domain_id", self.domain.as_str())];
        let list = |what| {
            self.session
                .list(Service::Keystone, what, what[0], &of_domain)
        };
        let others = list(&["projects"]).await?;
        let is_other = |project: &Value| {
            let id = project.get("id").and_then(Value::as_str);
            id != Some(self.project.as_str())
        };
        if others.iter().any(is_other) {
            return Ok(Vec::new());
        }
        let users = list(&["users"]).await?.into_iter();
        Ok(users
            .filter_map(|user| Some(user.get("id")?.as_str()?.to_owned()))
            .collect())
    }

    /// Deletes the project, and what services keep about it though it has nothing: its quotas.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn delete_project(&self) -> Result<(), ServiceError> {
        let project = self.project.as_str();
        let quotas: [(Service, &[&str]); 3] = [
            (Service::Nova, &["os-quota-sets", project]),
            (Service::Cinder, &["os-quota-sets", project]),
            (Service::Neutron, &["v2.0", "quotas", project]),
        ];
        for (service, path) in quotas {
            if self.session.has(service) {
                self.gone(service, path).await?;
            }
        }
        self.gone(Service::Keystone, &["projects", project]).await
    }

    /// Deletes a user of the partner's who has no role in any project, with the keys that Nova keeps.
    /// Returns whether the user is gone.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn delete_user(&self, user: &str) -> Result<bool, ServiceError> {
        if !self.is_partners(user).await? {
            return Ok(true);
        }
        if !self.grants(("user.id", user)).await?.is_empty() {
            return Ok(false);
        }
        if self.session.has(Service::Nova) {
            let of_user = [("user_id", user)];
            let path = ["os-keypairs"];
            let keys = self
                .session
                .list(Service::Nova, &path, "keypairs", &of_user);
            for key in keys.await? {
                let Some(name) = key.pointer("/keypair/name").and_then(Value::as_str) else {
                    continue;
                };
                let path = ["os-keypairs", name];
                let asked =
                    self.session
                        .ask_about(Service::Nova, Method::DELETE, &path, &of_user, None);
                found(asked.await)?;
            }
        }
        self.gone(Service::Keystone, &["users", user]).await?;
        Ok(true)
    }

    /// The project's id here.
    pub fn project(&self) -> &str {
        &self.project
    }

    async fn grants(&self, of: (&str, &str)) -> Result<Vec<Value>, ServiceError> {
        let path = ["role_assignments"];
        self.session
            .list(Service::Keystone, &path, "role_assignments", &[of])
            .await
    }

    /// Whether there is such a user, in the partner's domain.
    async fn is_partners(&self, user: &str) -> Result<bool, ServiceError> {
        let path = ["users", user];
        let asked = self
            .session
            .ask(Service::Keystone, Method::GET, &path, None);
        Ok(found(asked.await)?.is_some_and(|user| {
            let domain = user.pointer("/user/domain_id").and_then(Value::as_str);
            domain == Some(self.domain.as_str())
        }))
    }

    async fn gone(&self, service: Service, path: &[&str]) -> Result<(), ServiceError> {
        found(self.session.ask(service, Method::DELETE, path, None).await)?;
        Ok(())
    }
}
