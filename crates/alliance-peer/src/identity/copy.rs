//! The cloud's keys on their way into a backup and out of it.

use std::path::Path;

use alliance_core::cloud::CloudId;
use zeroize::Zeroizing;

use super::{IDENTITY_KEY, Identity, IdentityError, SIGNING_KEY, key_file};
use crate::key::SigningKey;

/// Both keys, as a backup has them.
#[derive(Debug)]
pub struct KeyCopies {
    identity: SigningKey,
    signing: SigningKey,
}

impl KeyCopies {
    /// Reads both, in PEM.
    ///
    /// # Errors
    /// [`IdentityError::DamagedCopy`].
    pub fn read(identity: &str, signing: &str) -> Result<Self, IdentityError> {
        let read = |name, pem| {
            let key = SigningKey::from_pem(pem);
            key.map_err(|source| IdentityError::DamagedCopy { name, source })
        };
        Ok(Self {
            identity: read(IDENTITY_KEY, identity)?,
            signing: read(SIGNING_KEY, signing)?,
        })
    }

    /// Whose they are.
    pub fn cloud_id(&self) -> CloudId {
        self.identity.public().cloud_id()
    }

    /// Checks that `state_dir` has no other keys. It may have none.
    ///
    /// # Errors
    /// [`IdentityError::Another`], or why that cannot be seen.
    pub fn require_no_others(&self, state_dir: &Path) -> Result<(), IdentityError> {
        key_file::require_directory(state_dir)?;
        key_file::require(&state_dir.join(IDENTITY_KEY), &self.identity)?;
        key_file::require(&state_dir.join(SIGNING_KEY), &self.signing)
    }

    /// Puts them into `state_dir`, where they are not there yet. A key that is there is never replaced.
    ///
    /// # Errors
    /// As [`KeyCopies::require_no_others`], or if they cannot be written.
    pub fn put(&self, state_dir: &Path) -> Result<(), IdentityError> {
        key_file::require_directory(state_dir)?;
        key_file::put(&state_dir.join(IDENTITY_KEY), &self.identity)?;
        key_file::put(&state_dir.join(SIGNING_KEY), &self.signing)
    }
}

impl Identity {
    /// Both keys in PEM, the identity first. Secret: who has them is this cloud.
    pub fn to_pem(&self) -> [Zeroizing<String>; 2] {
        [self.identity.to_pem(), self.signing.to_pem()]
    }
}
