//! Who this cloud is: two keys in the daemon's state directory.
//!
//! `identity.key` never changes: its hash is the cloud's id, partners pin it, and it is the TLS
//! key. `signing.key` signs passports and grant statements; partners learn it from the descriptor.

use std::io;
use std::path::{Path, PathBuf};

use alliance_core::cloud::CloudId;
use rcgen::{CertificateParams, DistinguishedName, DnType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::key::{BadKey, SigningKey};

mod copy;
mod key_file;

pub use copy::KeyCopies;

/// The key that never changes, in the state directory.
pub const IDENTITY_KEY: &str = "identity.key";
const SIGNING_KEY: &str = "signing.key";

/// The cloud's keys, and the certificate that shows one of them.
#[derive(Debug)]
pub struct Identity {
    id: CloudId,
    identity: SigningKey,
    signing: SigningKey,
    certificate: CertificateDer<'static>,
}

/// Why the keys cannot be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No state directory.
    #[error(
        "the state directory {0} does not exist; create it for the daemon's user with mode 0750, or set [cloud] state_dir"
    )]
    NoDirectory(PathBuf),
    /// Everybody may write the state directory.
    #[error("everybody may write the state directory {path} (mode {mode:04o}), and so replace the cloud's keys; run: chmod o-w {path}", path = path.display())]
    OpenDirectory {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There is no identity yet.
    #[error("there is no {0}: this cloud has no identity yet; run: alliance init")]
    Missing(PathBuf),
    /// The identity is gone, but it was there once.
    #[error("{missing} is missing, but {present} is there: copy it from another instance, or restore it from a backup. A new identity would end every pairing; if that is meant, move {present} away first", missing = missing.display(), present = present.display())]
    Lost {
        /// What is gone.
        missing: PathBuf,
        /// What is left.
        present: PathBuf,
    },
    /// Others may read a key.
    #[error("{path} has mode {mode:04o}, so others may use the cloud's key; run: chmod 600 {path}", path = path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The key belongs to somebody else.
    #[error("{path} belongs to user id {found}, expected {expected}, the daemon's; run: chown {expected} {path}", path = path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Who may own it.
        expected: u32,
        /// Who owns it.
        found: u32,
    },
    /// The file holds no key.
    #[error("{path} is damaged; restore it from a backup", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: BadKey,
    },
    /// A new key could not be made.
    #[error("cannot make a key or its certificate: {0}")]
    Generate(String),
    /// A backup has another key than the state directory.
    #[error(
        "{0} is another key than the backup's; move it away if the backup's is to take its place"
    )]
    Another(PathBuf),
    /// A key in a backup is none.
    #[error("the backup's {name} is damaged")]
    DamagedCopy {
        /// Which.
        name: &'static str,
        /// What is wrong.
        source: BadKey,
    },
    /// Reading or writing failed.
    #[error("cannot {what} {path}", path = path.display())]
    Io {
        /// `read`, `write`, …
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Identity {
    /// Reads the keys, and makes them first if there are none. Of several processes that make
    /// them at once, one wins and all get its keys; kill -9 leaves either a whole key or none.
    ///
    /// # Errors
    /// See [`IdentityError`]. A key that is there is never replaced.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, IdentityError> {
        key_file::require_directory(state_dir)?;
        require_not_lost(state_dir)?;
        let identity = key_file::load_or_create(&state_dir.join(IDENTITY_KEY))?;
        let signing = key_file::load_or_create(&state_dir.join(SIGNING_KEY))?;
        Self::new(identity, signing)
    }

    /// Reads the keys; makes none.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn load(state_dir: &Path) -> Result<Self, IdentityError> {
        key_file::require_directory(state_dir)?;
        require_not_lost(state_dir)?;
        let load = |name| {
            let path = state_dir.join(name);
            key_file::load(&path)?.ok_or(IdentityError::Missing(path))
        };
        Self::new(load(IDENTITY_KEY)?, load(SIGNING_KEY)?)
    }

    /// An identity that lives in memory only, for tests.
    ///
    /// # Errors
    /// Only if the random number generator fails.
    pub fn ephemeral() -> Result<Self, IdentityError> {
        let generate =
            || SigningKey::generate().map_err(|e| IdentityError::Generate(e.to_string()));
        Self::new(generate()?, generate()?)
    }

    fn new(identity: SigningKey, signing: SigningKey) -> Result<Self, IdentityError> {
        let id = identity.public().cloud_id();
        let certificate = certificate(&id, &identity)?;
        Ok(Self {
            id,
            identity,
            signing,
            certificate,
        })
    }

    /// The cloud's id.
    pub fn cloud_id(&self) -> &CloudId {
        &self.id
    }

    /// Signs descriptors.
    pub fn identity_key(&self) -> &SigningKey {
        &self.identity
    }

    /// Signs passports and grant statements.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    /// What TLS shows, and proves.
    pub(crate) fn tls_credentials(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (vec![self.certificate.clone()], self.identity.for_tls())
    }
}

/// The identity is made first: a signing key alone means that the identity was lost. Looked at in the other
/// order, so that another process which makes both is no reason to complain.
fn require_not_lost(state_dir: &Path) -> Result<(), IdentityError> {
    let (missing, present) = (state_dir.join(IDENTITY_KEY), state_dir.join(SIGNING_KEY));
    if present.exists() && !missing.exists() {
        return Err(IdentityError::Lost { missing, present });
    }
    Ok(())
}

/// Nobody looks at its dates and names: the key is pinned. The name helps who reads a capture.
fn certificate(id: &CloudId, key: &SigningKey) -> Result<CertificateDer<'static>, IdentityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, id.as_str());
    let certificate = params
        .self_signed(key.pair())
        .map_err(|e| IdentityError::Generate(e.to_string()))?;
    Ok(certificate.der().clone())
}

#[cfg(test)]
mod tests;
