//! What this cloud itself offers, as last read from its Keystone.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use alliance_core::descriptor::Region;

/// Regions and service types.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Regions with public endpoints.
    pub regions: Vec<Region>,
    /// All service types that the catalog has.
    pub service_types: BTreeSet<String>,
}

/// The last [`Offer`].
#[derive(Default)]
pub(crate) struct OwnCatalog {
    current: RwLock<Arc<Offer>>,
}

impl OwnCatalog {
    /// As last read; empty before the first time.
    pub(crate) fn current(&self) -> Arc<Offer> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces it; true if it differs.
    pub(crate) fn replace(&self, offer: Offer) -> bool {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **current != offer;
        if changed {
            *current = Arc::new(offer);
        }
        changed
    }
}
