//! What was done to each thing.

use std::collections::BTreeMap;

use alliance_cloud::estate::Thing;
use alliance_core::label::clean;
use alliance_store::{Error, ItemState, Lease, Retirement, RetirementItem, Store};

use crate::daemon::now;

/// Longest reason that is kept, in characters.
const REASON: usize = 400;

/// The journal of one retirement.
pub(super) struct Journal<'a> {
    store: &'a Store,
    lease: &'a Lease,
    order: &'a Retirement,
    items: BTreeMap<(String, String), RetirementItem>,
}

impl<'a> Journal<'a> {
    pub(super) async fn open(
        store: &'a Store,
        lease: &'a Lease,
        order: &'a Retirement,
    ) -> Result<Self, Error> {
        let items = store.retirements().items(&order.id).await?.into_iter();
        let key = |item: &RetirementItem| (item.kind.clone(), item.id.clone());
        Ok(Self {
            store,
            lease,
            order,
            items: items.map(|item| (key(&item), item)).collect(),
        })
    }

    /// Whether what was ordered still holds. To be asked before anything is done that hurts.
    pub(super) async fn still_holds(&self) -> Result<bool, Error> {
        let retirements = self.store.retirements();
        retirements.still_holds(self.order, now()).await
    }

    /// What was noted.
    pub(super) fn items(&self) -> impl Iterator<Item = &RetirementItem> {
        self.items.values()
    }

    /// What was noted of one.
    pub(super) fn state(&self, kind: &str, id: &str) -> Option<ItemState> {
        let key = (kind.to_owned(), id.to_owned());
        self.items.get(&key).map(|item| item.state)
    }

    /// Notes some, unless that is what is noted already.
    pub(super) async fn note(&mut self, items: Vec<RetirementItem>) -> Result<(), Error> {
        let news: Vec<_> = items
            .into_iter()
            .filter(|item| {
                let known = self.items.get(&(item.kind.clone(), item.id.clone()));
                known != Some(item)
            })
            .collect();
        let retirements = self.store.retirements();
        retirements.note(self.lease, &self.order.id, &news).await?;
        for item in news {
            self.items
                .insert((item.kind.clone(), item.id.clone()), item);
        }
        Ok(())
    }
}

/// What is noted of a thing.
pub(super) fn item(thing: &Thing, state: ItemState, detail: Option<String>) -> RetirementItem {
    RetirementItem {
        kind: thing.kind.as_str().to_owned(),
        id: thing.id.clone(),
        name: thing.name.clone(),
        state,
        detail: detail.map(|detail| clean(&detail, REASON)),
    }
}
