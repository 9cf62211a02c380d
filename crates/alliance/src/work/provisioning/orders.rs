//! Whether what is in the database was ordered by whom it says, and is allowed.

use alliance_core::cloud::CloudId;
use alliance_core::provision::{
    Action, NotAllowed, Plan, ProvisionOrder, allow, require_within, stack_id,
};
use alliance_core::terms::{Resource, Terms};
use alliance_peer::statement;
use alliance_store::{Stack, Store};

use crate::daemon::now;

/// Why an order is not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The database's.
    #[error(transparent)]
    Database(#[from] alliance_store::Error),
    /// For the partner to read.
    #[error("{0}")]
    For(String),
}

/// The order as the partner signed it, if it is about this stack.
pub(super) async fn verified(
    store: &Store,
    stack: &Stack,
    signed: &str,
) -> Result<ProvisionOrder, Refused> {
    let refused = |why: String| Err(Refused::For(why));
    let Some(known) = store.partners().by_cloud_id(&stack.home).await? else {
        return refused("the cloud that ordered it is no partner any more".to_owned());
    };
    if let Err(reason) = known.partner.require_guest(now()) {
        return refused(format!(
            "the partner's projects may not come here now ({})",
            reason.code()
        ));
    }
    let descriptor = known.facts.descriptor.map(|stored| stored.claims);
    let keys = descriptor.map(|told| told.signing_keys).unwrap_or_default();
    let order: Result<ProvisionOrder, _> =
        statement::verify(signed, &keys, &stack.home, Some(store.cloud()));
    let order = match order {
        Ok(order) => order,
        Err(error) => return refused(format!("the order is not the partner's: {error}")),
    };
    let id = stack_id(store.cloud(), &stack.home, &order.project, &order.stack);
    if id != stack.id || order.project != stack.project_id {
        return refused("the order is about another stack".to_owned());
    }
    Ok(order)
}

/// The order to give the apply up, if there is one and the partner signed it.
pub(super) async fn is_cancelled(store: &Store, stack_id: &str) -> Result<bool, Refused> {
    let Some(stack) = store.provisions().stack(stack_id).await? else {
        return Ok(false);
    };
    let Some(cancel) = &stack.cancel else {
        return Ok(false);
    };
    Ok(match verified(store, &stack, cancel).await {
        Ok(order) => order.action == Action::Cancel,
        Err(Refused::For(why)) => {
            tracing::warn!(stack = stack_id, why, "a cancellation is not believed");
            false
        }
        Err(error) => return Err(error),
    })
}

/// The terms that allow a plan in a project now.
pub(super) async fn allowed(
    store: &Store,
    home: &CloudId,
    project_id: &str,
    (plan, region): (&Plan, &str),
) -> Result<Terms, Refused> {
    if store.retirements().is_under_way(home, project_id).await? {
        return Err(Refused::For(NotAllowed::Retiring.to_string()));
    }
    let given = store.agreements().live(home, now()).await?;
    let place = (project_id, Some(region));
    match allow(Some(plan), &given, place, now()) {
        Ok(terms) => Ok(terms.clone()),
        Err(why) => Err(Refused::For(why.to_string())),
    }
}

/// Checks what only the flavors tell.
pub(super) fn require_room(
    flavors: impl Iterator<Item = (u64, alliance_cloud::provisioning::Flavor)>,
    terms: &Terms,
) -> Result<(), String> {
    let (mut cores, mut ram_mb) = (0, 0);
    for (count, flavor) in flavors {
        cores += count * flavor.cores;
        ram_mb += count * flavor.ram_mb;
    }
    let asked = [(Resource::Cores, cores), (Resource::RamMb, ram_mb)];
    // The rest was looked at before.
    let only = asked.into_iter().collect();
    require_within(&only, terms).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use alliance_core::provision::{ORDER_LIFETIME, StackState};
    use alliance_peer::identity::Identity;

    use super::*;
    use crate::daemon::bed::{Bed, Failure};

    fn order(home: &CloudId, host: &CloudId, stack: &str) -> ProvisionOrder {
        ProvisionOrder {
            iss: home.clone(),
            aud: host.clone(),
            iat: now(),
            exp: now() + ORDER_LIFETIME,
            jti: "o".into(),
            number: 1,
            project: "science".into(),
            called: None,
            stack: stack.into(),
            action: Action::Destroy,
        }
    }

    #[tokio::test]
    async fn what_the_partner_did_not_sign_is_not_carried_out() -> Result<(), Failure> {
        let [(east, _a), (west, _b)] = Bed::host_and_home().await?;
        let stack = Stack {
            id: stack_id(east.id(), west.id(), "science", "web"),
            home: west.id().clone(),
            project_id: "science".into(),
            name: "web".into(),
            order_id: "o".into(),
            action: "destroy".into(),
            signed: String::new(),
            ordered_at: now(),
            cancel: None,
            state: StackState::Ordered,
            ends_as: None,
            detail: None,
            changed_at: now(),
        };
        let store = east.store();
        let wests = order(west.id(), east.id(), "web");
        let found = verified(
            store,
            &stack,
            &statement::sign(&wests, west.identity().signing_key())?,
        )
        .await;
        assert!(found.is_ok_and(|found| found == wests));
        let stranger = Identity::ephemeral()?;
        let other = |stack| order(west.id(), east.id(), stack);
        for (signed, expected) in [
            (
                statement::sign(&wests, east.identity().signing_key())?,
                "the order is not the partner's",
            ),
            (
                statement::sign(&wests, stranger.signing_key())?,
                "the order is not the partner's",
            ),
            (
                statement::sign(
                    &order(west.id(), west.id(), "web"),
                    west.identity().signing_key(),
                )?,
                "the order is not the partner's",
            ),
            (
                statement::sign(&other("db"), west.identity().signing_key())?,
                "the order is about another stack",
            ),
            ("junk".to_owned(), "the order is not the partner's"),
        ] {
            let refused = verified(store, &stack, &signed)
                .await
                .map_err(|e| e.to_string());
            assert!(
                refused.is_err_and(|why| why.starts_with(expected)),
                "{expected}"
            );
        }
        let unknown = Stack {
            home: CloudId::from_spki(b"nobody"),
            ..stack
        };
        let refused = verified(store, &unknown, "junk")
            .await
            .map_err(|e| e.to_string());
        assert!(refused.is_err_and(|why| why.contains("no partner any more")));
        Ok(())
    }
}
