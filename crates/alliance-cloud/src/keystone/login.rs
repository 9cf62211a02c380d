//! The daemon's own tokens: one for each scope, renewed ahead of their expiry, one renewal at a
//! time.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use alliance_token::body::TokenBody;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::project::Projects;
use super::{Call, KeystoneError, Settings};
use crate::transport::{Answer, Http, Question};

/// The header with the token that was just issued, or that is asked about.
pub(super) const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// The header with the token of who asks.
pub(crate) const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// How long a refused login is not tried again, so that a wrong password does not lock the user
/// out (`[security_compliance] lockout_failure_attempts`).
const REFUSED: Duration = Duration::from_secs(5);
/// Renewal begins at most so long ahead of expiry.
const AHEAD: Duration = Duration::from_secs(300);

/// What a token of the daemon's is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Validating and ringing: role `service` on the project.
    Project,
    /// Reading: role `reader` on the system.
    System,
}

impl Scope {
    /// The role that it needs.
    pub(super) fn role(self) -> &'static str {
        match self {
            Scope::Project => "service",
            Scope::System => "reader",
        }
    }

    /// In words.
    pub(super) fn describe(self, settings: &Settings) -> String {
        match self {
            Scope::Project => format!("project {}", settings.project_name),
            Scope::System => "system".to_owned(),
        }
    }

    /// As options of the `openstack` command.
    pub(super) fn target(self, settings: &Settings) -> String {
        match self {
            Scope::Project => format!(
                "--project {:?} --project-domain {:?}",
                settings.project_name, settings.project_domain_name
            ),
            Scope::System => "--system all".to_owned(),
        }
    }

    /// The error that it lacks its role.
    pub(super) fn missing_role(self, settings: &Settings, request: String) -> KeystoneError {
        let target = self.target(settings);
        KeystoneError::MissingRole {
            role: self.role(),
            request,
            remedy: format!(
                "openstack role add --user {:?} --user-domain {:?} {target} {}",
                settings.username,
                settings.user_domain_name,
                self.role()
            ),
        }
    }

    fn body(self, settings: &Settings) -> Value {
        match self {
            Scope::Project => json!({"project": {
                "name": settings.project_name,
                "domain": {"name": settings.project_domain_name},
            }}),
            Scope::System => json!({"system": {"all": true}}),
        }
    }
}

/// A token of the daemon's own.
pub(super) struct OwnToken {
    header: HeaderValue,
    renew_at: Instant,
    dead_at: Instant,
}

impl OwnToken {
    /// The value of `X-Auth-Token`, marked as secret.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

impl fmt::Debug for OwnToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnToken")
            .field("dead_at", &self.dead_at)
            .finish_non_exhaustive()
    }
}

/// The token of one scope, and how to get the next.
#[derive(Debug)]
pub(super) struct Login {
    scope: Scope,
    current: RwLock<Option<Arc<OwnToken>>>,
    /// Held while logging in.
    flight: Mutex<Option<Failure>>,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    error: KeystoneError,
}

impl Failure {
    /// Whether whoever asks now (and has waited since `since`) need not try again.
    fn counts(&self, since: Instant) -> bool {
        let refused = !matches!(self.error, KeystoneError::Transport(_));
        self.at >= since || refused && self.at.elapsed() < REFUSED
    }
}

impl Login {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            current: RwLock::default(),
            flight: Mutex::default(),
        }
    }

    /// A token that Keystone should accept; never `rejected` again.
    pub(super) async fn token(
        &self,
        rejected: Option<&Arc<OwnToken>>,
        http: &Http,
        settings: &Settings,
        call: Call<'_>,
    ) -> Result<Arc<OwnToken>, KeystoneError> {
        let asked = Instant::now();
        if let Some(token) = self.usable(rejected) {
            if asked < token.renew_at {
                return Ok(token);
            }
            // One caller renews ahead of time; all others go on with what they have.
            let Ok(mut last) = self.flight.try_lock() else {
                return Ok(token);
            };
            if last.as_ref().is_some_and(|f| f.at.elapsed() < REFUSED) {
                return Ok(token);
            }
            return match self.log_in(&mut last, http, settings, call).await {
                Ok(next) => Ok(next),
                Err(error) => {
                    tracing::warn!(%error, "the daemon's own token was not renewed; the old one is still good");
                    Ok(token)
                }
            };
        }
        let mut last = timeout_at(call.deadline.at, self.flight.lock())
            .await
            .map_err(|_| http.timed_out("POST /v3/auth/tokens".to_owned(), call.deadline))?;
        if let Some(token) = self.usable(rejected) {
            return Ok(token);
        }
        if let Some(failure) = last.as_ref().filter(|failure| failure.counts(asked)) {
            return Err(failure.error.clone());
        }
        self.log_in(&mut last, http, settings, call).await
    }

    fn usable(&self, rejected: Option<&Arc<OwnToken>>) -> Option<Arc<OwnToken>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let token = current.as_ref()?;
        let usable =
            Instant::now() < token.dead_at && rejected.is_none_or(|r| !Arc::ptr_eq(r, token));
        usable.then(|| Arc::clone(token))
    }

    async fn log_in(
        &self,
        last: &mut Option<Failure>,
        http: &Http,
        settings: &Settings,
        call: Call<'_>,
    ) -> Result<Arc<OwnToken>, KeystoneError> {
        match log_in(self.scope, http, settings, call).await {
            Ok(token) => {
                let token = Arc::new(token);
                *last = None;
                *self.current.write().unwrap_or_else(PoisonError::into_inner) =
                    Some(Arc::clone(&token));
                Ok(token)
            }
            Err(error) => {
                *last = Some(Failure {
                    at: Instant::now(),
                    error: error.clone(),
                });
                Err(error)
            }
        }
    }
}

async fn log_in(
    scope: Scope,
    http: &Http,
    settings: &Settings,
    call: Call<'_>,
) -> Result<OwnToken, KeystoneError> {
    let asked = Instant::now();
    let password = settings.password.read()?;
    let question = |scope| question(settings, &password, scope, call);
    let answer = http
        .ask(question(scope.body(settings)), call.deadline)
        .await?;
    match answer.status {
        StatusCode::CREATED => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            // Keystone says the same for a wrong password and for a missing role.
            let unscoped = http.ask(question(json!("unscoped")), call.deadline).await?;
            return Err(if unscoped.status == StatusCode::CREATED {
                no_scope(scope, &unscoped, http, settings, call).await
            } else {
                KeystoneError::WrongCredentials {
                    auth_url: settings.auth_url.to_string(),
                    user: settings.username.clone(),
                    said: unscoped
                        .said()
                        .unwrap_or_else(|| unscoped.status.to_string()),
                    remedy: settings.password.remedy(),
                }
            });
        }
        _ => return Err(answer.unexpected_status().into()),
    }
    let body: TokenBody = answer.json()?;
    let Some(header) = answer.headers.get(&SUBJECT_TOKEN) else {
        return Err(answer.unexpected("no X-Subject-Token".to_owned()).into());
    };
    let mut header = header.clone();
    header.set_sensitive(true);
    // By Keystone's clock alone: ours may differ.
    let life = Duration::try_from(body.token.expires_at.duration_since(body.token.issued_at))
        .unwrap_or_default();
    Ok(OwnToken {
        header,
        renew_at: asked + life - (life / 4).min(AHEAD),
        dead_at: asked + life,
    })
}

/// Why a user who can log in cannot for this scope.
async fn no_scope(
    scope: Scope,
    unscoped: &Answer,
    http: &Http,
    settings: &Settings,
    call: Call<'_>,
) -> KeystoneError {
    if scope == Scope::Project && is_disabled(unscoped, http, settings, call).await {
        let project = &settings.project_name;
        return KeystoneError::ProjectDisabled {
            project: project.clone(),
            remedy: format!(
                "openstack project set --enable --domain {:?} {project:?}",
                settings.project_domain_name
            ),
        };
    }
    let place = match scope {
        Scope::Project => format!(
            "{} ([keystone] project_name, if there is one)",
            scope.describe(settings)
        ),
        Scope::System => scope.describe(settings),
    };
    scope.missing_role(settings, format!("log in to {place}"))
}

/// Whether the user holds something on a project of that name, and each such project is disabled.
async fn is_disabled(unscoped: &Answer, http: &Http, settings: &Settings, call: Call<'_>) -> bool {
    let Some(token) = unscoped.headers.get(&SUBJECT_TOKEN) else {
        return false;
    };
    let mut token = token.clone();
    token.set_sensitive(true);
    let question = Question::list(["auth", "projects"])
        .header(AUTH_TOKEN, token)
        .request_id(call.request_id);
    let Ok(answer) = http.ask(question, call.deadline).await else {
        return false;
    };
    let Ok(Projects { mut projects }) = answer.json() else {
        return false;
    };
    projects.retain(|project| project.name == settings.project_name);
    !projects.is_empty() && projects.iter().all(|project| !project.enabled)
}

fn question(
    settings: &Settings,
    password: &SecretString,
    scope: Value,
    call: Call<'_>,
) -> Question<'static> {
    let body = json!({"auth": {
        "identity": {
            "methods": ["password"],
            "password": {"user": {
                "name": settings.username,
                "domain": {"name": settings.user_domain_name},
                "password": password.expose_secret(),
            }},
        },
        "scope": scope,
    }});
    Question::new(Method::POST, ["auth", "tokens"])
        .query("nocatalog", "1")
        .json(&body)
        .request_id(call.request_id)
}
