//! The options that make an agreement's terms.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::Seconds;
use alliance_core::terms::Resource;
use clap::Args;

use crate::cli::when;
use crate::wire::LimitsRequest;

/// What is limited and what it costs.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// When the agreement begins: a date (UTC) or an RFC 3339 time [default: now]
    #[arg(long = "from", value_name = "DATE", value_parser = when::from)]
    since: Option<Seconds>,

    /// A region of this cloud that may be used; may be repeated [default: all]
    #[arg(long = "region", value_name = "REGION")]
    regions: Vec<String>,

    /// A flavor that may be used, by name or id; may be repeated [default: all]
    #[arg(long = "flavor", value_name = "FLAVOR")]
    flavors: Vec<String>,

    /// The most that each project may use at once, of cores, ram_mb, servers, volumes, gigabytes,
    /// floating_ips, networks, images: cores=20,servers=10. What is not named is not limited
    #[arg(long, value_name = "RESOURCE=N", value_delimiter = ',', value_parser = quota)]
    quota: Vec<(Resource, Option<i64>)>,

    /// The currency of the prices, as EUR
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,

    /// What something costs for an hour, of the resources above or flavor:NAME: cores=0.01,servers=0.02. The
    /// agreement is in force when the partner's operator has accepted it
    #[arg(long = "price", value_name = "RESOURCE=AMOUNT", value_delimiter = ',', value_parser = price)]
    prices: Vec<(String, Option<String>)>,

    /// How long after the agreement's end servers are shut off [default: at once]
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    quarantine_after: Option<Seconds>,

    /// How long after that everything is deleted [default: 7d]
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    delete_after: Option<Seconds>,
}

/// Which lists a change takes away.
#[derive(Debug, Default, Args)]
pub(super) struct Unlimited {
    /// All regions of this cloud may be used again
    #[arg(long, conflicts_with = "regions")]
    any_region: bool,

    /// All flavors may be used again
    #[arg(long, conflicts_with = "flavors")]
    any_flavor: bool,
}

impl Limits {
    pub(super) fn request(self, unlimited: &Unlimited) -> LimitsRequest {
        LimitsRequest {
            since: self.since,
            regions: list(self.regions, unlimited.any_region),
            flavors: list(self.flavors, unlimited.any_flavor),
            quota: self.quota.into_iter().collect(),
            currency: self.currency,
            prices: self.prices.into_iter().collect::<BTreeMap<_, _>>(),
            quarantine_after: self.quarantine_after,
            delete_after: self.delete_after,
        }
    }
}

/// What is said of a list: nothing, that it ends, or what is on it.
#[expect(clippy::option_option, reason = "absent and null differ in a PATCH")]
pub(super) fn list(named: Vec<String>, ends: bool) -> Option<Option<BTreeSet<String>>> {
    match (named.is_empty(), ends) {
        (true, false) => None,
        (true, true) => Some(None),
        (false, _) => Some(Some(named.into_iter().collect())),
    }
}

fn quota(text: &str) -> Result<(Resource, Option<i64>), String> {
    let (name, limit) = text
        .split_once('=')
        .ok_or("expected RESOURCE=N as cores=20, or RESOURCE=none")?;
    let resource: Resource = name.parse().map_err(|error| format!("{error}"))?;
    if limit == "none" {
        return Ok((resource, None));
    }
    let limit = limit.parse().map_err(|_| {
        format!("quota.{resource}: expected a whole number or none, found {limit:?}")
    })?;
    Ok((resource, Some(limit)))
}

fn price(text: &str) -> Result<(String, Option<String>), String> {
    let (name, amount) = text
        .rsplit_once('=')
        .ok_or("expected RESOURCE=AMOUNT as cores=0.01, or RESOURCE=none")?;
    let amount = (amount != "none").then(|| amount.to_owned());
    Ok((name.to_owned(), amount))
}
