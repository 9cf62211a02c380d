//! The instances, as operators see them.

use alliance_core::Seconds;
use alliance_store::Instance;

use super::LEADER;
use crate::daemon::Daemon;
use crate::wire::InstanceView;

/// When an operator should look, in seconds: at an instance that says nothing, and at its clock.
const SILENT: Seconds = 15;
const SKEWED: Seconds = 5;

impl Daemon {
    /// What to say of instances that what is changed here may not reach: one that is cut off from the database
    /// goes on as before.
    pub(in crate::daemon) async fn where_it_may_not_count(&self) -> Option<String> {
        let instances = self.instances().await;
        let mut cut_off = instances
            .iter()
            .filter(|one| !one.here && one.silent > SILENT)
            .map(|one| one.name.as_str());
        let first = cut_off.next()?;
        let names = cut_off.fold(first.to_owned(), |all, name| format!("{all}, {name}"));
        Some(format!(
            "nothing was heard for a while from {names}: a daemon that runs there without reaching the database does not know of this; stop it there (systemctl stop alliance)"
        ))
    }

    /// The instances, for operators; none where there can be only one.
    pub(crate) async fn instances(&self) -> Vec<InstanceView> {
        if !self.board.is_shared() {
            return Vec::new();
        }
        let found = self.store.instances().list().await.unwrap_or_default();
        let leader = self.store.leases().holder(LEADER).await.ok().flatten();
        let view = |one: Instance| InstanceView {
            leads: leader.as_ref() == Some(&one.process),
            here: one.process == self.board.process(),
            silent: one.silent,
            clock: one.clock,
            name: one.name,
            version: one.version,
        };
        found.into_iter().map(view).collect()
    }
}

/// What an operator should know of them.
pub(crate) fn warnings(instances: &[InstanceView]) -> Vec<String> {
    let mut warnings = Vec::new();
    for one in instances {
        let InstanceView { name, .. } = one;
        if one.silent > SILENT {
            warnings.push(format!(
                "instance {name} has said nothing for {} s: does it run (systemctl status alliance), and reach the database? If it is gone for good, it is forgotten after a day",
                one.silent
            ));
        } else if one.clock.abs() > SKEWED {
            warnings.push(format!(
                "the clock of instance {name} is {} s off the database's: mend its time synchronisation (chronyc tracking)",
                one.clock
            ));
        }
    }
    if !instances.is_empty() && !instances.iter().any(|one| one.leads) {
        warnings.push(
            "no instance leads: what partners say is not heard. If that lasts for more than some seconds, look at the logs of all instances"
                .to_owned(),
        );
    }
    warnings
}
