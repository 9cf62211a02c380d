//! What usage costs: the prices that two clouds have signed, from the time on that they have.

use std::collections::BTreeSet;

use super::{Kind, Millis, Size};
use crate::Seconds;
use crate::agreement::Projects;
use crate::terms::{PriceList, Resource, Terms};

const MILLIS_PER_HOUR: u128 = 3_600_000;
const BILLIONTHS_PER_MICRO: u128 = 1000;

/// An agreement, as far as prices go.
#[derive(Debug, Clone, PartialEq)]
pub struct Priced {
    /// For which projects.
    pub projects: Projects,
    /// When it ended, or will.
    pub ended_at: Option<Seconds>,
    /// What was charged from when on; `None`: nothing.
    pub steps: Vec<(Seconds, Option<PriceList>)>,
}

impl Priced {
    /// Adds a version. Without prices it counts from `made_at`; with prices, from the time at which home
    /// accepted it, and never if it did not: both times are signed, and so the same at both clouds.
    pub fn add(&mut self, terms: &Terms, made_at: Seconds, accepted_at: Option<Seconds>) {
        let from = match &terms.prices {
            None => Some(made_at),
            Some(_) => accepted_at.map(|at| at.max(made_at)),
        };
        if let Some(from) = from {
            self.steps
                .push((from.max(terms.since), terms.prices.clone()));
        }
    }

    fn prices(&self, at: Seconds) -> Option<&(Seconds, Option<PriceList>)> {
        // The newest version of those that count by then.
        self.steps.iter().rev().find(|(from, _)| *from <= at)
    }
}

/// What a host charges one project, from when on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tariff(Vec<(Millis, Option<PriceList>)>);

/// A time in which the same prices hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment<'t> {
    /// From when.
    pub from: Millis,
    /// Until when.
    pub to: Millis,
    /// What is charged; `None`: nothing.
    pub prices: Option<&'t PriceList>,
}

impl Tariff {
    /// Of the agreements that cover a project, the one about it alone counts, else the one about all. What
    /// is left when an agreement has ended costs what it did until another begins.
    pub fn of(agreements: &[Priced], project_id: &str) -> Self {
        let covering = agreements.iter();
        let covering: Vec<&Priced> = covering
            .filter(|one| one.projects.covers(project_id))
            .collect();
        let steps = covering.iter().flat_map(|one| {
            let begins = one.steps.iter().map(|(from, _)| *from);
            begins.chain(one.ended_at)
        });
        let times: BTreeSet<Seconds> = steps.collect();
        let mut tariff: Vec<(Millis, Option<PriceList>)> = Vec::new();
        for at in times {
            let candidates = covering.iter().filter_map(|one| {
                let (from, prices) = one.prices(at)?;
                let is_over = one.ended_at.is_some_and(|ended| ended <= at);
                let is_general = one.projects == Projects::All;
                Some(((!is_over, !is_general, *from), prices))
            });
            let Some((_, prices)) = candidates.max_by_key(|(rank, _)| *rank) else {
                continue;
            };
            if tariff.last().is_none_or(|(_, last)| last != prices) {
                tariff.push((at.saturating_mul(1000), prices.clone()));
            }
        }
        Self(tariff)
    }

    /// The times at which prices change.
    pub fn changes(&self) -> impl Iterator<Item = Millis> {
        self.0.iter().map(|(at, _)| *at)
    }

    /// The span from `from` to `to`, cut where prices change.
    pub fn segments(&self, from: Millis, to: Millis) -> Vec<Segment<'_>> {
        let inner = self.changes().filter(|at| (from + 1..to).contains(at));
        let mut begins: Vec<Millis> = vec![from];
        begins.extend(inner);
        let ends: Vec<Millis> = begins.iter().skip(1).copied().chain([to]).collect();
        let spans = begins.into_iter().zip(ends);
        spans
            .map(|(from, to)| Segment {
                from,
                to,
                prices: self.at(from),
            })
            .collect()
    }

    /// What is charged at that time.
    pub fn at(&self, at: Millis) -> Option<&PriceList> {
        let (_, prices) = self.0.iter().rev().find(|(from, _)| *from <= at)?;
        prices.as_ref()
    }
}

/// What one resource costs for an hour, in billionths of the currency. A flavor that has a price of its own
/// costs that; else a server costs what its processors, its memory and the server itself do. Volumes and
/// snapshots cost by the GiB.
pub fn per_hour(prices: &PriceList, kind: Kind, size: &Size) -> u128 {
    let price = |name: &str| {
        let amount = prices.per_hour().get(name);
        amount.map(|amount| u128::from(amount.billionths()))
    };
    let of = |resource: Resource, amount: u64| {
        price(resource.as_str()).unwrap_or(0) * u128::from(amount)
    };
    let gib = size.gib();
    match kind {
        Kind::Server => {
            let flavor = size.flavor.as_ref();
            let own = flavor.and_then(|name| price(&format!("flavor:{name}")));
            own.unwrap_or_else(|| {
                of(Resource::Servers, 1)
                    + of(Resource::Cores, size.vcpus)
                    + of(Resource::RamMb, size.ram_mib)
            })
        }
        Kind::Volume => of(Resource::Volumes, 1) + of(Resource::Gigabytes, gib),
        Kind::Snapshot => of(Resource::Gigabytes, gib),
        Kind::Image => of(Resource::Images, 1),
        Kind::FloatingIp => of(Resource::FloatingIps, 1),
    }
}

/// A sum of money that is being added up, exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exact(u128);

impl Exact {
    /// Adds what costs `per_hour` billionths for so many milliseconds.
    pub fn add(&mut self, per_hour: u128, millis: u64) {
        let amount = per_hour.saturating_mul(u128::from(millis));
        self.0 = self.0.saturating_add(amount);
    }

    /// In millionths of the currency, halves up.
    pub fn micros(self) -> i64 {
        let unit = MILLIS_PER_HOUR * BILLIONTHS_PER_MICRO;
        let rounded = self.0.saturating_add(unit / 2) / unit;
        i64::try_from(rounded).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::terms::{Amount, BadAmount, BadPrices};

    #[derive(Debug, thiserror::Error)]
    enum Wrong {
        #[error(transparent)]
        Amount(#[from] BadAmount),
        #[error(transparent)]
        Prices(#[from] BadPrices),
    }

    fn prices(named: &[(&str, &str)]) -> Result<PriceList, Wrong> {
        let mut all = BTreeMap::new();
        for (name, amount) in named {
            all.insert((*name).to_owned(), amount.parse::<Amount>()?);
        }
        Ok(PriceList::new("EUR".parse()?, all)?)
    }

    fn terms(prices: Option<PriceList>) -> Terms {
        Terms {
            prices,
            ..Terms::granting(["member".to_owned()], 0)
        }
    }

    fn agreement(projects: Projects) -> Priced {
        Priced {
            projects,
            ended_at: None,
            steps: Vec::new(),
        }
    }

    #[test]
    fn prices_count_from_homes_signature_and_their_absence_from_the_hosts() -> Result<(), Wrong> {
        let (low, high) = (prices(&[("cores", "1")])?, prices(&[("cores", "2")])?);
        let mut one = agreement(Projects::All);
        one.add(&terms(None), 10, None);
        one.add(&terms(Some(low.clone())), 20, Some(25));
        one.add(&terms(Some(high)), 30, None);
        let tariff = Tariff::of(&[one], "science");
        assert_eq!(tariff.at(24_999), None);
        assert_eq!(tariff.at(25_000), Some(&low));
        assert_eq!(tariff.at(40_000), Some(&low), "what nobody accepted");
        let segments = tariff.segments(0, 30_000);
        let spans: Vec<_> = segments.iter().map(|one| (one.from, one.to)).collect();
        assert_eq!(spans, [(0, 10_000), (10_000, 25_000), (25_000, 30_000)]);
        Ok(())
    }

    #[test]
    fn the_agreement_about_the_project_alone_counts_and_what_is_left_after_it_costs_the_same()
    -> Result<(), Wrong> {
        let (own, all) = (prices(&[("cores", "1")])?, prices(&[("cores", "2")])?);
        let mut general = agreement(Projects::All);
        general.add(&terms(Some(all.clone())), 0, Some(0));
        let mut special = agreement(Projects::One("science".to_owned()));
        special.add(&terms(Some(own.clone())), 10, Some(10));
        special.ended_at = Some(20);
        let both = Tariff::of(&[general, special.clone()], "science");
        let found: Vec<_> = [5, 15, 25].map(|at| both.at(at * 1000)).to_vec();
        assert_eq!(found, [Some(&all), Some(&own), Some(&all)]);
        let alone = Tariff::of(&[special], "science");
        assert_eq!(alone.at(25_000), Some(&own));
        assert_eq!(alone.at(5_000), None);
        Ok(())
    }

    #[test]
    fn a_server_costs_its_flavors_price_or_that_of_its_parts() -> Result<(), Wrong> {
        let size = Size::of_server("m1", 2, 64, 1);
        let parts = prices(&[("cores", "0.5"), ("ram_mb", "0.001"), ("servers", "0.25")])?;
        let cost = per_hour(&parts, Kind::Server, &size);
        assert_eq!(cost, 1_314_000_000);
        let flavor = prices(&[("cores", "0.5"), ("flavor:m1", "0.1")])?;
        assert_eq!(per_hour(&flavor, Kind::Server, &size), 100_000_000);
        let volumes = prices(&[("volumes", "1"), ("gigabytes", "0.01")])?;
        let three = Size::of_volume(3);
        assert_eq!(per_hour(&volumes, Kind::Volume, &three), 1_030_000_000);
        assert_eq!(per_hour(&volumes, Kind::Snapshot, &three), 30_000_000);
        assert_eq!(per_hour(&volumes, Kind::FloatingIp, &three), 0);
        Ok(())
    }

    #[test]
    fn sums_are_exact_until_they_are_shown() {
        let mut sum = Exact::default();
        // A third of a millionth, three times.
        for _ in 0..3 {
            sum.add(1000, 1_200_000);
        }
        assert_eq!(sum.micros(), 1);
        let mut half = Exact::default();
        half.add(1000, 1_800_000);
        assert_eq!(half.micros(), 1);
        let mut most = Exact::default();
        most.add(u128::MAX, u64::MAX);
        assert_eq!(most.micros(), i64::MAX);
    }
}
