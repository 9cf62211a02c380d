//! How metering goes on, for those who watch it: `alliance work` listens nowhere, the daemon tells it.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::numbering;
use alliance_core::usage::Kind;
use sqlx::AnyConnection;

use super::Usage;
use crate::database::retrying;
use crate::database::row::Columns;
use crate::error::Result;
use crate::leases::{Lease, hold};

/// What `counters` calls the time of a kind's last listing, before the kind.
const LISTED: &str = "listed:";

/// How many notifications were taken off the bus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notifications {
    /// They could be read, of whatever they were.
    pub read: u64,
    /// They could not.
    pub malformed: u64,
    /// They were larger than any that says something.
    pub too_large: u64,
}

impl Notifications {
    /// Each number with its name.
    pub fn by_result(self) -> [(&'static str, u64); 3] {
        [
            ("read", self.read),
            ("malformed", self.malformed),
            ("too_large", self.too_large),
        ]
    }
}

/// The records between this cloud and a partner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// Which partner.
    pub partner: CloudId,
    /// How many that are the partner's to count it has not counted.
    pub unheard: u64,
    /// When the oldest of those was noted.
    pub unheard_since: Option<Seconds>,
    /// How many of the partner's were counted here.
    pub counted: u64,
}

impl Usage<'_> {
    /// Adds to the numbers of notifications. Only for who holds `lease`.
    ///
    /// # Errors
    /// The database's, or that the lease is lost; nothing is added then.
    pub async fn count(self, lease: &Lease, more: Notifications) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            hold(&mut transaction, lease).await?;
            for (result, count) in more.by_result() {
                let known = sqlx::query("SELECT value FROM counters WHERE name = ?")
                    .bind(counter(result))
                    .fetch_optional(&mut *transaction)
                    .await?;
                let known = known.map(|row| row.int("value")).transpose()?;
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                let sum = known.unwrap_or_default().saturating_add(count);
                set(&mut transaction, &counter(result), sum).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// How many notifications there were since the database is there.
    ///
    /// # Errors
    /// The database's.
    pub async fn notifications(self) -> Result<Notifications> {
        let counted = async |result| -> Result<u64> {
            let row = sqlx::query("SELECT value FROM counters WHERE name = ?")
                .bind(counter(result))
                .fetch_optional(self.0.pool())
                .await?;
            let value = row.map(|row| row.int("value")).transpose()?;
            Ok(value.unwrap_or_default().unsigned_abs())
        };
        Ok(Notifications {
            read: counted("read").await?,
            malformed: counted("malformed").await?,
            too_large: counted("too_large").await?,
        })
    }

    /// When resources of each kind were last listed.
    ///
    /// # Errors
    /// The database's.
    pub async fn listed(self) -> Result<Vec<(Kind, Seconds)>> {
        let rows = sqlx::query(
            "SELECT name, value FROM counters WHERE name LIKE 'listed:%' ORDER BY name",
        )
        .fetch_all(self.0.pool())
        .await?;
        let mut listed = Vec::with_capacity(rows.len());
        for row in rows {
            let name = row.text("name")?;
            // A version that knew more kinds may have been here.
            if let Ok(kind) = name.trim_start_matches(LISTED).parse() {
                listed.push((kind, row.int("value")?));
            }
        }
        Ok(listed)
    }

    /// How far each partner and this cloud have heard each other.
    ///
    /// # Errors
    /// The database's.
    pub async fn flows(self) -> Result<Vec<Flow>> {
        let rows = sqlx::query(
            "SELECT p.cloud_id, p.noted - p.acknowledged AS unheard, p.received, \
             (SELECT o.at FROM usage_outbox o WHERE o.cloud_id = p.cloud_id \
             AND o.seq = p.acknowledged + 1) AS since FROM usage_positions p",
        )
        .fetch_all(self.0.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Flow {
                    partner: row.word("cloud_id")?,
                    unheard: row.int("unheard")?.unsigned_abs(),
                    unheard_since: row.maybe_int("since")?,
                    counted: numbering::count(row.int("received")?.unsigned_abs()),
                })
            })
            .collect()
    }
}

/// Notes that resources of a kind were listed.
pub(super) async fn note_listing(
    transaction: &mut AnyConnection,
    kind: Kind,
    at: Seconds,
) -> Result<()> {
    set(transaction, &format!("{LISTED}{kind}"), at).await
}

async fn set(transaction: &mut AnyConnection, name: &str, value: i64) -> Result<()> {
    sqlx::query("REPLACE INTO counters (name, value) VALUES (?, ?)")
        .bind(name)
        .bind(value)
        .execute(transaction)
        .await?;
    Ok(())
}

fn counter(result: &str) -> String {
    format!("notifications:{result}")
}
