//! What was used in a month and what it costs: for operators, of both directions.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::agreement::Projects;
use alliance_core::cloud::CloudId;
use alliance_core::contract::Said;
use alliance_core::usage::{
    Cost, Exact, Kind, Millis, Month, Priced, Record, Size, Tariff, per_hour,
};
use alliance_store::{AgreementVersion, Side, Span, Sum};
use jiff::Timestamp;

use super::Daemon;
use super::directory::Known;
use crate::wire::{ChargeView, CostView, UsageLine, UsageRecordView};

/// The agreements of each partner, of one side.
type Agreements = BTreeMap<CloudId, Vec<Priced>>;
/// What of a sum is the same in each part of a month.
type Key = (CloudId, CloudId, String, String, Kind, Size);

impl Daemon {
    /// What was used in a month, here and at partners: what lasts is counted until now.
    pub(crate) async fn usage(&self, month: Month) -> anyhow::Result<Vec<UsageLine>> {
        let span = span(month);
        let sums = self.store.usage().sums(span).await?;
        let costs = self.costs(span, &sums).await?;
        let own = self.identity.cloud_id();
        let lines = sums.into_iter().map(|sum| {
            let here = sum.host == *own;
            let costs = costs.get(&key(&sum)).into_iter().flatten();
            let costs = costs.map(|(currency, exact)| {
                let cost = Cost {
                    micros: exact.micros(),
                    currency: currency.clone(),
                };
                CostView {
                    amount: cost.to_string(),
                    currency: cost.currency,
                }
            });
            UsageLine {
                here,
                partner: self.name_of(if here { &sum.home } else { &sum.host }),
                costs: costs.collect(),
                project_id: sum.project_id,
                region: sum.region,
                kind: sum.kind,
                size: sum.size,
                resources: sum.resources,
                milliseconds: sum.millis,
            }
        });
        Ok(lines.collect())
    }

    /// What sums of a span cost: it is added up anew for each part of it in which all prices stay.
    async fn costs(
        &self,
        span: Span,
        sums: &[Sum],
    ) -> anyhow::Result<BTreeMap<Key, BTreeMap<String, Exact>>> {
        let (given, received) = (
            self.priced(Side::Given).await?,
            self.priced(Side::Received).await?,
        );
        let own = self.identity.cloud_id();
        let mut tariffs: BTreeMap<(&CloudId, &CloudId, &str), Tariff> = BTreeMap::new();
        for sum in sums {
            let agreements = match sum.host == *own {
                true => given.get(&sum.home),
                false => received.get(&sum.host),
            };
            let agreements = agreements.map_or(&[][..], Vec::as_slice);
            tariffs
                .entry((&sum.host, &sum.home, &sum.project_id))
                .or_insert_with(|| Tariff::of(agreements, &sum.project_id));
        }
        let changes = tariffs.values().flat_map(Tariff::changes);
        let inner = changes.filter(|at| span.from < *at && *at < span.to);
        let begins: BTreeSet<Millis> = inner.chain([span.from]).collect();
        let ends = begins.iter().skip(1).copied().chain([span.to]);
        let mut costs: BTreeMap<Key, BTreeMap<String, Exact>> = BTreeMap::new();
        for (from, to) in begins.iter().copied().zip(ends) {
            let is_priced = tariffs.values().any(|tariff| tariff.at(from).is_some());
            if !is_priced {
                continue;
            }
            for sum in self.store.usage().sums(Span { from, to }).await? {
                let tariff = tariffs.get(&(&sum.host, &sum.home, sum.project_id.as_str()));
                let Some(prices) = tariff.and_then(|tariff| tariff.at(from)) else {
                    continue;
                };
                let rate = per_hour(prices, sum.kind, &sum.size);
                let of_line = costs.entry(key(&sum)).or_default();
                let currency = prices.currency().as_str().to_owned();
                of_line.entry(currency).or_default().add(rate, sum.millis);
            }
        }
        Ok(costs)
    }

    /// Each record of a month between this cloud and a partner.
    pub(crate) async fn usage_records(
        &self,
        known: &Known,
        month: Month,
    ) -> anyhow::Result<Vec<UsageRecordView>> {
        let (own, partner) = (self.identity.cloud_id(), &known.partner.cloud_id);
        let span = span(month);
        let mut views = Vec::new();
        for (host, home, side) in [(own, partner, Side::Given), (partner, own, Side::Received)] {
            let priced = self.priced_with(known, side).await?;
            let mut tariffs: BTreeMap<String, Tariff> = BTreeMap::new();
            for record in self.store.usage().records(host, home, span).await? {
                let project_id = &record.owner.project_id;
                let tariff = tariffs
                    .entry(project_id.clone())
                    .or_insert_with(|| Tariff::of(&priced, project_id));
                views.push(UsageRecordView {
                    here: side == Side::Given,
                    partner: known.partner.name.clone(),
                    partner_id: partner.clone(),
                    charges: charges(&record, tariff, span),
                    record,
                });
            }
        }
        Ok(views)
    }

    async fn priced(&self, side: Side) -> anyhow::Result<Agreements> {
        let mut all = BTreeMap::new();
        for known in self.directory.partners().all() {
            let priced = self.priced_with(known, side).await?;
            all.insert(known.partner.cloud_id.clone(), priced);
        }
        Ok(all)
    }

    /// The prices that were agreed with a partner.
    async fn priced_with(&self, known: &Known, side: Side) -> anyhow::Result<Vec<Priced>> {
        let (contracts, partner) = (self.store.contracts(), &known.partner.cloud_id);
        if side == Side::Received {
            let received = contracts.received(partner).await?.into_iter();
            let received = received.map(|one| priced(one.projects, one.ended_at, &one.versions));
            return Ok(received.collect());
        }
        let mut versions = contracts.versions(Side::Given, partner).await?;
        let given = self.store.agreements().list(Some(partner)).await?;
        let given = given.into_iter().map(|agreement| {
            let versions = versions.remove(&agreement.id).unwrap_or_default();
            priced(agreement.projects, agreement.ended_at, &versions)
        });
        Ok(given.collect())
    }
}

fn key(sum: &Sum) -> Key {
    (
        sum.host.clone(),
        sum.home.clone(),
        sum.project_id.clone(),
        sum.region.clone(),
        sum.kind,
        sum.size.clone(),
    )
}

fn priced(projects: Projects, ended_at: Option<i64>, versions: &[AgreementVersion]) -> Priced {
    let newest = versions.last().and_then(|version| version.terms.till);
    let mut priced = Priced {
        projects,
        ended_at: ended_at.or(newest),
        steps: Vec::new(),
    };
    for version in versions {
        let accepted = version.reply.as_ref();
        let accepted = accepted.filter(|reply| reply.said == Said::Accepted);
        let accepted = accepted.map(|reply| reply.at);
        priced.add(&version.terms, version.made_at, accepted);
    }
    priced
}

/// A record's charges in a span, one for each part in which its prices stay.
fn charges(record: &Record, tariff: &Tariff, span: Span) -> Vec<ChargeView> {
    let from = record.from.max(span.from);
    let to = record.to.unwrap_or(span.to).min(span.to);
    if from >= to {
        return Vec::new();
    }
    let segments = tariff.segments(from, to).into_iter();
    let charges = segments.map(|segment| {
        let mut cost = Exact::default();
        if let Some(prices) = segment.prices {
            let rate = per_hour(prices, record.kind(), &record.size);
            cost.add(rate, segment.to.abs_diff(segment.from));
        }
        ChargeView {
            from: segment.from,
            to: segment.to,
            micros: cost.micros(),
            currency: segment
                .prices
                .map(|prices| prices.currency().as_str().to_owned()),
        }
    });
    charges.collect()
}

/// A month, as far as it is over.
pub(super) fn span(month: Month) -> Span {
    let now: Millis = Timestamp::now().as_millisecond();
    Span {
        from: month.from(),
        to: month.to().min(now).max(month.from()),
    }
}
