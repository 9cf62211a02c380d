//! How a Keystone is reached, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::password::Password;

/// How a Keystone is reached, and as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Keystone's URL, with or without `/v3`.
    pub auth_url: Url,
    /// The authorities that may sign its certificate; the platform's if none.
    pub ca_file: Option<PathBuf>,
    /// The service user.
    pub username: String,
    /// Its password.
    pub password: Password,
    /// Its domain.
    pub user_domain_name: String,
    /// The project where it holds role `service`.
    pub project_name: String,
    /// That project's domain.
    pub project_domain_name: String,
    /// By which right it reads.
    pub reads: Reads,
    /// Offer this region only; all if none.
    pub region: Option<String>,
    /// Which endpoints to offer: `public`, `internal` or `admin`.
    pub interface: String,
    /// How long one question may take, everything included.
    pub timeout: Duration,
}

/// By which right the service user reads projects, users and role assignments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// As a reader of the system.
    BySystem,
    /// The same if it is one and that Keystone knows such a thing (since 2018); else by whatever it
    /// holds on its project.
    ByAnything,
}
