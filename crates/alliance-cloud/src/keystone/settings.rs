//! How the daemon reaches Keystone, and as whom.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// How the daemon reaches Keystone, and as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Keystone's URL, with or without `/v3`.
    pub auth_url: Url,
    /// The service user.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// Its domain.
    pub user_domain_name: String,
    /// The project where it holds role `service`.
    pub project_name: String,
    /// That project's domain.
    pub project_domain_name: String,
    /// Offer this region only; all if none.
    pub region: Option<String>,
    /// Which endpoints to offer: `public`, `internal` or `admin`.
    pub interface: String,
    /// How long one question may take, everything included.
    pub timeout: Duration,
}
