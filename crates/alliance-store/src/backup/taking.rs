//! Takes a backup.

use std::collections::BTreeMap;
use std::io::Write;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use futures_util::TryStreamExt;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, Connection, Decode, Row, ValueRef};

use super::error::BackupError;
use super::file::{About, BackupKeys, Cell, Writer};
use super::tables::{self, KEPT};
use crate::database::location::Location;
use crate::database::migration::{self, run};
use crate::database::row::text;
use crate::database::{Dialect, Look, connect};
use crate::error::{Error, OpenError};

/// After how many rows somebody who waits is told.
const OFTEN: u64 = 1000;

/// How many rows each table has.
pub type Rows = BTreeMap<String, u64>;

/// What is to be backed up.
#[derive(Debug, Clone)]
pub struct Backup<'a> {
    /// The database's URL.
    pub url: &'a str,
    /// Whose it is.
    pub cloud: &'a CloudId,
    /// That cloud's keys.
    pub keys: &'a BackupKeys,
    /// When.
    pub made_at: Seconds,
    /// By which program.
    pub made_by: &'a str,
}

impl Backup<'_> {
    /// Writes all that must survive, as it is at one moment. Keeps nobody from writing. `seen` is told
    /// now and then how many rows of a table there were so far.
    ///
    /// # Errors
    /// What keeps it from doing so; what was written is no whole backup then.
    pub async fn write<W: Write>(
        &self,
        to: &mut W,
        mut seen: impl FnMut(&str, u64),
    ) -> Result<(About, Rows), BackupError> {
        sqlx::any::install_default_drivers();
        let location = Location::parse(self.url)?;
        let nobodys = || OpenError::NobodysYet {
            database: location.to_string(),
        };
        if location.is_absent() {
            return Err(nobodys().into());
        }
        let connected = connect(&location).await;
        let mut connection = connected.map_err(|error| location.explain(error))?;
        begin(&mut connection, location.dialect()).await?;
        let schema = match migration::look(&mut connection, &location, self.cloud).await? {
            Look::Absent => return Err(nobodys().into()),
            // It may have tables that must survive and that nobody here knows.
            Look::Schema { found, known } if found > known => {
                let database = location.to_string();
                let newer = OpenError::NewerSchema {
                    database,
                    found,
                    known,
                };
                return Err(newer.into());
            }
            Look::Schema { found, .. } => found,
        };
        let about = About {
            cloud_id: self.cloud.clone(),
            schema,
            made_at: self.made_at,
            made_by: self.made_by.to_owned(),
        };
        let mut writer = Writer::begin(to, &about, self.keys)?;
        let mut rows = Rows::new();
        for table in KEPT {
            let columns = tables::columns(&mut connection, location.dialect(), table).await?;
            if columns.is_empty() {
                // Of a later schema.
                continue;
            }
            writer.table(table.name, &columns)?;
            let select = table.select(&columns);
            let mut count = 0;
            let mut found = sqlx::query(&select).fetch(&mut connection);
            while let Some(row) = found.try_next().await? {
                writer.row(&cells(&row, table.name, &columns)?)?;
                count += 1;
                if count % OFTEN == 0 {
                    seen(table.name, count);
                }
            }
            drop(found);
            seen(table.name, count);
            rows.insert(table.name.to_owned(), count);
        }
        writer.end()?;
        run(&mut connection, "COMMIT").await?;
        // Nothing was written that could get lost.
        let _ = connection.close().await;
        Ok((about, rows))
    }
}

/// What is read from now on is from one moment.
async fn begin(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), sqlx::Error> {
    match dialect {
        // The first statement that reads fixes the moment.
        Dialect::Sqlite => run(connection, "BEGIN").await,
        Dialect::MariaDb => {
            let level = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";
            run(connection, level).await?;
            let snapshot = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
            run(connection, snapshot).await
        }
    }
}

fn cells(row: &AnyRow, table: &str, columns: &[String]) -> Result<Vec<Cell>, Error> {
    let cell = |(index, column): (usize, &String)| {
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        if let Ok(int) = <i64 as Decode<Any>>::decode(value.clone()) {
            return Ok(Cell::Int(int));
        }
        text(value, &format!("{table}.{column}")).map(Cell::Text)
    };
    columns.iter().enumerate().map(cell).collect()
}
