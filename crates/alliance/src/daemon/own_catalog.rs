//! What this cloud itself offers, as last read from its Keystone. Kept in a file, so that a daemon that
//! starts while Keystone is away goes on telling what it told before.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use std::{fs, io};

use alliance_core::descriptor::Region;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::files;

/// The file's name in the state directory.
pub(crate) const OWN_CATALOG: &str = "own-catalog.json";
/// How long what Keystone's plugin says waits for the last reading: an operator's script may change a
/// thousand endpoints.
const BETWEEN_READINGS: Duration = Duration::from_millis(500);

/// Regions and service types.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// Regions with public endpoints.
    pub regions: Vec<Region>,
    /// All service types that the catalog has.
    pub service_types: BTreeSet<String>,
}

/// The last [`Offer`].
#[derive(Default)]
pub(crate) struct OwnCatalog {
    /// `None`: not kept.
    path: Option<PathBuf>,
    current: RwLock<Arc<Offer>>,
    stale: Notify,
}

impl OwnCatalog {
    /// As the file has it; empty if there is none, or none that can be read.
    pub(crate) fn open(path: PathBuf) -> Self {
        let current = match read(&path) {
            Ok(offer) => offer,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Offer::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the last own catalog cannot be read; until Keystone is asked, partners see no regions of ours");
                Offer::default()
            }
        };
        Self {
            path: Some(path),
            current: RwLock::new(Arc::new(current)),
            stale: Notify::new(),
        }
    }

    /// Keystone's is another one now.
    pub(crate) fn stale(&self) {
        self.stale.notify_one();
    }

    /// Waits until the next reading is due: in `pause` at the latest, as soon as it is
    /// [stale](OwnCatalog::stale), yet never right after the last.
    pub(crate) async fn wait(&self, pause: Duration) {
        sleep(BETWEEN_READINGS.min(pause)).await;
        let rest = pause.saturating_sub(BETWEEN_READINGS);
        // Either way it is time.
        let _ = timeout(rest, self.stale.notified()).await;
    }

    /// As last read; empty before the first time.
    pub(crate) fn current(&self) -> Arc<Offer> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces it; true if it differs.
    pub(crate) fn replace(&self, offer: Offer) -> bool {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **current != offer;
        if changed {
            if let Some(path) = &self.path
                && let Err(error) = write(path, &offer)
            {
                tracing::warn!(path = %path.display(), %error, "the own catalog was not kept; it is read from Keystone after the next start");
            }
            *current = Arc::new(offer);
        }
        changed
    }
}

fn read(path: &Path) -> io::Result<Offer> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn write(path: &Path, offer: &Offer) -> io::Result<()> {
    files::replace(path, &serde_json::to_vec(offer)?, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer {
            regions: Vec::new(),
            service_types: ["image".to_owned()].into(),
        }
    }

    #[tokio::test]
    async fn a_thousand_changes_while_it_was_read_are_one_more_reading() {
        let catalog = OwnCatalog::default();
        for _ in 0..1000 {
            catalog.stale();
        }
        let never = Duration::from_secs(3600);
        assert!(timeout(never, catalog.wait(never)).await.is_ok());
        let more = timeout(Duration::ZERO, catalog.stale.notified()).await;
        assert!(more.is_err());
    }

    #[test]
    fn a_daemon_that_starts_knows_what_it_knew() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(OWN_CATALOG);
        let catalog = OwnCatalog::open(path.clone());
        assert_eq!(*catalog.current(), Offer::default());
        assert!(catalog.replace(offer()));
        assert!(!catalog.replace(offer()));
        assert_eq!(*OwnCatalog::open(path.clone()).current(), offer());
        fs::write(&path, "{")?;
        assert_eq!(*OwnCatalog::open(path).current(), Offer::default());
        Ok(())
    }
}
