//! The keys with which our Keystone signs tokens, as partners are told: those that are in its
//! folders, and for a while those that were.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use alliance_core::descriptor::{SignatureFamily, TokenKey};
use alliance_core::{LONGEST_TOKEN_LIFE, Seconds};
use alliance_store::Store;
use alliance_token::SigningKey;
use data_encoding::BASE64;

use crate::config::Signing;
use crate::daemon::key_files;

/// A cloud has its current key, and perhaps its last and its next.
const MOST_KEYS: usize = 16;

/// The keys as last read.
pub(crate) struct OwnTokenKeys {
    settings: Signing,
    store: Store,
    current: RwLock<Arc<Vec<TokenKey>>>,
}

impl OwnTokenKeys {
    /// None read yet.
    pub(crate) fn new(settings: Signing, store: Store) -> Self {
        Self {
            settings,
            store,
            current: RwLock::default(),
        }
    }

    /// As last read.
    pub(crate) fn current(&self) -> Arc<Vec<TokenKey>> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the folders again. True if partners must be told something else than before.
    ///
    /// # Errors
    /// If a file cannot be read or is no key: nothing is changed then, since a key that seems to be
    /// gone would be retired.
    pub(crate) async fn read(&self, now: Seconds) -> anyhow::Result<bool> {
        let mut found = BTreeMap::new();
        for (family, path) in [
            (SignatureFamily::Jws, &self.settings.jws_public_keys),
            (SignatureFamily::Cms, &self.settings.pki_certificates),
        ] {
            let Some(path) = path else { continue };
            for key in read_keys(family, path)? {
                found.insert(key.id().to_owned(), (family, BASE64.encode(key.to_der())));
            }
        }
        anyhow::ensure!(
            found.len() <= MOST_KEYS,
            "expected at most {MOST_KEYS} keys in the folders of [signing], found {}; remove those that sign no more",
            found.len()
        );
        let overlap = i64::try_from(self.settings.key_overlap.as_secs()).unwrap_or(i64::MAX);
        // Partners are told that a key is retired for as long as a token of its may be about.
        let seen = self.store.token_keys();
        let mut keys = seen.see(&found, now, LONGEST_TOKEN_LIFE).await?;
        // Those in use first, then those that went last: a host has room for so many.
        keys.sort_by_key(|key| (key.gone_at.is_some(), key.gone_at.map(std::cmp::Reverse)));
        keys.truncate(MOST_KEYS);
        let keys: Vec<TokenKey> = keys
            .into_iter()
            .map(|key| TokenKey {
                family: key.family,
                der: key.der,
                retired_at: key.gone_at.map(|gone| gone.saturating_add(overlap)),
            })
            .collect();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **current != keys;
        if changed {
            *current = Arc::new(keys);
        }
        Ok(changed)
    }
}

/// The keys in a file or folder, which are all of one family.
///
/// # Errors
/// Which file cannot be read or is no key of this family.
fn read_keys(family: SignatureFamily, path: &Path) -> anyhow::Result<Vec<SigningKey>> {
    let expected = match family {
        SignatureFamily::Jws => "public keys on the curve P-256",
        SignatureFamily::Cms => "certificates",
    };
    let keys = key_files::read(path)?;
    anyhow::ensure!(
        keys.iter().all(|key| key.format_family() == family),
        "expected only {expected} in {}, found another kind of key",
        path.display()
    );
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use alliance_peer::identity::Identity;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    async fn over(folder: &Path) -> Result<OwnTokenKeys, Box<dyn std::error::Error>> {
        let settings = Signing {
            jws_public_keys: Some(folder.join("jws")),
            pki_certificates: Some(folder.join("cert.pem")),
            key_overlap: Duration::from_secs(300),
        };
        let url = format!("sqlite://{}/alliance.db", folder.display());
        let identity = Identity::load_or_create(folder)?;
        let store = Store::open(&url, identity.cloud_id()).await?;
        Ok(OwnTokenKeys::new(settings, store))
    }

    #[tokio::test]
    async fn a_key_that_leaves_its_folder_is_retired_after_the_overlap() -> Outcome {
        let folder = tempfile::tempdir()?;
        let jws = folder.path().join("jws");
        fs::create_dir(&jws)?;
        let (old, new) = (KeyPair::generate()?, KeyPair::generate()?);
        fs::write(jws.join("old.pem"), old.public_key_pem())?;
        fs::write(jws.join(".swp"), "not looked at")?;
        let certificate = CertificateParams::default().self_signed(&new)?;
        fs::write(folder.path().join("cert.pem"), certificate.pem())?;

        let keys = over(folder.path()).await?;
        assert!(keys.read(10).await?);
        assert!(!keys.read(20).await?);
        assert_eq!(keys.current().len(), 2);
        assert!(keys.current().iter().all(|key| key.retired_at.is_none()));

        fs::write(jws.join("new.pem"), new.public_key_pem())?;
        fs::remove_file(jws.join("old.pem"))?;
        // Also if it happens while the daemon is away.
        let keys = over(folder.path()).await?;
        assert!(keys.read(100).await?);
        let retired: Vec<_> = keys
            .current()
            .iter()
            .filter_map(|key| key.retired_at)
            .collect();
        assert_eq!((keys.current().len(), retired), (3, vec![400]));

        assert!(keys.read(100 + LONGEST_TOKEN_LIFE).await?);
        assert_eq!(keys.current().len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_no_key_retires_none() -> Outcome {
        let folder = tempfile::tempdir()?;
        let jws = folder.path().join("jws");
        fs::create_dir(&jws)?;
        let pair = KeyPair::generate()?;
        fs::write(jws.join("key.pem"), pair.public_key_pem())?;
        let certificate = CertificateParams::default().self_signed(&pair)?;
        fs::write(folder.path().join("cert.pem"), certificate.pem())?;
        let keys = over(folder.path()).await?;
        keys.read(10).await?;
        let before = keys.current();
        for (name, content) in [
            ("private.pem", pair.serialize_pem()),
            ("certificate.pem", certificate.pem()),
            ("empty.pem", String::new()),
            ("huge.pem", "a".repeat(1 << 20)),
        ] {
            fs::write(jws.join(name), content)?;
            assert!(keys.read(20).await.is_err(), "{name}");
            assert_eq!(keys.current(), before);
            fs::remove_file(jws.join(name))?;
        }
        fs::remove_file(jws.join("key.pem"))?;
        assert!(keys.read(30).await.is_err());
        assert_eq!(keys.current(), before);
        fs::remove_dir(jws)?;
        assert!(keys.read(30).await.is_err());
        assert_eq!(keys.current(), before);
        Ok(())
    }
}
