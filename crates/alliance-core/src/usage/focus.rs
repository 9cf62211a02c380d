//! Usage as rows of FOCUS 1.2, the FinOps Open Cost and Usage Specification.

use std::fmt;

use jiff::Timestamp;

use super::{Kind, Millis, Month, Record};

/// The columns that are written, in the order of the specification.
pub const COLUMNS: [&str; 32] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SubAccountId",
    "SubAccountType",
];

/// Whole seconds, of which the exact time is in thousandths.
const UNIT: &str = "Seconds";

/// A cloud by its id and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Its cloud id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// What was used by one resource in one month at one price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge<'r> {
    /// The record.
    pub record: &'r Record,
    /// From when.
    pub from: Millis,
    /// Until when.
    pub to: Millis,
    /// What it costs.
    pub cost: Cost,
    /// Who provided it.
    pub host: Party,
    /// Who is billed.
    pub home: Party,
}

/// What something costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// In millionths of the currency.
    pub micros: i64,
    /// ISO 4217.
    pub currency: String,
}

impl fmt::Display for Cost {
    /// To the millionth, without the currency.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.micros < 0 { "-" } else { "" };
        let amount = self.micros.unsigned_abs();
        write!(f, "{sign}{}.{:06}", amount / 1_000_000, amount % 1_000_000)
    }
}

/// The row of a charge in a month: a value for every one of [`COLUMNS`]; what is null is empty.
pub fn focus(charge: &Charge<'_>, month: Month) -> [String; 32] {
    let record = charge.record;
    let kind = record.kind();
    let (category, subcategory, service) = service(kind);
    let (begin, end) = (charge.from, charge.to);
    let millis = (end - begin).max(0);
    // The specification knows whole seconds; the row holds all of the time.
    let (begin, end) = (
        begin.div_euclid(1000),
        end.div_euclid(1000) + i64::from(end % 1000 != 0),
    );
    let quantity = format!("{}.{:03}", millis / 1000, millis % 1000);
    let amount = charge.cost.to_string();
    let flavor = record.size.flavor.clone().unwrap_or_default();
    let sku = if flavor.is_empty() {
        kind.to_string()
    } else {
        flavor
    };
    [
        amount.clone(),
        charge.home.id.clone(),
        charge.home.name.clone(),
        charge.cost.currency.clone(),
        second(month.to().div_euclid(1000)),
        second(month.from().div_euclid(1000)),
        "Usage".to_owned(),
        String::new(),
        format!("{kind} {sku}"),
        "Usage-Based".to_owned(),
        second(end),
        second(begin),
        quantity.clone(),
        UNIT.to_owned(),
        amount.clone(),
        amount.clone(),
        charge.host.name.clone(),
        amount,
        quantity,
        UNIT.to_owned(),
        charge.host.name.clone(),
        charge.host.name.clone(),
        record.region.clone(),
        record.region.clone(),
        record.part.resource.id.clone(),
        kind.to_string(),
        category.to_owned(),
        service.to_owned(),
        subcategory.to_owned(),
        sku,
        record.owner.project_id.clone(),
        "Project".to_owned(),
    ]
}

/// The specification's category and subcategory, and the service.
fn service(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Server => ("Compute", "Virtual Machines", "compute"),
        Kind::Volume => ("Storage", "Block Storage", "block-storage"),
        Kind::Snapshot => ("Storage", "Backup Storage", "block-storage"),
        Kind::Image => ("Storage", "Other (Storage)", "image"),
        Kind::FloatingIp => ("Networking", "Network Connectivity", "network"),
    }
}

fn second(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{NotAMonth, Owner, Part, Resource, Size};

    /// The published definitions; see README.md beside them.
    const PUBLISHED: &str = include_str!("../../tests/focus/columns-1.2.csv");

    #[derive(Debug)]
    struct Column {
        name: String,
        level: String,
        is_nullable: bool,
        kind: String,
        allowed: Vec<String>,
    }

    fn published() -> Vec<Column> {
        let columns = PUBLISHED.lines().skip(1).map(|line| {
            // No field of the list holds a quote or a comma.
            let mut fields = line.split(',').map(str::to_owned);
            let mut next = || fields.next().unwrap_or_default();
            let (name, level, nulls, kind, _, allowed) =
                (next(), next(), next(), next(), next(), next());
            Column {
                name,
                level,
                is_nullable: nulls == "True",
                kind,
                allowed: allowed
                    .split("; ")
                    .filter(|value| !value.is_empty())
                    .map(str::to_owned)
                    .collect(),
            }
        });
        columns.collect()
    }

    fn record(kind: Kind, from: Millis, to: Option<Millis>) -> Record {
        Record {
            part: Part {
                resource: Resource {
                    kind,
                    id: "r".into(),
                },
                part: 0,
            },
            owner: Owner {
                project_id: "science".into(),
                user_id: None,
            },
            region: "RegionOne".into(),
            size: match kind {
                Kind::Server => Size::of_server("m1", 1, 64, 1),
                _ => Size::of_volume(1),
            },
            from,
            to,
        }
    }

    /// A millionth for each millisecond.
    fn row(record: &Record, month: Month) -> [String; 32] {
        let party = |name: &str| Party {
            id: format!("id of {name}"),
            name: name.to_owned(),
        };
        let (from, to) = (record.from, record.to.unwrap_or(record.from));
        let charge = Charge {
            record,
            from,
            to,
            cost: Cost {
                micros: to - from,
                currency: "EUR".to_owned(),
            },
            host: party("east"),
            home: party("west"),
        };
        focus(&charge, month)
    }

    fn is_date(text: &str) -> bool {
        text.len() == "2026-11-01T00:00:00Z".len() && text.parse::<Timestamp>().is_ok()
    }

    fn is_number(text: &str) -> bool {
        let digits = text.strip_prefix('-').unwrap_or(text);
        digits.split('.').count() <= 2
            && digits
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    }

    #[test]
    fn every_row_is_as_the_published_columns_say() -> Result<(), NotAMonth> {
        let published = published();
        assert_eq!(published.len(), 57);
        for column in published
            .iter()
            .filter(|column| column.level == "Mandatory")
        {
            assert!(COLUMNS.contains(&column.name.as_str()), "{}", column.name);
        }
        let month: Month = "2026-11".parse()?;
        let from = month.from();
        let kinds = [
            Kind::Server,
            Kind::Volume,
            Kind::Snapshot,
            Kind::Image,
            Kind::FloatingIp,
        ];
        let records = kinds.map(|kind| record(kind, from + 1_500, Some(from + 4_750)));
        for row in records.iter().map(|record| row(record, month)) {
            for (name, value) in COLUMNS.iter().zip(&row) {
                let column = published.iter().find(|column| column.name == *name);
                let Some(column) = column else {
                    unreachable!("{name} is no column of FOCUS 1.2");
                };
                if value.is_empty() {
                    assert!(column.is_nullable, "{name} must not be null");
                    continue;
                }
                match column.kind.as_str() {
                    "Decimal" => assert!(is_number(value), "{name}: {value}"),
                    "Date/Time" => assert!(is_date(value), "{name}: {value}"),
                    _ => {}
                }
                let allowed = &column.allowed;
                assert!(
                    allowed.is_empty() || allowed.contains(value),
                    "{name}: {value}"
                );
            }
        }
        Ok(())
    }

    #[test]
    fn a_row_has_whole_seconds_around_the_exact_time() -> Result<(), NotAMonth> {
        let month: Month = "2026-11".parse()?;
        let (from, to) = (month.from() + 1_500, month.from() + 4_750);
        let row = row(&record(Kind::Server, from, Some(to)), month);
        let value = |name: &str| {
            let place = COLUMNS.iter().position(|column| *column == name);
            place.and_then(|place| row.get(place)).map(String::as_str)
        };
        assert_eq!(value("ConsumedQuantity"), Some("3.250"));
        assert_eq!(value("BilledCost"), Some("0.003250"));
        assert_eq!(value("ChargePeriodStart"), Some("2026-11-01T00:00:01Z"));
        assert_eq!(value("ChargePeriodEnd"), Some("2026-11-01T00:00:05Z"));
        Ok(())
    }
}
