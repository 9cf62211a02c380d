//! What partners' projects use here is told to their homes; what ours use there is counted here.
//!
//! `alliance work` writes the records into the database and numbers them; this daemon signs them when a
//! home asks. A home names the last number that it has counted, and so acknowledges, notices gaps, and
//! asks again, all in one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alliance_core::cloud::CloudId;
use alliance_core::usage::{
    BATCH, CloudEvent, Difference, Month, Part, Record, UsageBatch, reconcile,
};
use alliance_peer::client::PeerClient;
use alliance_peer::error::ApiError;
use alliance_peer::request_id::RequestId;
use alliance_peer::statement;
use alliance_peer::wire::UsageAnswer;
use anyhow::{Context, ensure};
use jiff::Timestamp;

use super::Daemon;
use super::billing::span;
use super::clock::now;
use super::directory::{Known, Way};

/// How many batches are fetched at once for a comparison: a host that has more to say is not believed.
const MOST_BATCHES: usize = 10_000;

impl Daemon {
    /// The next records for `home`, which has counted all up to number `after`.
    ///
    /// # Errors
    /// If they cannot be told now.
    pub(crate) async fn tell_usage(
        &self,
        home: &Known,
        after: u64,
        request_id: RequestId,
    ) -> Result<UsageAnswer, ApiError> {
        let (usage, cloud_id) = (self.store.usage(), &home.partner.cloud_id);
        let told = usage.acknowledge(cloud_id, after).await;
        told.map_err(ApiError::internal)?;
        let found = usage.outgoing(cloud_id, after, BATCH + 1).await;
        let mut found = found.map_err(ApiError::internal)?;
        let more = found.len() > BATCH;
        found.truncate(BATCH);
        tracing::debug!(%request_id, partner = home.partner.name, count = found.len(), "usage is told");
        let own = self.identity.cloud_id();
        // Another than what was asked for only if this cloud was restored from a backup.
        let after = found.first().map_or(after, |one| one.seq - 1);
        let events = found.iter().map(|one| {
            let noted = Timestamp::from_second(one.at).unwrap_or_default();
            CloudEvent::about(&one.record, one.seq, own, noted)
        });
        let batch = UsageBatch {
            iss: own.clone(),
            aud: cloud_id.clone(),
            iat: now(),
            after,
            events: events
                .collect::<Result<_, _>>()
                .map_err(ApiError::internal)?,
        };
        let usage = statement::sign(&batch, self.identity.signing_key());
        Ok(UsageAnswer {
            usage: usage.map_err(ApiError::internal)?,
            more,
        })
    }

    /// Counts what our projects have used at hosts, every `refresh`. Runs for ever.
    pub(crate) async fn follow_usage(self: Arc<Self>, refresh: Duration) {
        let ask =
            |daemon: Arc<Self>, known: Arc<Known>| async move { daemon.count_usage(&known).await };
        self.follow_hosts(refresh, "usage records", ask).await;
    }

    /// Counts what is new at one host. Returns how many records were.
    async fn count_usage(&self, known: &Known) -> anyhow::Result<usize> {
        let Way::Peer(client) = &known.way else {
            return Ok(0);
        };
        let (usage, host) = (self.store.usage(), &known.partner.cloud_id);
        let mut last = usage.received(host).await?;
        let mut count = 0;
        loop {
            let (batch, more) = self.fetch_usage(known, client, last).await?;
            let batch = batch.after(last)?;
            let received = Box::pin(usage.receive(host, &batch, now())).await?;
            count += received.new;
            if !more || received.last == last {
                return Ok(count);
            }
            last = received.last;
        }
    }

    async fn fetch_usage(
        &self,
        known: &Known,
        client: &PeerClient,
        after: u64,
    ) -> anyhow::Result<(UsageBatch, bool)> {
        let answer = client.usage(RequestId::random(), after).await?;
        let batch = known.hear(&answer.usage, self.identity.cloud_id());
        let batch = batch.context("the partner's usage records were refused")?;
        Ok((batch, answer.more))
    }

    /// What this cloud and a host count differently in a month, of what our projects used there.
    pub(crate) async fn reconcile_usage(
        &self,
        known: &Known,
        month: Month,
    ) -> anyhow::Result<Vec<Difference>> {
        let Way::Peer(client) = &known.way else {
            return Ok(Vec::new());
        };
        let span = span(month);
        let mut there: BTreeMap<Part, Record> = BTreeMap::new();
        let (mut last, mut batches) = (0, 0);
        loop {
            let (batch, more) = self.fetch_usage(known, client, last).await?;
            for (number, record) in batch.after(last)? {
                last = number;
                there.extend(record.map(|record| (record.part.clone(), record)));
            }
            batches += 1;
            ensure!(batches < MOST_BATCHES, "the partner's records have no end");
            if !more {
                break;
            }
        }
        let (own, host) = (self.identity.cloud_id(), &known.partner.cloud_id);
        let here = self.store.usage().records(host, own, span).await?;
        Ok(reconcile(
            here,
            there.into_values().collect(),
            (span.from, span.to),
        ))
    }

    /// What a cloud is called here; its id, if it is no partner.
    pub(crate) fn name_of(&self, cloud_id: &CloudId) -> String {
        let partners = self.directory.partners();
        partners
            .by_cloud(cloud_id)
            .map_or_else(|| cloud_id.to_string(), |known| known.partner.name.clone())
    }
}

#[cfg(test)]
mod tests;
