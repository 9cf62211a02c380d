//! Puts a backup into an empty database.

use std::io::BufRead;

use sqlx::{Any, AnyConnection, Connection, QueryBuilder};

use super::error::BackupError;
use super::file::{About, BackupFile, Cell, Part};
use super::tables::{self, KEPT, LEFT_OUT, Table};
use super::taking::Rows;
use crate::database::exclusive::Exclusive;
use crate::database::fault::Fault;
use crate::database::location::Location;
use crate::database::migration::{self, KNOWN, RESTORING, run};
use crate::database::{Database, Dialect, connect};

/// How many rows one statement carries at most, and how many bytes, about: MariaDB takes 16 MiB.
const ROWS: usize = 100;
const BYTES: usize = 1 << 20;
/// The table that says that we are at it: it may be there already, and stays.
const LEASES: &str = "leases";
/// After how many statements MariaDB commits: Galera likes no large transactions.
const STATEMENTS: u32 = 50;

/// A backup on its way into a database. Dropped before [`Restoration::commit`], nothing of it is in force.
#[derive(Debug)]
pub struct Restoration {
    pub(super) connection: AnyConnection,
    pub(super) about: About,
    /// MariaDB: nobody else changes the tables.
    exclusive: Option<Exclusive>,
    location: Location,
    rows: Rows,
    statements: u32,
}

/// Rows that wait to be written.
struct Batch {
    table: &'static Table,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
    bytes: usize,
}

impl Restoration {
    /// Makes the tables of the backup's schema in the database at `url`. A new SQLite file is readable for
    /// its owner alone.
    ///
    /// # Errors
    /// If something is there already, or the backup is of a later version.
    pub async fn begin(url: &str, about: &About) -> Result<Self, BackupError> {
        if about.schema > KNOWN {
            return Err(BackupError::NewerSchema {
                found: about.schema,
                known: KNOWN,
            });
        }
        sqlx::any::install_default_drivers();
        let location = Location::parse(url)?;
        location.prepare()?;
        let connected = connect(&location).await;
        let mut connection = connected.map_err(|error| location.explain(error))?;
        let explain = |error| location.explain(error);
        let exclusive = match location.dialect() {
            Dialect::Sqlite => {
                let begun = run(&mut connection, "BEGIN IMMEDIATE").await;
                begun.map_err(explain)?;
                None
            }
            Dialect::MariaDb => {
                // Nothing is made beside what is somebody else's.
                if !is_half_restored(&mut connection).await.map_err(explain)? {
                    require_empty(&mut connection, &location).await?;
                }
                let database = Database::at(&location, &about.cloud_id)?;
                let exclusive = Exclusive::take(&database, &location).await?;
                clear_away(&mut connection).await.map_err(explain)?;
                Some(exclusive)
            }
        };
        require_empty(&mut connection, &location).await?;
        migration::make_meta(&mut connection).await?;
        let what = format!("the backup of {}", about.made_at);
        migration::note(&mut connection, RESTORING, &what).await?;
        migration::advance(&mut connection, 0, about.schema).await?;
        let mut restoration = Self {
            connection,
            about: about.clone(),
            exclusive,
            location,
            rows: Rows::new(),
            statements: 0,
        };
        restoration.go_on().await?;
        Ok(restoration)
    }

    /// Writes all rows, and brings them to the schema of this version. `seen` is told now and then how
    /// many rows of a table there were so far.
    ///
    /// # Errors
    /// If the backup is not whole, or the database does not take it.
    pub async fn load<R: BufRead>(
        &mut self,
        file: &mut BackupFile<R>,
        mut seen: impl FnMut(&str, u64),
    ) -> Result<Rows, BackupError> {
        let mut batch: Option<Batch> = None;
        loop {
            match file.next()? {
                Part::Table { name, columns } => {
                    self.finish(&mut batch, file, &mut seen).await?;
                    batch = Some(self.table(&name, columns, file).await?);
                }
                Part::Row(cells) => {
                    let Some(batch) = &mut batch else {
                        return Err(file.damaged("a row without a table"));
                    };
                    if cells.len() != batch.columns.len() {
                        return Err(file.damaged("a row with more or fewer values than columns"));
                    }
                    batch.bytes += cells.iter().map(Cell::len).sum::<usize>();
                    batch.rows.push(cells);
                    if batch.rows.len() >= ROWS || batch.bytes >= BYTES {
                        self.write(batch, file, &mut seen).await?;
                    }
                }
                Part::End => {
                    self.finish(&mut batch, file, &mut seen).await?;
                    break;
                }
            }
        }
        if self.location.dialect() == Dialect::MariaDb {
            // What changes tables would commit by itself.
            run(&mut self.connection, "COMMIT").await?;
        }
        migration::advance(&mut self.connection, self.about.schema, KNOWN).await?;
        self.go_on().await?;
        Ok(self.rows.clone())
    }

    /// From now on it is this cloud's database.
    ///
    /// # Errors
    /// If it is not.
    pub async fn commit(mut self) -> Result<(), BackupError> {
        if let Some(exclusive) = &self.exclusive {
            exclusive.hold(&mut self.connection).await?;
        }
        migration::note_owner(&mut self.connection, &self.about.cloud_id).await?;
        sqlx::query("DELETE FROM meta WHERE name = ?")
            .bind(RESTORING)
            .execute(&mut self.connection)
            .await?;
        run(&mut self.connection, "COMMIT").await?;
        // It is on disk.
        let _ = self.connection.close().await;
        if let Some(exclusive) = self.exclusive {
            exclusive.give_back().await;
        }
        Ok(())
    }

    /// MariaDB: begins the next transaction. SQLite has one for all.
    async fn go_on(&mut self) -> Result<(), BackupError> {
        if self.location.dialect() == Dialect::MariaDb {
            run(&mut self.connection, "START TRANSACTION").await?;
        }
        Ok(())
    }

    async fn table<R: BufRead>(
        &mut self,
        name: &str,
        columns: Vec<String>,
        file: &BackupFile<R>,
    ) -> Result<Batch, BackupError> {
        let Some(table) = Table::named(name) else {
            return Err(file.damaged(format!("{name:?} is no table of a backup")));
        };
        let there = tables::columns(&mut self.connection, self.location.dialect(), table).await?;
        if let Some(unknown) = columns.iter().find(|column| !there.contains(column)) {
            let why = format!(
                "{unknown:?} is no column of {name} in schema {}",
                self.about.schema
            );
            return Err(file.damaged(why));
        }
        if columns.is_empty() || self.rows.insert(name.to_owned(), 0).is_some() {
            return Err(file.damaged(format!("{name} has no columns, or was there before")));
        }
        // The schema itself has put something there.
        let delete = format!("DELETE FROM `{}`", table.name);
        run(&mut self.connection, &delete).await?;
        Ok(Batch {
            table,
            columns,
            rows: Vec::new(),
            bytes: 0,
        })
    }

    async fn finish<R: BufRead>(
        &mut self,
        batch: &mut Option<Batch>,
        file: &BackupFile<R>,
        seen: &mut impl FnMut(&str, u64),
    ) -> Result<(), BackupError> {
        match batch {
            Some(batch) => self.write(batch, file, seen).await,
            None => Ok(()),
        }
    }

    async fn write<R: BufRead>(
        &mut self,
        batch: &mut Batch,
        file: &BackupFile<R>,
        seen: &mut impl FnMut(&str, u64),
    ) -> Result<(), BackupError> {
        let rows = std::mem::take(&mut batch.rows);
        batch.bytes = 0;
        let new = rows.len();
        if new > 0 {
            let mut insert = QueryBuilder::<Any>::new(batch.table.insert(&batch.columns));
            insert.push_values(rows, |mut row, cells| {
                for cell in cells {
                    match cell {
                        Cell::Null => row.push_bind(None::<String>),
                        Cell::Int(int) => row.push_bind(int),
                        Cell::Text(text) => row.push_bind(text),
                    };
                }
            });
            let written = insert.build().execute(&mut self.connection).await;
            written.map_err(|error| match Fault::of(&error) {
                Fault::Unique => file.damaged("a row is there twice, here or shortly before"),
                _ => error.into(),
            })?;
            self.statements += 1;
            if self.statements.is_multiple_of(STATEMENTS)
                && self.location.dialect() == Dialect::MariaDb
            {
                run(&mut self.connection, "COMMIT").await?;
                self.go_on().await?;
            }
        }
        let name = batch.table.name;
        let count = self.rows.entry(name.to_owned()).or_default();
        *count += u64::try_from(new).unwrap_or(u64::MAX);
        seen(name, *count);
        Ok(())
    }
}

async fn require_empty(
    connection: &mut AnyConnection,
    location: &Location,
) -> Result<(), BackupError> {
    let there = tables::names(connection, location.dialect()).await?;
    if there.iter().any(|name| name != LEASES) {
        return Err(BackupError::NotEmpty {
            database: location.to_string(),
        });
    }
    Ok(())
}

/// MariaDB: whether a restore has died there.
async fn is_half_restored(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    match migration::meta(connection, RESTORING).await {
        // No such table.
        Err(error) if Fault::of(&error) == Fault::NoTable => Ok(false),
        mark => Ok(mark?.is_some()),
    }
}

/// MariaDB: takes away what a restore has left that died.
async fn clear_away(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    if !is_half_restored(connection).await? {
        return Ok(());
    }
    run(connection, "SET SESSION foreign_key_checks = 0").await?;
    // The mark goes last.
    let kept = KEPT.iter().map(|table| table.name);
    let left_out = LEFT_OUT.iter().copied();
    let left_out = left_out.filter(|name| !["meta", LEASES].contains(name));
    for name in kept.chain(left_out).chain(["meta"]) {
        run(connection, &format!("DROP TABLE IF EXISTS `{name}`")).await?;
    }
    run(connection, "SET SESSION foreign_key_checks = 1").await
}
