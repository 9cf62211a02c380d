//! What was used in a span of time, added up.

use alliance_core::cloud::CloudId;
use alliance_core::usage::{Kind, Millis, Owner, Part, Record, Resource, Size};
use sqlx::any::AnyRow;

use super::Usage;
use crate::database::row::Columns;
use crate::error::Result;

/// From when (included) until when (excluded). What still lasts is counted until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub from: Millis,
    /// Its end.
    pub to: Millis,
}

/// What resources of one kind and size were used by one project, together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Where.
    pub host: CloudId,
    /// Whose.
    pub home: CloudId,
    /// The project's id at home.
    pub project_id: String,
    /// The host's region.
    pub region: String,
    /// What.
    pub kind: Kind,
    /// How big.
    pub size: Size,
    /// How many.
    pub resources: u64,
    /// For how long, all together.
    pub millis: u64,
}

/// Records that touch a span. One of no time is there if it is in it.
const TOUCHES: &str =
    "began < ? AND (ended IS NULL OR ended > ? OR (ended = began AND began >= ?))";

impl Usage<'_> {
    /// All sums of a span: of partners' projects here, and of ours at partners.
    ///
    /// # Errors
    /// The database's.
    pub async fn sums(self, span: Span) -> Result<Vec<Sum>> {
        let text = format!(
            "SELECT host, home, project_id, region, kind, size, resources, millis FROM \
             (SELECT line, COUNT(DISTINCT resource_id) AS resources, \
             CAST(SUM(CASE WHEN ended IS NULL OR ended > ? THEN ? ELSE ended END \
             - CASE WHEN began < ? THEN ? ELSE began END) AS SIGNED) AS millis \
             FROM usage_records WHERE {TOUCHES} GROUP BY line) AS sums \
             JOIN usage_lines ON usage_lines.line = sums.line \
             ORDER BY host, home, project_id, region, kind, size"
        );
        let rows = sqlx::query(&text)
            .bind(span.to)
            .bind(span.to)
            .bind(span.from)
            .bind(span.from)
            .bind(span.to)
            .bind(span.from)
            .bind(span.from)
            .fetch_all(self.0.pool())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Sum {
                    host: row.word("host")?,
                    home: row.word("home")?,
                    project_id: row.text("project_id")?,
                    region: row.text("region")?,
                    kind: row.word("kind")?,
                    size: row.json("size")?,
                    resources: row.int("resources")?.unsigned_abs(),
                    millis: row.int("millis")?.unsigned_abs(),
                })
            })
            .collect()
    }

    /// How many resources of each partner's project are there now, as far as they are metered.
    ///
    /// # Errors
    /// The database's.
    pub async fn lasting(self) -> Result<Vec<(CloudId, String, u64)>> {
        let rows = sqlx::query(
            "SELECT cloud_id, project_id, COUNT(*) AS resources FROM metered_resources
                WHERE is_open = 1 GROUP BY cloud_id, project_id",
        )
        .fetch_all(self.0.pool())
        .await?;
        rows.iter()
            .map(|row| {
                let resources = row.int("resources")?.unsigned_abs();
                Ok((row.word("cloud_id")?, row.text("project_id")?, resources))
            })
            .collect()
    }

    /// The records of a span between one host and one home, in the order of their parts.
    ///
    /// # Errors
    /// The database's.
    pub async fn records(self, host: &CloudId, home: &CloudId, span: Span) -> Result<Vec<Record>> {
        let text = format!(
            "SELECT usage_records.kind AS kind, resource_id, part, project_id, user_id, region, size, began, ended \
             FROM usage_records JOIN usage_lines ON usage_lines.line = usage_records.line \
             WHERE usage_records.host = ? AND usage_records.home = ? AND {TOUCHES} \
             ORDER BY usage_records.kind, resource_id, part"
        );
        let rows = sqlx::query(&text)
            .bind(host.as_str())
            .bind(home.as_str())
            .bind(span.to)
            .bind(span.from)
            .bind(span.from)
            .fetch_all(self.0.pool())
            .await?;
        rows.iter().map(record).collect()
    }
}

fn record(row: &AnyRow) -> Result<Record> {
    Ok(Record {
        part: Part {
            resource: Resource {
                kind: row.word("kind")?,
                id: row.text("resource_id")?,
            },
            part: row.maybe_count("part")?.unwrap_or_default(),
        },
        owner: Owner {
            project_id: row.text("project_id")?,
            user_id: row.maybe_text("user_id")?,
        },
        region: row.text("region")?,
        size: row.json("size")?,
        from: row.int("began")?,
        to: row.maybe_int("ended")?,
    })
}
