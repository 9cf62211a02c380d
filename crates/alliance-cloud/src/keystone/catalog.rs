//! What this cloud offers.

use std::collections::BTreeSet;

use alliance_core::descriptor::Region;

use super::{Keystone, KeystoneError};

impl Keystone {
    /// The regions with the endpoints to offer, and the types of all services.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn catalog(
        &self,
        _request_id: &str,
    ) -> Result<(Vec<Region>, BTreeSet<String>), KeystoneError> {
        self.unwritten()
    }
}
