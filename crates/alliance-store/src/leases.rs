//! What only one process may do at a time, however many run: whoever holds the lease.

use alliance_core::Seconds;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection};

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
    /// Takes it, or goes on holding it, from `now` until `till`. `None` if another holds it.
    ///
    /// # Errors
    /// The database's.
    pub async fn take(
        self,
        name: &str,
        holder: &str,
        now: Seconds,
        till: Seconds,
    ) -> Result<Option<Lease>> {
        retrying(|| self.take_once(name, holder, now, till)).await
    }

    async fn take_once(
        self,
        name: &str,
        holder: &str,
        now: Seconds,
        till: Seconds,
    ) -> Result<Option<Lease>> {
        let mut transaction = self.0.write().await?;
        let row = sqlx::query("SELECT holder, till FROM leases WHERE name = ?")
            .bind(name)
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(row) = row
            && row.text("holder")? != holder
            && row.int("till")? > now
        {
            return Ok(None);
        }
        sqlx::query("REPLACE INTO leases (name, holder, till) VALUES (?, ?, ?)")
            .bind(name)
            .bind(holder)
            .bind(till)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(Lease {
            name: name.to_owned(),
            holder: holder.to_owned(),
        }))
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
    let held = sqlx::query("UPDATE leases SET holder = ? WHERE name = ? AND holder = ?")
        .bind(lease.holder.as_str())
        .bind(lease.name.as_str())
        .bind(lease.holder.as_str())
        .execute(transaction)
        .await?;
    if held.rows_affected() == 0 {
        return Err(Error::LeaseLost(lease.name.clone()));
    }
    Ok(())
}
