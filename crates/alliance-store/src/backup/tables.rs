//! Which tables are in a backup, and in which order: partners before what names them.

use sqlx::{AnyConnection, Row};

use crate::database::Dialect;
use crate::database::row::Columns;
use crate::error::Result;

/// A table that is kept.
pub(super) struct Table {
    pub name: &'static str,
    /// By what its rows are sorted: its key.
    key: &'static str,
    /// Which of its rows are kept; all of them if empty.
    only: &'static str,
}

const fn all(name: &'static str, key: &'static str) -> Table {
    only(name, key, "")
}

const fn only(name: &'static str, key: &'static str, which: &'static str) -> Table {
    Table {
        name,
        key,
        only: which,
    }
}

/// In the order in which they are written. A pairing under way is none: an invitation that was used since
/// could be used again.
pub(super) const KEPT: &[Table] = &[
    all("counters", "name"),
    all("partners", "id"),
    only("aliases", "alias", "holder LIKE 'partner:%'"),
    all("untagged_formats", "format"),
    all("agreements", "id"),
    all(
        "agreement_versions",
        "partner_id, received, agreement_id, version",
    ),
    all("received_agreements", "partner_id, agreement_id"),
    only("invitations", "id", "state NOT IN ('open', 'accepted')"),
    only("acceptances", "id", "state <> 'waiting'"),
    all("token_keys", "id"),
    all("seen_tokens", "token_sha256"),
    all("ended_sessions", "session"),
    all("used_passports", "cloud_id, jti"),
    all("sign_outs", "seq"),
    all("heard_sign_outs", "cloud_id"),
    all("guest_projects", "cloud_id, project_id"),
    all("guest_standings", "cloud_id, project_id"),
    all("project_limits", "cloud_id, project_id, region"),
    all("metered_resources", "kind, id"),
    all("usage_lines", "line"),
    all("usage_records", "host, home, kind, resource_id, part"),
    all("usage_outbox", "cloud_id, seq"),
    all("usage_positions", "cloud_id"),
    all("retirements", "id"),
    all("retirement_items", "retirement_id, kind, id"),
    all("retirement_receipts", "host, home, seq"),
    all("receipt_positions", "home"),
    all("provision_orders", "id"),
    all("provision_stacks", "id"),
    all("provision_steps", "stack_id, resource"),
    all("notice_outbox", "cloud_id, seq"),
    all("notice_marks", "cloud_id, mark"),
    all("notice_positions", "cloud_id"),
    all("notices", "number"),
    all("notice_deliveries", "name"),
    all("audit", "seq"),
];

/// What is in no backup: what the database says of itself, who does something just now, and what instances
/// of a daemon tell each other while they run; events that only wait for the bus are in the audit trail too.
pub(super) const LEFT_OUT: &[&str] = &["meta", "leases", "bulletins", "instances", "audit_events"];

impl Table {
    /// The kept one of that name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        KEPT.iter().find(|table| table.name == name)
    }

    /// Reads its rows, in order.
    pub(super) fn select(&self, columns: &[String]) -> String {
        let (name, key, only) = (self.name, self.key, self.only);
        let columns = list(columns);
        let only = match only {
            "" => String::new(),
            only => format!("WHERE {only} "),
        };
        format!("SELECT {columns} FROM `{name}` {only}ORDER BY {key}")
    }

    /// The beginning of a statement that writes rows.
    pub(super) fn insert(&self, columns: &[String]) -> String {
        format!("INSERT INTO `{}` ({}) ", self.name, list(columns))
    }
}

/// Both databases know these quotes.
fn list(columns: &[String]) -> String {
    let quoted: Vec<_> = columns.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// The tables that are there.
pub(super) async fn names(connection: &mut AnyConnection, dialect: Dialect) -> Result<Vec<String>> {
    let sql = match dialect {
        Dialect::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        }
        Dialect::MariaDb => {
            "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()"
        }
    };
    let rows = sqlx::query(sql).fetch_all(connection).await?;
    rows.iter().map(|row| row.text("name")).collect()
}

/// The columns of a table, in order; none if it is not there.
pub(super) async fn columns(
    connection: &mut AnyConnection,
    dialect: Dialect,
    table: &Table,
) -> Result<Vec<String>> {
    let sql = match dialect {
        Dialect::Sqlite => "SELECT name FROM pragma_table_info(?) ORDER BY cid",
        Dialect::MariaDb => {
            "SELECT column_name AS name FROM information_schema.columns
                WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position"
        }
    };
    let rows = sqlx::query(sql)
        .bind(table.name)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .filter(|row| !row.is_empty())
        .map(|row| row.text("name"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alliance_core::cloud::CloudId;
    use sqlx::Connection;

    use super::*;
    use crate::Store;

    #[tokio::test]
    async fn of_each_table_is_decided_whether_it_is_kept()
    -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}/alliance.db", folder.path().display());
        let store = Store::open(&url, &CloudId::from_spki(b"this cloud")).await?;
        store.close().await;
        let mut connection = AnyConnection::connect(&url).await?;
        let there: BTreeSet<_> = names(&mut connection, Dialect::Sqlite)
            .await?
            .into_iter()
            .collect();
        let kept = KEPT.iter().map(|table| table.name);
        let decided: Vec<_> = kept
            .chain(LEFT_OUT.iter().copied())
            .map(str::to_owned)
            .collect();
        let known: BTreeSet<_> = decided.iter().cloned().collect();
        assert_eq!(there, known, "say in KEPT or LEFT_OUT what becomes of it");
        assert_eq!(decided.len(), known.len(), "once");
        Ok(())
    }
}
