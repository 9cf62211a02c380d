//! Keeping up with the own Keystone's catalog, and with what the APIs in it say of their versions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_cloud::keystone::Catalog;
use alliance_cloud::versions;
use alliance_peer::request_id::RequestId;
use alliance_peer::wire::Topic;
use futures_util::stream::{self, StreamExt};
use url::Url;

use super::{IDENTITY, Offer};
use crate::daemon::Daemon;
use crate::daemon::clock::now;

/// Pause after a first failure to read the own catalog.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// How many version documents are read at once.
const DOCUMENTS_AT_ONCE: usize = 4;

impl Daemon {
    /// Reads the own catalog every `refresh`, sooner while it cannot be read or when it is another
    /// one, and tells partners when it changed. Runs for ever.
    pub(crate) async fn follow_own_catalog(self: Arc<Self>, refresh: Duration) {
        let mut pause = FIRST_RETRY;
        loop {
            let request_id = RequestId::random();
            match self.token_keys.read(now()).await {
                Ok(false) => {}
                Ok(true) => self.poke_all(&[Topic::Descriptor]),
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the keys of [signing] were not read; partners go on with the last ones"
                    );
                }
            }
            match self.read_own_catalog(request_id).await {
                Ok(false) => pause = refresh,
                Ok(true) => {
                    pause = refresh;
                    // Before our own Keystone, which may take its time.
                    self.poke_all(&[Topic::Descriptor]);
                    if let Err(error) = self.publisher.publish(false).await {
                        tracing::error!(%request_id, error = format!("{error:#}"), "the snapshot was not written");
                    }
                }
                Err(error) => {
                    tracing::warn!(%request_id, error = format!("{error:#}"), "the own catalog was not read; partners see the last one");
                    pause = if pause < refresh {
                        (pause * 2).min(refresh)
                    } else {
                        FIRST_RETRY
                    };
                }
            }
            self.catalog.wait(pause).await;
        }
    }

    async fn read_own_catalog(&self, request_id: RequestId) -> anyhow::Result<bool> {
        let settings = &self.config.catalog;
        let request_id = request_id.to_string();
        let found = self.keystone.catalog(&request_id, &settings.interfaces);
        let Catalog {
            mut regions,
            service_types,
            region_ids,
        } = found.await?;
        let offer = &settings.offer;
        let offered = |kind: &String| {
            kind == IDENTITY || offer.iter().any(|word| word == "*" || word == kind)
        };
        for region in &mut regions {
            region.services.retain(|service| offered(&service.kind));
        }
        self.catalog.replace(Offer {
            regions,
            service_types,
            region_ids,
        })
    }

    /// Reads the version documents of what this cloud offers, each every `refresh`, and tells partners
    /// when one says something else. Runs for ever.
    pub(crate) async fn follow_own_versions(self: Arc<Self>, refresh: Duration) {
        let mut read: HashMap<Url, Instant> = HashMap::new();
        loop {
            let mut documents = self.catalog.documents();
            read.retain(|root, _| documents.contains(root));
            documents.retain(|root| read.get(root).is_none_or(|at| at.elapsed() >= refresh));
            read.extend(documents.iter().map(|root| (root.clone(), Instant::now())));
            let reading = documents.into_iter().map(|root| async {
                let found = versions::read(&root).await;
                (root, found)
            });
            let mut reading = stream::iter(reading).buffer_unordered(DOCUMENTS_AT_ONCE);
            let mut changed = false;
            while let Some((root, found)) = reading.next().await {
                match found {
                    Ok(found) => changed |= self.catalog.learn(root, found),
                    Err(error) => {
                        tracing::debug!(
                            error = format!("{:#}", anyhow::Error::from(error)),
                            "the versions of an API were not read; partners see the last ones"
                        );
                    }
                }
            }
            if changed {
                self.poke_all(&[Topic::Descriptor]);
            }
            self.catalog.other_documents(refresh).await;
        }
    }
}
