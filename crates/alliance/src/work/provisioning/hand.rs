//! Acting within a partner's project: Nova and Cinder make things for the token's project only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alliance_cloud::provisioning::Fault;
use alliance_cloud::services::{Service, ServiceError, Session};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::Settings;

/// The role that is needed to make things.
const MEMBER: &str = "member";
/// Pause before a service that failed is asked again.
const AGAIN: Duration = Duration::from_secs(2);
/// How often another login is tried where the last one does not count any more.
const LOGINS: usize = 5;
/// How often is asked again what is forbidden: a Neutron that was just started forbids what comes while
/// it reads its policies.
const FORBIDDEN: usize = 2;

/// The logins of this process, one for each project that it acts in.
pub(super) struct Hands {
    settings: Settings,
    /// How many act in each project: the role is taken back after the last.
    holders: Mutex<HashMap<String, usize>>,
}

/// One login to one project.
pub(super) struct Hand<'h> {
    hands: &'h Hands,
    project_id: String,
    user_id: String,
    session: Mutex<Arc<Session>>,
}

impl Hands {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            holders: Mutex::default(),
        }
    }

    pub(super) fn region(&self) -> &str {
        &self.settings.access.region
    }

    /// Gives this process' user the role in a project, and logs it in. What fails in passing is tried
    /// again until `deadline`.
    ///
    /// # Errors
    /// Why that is not possible, for the partner to read.
    pub(super) async fn enter(
        &self,
        project_id: &str,
        deadline: Instant,
    ) -> Result<Hand<'_>, String> {
        loop {
            let error = match self.try_to_enter(project_id).await {
                Ok(hand) => return Ok(hand),
                Err(error) => error,
            };
            if error.is_not_found() {
                return Err(
                    "the project is not in this cloud yet: one of its users has to use it here once"
                        .to_owned(),
                );
            }
            let is_passing = error.is_passing() || error.status() == Some(StatusCode::UNAUTHORIZED);
            if !is_passing || Instant::now() >= deadline {
                return Err(chain(error));
            }
            tracing::warn!(error = chain(error), "trying again");
            sleep(AGAIN).await;
        }
    }

    async fn try_to_enter(&self, project_id: &str) -> Result<Hand<'_>, ServiceError> {
        let access = &self.settings.access;
        let admin = access.log_in().await?;
        let path = ["projects", project_id];
        admin
            .ask(Service::Keystone, Method::GET, &path, None)
            .await?;
        let user_id = admin.user_id().to_owned();
        // Held while the role is given or taken, so that neither undoes the other.
        let mut holders = self.holders.lock().await;
        grant(&admin, Method::PUT, project_id, &user_id).await?;
        let session = access
            .log_in_to(project_id, &user_id, &self.settings.password)
            .await?;
        *holders.entry(project_id.to_owned()).or_default() += 1;
        Ok(Hand {
            hands: self,
            project_id: project_id.to_owned(),
            user_id,
            session: Mutex::new(Arc::new(session)),
        })
    }
}

impl Hand<'_> {
    /// Asks services something, in this project. What fails in passing is asked again until `deadline`.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(super) async fn ask<T>(
        &self,
        deadline: Instant,
        question: impl AsyncFn(&Session) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let (mut logins, mut forbidden) = (0, 0);
        loop {
            let session = Arc::clone(&*self.session.lock().await);
            let fault = match question(&session).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let Some(error) = fault.service() else {
                return Err(fault);
            };
            if error.status() == Some(StatusCode::UNAUTHORIZED) && logins < LOGINS {
                logins += 1;
                self.log_in_again(&session).await;
            } else if error.status() == Some(StatusCode::FORBIDDEN) && forbidden < FORBIDDEN {
                forbidden += 1;
            } else if !error.is_passing() || Instant::now() >= deadline {
                return Err(fault);
            } else {
                tracing::warn!(error = %fault, "trying again");
            }
            sleep(AGAIN).await;
        }
    }

    /// Another login in place of `old`, unless somebody has been quicker.
    async fn log_in_again(&self, old: &Arc<Session>) {
        let mut current = self.session.lock().await;
        if !Arc::ptr_eq(&current, old) {
            return;
        }
        let settings = &self.hands.settings;
        let login = settings
            .access
            .log_in_to(&self.project_id, &self.user_id, &settings.password);
        match login.await {
            Ok(session) => *current = Arc::new(session),
            Err(error) => tracing::warn!(error = chain(error), "logging in again failed"),
        }
    }

    /// Gives the role back, if nobody else acts in the project.
    pub(super) async fn leave(self) {
        let mut holders = self.hands.holders.lock().await;
        let left = holders.entry(self.project_id.clone()).or_default();
        *left = left.saturating_sub(1);
        if *left > 0 {
            return;
        }
        holders.remove(&self.project_id);
        let taken = async {
            let admin = self.hands.settings.access.log_in().await?;
            grant(&admin, Method::DELETE, &self.project_id, &self.user_id).await
        };
        match taken.await {
            Err(error) if !error.is_not_found() => tracing::warn!(
                project = self.project_id,
                error = chain(error),
                "the role member of this process' user stays in the project until the next order"
            ),
            _ => {}
        }
    }
}

/// Gives a user the role in a project, or takes it.
async fn grant(
    admin: &Session,
    method: Method,
    project_id: &str,
    user_id: &str,
) -> Result<(), ServiceError> {
    // Keystone has no pages.
    let found = admin.ask(Service::Keystone, Method::GET, &["roles"], None);
    let found = found.await?;
    let mut roles = found
        .get("roles")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let role = roles.find(|role| {
        role.get("name").and_then(Value::as_str) == Some(MEMBER)
            && role.get("domain_id").is_none_or(Value::is_null)
    });
    let role = role.and_then(|role| role.get("id")?.as_str());
    let role = role.unwrap_or_default();
    let path = ["projects", project_id, "users", user_id, "roles", role];
    let done: Result<Value, _> = admin.ask(Service::Keystone, method, &path, None).await;
    done.map(|_| ())
}

/// An error with its causes.
pub(super) fn chain(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}
