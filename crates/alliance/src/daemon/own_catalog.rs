//! What this cloud itself offers, as last read from its Keystone. Kept in a file, so that a daemon that
//! starts while Keystone is away goes on telling what it told before.

mod following;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use std::{fs, io};

use alliance_cloud::keystone::PUBLIC;
use alliance_cloud::versions;
use alliance_core::descriptor::{ApiVersion, Region, Service};
use alliance_core::endpoint_url::plain;
use alliance_core::snapshot::Showing;
use anyhow::ensure;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use url::Url;

use super::files;

/// The file's name in the state directory.
pub(crate) const OWN_CATALOG: &str = "own-catalog.json";
/// How long what Keystone's plugin says waits for the last reading: an operator's script may change a
/// thousand endpoints.
const BETWEEN_READINGS: Duration = Duration::from_millis(500);
/// Most bytes of JSON that regions take in a descriptor of 64 KiB, in base64 and beside keys.
const MOST_REGIONS: usize = 36 << 10;
/// The service that is offered always.
pub(crate) const IDENTITY: &str = "identity";

/// What partners are told, and what is shown of theirs depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// Regions with the endpoints that partners are told.
    pub regions: Vec<Region>,
    /// All service types that the catalog has.
    pub service_types: BTreeSet<String>,
    /// All regions that the catalog has.
    #[serde(default)]
    pub region_ids: BTreeSet<String>,
}

impl Offer {
    fn services(&self) -> impl Iterator<Item = &Service> {
        self.regions.iter().flat_map(|region| &region.services)
    }

    /// The versions of an API here.
    pub(crate) fn versions(&self, kind: &str) -> Option<&Service> {
        let mut services = self.services().filter(|service| service.kind == kind);
        services.find(|service| !service.versions.is_empty())
    }

    /// Says the versions that are known, unless the descriptor would become too long.
    fn tell(&mut self, versions: &Versions) {
        for service in self.regions.iter_mut().flat_map(|r| &mut r.services) {
            service.versions = versions.of(service).unwrap_or_default();
        }
        if !self.is_sendable() {
            let services = self.regions.iter_mut().flat_map(|r| &mut r.services);
            services.for_each(|service| service.versions.clear());
        }
    }

    /// Whether it leaves room in a descriptor for all else.
    fn is_sendable(&self) -> bool {
        serde_json::to_vec(&self.regions).is_ok_and(|regions| regions.len() <= MOST_REGIONS)
    }
}

/// The versions of APIs, by where their documents are.
#[derive(Default)]
struct Versions(BTreeMap<Url, Vec<ApiVersion>>);

impl Versions {
    fn of(&self, service: &Service) -> Option<Vec<ApiVersion>> {
        let mut roots = roots(service);
        roots.find_map(|root| self.0.get(&root).cloned())
    }
}

/// Where the version documents of a service are, the public one first.
fn roots(service: &Service) -> impl Iterator<Item = Url> {
    let (public, other): (Vec<_>, Vec<_>) = service
        .endpoints
        .iter()
        .partition(|endpoint| endpoint.interface == PUBLIC);
    let urls = public.into_iter().chain(other);
    urls.filter_map(|endpoint| versions::root(&endpoint.url))
}

/// The last [`Offer`].
#[derive(Default)]
pub(crate) struct OwnCatalog {
    /// `None`: not kept.
    path: Option<PathBuf>,
    /// As the configuration says.
    showing: Showing,
    current: RwLock<Arc<Offer>>,
    versions: Mutex<Versions>,
    stale: Notify,
    replaced: Notify,
}

impl OwnCatalog {
    /// As the file has it; empty if there is none, or none that can be read.
    pub(crate) fn open(path: PathBuf, showing: Showing) -> Self {
        let current = match read(&path) {
            Ok(offer) => offer,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Offer::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the last own catalog cannot be read; until Keystone is asked, partners see no regions of ours");
                Offer::default()
            }
        };
        let told = current.services().filter(|s| !s.versions.is_empty());
        let versions = told.filter_map(|s| Some((roots(s).next()?, s.versions.clone())));
        Self {
            path: Some(path),
            showing,
            versions: Mutex::new(Versions(versions.collect())),
            current: RwLock::new(Arc::new(current)),
            ..Self::default()
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

    /// How partners' regions are shown beside what this cloud has itself.
    pub(crate) fn showing(&self) -> Showing {
        let mut showing = self.showing.clone();
        let offer = self.current();
        showing.names.own.clone_from(&offer.region_ids);
        let identity = offer.services().filter(|s| s.kind == IDENTITY);
        let urls = identity.flat_map(|service| &service.endpoints);
        let hosts = urls.filter_map(|e| Some(plain(Url::parse(&e.url).ok()?.host_str()?)));
        showing.urls.own.extend(hosts);
        showing
    }

    /// Replaces it; true if it differs.
    ///
    /// # Errors
    /// If it is more than a descriptor holds: the old one stays.
    pub(crate) fn replace(&self, offer: Offer) -> anyhow::Result<bool> {
        ensure!(
            offer.is_sendable(),
            "the catalog is more than partners can be told ({} KiB): name fewer service types in [catalog] offer, or one [keystone] region",
            MOST_REGIONS >> 10
        );
        let changed = self.update(|current| *current = offer);
        if changed {
            self.replaced.notify_one();
        }
        Ok(changed)
    }

    /// Where the version documents of what is offered are.
    pub(crate) fn documents(&self) -> BTreeSet<Url> {
        self.current().services().flat_map(roots).collect()
    }

    /// Waits until there may be other documents, at most for `pause`.
    pub(crate) async fn other_documents(&self, pause: Duration) {
        // Either way it is time.
        let _ = timeout(pause, self.replaced.notified()).await;
    }

    /// The document at `root` says so; true if it said otherwise.
    pub(crate) fn learn(&self, root: Url, found: Vec<ApiVersion>) -> bool {
        self.versions().0.insert(root, found);
        self.update(|_| ())
    }

    fn update(&self, change: impl FnOnce(&mut Offer)) -> bool {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let mut offer = (**current).clone();
        change(&mut offer);
        offer.tell(&self.versions());
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

    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
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
    use alliance_core::descriptor::Endpoint;

    use super::*;

    fn offer(urls: &[&str]) -> Offer {
        let endpoint = |url: &&str| Endpoint {
            interface: PUBLIC.into(),
            url: (*url).into(),
        };
        Offer {
            regions: vec![Region {
                id: "west".into(),
                services: vec![Service {
                    kind: IDENTITY.into(),
                    name: "keystone".into(),
                    endpoints: urls.iter().map(endpoint).collect(),
                    versions: Vec::new(),
                }],
            }],
            service_types: [IDENTITY.to_owned()].into(),
            region_ids: ["west".to_owned(), "inside".to_owned()].into(),
        }
    }

    fn v3() -> Vec<ApiVersion> {
        vec![ApiVersion {
            id: "v3.14".into(),
            status: "stable".into(),
            min: None,
            max: None,
        }]
    }

    #[test]
    fn what_is_shown_of_partners_depends_on_what_this_cloud_has() -> anyhow::Result<()> {
        let catalog = OwnCatalog::default();
        catalog.replace(offer(&["https://Keystone.West.example:5000/v3"]))?;
        let showing = catalog.showing();
        assert!(showing.names.own.contains("inside"));
        let own = showing.urls.require_fit("https://keystone.west.example/");
        assert!(own.is_err());
        Ok(())
    }

    #[test]
    fn a_catalog_that_no_descriptor_holds_is_not_told_and_the_last_one_stays() -> anyhow::Result<()>
    {
        let catalog = OwnCatalog::default();
        assert!(catalog.replace(offer(&["https://west/v3"]))?);
        let many: Vec<_> = (0..100_000).map(|n| format!("https://west/{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(catalog.replace(offer(&many)).is_err());
        assert_eq!(*catalog.current(), offer(&["https://west/v3"]));
        // Where versions are too much, they are left out.
        let (root, mut found) = (Url::parse("https://west/")?, v3());
        found[0].id = "v".repeat(MOST_REGIONS);
        assert!(!catalog.learn(root.clone(), found));
        assert!(catalog.learn(root, v3()));
        Ok(())
    }

    #[test]
    fn versions_stay_known_while_the_catalog_changes_and_the_daemon_starts() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(OWN_CATALOG);
        let catalog = OwnCatalog::open(path.clone(), Showing::default());
        catalog.replace(offer(&["https://west/v3"]))?;
        let documents = catalog.documents();
        assert_eq!(documents, [Url::parse("https://west/")?].into());
        for root in documents {
            assert!(catalog.learn(root.clone(), v3()));
            assert!(!catalog.learn(root, v3()));
        }
        let versions =
            |catalog: &OwnCatalog| catalog.current().regions[0].services[0].versions.clone();
        assert!(catalog.replace(offer(&["https://west/v3", "https://other/v3"]))?);
        assert_eq!(versions(&catalog), v3());
        let again = OwnCatalog::open(path, Showing::default());
        assert!(!again.replace(offer(&["https://west/v3", "https://other/v3"]))?);
        assert_eq!(versions(&again), v3());
        assert!(again.replace(offer(&["https://other/v3"]))?);
        assert_eq!(versions(&again), []);
        Ok(())
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
    fn a_daemon_that_starts_knows_what_it_knew() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(OWN_CATALOG);
        let open = || OwnCatalog::open(path.clone(), Showing::default());
        let catalog = open();
        assert_eq!(*catalog.current(), Offer::default());
        let offer = offer(&["https://west/v3"]);
        assert!(catalog.replace(offer.clone())?);
        assert!(!catalog.replace(offer.clone())?);
        assert_eq!(*open().current(), offer);
        fs::write(&path, "{")?;
        assert_eq!(*open().current(), Offer::default());
        Ok(())
    }
}
