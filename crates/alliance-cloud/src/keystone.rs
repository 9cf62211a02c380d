//! Keystone, as the daemon asks it.

mod catalog;
mod domain;
mod error;
mod grant;
mod project;
mod role;
mod settings;
mod token;

pub use self::domain::{Domain, IdentityProvider};
pub use self::error::KeystoneError;
pub use self::grant::UserGrants;
pub use self::project::ProjectQuery;
pub use self::role::OwnRole;
pub use self::settings::Settings;
pub use self::token::{TokenView, Validation};

/// The daemon's way to its Keystone.
#[derive(Debug)]
pub struct Keystone {
    settings: Settings,
}

impl Keystone {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// If no HTTP client can be made for `settings.auth_url`.
    pub fn new(settings: Settings) -> Result<Self, KeystoneError> {
        Ok(Self { settings })
    }

    fn unwritten<T>(&self) -> Result<T, KeystoneError> {
        Err(crate::transport::TransportError::Setup {
            url: self.settings.auth_url.to_string(),
            reason: "this part is still being written".to_owned(),
        }
        .into())
    }
}
