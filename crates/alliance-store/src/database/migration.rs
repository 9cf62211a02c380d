//! Brings a database to the schema of this version, once, however many daemons start at once.
//!
//! SQLite: all in one exclusive transaction. MariaDB commits at each `CREATE`, so a lease keeps others out,
//! every statement can be repeated, and the version is written last: a daemon killed half-way begins again
//! with the same file.

use alliance_core::cloud::CloudId;
use sqlx::{AnyConnection, Connection, Executor, Row};

use super::exclusive::Exclusive;
use super::fault::Fault;
use super::location::Location;
use super::{Database, Dialect, Look};
use crate::error::OpenError;

const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_first_thread.sql"),
    include_str!("../../migrations/0002_token_keys.sql"),
    include_str!("../../migrations/0003_plain_keystones.sql"),
    include_str!("../../migrations/0004_sign_outs.sql"),
    include_str!("../../migrations/0005_sessions.sql"),
    include_str!("../../migrations/0006_login_passports.sql"),
    include_str!("../../migrations/0007_leases.sql"),
    include_str!("../../migrations/0008_border.sql"),
    include_str!("../../migrations/0009_pairings.sql"),
    include_str!("../../migrations/0010_contracts.sql"),
    include_str!("../../migrations/0011_usage.sql"),
    include_str!("../../migrations/0012_project_limits.sql"),
    include_str!("../../migrations/0013_retirement.sql"),
    include_str!("../../migrations/0014_provisioning.sql"),
    include_str!("../../migrations/0015_notices.sql"),
    include_str!("../../migrations/0016_usage_on_the_bus.sql"),
    include_str!("../../migrations/0017_instances.sql"),
    include_str!("../../migrations/0018_audit_events.sql"),
    include_str!("../../migrations/0019_held_leases.sql"),
    include_str!("../../migrations/0020_long_numbers.sql"),
];

/// The schema of this version.
pub(crate) const KNOWN: i64 = MIGRATIONS.len() as i64;

/// What `meta` says of a database while a backup is restored into it.
pub(crate) const RESTORING: &str = "restoring";

/// The oldest version of a daemon, by the schema that it knows, that can work with this one. What such a
/// version reads or writes is neither renamed nor taken away before it is out of use: while instances of a
/// daemon are replaced one after the other, both versions work.
const LEAST: i64 = 16;

const META: &str = "CREATE TABLE IF NOT EXISTS meta (
    name  VARCHAR(32) NOT NULL PRIMARY KEY,
    value VARCHAR(255) NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */";

pub(super) async fn bring_up_to_date(
    connection: &mut AnyConnection,
    database: &Database,
    location: &Location,
) -> Result<(), OpenError> {
    let cloud = database.cloud();
    let explain = |error| location.explain(error);
    if location.dialect() == Dialect::MariaDb {
        let exclusive = Exclusive::take(database, location).await?;
        let migrated = migrate(connection, location, cloud).await;
        exclusive.give_back().await;
        return migrated;
    }
    run(connection, "BEGIN IMMEDIATE").await.map_err(explain)?;
    let migrated = migrate(connection, location, cloud).await;
    let end = if migrated.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    let ended = run(connection, end).await.map_err(explain);
    migrated.and(ended)
}

/// Makes the table that says whose a database is.
pub(crate) async fn make_meta(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    run(connection, META).await
}

/// Brings tables from one schema to another, which is not noted.
pub(crate) async fn advance(
    connection: &mut AnyConnection,
    from: i64,
    to: i64,
) -> Result<(), sqlx::Error> {
    let [from, to] = [from, to].map(|schema| usize::try_from(schema).unwrap_or_default());
    for migration in MIGRATIONS.iter().take(to).skip(from) {
        run(connection, migration).await?;
    }
    Ok(())
}

/// Notes something about the database.
pub(crate) async fn note(
    connection: &mut AnyConnection,
    name: &str,
    value: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("REPLACE INTO meta (name, value) VALUES (?, ?)")
        .bind(name)
        .bind(value)
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes whose the database is, that it has the schema of this version, and which versions can work with it.
pub(crate) async fn note_owner(
    connection: &mut AnyConnection,
    cloud: &CloudId,
) -> Result<(), sqlx::Error> {
    note(connection, "cloud_id", cloud.as_str()).await?;
    note(connection, "least", &LEAST.to_string()).await?;
    note(connection, "schema", &KNOWN.to_string()).await
}

async fn migrate(
    connection: &mut AnyConnection,
    location: &Location,
    cloud: &CloudId,
) -> Result<(), OpenError> {
    let explain = |error| location.explain(error);
    make_meta(connection).await.map_err(explain)?;
    let found = schema(connection, location, cloud).await?;
    if found >= KNOWN {
        // Better to learn now than at the first request that nothing can be written.
        let write = "UPDATE meta SET value = value WHERE name = 'schema'";
        return run(connection, write).await.map_err(explain);
    }
    advance(connection, found, KNOWN).await.map_err(explain)?;
    note_owner(connection, cloud).await.map_err(explain)?;
    tracing::info!(
        from = found,
        to = KNOWN,
        "{location} has the schema of this version"
    );
    Ok(())
}

/// The schema of a database that has our table, 0 if it says nothing.
async fn schema(
    connection: &mut AnyConnection,
    location: &Location,
    cloud: &CloudId,
) -> Result<i64, OpenError> {
    let explain = |error| location.explain(error);
    if meta(connection, RESTORING)
        .await
        .map_err(explain)?
        .is_some()
    {
        return Err(OpenError::HalfRestored {
            database: location.to_string(),
        });
    }
    let owner = meta(connection, "cloud_id").await.map_err(explain)?;
    if let Some(found) = owner.filter(|owner| owner != cloud.as_str()) {
        return Err(OpenError::ForeignCloud {
            database: location.to_string(),
            found,
            expected: cloud.clone(),
        });
    }
    let schema = meta(connection, "schema").await.map_err(explain)?;
    let found = schema.and_then(|text| text.parse().ok()).unwrap_or(0);
    if found > KNOWN {
        let least = meta(connection, "least").await.map_err(explain)?;
        if least.is_some_and(|least| least.parse().is_ok_and(|least: i64| least <= KNOWN)) {
            tracing::info!(
                found,
                known = KNOWN,
                "{location} has the schema of a later version, which this one can work with"
            );
            return Ok(found);
        }
        return Err(OpenError::NewerSchema {
            database: location.to_string(),
            found,
            known: KNOWN,
        });
    }
    Ok(found)
}

/// Leaves all as it was. MariaDB asks for the right to write when somebody does.
pub(super) const SAME: &str = "UPDATE meta SET value = value WHERE name = 'schema'";

/// How the database is, without changing anything.
pub(crate) async fn look(
    connection: &mut AnyConnection,
    location: &Location,
    cloud: &CloudId,
) -> Result<Look, OpenError> {
    match meta(connection, "schema").await {
        // Nobody has started on it.
        Err(error) if Fault::of(&error) == Fault::NoTable => return Ok(Look::Absent),
        Err(error) => return Err(location.explain(error)),
        Ok(_) => {}
    }
    let found = schema(connection, location, cloud).await?;
    if found == 0 {
        return Ok(Look::Absent);
    }
    Ok(Look::Schema {
        found,
        known: KNOWN,
    })
}

/// The tables, and the columns as `table.column`, that this schema has and the database has not. Of a later
/// schema nothing is known.
pub(super) async fn missing(
    connection: &mut AnyConnection,
    schema: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let mut missing = Vec::new();
    if schema > KNOWN {
        return Ok(missing);
    }
    for (table, columns) in shape(schema).await? {
        let mut is_there = async |columns: &str| {
            let row = format!("SELECT {columns} FROM {table} LIMIT 1");
            match sqlx::query(&row).fetch_optional(&mut *connection).await {
                Ok(_) => Ok(true),
                Err(error) if Fault::of(&error).is_of_absence() => Ok(false),
                Err(error) => Err(error),
            }
        };
        if is_there(&columns.join(", ")).await? {
            continue;
        }
        if !is_there("1").await? {
            missing.push(table);
            continue;
        }
        for column in columns {
            if !is_there(&column).await? {
                missing.push(format!("{table}.{column}"));
            }
        }
    }
    Ok(missing)
}

/// The tables of a schema, with their columns: those of a database that is made for that.
async fn shape(schema: i64) -> Result<Vec<(String, Vec<String>)>, sqlx::Error> {
    let mut made = AnyConnection::connect("sqlite::memory:").await?;
    advance(&mut made, 0, schema).await?;
    let columns = "SELECT m.name AS of_table, p.name AS of_column
        FROM sqlite_schema m JOIN pragma_table_info(m.name) p
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        ORDER BY m.name, p.cid";
    let mut shape: Vec<(String, Vec<String>)> = Vec::new();
    for row in sqlx::query(columns).fetch_all(&mut made).await? {
        let (table, column): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        match shape.last_mut().filter(|(last, _)| *last == table) {
            Some((_, columns)) => columns.push(column),
            None => shape.push((table, vec![column])),
        }
    }
    made.close().await?;
    Ok(shape)
}

/// Whether somebody who may write could do so now, without a change.
pub(super) async fn try_write(
    connection: &mut AnyConnection,
    dialect: Dialect,
) -> Result<(), sqlx::Error> {
    let begin = match dialect {
        Dialect::Sqlite => "BEGIN IMMEDIATE",
        Dialect::MariaDb => "BEGIN",
    };
    for statement in [begin, SAME, "ROLLBACK"] {
        run(connection, statement).await?;
    }
    Ok(())
}

/// The cloud that a database belongs to, if it is one of ours.
pub(super) async fn owner(connection: &mut AnyConnection) -> Option<CloudId> {
    let owner = meta(connection, "cloud_id").await.ok().flatten();
    owner.and_then(|owner| owner.parse().ok())
}

pub(crate) async fn run(connection: &mut AnyConnection, sql: &str) -> Result<(), sqlx::Error> {
    connection.execute(sql).await?;
    Ok(())
}

pub(crate) async fn meta(
    connection: &mut AnyConnection,
    name: &str,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query("SELECT value FROM meta WHERE name = ?")
        .bind(name)
        .fetch_optional(connection)
        .await?
        .map(|row| row.try_get("value"))
        .transpose()
}
