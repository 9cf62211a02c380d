//! Receipts: written here for homes, and taken in from hosts.

use std::sync::Arc;
use std::time::Duration;

use alliance_core::label::clean;
use alliance_core::retirement::{Fate, Item, Receipt, Receipts};
use alliance_peer::client::PeerClient;
use alliance_peer::error::ApiError;
use alliance_peer::request_id::RequestId;
use alliance_peer::statement;
use alliance_peer::wire::{ReceiptAnswer, ReceiptPoll};
use alliance_store::{ItemState, Retirement, RetirementItem};

use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::directory::{Known, Way};

/// Longest refusal of a home's that is kept, in characters.
const REFUSAL: usize = 300;

impl Daemon {
    /// Writes a receipt for each retirement of which home has not been told how it is now.
    pub(super) async fn write_receipts(&self) -> anyhow::Result<()> {
        let retirements = self.store.retirements();
        for found in retirements.list().await? {
            if !found.to_report {
                continue;
            }
            let items = retirements.items(&found.id).await?;
            let items: Vec<Item> = items.into_iter().filter_map(listed).collect();
            let pages = Receipt::pages(&self.first_page(&found), &items);
            if retirements.report(&found, &pages).await? {
                tracing::info!(
                    retirement = found.id,
                    partner = self.name_of(&found.cloud_id),
                    resources = items.len(),
                    remainder = found.remainder,
                    "a receipt waits for the project's home"
                );
            }
        }
        Ok(())
    }

    fn first_page(&self, found: &Retirement) -> Receipt {
        Receipt {
            retirement: found.id.clone(),
            revision: found.revision.saturating_add(1),
            page: 1,
            pages: 1,
            project_id: found.project_id.clone(),
            cause: found.plan.cause,
            began: found.began,
            at: now(),
            items: Vec::new(),
        }
    }

    /// The next receipt for `home`.
    ///
    /// # Errors
    /// If it cannot be told now.
    pub(crate) async fn tell_receipts(
        &self,
        home: &Known,
        poll: &ReceiptPoll,
        request_id: RequestId,
    ) -> Result<ReceiptAnswer, ApiError> {
        let (retirements, cloud_id) = (self.store.retirements(), &home.partner.cloud_id);
        let refusal = poll.refusal.as_ref().map(|why| clean(why, REFUSAL));
        if let Some(why) = &refusal {
            tracing::warn!(%request_id, partner = home.partner.name, why, "home refuses a receipt; it is told again");
        }
        let told = retirements.acknowledge(cloud_id, poll.after, refusal.as_deref());
        told.await.map_err(ApiError::internal)?;
        let next = retirements.outgoing(cloud_id, poll.after).await;
        let next = next.map_err(ApiError::internal)?;
        let (after, receipt) = match next {
            Some((number, receipt)) => (number - 1, Some(receipt)),
            None => (poll.after, None),
        };
        let said = Receipts {
            iss: self.identity.cloud_id().clone(),
            aud: cloud_id.clone(),
            iat: now(),
            after,
            receipt,
        };
        let receipt = statement::sign(&said, self.identity.signing_key());
        Ok(ReceiptAnswer {
            receipt: receipt.map_err(ApiError::internal)?,
        })
    }

    /// Takes in what hosts say that they have deleted of ours, every `refresh`. Runs for ever.
    pub(crate) async fn follow_receipts(self: Arc<Self>, refresh: Duration) {
        let ask = |daemon: Arc<Self>, known: Arc<Known>| async move {
            let Way::Peer(client) = &known.way else {
                return Ok(0);
            };
            daemon.take_receipts(&known, client).await
        };
        self.follow_hosts(refresh, "receipts", ask).await;
    }

    /// Takes in what is new at one host. Returns how much.
    pub(super) async fn take_receipts(
        &self,
        known: &Known,
        client: &PeerClient,
    ) -> anyhow::Result<usize> {
        let (retirements, host) = (self.store.retirements(), &known.partner.cloud_id);
        let mut poll = ReceiptPoll {
            after: retirements.received(host).await?,
            refusal: None,
        };
        let mut count = 0;
        loop {
            let answer = client.receipts(RequestId::random(), &poll).await?;
            let heard = known.hear::<Receipts>(&answer.receipt, self.identity.cloud_id());
            let heard = heard
                .map_err(anyhow::Error::from)
                .and_then(|said| Ok(said.after(poll.after)?));
            match heard {
                Ok(None) => return Ok(count),
                Ok(Some((next, receipt))) => {
                    let taken = retirements.receive(host, next, &receipt, &answer.receipt);
                    if !Box::pin(taken).await? {
                        return Ok(count);
                    }
                    count += 1;
                    tracing::info!(
                        partner = known.partner.name,
                        retirement = receipt.retirement,
                        project = receipt.project_id,
                        cause = %receipt.cause,
                        resources = receipt.items.len(),
                        "the partner has retired a project of ours"
                    );
                    poll.after = next;
                }
                Err(error) => {
                    // The host's operator shall see it too.
                    poll.refusal = Some(format!("{error:#}"));
                    client.receipts(RequestId::random(), &poll).await?;
                    return Err(error.context("the receipt was refused"));
                }
            }
        }
    }
}

/// As it stands in a receipt. What was only looked at is not.
fn listed(item: RetirementItem) -> Option<Item> {
    let fate = match item.state {
        ItemState::Deleted => Fate::Deleted,
        ItemState::Left | ItemState::Deleting => Fate::Left,
        ItemState::Found | ItemState::Stopped | ItemState::Restored => return None,
    };
    Some(Item {
        kind: item.kind,
        id: item.id,
        name: item.name,
        fate,
        reason: item.detail.filter(|_| fate == Fate::Left),
    })
}
