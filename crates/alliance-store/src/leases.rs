//! What only one process may do at a time, however many run: whoever holds the lease.

use alliance_core::Seconds;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection};

use crate::database::fault::Fault;
use crate::database::row::Columns;
use crate::database::{Database, retrying};
use crate::error::{Error, Result};

/// See [`Store::leases`](crate::Store::leases).
#[derive(Debug, Clone, Copy)]
pub struct Leases<'a>(pub(crate) &'a Database);

/// The right to do something, as long as nobody else has taken it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What it is for.
    pub name: String,
    /// Who has it: unique for each process.
    pub holder: String,
}

impl Leases<'_> {
    /// Takes it, or goes on holding it, for so many seconds by the database's clock: what the processes' clocks
    /// show does not matter. `None` if another holds it. Who has the same name up to the first `/` is a
    /// predecessor, and gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn take(self, name: &str, holder: &str, life: Seconds) -> Result<Option<Lease>> {
        retrying(|| self.take_once(name, holder, life)).await
    }

    async fn take_once(self, name: &str, holder: &str, life: Seconds) -> Result<Option<Lease>> {
        let mut transaction = self.0.write().await?;
        // Nobody else looks until this ends.
        sqlx::query("UPDATE leases SET till = till WHERE name = ?")
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        let clock = self.0.clock();
        let found = sqlx::query(&format!(
            "SELECT holder, till - {clock} AS rest FROM leases WHERE name = ?"
        ))
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await?;
        let statement = match found {
            None => format!("INSERT INTO leases (holder, till, name) VALUES (?, {clock} + ?, ?)"),
            Some(found) => {
                if called(&found.text("holder")?) != called(holder) && found.int("rest")? > 0 {
                    return Ok(None);
                }
                format!("UPDATE leases SET holder = ?, till = {clock} + ? WHERE name = ?")
            }
        };
        let written = sqlx::query(&statement)
            .bind(holder)
            .bind(life)
            .bind(name)
            .execute(&mut *transaction)
            .await;
        match written {
            Ok(_) => {}
            // Another was the first to have it at all.
            Err(error) if Fault::of(&error) == Fault::Unique => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        transaction.commit().await?;
        Ok(Some(Lease {
            name: name.to_owned(),
            holder: holder.to_owned(),
        }))
    }

    /// Who holds it, if its time is not over.
    ///
    /// # Errors
    /// The database's.
    pub async fn holder(self, name: &str) -> Result<Option<String>> {
        let select = format!(
            "SELECT holder FROM leases WHERE name = ? AND till > {}",
            self.0.clock()
        );
        let row = sqlx::query(&select)
            .bind(name)
            .fetch_optional(self.0.pool())
            .await?;
        row.map(|row| row.text("holder")).transpose()
    }

    /// For how many seconds it has been over, if whoever held it last has not given it back.
    ///
    /// # Errors
    /// The database's.
    pub async fn over_for(self, name: &str) -> Result<Option<Seconds>> {
        let clock = self.0.clock();
        let select =
            format!("SELECT {clock} - till AS rest FROM leases WHERE name = ? AND till <= {clock}");
        let row = sqlx::query(&select)
            .bind(name)
            .fetch_optional(self.0.pool())
            .await?;
        row.map(|row| row.int("rest")).transpose()
    }

    /// Gives it back.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_back(self, lease: &Lease) -> Result<()> {
        retrying(|| async {
            sqlx::query("DELETE FROM leases WHERE name = ? AND holder = ?")
                .bind(lease.name.as_str())
                .bind(lease.holder.as_str())
                .execute(self.0.pool())
                .await?;
            Ok(())
        })
        .await
    }
}

/// What a holder is called, whichever process it is.
fn called(holder: &str) -> &str {
    holder.split_once('/').map_or(holder, |(name, _)| name)
}

/// Does one statement in a transaction that keeps the lease. Returns how many rows it was about.
///
/// # Errors
/// [`Error::LeaseLost`], or the database's; nothing is done then.
pub(crate) async fn write<'q>(
    database: &Database,
    lease: &Lease,
    statement: impl Fn() -> Query<'q, Any, AnyArguments<'q>>,
) -> Result<u64> {
    retrying(|| async {
        let mut transaction = database.write().await?;
        hold(&mut transaction, lease).await?;
        let done = statement().execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    })
    .await
}

/// Keeps the lease with this holder until the transaction ends. One whose time is over may still be
/// held: what counts is that nobody has taken it.
///
/// # Errors
/// [`Error::LeaseLost`] if somebody has.
pub(crate) async fn hold(transaction: &mut AnyConnection, lease: &Lease) -> Result<()> {
    // A row that stays as it is, other nodes of a Galera cluster would not hear of.
    let held = sqlx::query("UPDATE leases SET held = held + 1 WHERE name = ? AND holder = ?")
        .bind(lease.name.as_str())
        .bind(lease.holder.as_str())
        .execute(transaction)
        .await?;
    if held.rows_affected() == 0 {
        return Err(Error::LeaseLost(lease.name.clone()));
    }
    Ok(())
}
