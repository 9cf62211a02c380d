//! Prices: exact decimals, never floating point.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{MAX_NAMES, is_name};

/// Digits after the point.
const SCALE: usize = 9;
const ONE: u64 = 1_000_000_000;
/// Digits before the point.
const MAX_DIGITS: usize = 9;

/// A non-negative decimal with at most nine digits on each side of the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount {
    billionths: u64,
}

/// No amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a decimal that is not negative, as text, with at most nine digits on each side of the point, found {0:?}"
)]
pub struct BadAmount(String);

impl Amount {
    /// In billionths of the currency's unit; exact.
    pub fn billionths(self) -> u64 {
        self.billionths
    }
}

impl FromStr for Amount {
    type Err = BadAmount;

    fn from_str(text: &str) -> Result<Self, BadAmount> {
        let bad = || BadAmount(text.chars().take(40).collect());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str, max: usize| {
            (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
        };
        if !is_digits(whole, MAX_DIGITS) || !is_digits(fraction, SCALE) {
            return Err(bad());
        }
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        let fraction: u64 = format!("{fraction:0<SCALE$}").parse().map_err(|_| bad())?;
        Ok(Self {
            billionths: whole * ONE + fraction,
        })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.billionths / ONE, self.billionths % ONE);
        let fraction = format!("{fraction:0>SCALE$}");
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            fraction => write!(f, "{whole}.{fraction}"),
        }
    }
}

impl TryFrom<String> for Amount {
    type Error = BadAmount;

    fn try_from(text: String) -> Result<Self, BadAmount> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

/// The code of a currency (ISO 4217): three capital letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(String);

impl Currency {
    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Currency {
    type Err = BadPrices;

    fn from_str(text: &str) -> Result<Self, BadPrices> {
        if text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadPrices::Currency(text.chars().take(40).collect()))
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = BadPrices;

    fn try_from(text: String) -> Result<Self, BadPrices> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.0
    }
}

/// Why a price list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPrices {
    /// No currency, or a code that is none.
    #[error("prices.currency: expected three capital letters as EUR (ISO 4217), found {0:?}")]
    Currency(String),
    /// A list without a price.
    #[error("prices.per_hour: name at least one price, or no price list")]
    Empty,
    /// Too many prices.
    #[error("prices.per_hour: {0} prices, at most {MAX_NAMES} are allowed")]
    TooMany(usize),
    /// A resource that has no fit name.
    #[error("prices.per_hour: expected the name of a resource, found {0:?}")]
    Name(String),
    /// An amount that is none.
    #[error("prices.per_hour.{resource}: {why}")]
    Amount {
        /// Of what.
        resource: String,
        /// What is wrong.
        why: BadAmount,
    },
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    currency: String,
    #[serde(default)]
    per_hour: BTreeMap<String, serde_json::Value>,
}

/// What each resource costs for an hour: one of [`Resource`](super::Resource), `flavor:NAME`, or
/// what only a newer version can count, which is kept for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Said")]
pub struct PriceList {
    currency: Currency,
    per_hour: BTreeMap<String, Amount>,
}

impl PriceList {
    /// A list of at least one price.
    ///
    /// # Errors
    /// See [`BadPrices`].
    pub fn new(currency: Currency, per_hour: BTreeMap<String, Amount>) -> Result<Self, BadPrices> {
        if per_hour.is_empty() {
            return Err(BadPrices::Empty);
        }
        if per_hour.len() > MAX_NAMES {
            return Err(BadPrices::TooMany(per_hour.len()));
        }
        if let Some(name) = per_hour.keys().find(|name| !is_name(name)) {
            return Err(BadPrices::Name(name.chars().take(40).collect()));
        }
        Ok(Self { currency, per_hour })
    }

    /// In which currency.
    pub fn currency(&self) -> &Currency {
        &self.currency
    }

    /// The prices by resource.
    pub fn per_hour(&self) -> &BTreeMap<String, Amount> {
        &self.per_hour
    }

    /// Whether nothing costs more than in `other`. The same things must have a price: what is charged
    /// by one price where another is missing is the host's to say.
    pub fn are_within(&self, other: &Self) -> bool {
        self.currency == other.currency
            && self.per_hour.len() == other.per_hour.len()
            && self
                .per_hour
                .iter()
                .all(|(name, own)| other.per_hour.get(name).is_some_and(|other| own <= other))
    }
}

impl TryFrom<Said> for PriceList {
    type Error = BadPrices;

    fn try_from(said: Said) -> Result<Self, BadPrices> {
        let currency = said.currency.parse()?;
        let priced = said.per_hour.into_iter().map(|(resource, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            // A number may have gone through floating point already.
            let amount = match value.is_string() {
                true => text.parse(),
                false => Err(BadAmount(text.chars().take(40).collect())),
            };
            match amount {
                Ok(amount) => Ok((resource, amount)),
                Err(why) => Err(BadPrices::Amount {
                    resource: resource.chars().take(40).collect(),
                    why,
                }),
            }
        });
        Self::new(currency, priced.collect::<Result<_, _>>()?)
    }
}

impl fmt::Display for PriceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (resource, amount)) in self.per_hour.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{resource} {amount}")?;
        }
        write!(f, " {} an hour", self.currency.as_str())
    }
}
