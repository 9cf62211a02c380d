//! At home: what hosts tell is asked for, judged and kept.

use std::sync::Arc;
use std::time::Duration;

use alliance_core::notice::{Arrived, Kind, Notice, NoticeBatch};
use alliance_peer::client::PeerClient;
use alliance_peer::request_id::RequestId;
use alliance_store::{ReceivedAgreement, TakenIn};
use anyhow::Context;

use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::directory::{Known, Way};

/// How often hosts are asked.
const EVERY: Duration = Duration::from_secs(5);
impl Daemon {
    /// Asks hosts what has happened to our projects there. Runs for ever.
    pub(crate) async fn follow_notices(self: Arc<Self>) {
        let ask =
            |daemon: Arc<Self>, known: Arc<Known>| async move { daemon.take_notices(&known).await };
        self.follow_hosts(EVERY, "notices", ask).await;
    }

    /// Takes in what is new at one host. Returns how much.
    pub(super) async fn take_notices(
        self: &Arc<Self>,
        known: &Arc<Known>,
    ) -> anyhow::Result<usize> {
        let Way::Peer(client) = &known.way else {
            return Ok(0);
        };
        let (notices, host) = (self.store.notices(), &known.partner.cloud_id);
        let mut count = 0;
        loop {
            let last = notices.received(host).await?;
            let (batch, more) = self.fetch_notices(known, client, last).await?;
            let reaches = batch.after.saturating_add(batch.events.len() as u64);
            if reaches == last {
                return Ok(count);
            }
            let told = TakenIn {
                known: last,
                reaches,
                missed: batch.missed(last),
                arrived: Box::pin(self.judge(known, batch.arrived(last)?)).await?,
            };
            if told.missed > 0 {
                tracing::warn!(
                    partner = known.partner.name,
                    missed = told.missed,
                    "the partner does not have these notices any more"
                );
            }
            let refused = told.arrived.iter().filter(|one| one.notice.is_none());
            let refused = refused.count();
            if refused > 0 {
                tracing::warn!(
                    partner = known.partner.name,
                    refused,
                    "notices were dropped: of a newer version, impossible, or about no project of ours there"
                );
            }
            let receiving = Box::pin(notices.receive(host, &told, now()));
            let Some(new) = receiving.await? else {
                return Ok(count);
            };
            self.count_notices(told.kinds());
            if new > 0 {
                self.news.notify_one();
            }
            count += new;
            if !more {
                return Ok(count);
            }
        }
    }

    async fn fetch_notices(
        &self,
        known: &Known,
        client: &PeerClient,
        after: u64,
    ) -> anyhow::Result<(NoticeBatch, bool)> {
        let answer = client.notices(RequestId::random(), after).await?;
        let batch = known.hear(&answer.notices, self.identity.cloud_id());
        let batch = batch.context("the partner's notices were refused")?;
        Ok((batch, answer.more))
    }

    /// Leaves only what is about projects for which the host has given an agreement, ended or not. One
    /// that is not known yet is asked for first.
    async fn judge(
        self: &Arc<Self>,
        known: &Arc<Known>,
        mut arrived: Vec<Arrived>,
    ) -> anyhow::Result<Vec<Arrived>> {
        let host = &known.partner.cloud_id;
        let mut given = self.store.contracts().received(host).await?;
        let is_ours = |given: &[ReceivedAgreement], one: &Arrived| {
            let notice = one.notice.as_ref();
            notice.is_none_or(|notice| concerns(given, notice))
        };
        if !arrived.iter().all(|one| is_ours(&given, one)) {
            self.pull(known).await?;
            given = self.store.contracts().received(host).await?;
        }
        for one in &mut arrived {
            if !is_ours(&given, one) {
                one.notice = None;
            }
        }
        Ok(arrived)
    }
}

/// Whether the notice is about something that one of these is about.
fn concerns(given: &[ReceivedAgreement], notice: &Notice) -> bool {
    given.iter().any(|agreement| match &notice.project_id {
        Some(project_id) => agreement.projects.covers(project_id),
        None => notice.kind == Kind::AgreementEnding && agreement.id == notice.subject,
    })
}
