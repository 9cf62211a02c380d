//! What only the cloud's operator may do in Keystone, with the `OS_*` credentials of this shell:
//! used once, kept nowhere.

use alliance_core::cloud::CloudId;
use alliance_core::partner::Role;

use super::{Failure, Output};

pub(super) struct Operator;
pub(super) struct Created;

impl Operator {
    /// The operator, if a partner of this role needs anything in Keystone.
    ///
    /// # Errors
    /// Which variables are missing.
    pub(super) fn if_guest(role: Role) -> Result<Option<Self>, Failure> {
        role.is_guest().then(Self::from_env).transpose()
    }

    pub(super) fn from_env() -> Result<Self, Failure> {
        Err(Failure::refused("set OS_AUTH_URL"))
    }

    pub(super) async fn ensure(
        &self,
        _alias: &str,
        _cloud: &CloudId,
        _out: &mut Output,
    ) -> anyhow::Result<Created> {
        Ok(Created)
    }

    pub(super) async fn undo(&self, _created: &Created, _out: &mut Output) {}

    pub(super) async fn purge(
        &self,
        _alias: &str,
        _cloud: &CloudId,
        _out: &mut Output,
    ) -> anyhow::Result<()> {
        Ok(())
    }
}
