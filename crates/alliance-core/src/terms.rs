//! The terms of an agreement: what a host grants, up to which amount, for how long, and at what price.

mod price;
mod quota;

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Seconds;
use crate::agreement::Door;
use crate::label::is_hostile;

pub use price::{Amount, BadAmount, BadPrices, Currency, PriceList};
pub use quota::{BadQuota, Quota, Resource};

/// Longest role, service type, region or flavor that is named, in bytes.
const MAX_NAME: usize = 128;
/// How many of each may be named.
const MAX_NAMES: usize = 100;
/// How long terms may be as JSON: signed, they must fit a statement.
const MAX_LEN: usize = 8 << 10;
/// The longest grace, in seconds: ten years.
const MAX_GRACE: Seconds = 10 * 366 * 86_400;
/// The last second that an agreement may name: of the year 9999.
const LAST_SECOND: Seconds = 253_402_300_799;

/// What a host grants. Where a limit is `None` the agreement sets none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The roles that a user may have here, if the user has them at home too. Names.
    pub roles: BTreeSet<String>,
    /// The service types that home's catalog shows; `None`: those that home has itself.
    pub services: Option<BTreeSet<String>>,
    /// Whether guests of the partner may come as well.
    #[serde(default)]
    pub transitive: bool,
    /// What the partner's users may make here although it outlives their login. Of a newer
    /// version's, those that this one knows.
    #[serde(default, deserialize_with = "known_doors")]
    pub allow: BTreeSet<Door>,
    /// The host's regions in which anything may be used; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<BTreeSet<String>>,
    /// The flavors that may be used, by name or id; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavors: Option<BTreeSet<String>>,
    /// How much may be used at once, in each project.
    #[serde(default, skip_serializing_if = "Quota::is_empty")]
    pub quota: Quota,
    /// From when.
    pub since: Seconds,
    /// Until when.
    pub till: Option<Seconds>,
    /// What it costs; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PriceList>,
    /// What becomes of resources when the agreement has ended.
    #[serde(default, skip_serializing_if = "Retirement::is_default")]
    pub retirement: Retirement,
}

/// When resources are stopped and deleted after the agreement that bore them has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retirement {
    /// Seconds from the end until servers are shut off and floating IPs withdrawn.
    pub quarantine_after: Seconds,
    /// Seconds from then until everything is deleted.
    pub delete_after: Seconds,
}

impl Default for Retirement {
    /// Stopped at once, deleted a week later.
    fn default() -> Self {
        Self {
            quarantine_after: 0,
            delete_after: 7 * 86_400,
        }
    }
}

impl Retirement {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why terms are refused. The field is named as in JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTerms {
    /// Nobody could use anything.
    #[error("roles: name at least one")]
    NoRoles,
    /// A list that is too long.
    #[error("{field}: {found} names, at most {MAX_NAMES} are allowed")]
    TooMany {
        /// Which.
        field: &'static str,
        /// How many.
        found: usize,
    },
    /// A name that cannot be shown or is too long.
    #[error(
        "{field}: expected a name of 1 to {MAX_NAME} bytes without control characters, found {found:?}"
    )]
    Name {
        /// Which.
        field: &'static str,
        /// The name, shortened.
        found: String,
    },
    /// A time before 1970 or after 9999.
    #[error("{field}: {found} is no time between the years 1970 and 9999")]
    Time {
        /// Which.
        field: &'static str,
        /// What.
        found: Seconds,
    },
    /// The end is before the beginning.
    #[error("till: the agreement would end ({till}) before it begins ({since})")]
    TillBeforeSince {
        /// The end.
        till: Seconds,
        /// The beginning.
        since: Seconds,
    },
    /// A grace that is negative or absurd.
    #[error("retirement.{field}: {found} s, expected 0 to {MAX_GRACE}")]
    Grace {
        /// Which.
        field: &'static str,
        /// What.
        found: Seconds,
    },
    /// Too much for one statement.
    #[error("the terms have {found} bytes, at most {MAX_LEN} are allowed: name less")]
    TooLong {
        /// How long they are.
        found: usize,
    },
}

impl Terms {
    /// These roles from then on, without an end or any other limit, for nothing, and no more.
    pub fn granting(roles: impl Into<BTreeSet<String>>, since: Seconds) -> Self {
        Self {
            roles: roles.into(),
            services: None,
            transitive: false,
            allow: BTreeSet::new(),
            regions: None,
            flavors: None,
            quota: Quota::default(),
            since,
            till: None,
            prices: None,
            retirement: Retirement::default(),
        }
    }

    /// Checks what the fields do not check by themselves.
    ///
    /// # Errors
    /// The first field that is wrong, and how.
    pub fn check(&self) -> Result<(), BadTerms> {
        if self.roles.is_empty() {
            return Err(BadTerms::NoRoles);
        }
        let lists = [
            ("roles", Some(&self.roles)),
            ("services", self.services.as_ref()),
            ("regions", self.regions.as_ref()),
            ("flavors", self.flavors.as_ref()),
        ];
        for (field, names) in lists {
            check_names(field, names.into_iter().flatten())?;
        }
        let times = [("since", Some(self.since)), ("till", self.till)];
        for (field, found) in times {
            if let Some(found) = found.filter(|time| !(0..=LAST_SECOND).contains(time)) {
                return Err(BadTerms::Time { field, found });
            }
        }
        if let Some(till) = self.till.filter(|till| *till <= self.since) {
            return Err(BadTerms::TillBeforeSince {
                till,
                since: self.since,
            });
        }
        let Retirement {
            quarantine_after,
            delete_after,
        } = self.retirement;
        let graces = [
            ("quarantine_after", quarantine_after),
            ("delete_after", delete_after),
        ];
        for (field, found) in graces {
            if !(0..=MAX_GRACE).contains(&found) {
                return Err(BadTerms::Grace { field, found });
            }
        }
        // Only maps with keys that are no text could not be written.
        let found = serde_json::to_vec(self).map_or(usize::MAX, |text| text.len());
        if found > MAX_LEN {
            return Err(BadTerms::TooLong { found });
        }
        Ok(())
    }

    /// Whether nobody at home loses by having these in place of `others`, as far as money goes, and
    /// nothing more is granted: such a change needs nobody's consent.
    pub fn are_within(&self, others: &Self) -> bool {
        self.roles.is_subset(&others.roles)
            && is_narrower(self.services.as_ref(), others.services.as_ref())
            && (others.transitive || !self.transitive)
            && self.allow.is_subset(&others.allow)
            && is_narrower(self.regions.as_ref(), others.regions.as_ref())
            && is_narrower(self.flavors.as_ref(), others.flavors.as_ref())
            && self.quota.is_within(&others.quota)
            && self.since >= others.since
            && others
                .till
                .is_none_or(|till| self.till.is_some_and(|own| own <= till))
            && match (&self.prices, &others.prices) {
                (None, _) => true,
                (Some(own), Some(others)) => own.are_within(others),
                (Some(_), None) => false,
            }
            && self.retirement.quarantine_after >= others.retirement.quarantine_after
            && self.retirement.delete_after >= others.retirement.delete_after
    }

    /// Whether home's operator has to accept these, where `agreed` is what holds so far: they cost
    /// something that was not agreed to. Both sides decide it, each by what it knows.
    pub fn need_consent(&self, agreed: Option<&Self>) -> bool {
        self.prices.is_some() && !agreed.is_some_and(|agreed| self.are_within(agreed))
    }
}

/// `None` is everything.
fn is_narrower(own: Option<&BTreeSet<String>>, others: Option<&BTreeSet<String>>) -> bool {
    match (own, others) {
        (_, None) => true,
        (Some(own), Some(others)) => own.is_subset(others),
        (None, Some(_)) => false,
    }
}

fn check_names<'a>(
    field: &'static str,
    names: impl Iterator<Item = &'a String> + Clone,
) -> Result<(), BadTerms> {
    let found = names.clone().count();
    if found > MAX_NAMES {
        return Err(BadTerms::TooMany { field, found });
    }
    for name in names {
        if !is_name(name) {
            let found = name.chars().take(40).collect();
            return Err(BadTerms::Name { field, found });
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.trim() == name && !name.contains(is_hostile)
}

fn known_doors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Door>, D::Error> {
    let words = BTreeSet::<String>::deserialize(deserializer)?;
    Ok(words.iter().filter_map(|word| word.parse().ok()).collect())
}

#[cfg(test)]
pub(crate) mod tests;
