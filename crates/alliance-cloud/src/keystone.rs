//! Keystone, as the daemon asks it: as a user with role `service` on its project, to validate
//! tokens and to ring, and role `reader` on the system, to read. It needs no more, and should have
//! no more. The same for a partner's Keystone that has no daemon of its own, where the user may
//! have less.

mod catalog;
mod check;
mod domain;
mod error;
mod grant;
mod login;
mod password;
mod person;
mod project;
mod revocation;
mod role;
mod settings;
mod standing;
mod token;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alliance_core::skew::Skew;
use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::DATE;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

pub use self::catalog::{Catalog, PUBLIC};
pub use self::domain::{Domain, IdentityProvider};
pub use self::error::KeystoneError;
pub use self::grant::UserGrants;
pub(crate) use self::login::AUTH_TOKEN;
use self::login::{Login, Scope};
pub use self::password::{BadPasswordFile, Password, read_password};
pub use self::person::{Person, Place};
pub use self::project::ProjectQuery;
pub use self::role::OwnRole;
pub use self::settings::{Reads, Settings};
pub use self::standing::ProjectStanding;
pub use self::token::Validation;
use crate::transport::{Answer, Deadline, Http, Question, TransportError};

/// How long a user that is no reader of the system is not taken for one: until then nobody asks
/// again for each question.
const NO_READER: Duration = Duration::from_secs(60);

/// The daemon's way to its Keystone. Each question has the deadline of [`Settings::timeout`], and
/// carries `request_id` as `X-Openstack-Request-Id`.
#[derive(Debug)]
pub struct Keystone {
    http: Http,
    settings: Settings,
    project: Login,
    system: Login,
    /// When the user was last found to be no reader of the system.
    no_reader: Mutex<Option<Instant>>,
    /// As it was last seen.
    clock: Mutex<Option<Skew>>,
}

/// What belongs to one question of a caller, however many requests it takes.
#[derive(Debug, Clone, Copy)]
struct Call<'a> {
    request_id: &'a str,
    deadline: Deadline,
}

impl Keystone {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// If no HTTP client can be made for `settings.auth_url`.
    pub fn new(settings: Settings) -> Result<Self, KeystoneError> {
        Ok(Self {
            http: match &settings.ca_file {
                Some(file) => Http::with_ca_file(&settings.auth_url, file)?,
                None => Http::new(&settings.auth_url, None)?,
            },
            settings,
            project: Login::new(Scope::Project),
            system: Login::new(Scope::System),
            no_reader: Mutex::default(),
            clock: Mutex::default(),
        })
    }

    /// How far Keystone's clock, or that of the web server before it, is from ours, by its last answer to
    /// [`own_roles`](Self::own_roles). `None`: it does not say.
    pub fn clock(&self) -> Option<Skew> {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of an answer that came now to what was sent at `sent`, or a little later.
    fn look_at_clock(&self, sent: Timestamp, answer: &Answer) {
        let round_trip = Timestamp::now().duration_since(sent).unsigned_abs();
        let date = answer.headers.get(DATE);
        let date = date.and_then(|date| date.to_str().ok());
        let skew = date.and_then(|date| Skew::by_date(sent, round_trip, date));
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = skew;
    }

    fn call<'a>(&self, request_id: &'a str) -> Call<'a> {
        Call {
            request_id,
            deadline: Deadline::after(self.settings.timeout),
        }
    }

    /// Asks as the daemon's user. A token that Keystone does not accept is replaced once.
    async fn ask(
        &self,
        scope: Scope,
        question: Question<'_>,
        call: Call<'_>,
    ) -> Result<Answer, KeystoneError> {
        let login = match scope {
            Scope::Project => &self.project,
            Scope::System => &self.system,
        };
        let question = question.request_id(call.request_id);
        let token = login.token(None, &self.http, &self.settings, call).await?;
        let asked = question.clone().header(AUTH_TOKEN, token.header());
        let answer = self.http.ask(asked, call.deadline).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let token = login
            .token(Some(&token), &self.http, &self.settings, call)
            .await?;
        let answer = self
            .http
            .ask(question.header(AUTH_TOKEN, token.header()), call.deadline)
            .await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            let found = "Keystone refuses a token that it has just issued; do all its workers share one set of fernet keys?";
            return Err(answer.unexpected(found.to_owned()).into());
        }
        Ok(answer)
    }

    /// See [`Reads`].
    async fn reading_scope(&self, call: Call<'_>) -> Result<Scope, KeystoneError> {
        let no_reader = || {
            self.no_reader
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if self.settings.reads == Reads::BySystem {
            return Ok(Scope::System);
        }
        if no_reader().is_some_and(|since| since.elapsed() < NO_READER) {
            return Ok(Scope::Project);
        }
        let login = self
            .system
            .token(None, &self.http, &self.settings, call)
            .await;
        match login {
            Ok(_) => Ok(Scope::System),
            // A Keystone of before 2018 does not know what is asked for.
            Err(
                KeystoneError::MissingRole { .. }
                | KeystoneError::Transport(TransportError::Unexpected { .. }),
            ) => {
                *no_reader() = Some(Instant::now());
                Ok(Scope::Project)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads one thing, none if there is no such thing.
    async fn find<T: DeserializeOwned>(
        &self,
        question: Question<'_>,
        call: Call<'_>,
    ) -> Result<Option<T>, KeystoneError> {
        let scope = self.reading_scope(call).await?;
        let answer = self.ask(scope, question, call).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.json()?)),
            _ if answer.is_not_found() => Ok(None),
            _ => Err(self.refused(Scope::System, &answer)),
        }
    }

    /// Reads a whole list.
    async fn list<T: DeserializeOwned>(
        &self,
        question: Question<'_>,
        call: Call<'_>,
    ) -> Result<T, KeystoneError> {
        let scope = self.reading_scope(call).await?;
        let answer = self.ask(scope, question, call).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(Scope::System, &answer));
        }
        let Extent { truncated } = answer.json()?;
        if truncated == Some(true) {
            let found = "only a part of the list; raise list_limit in keystone.conf";
            return Err(answer.unexpected(found.to_owned()).into());
        }
        Ok(answer.json()?)
    }

    fn refused(&self, scope: Scope, answer: &Answer) -> KeystoneError {
        match answer.status {
            StatusCode::FORBIDDEN if answer.said().is_some() => {
                scope.missing_role(&self.settings, answer.request().to_owned())
            }
            _ => answer.unexpected_status().into(),
        }
    }
}

/// Whether a list is whole.
#[derive(Deserialize)]
struct Extent {
    truncated: Option<bool>,
}
