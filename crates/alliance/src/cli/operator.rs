//! What only the cloud's operator may do in Keystone, with the `OS_*` credentials of this shell:
//! used once, kept nowhere.

use std::env;
use std::fmt::Display;

use alliance_cloud::operator::{self, Created};
use alliance_core::cloud::CloudId;
use alliance_core::partner::Role;
use anyhow::Context;

use super::{Failure, Output};

/// Keystone, by the operator's hand.
pub(super) struct Operator(operator::Operator);

impl Operator {
    /// The operator, if a partner of this role needs anything in Keystone.
    ///
    /// # Errors
    /// Which variables are missing.
    pub(super) fn if_guest(role: Role) -> Result<Option<Self>, Failure> {
        role.is_guest().then(Self::from_env).transpose()
    }

    /// # Errors
    /// Which variables are missing.
    pub(super) fn from_env() -> Result<Self, Failure> {
        // What is no text is none of the variables that count.
        let variables = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let operator = operator::Operator::from_env(variables)
            .context("this needs your own rights in Keystone, and nothing was sent yet")?;
        Ok(Self(operator))
    }

    /// Makes what the partner's users need and is not there; leaves nothing half-made.
    ///
    /// # Errors
    /// What Keystone refused, or what is in the way.
    pub(super) async fn ensure(
        &self,
        alias: &str,
        cloud_id: &CloudId,
        out: &mut Output,
    ) -> anyhow::Result<Created> {
        let created = self.0.ensure_partner_objects(alias, cloud_id).await?;
        each(out, "made in Keystone", &created.made);
        for object in &created.disabled {
            out.say(format_args!(
                "warning: {object} is disabled in Keystone, and stays so: its users are refused until \
                 alliance partner repair {alias}"
            ));
        }
        Ok(created)
    }

    /// Takes away what [`Operator::ensure`] made, as far as Keystone lets it.
    pub(super) async fn undo(&self, created: &Created, out: &mut Output) {
        match self.0.undo(created).await {
            Ok(()) => each(out, "removed from Keystone again", &created.made),
            Err(error) => {
                out.say(format_args!(
                    "warning: not removed from Keystone again: {error}"
                ));
                each(out, "still in Keystone", &created.made);
            }
        }
    }

    /// Makes what is missing and enables what is disabled.
    ///
    /// # Errors
    /// What Keystone refused, or what is in the way.
    pub(super) async fn repair(
        &self,
        alias: &str,
        cloud_id: &CloudId,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        let done = self.0.repair(alias, cloud_id).await?;
        each(out, "repaired in Keystone", &done);
        if done.is_empty() {
            out.say("nothing is missing in Keystone");
        }
        Ok(())
    }

    /// Deletes the partner's objects, its users' and projects' entries with them.
    ///
    /// # Errors
    /// What Keystone refused.
    pub(super) async fn purge(
        &self,
        alias: &str,
        cloud_id: &CloudId,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        let purged = self.0.purge(alias, cloud_id).await.context(
            "the partner is removed and its tokens are refused, but not all of it is deleted from Keystone",
        )?;
        each(out, "deleted from Keystone", &purged.deleted);
        each(out, "left in Keystone", &purged.left);
        Ok(())
    }
}

fn each(out: &mut Output, what: &str, things: &[impl Display]) {
    for thing in things {
        out.say(format_args!("{what}: {thing}"));
    }
}
