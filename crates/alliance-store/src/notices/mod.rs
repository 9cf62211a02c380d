//! What homes are told of their projects here, and what hosts tell of ours.
//!
//! At the host a notice is numbered for its home in the transaction that learns what has happened. At
//! home it is taken in once, whatever its number, and kept until it is old or one of too many.

mod outbox;
mod received;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::notice::Notice;
use sqlx::AnyConnection;

use crate::database::Database;
use crate::database::row::Columns;
use crate::error::Result;
use crate::restart;

pub(crate) use self::outbox::append;
pub use self::received::{Filter, TakenIn};

/// How many notices are kept of one pair of clouds.
const KEPT: i64 = 10_000;

/// See [`Store::notices`](crate::Store::notices).
#[derive(Debug, Clone, Copy)]
pub struct Notices<'a>(pub(crate) &'a Database);

/// What a home is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingNotices {
    /// The number before the first one's.
    pub after: u64,
    /// The last number that was given.
    pub last: u64,
    /// Each with its number, none left out.
    pub notices: Vec<(u64, Notice)>,
}

/// A notice that a host has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedNotice {
    /// Its number here.
    pub number: u64,
    /// Who told it.
    pub host: CloudId,
    /// Its id.
    pub id: String,
    /// When it came.
    pub received_at: Seconds,
    /// What it says.
    pub notice: Notice,
}

/// How it stands between this cloud and a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticePosition {
    /// The partner.
    pub partner: CloudId,
    /// How many it has been given and not acknowledged.
    pub unheard: u64,
    /// How many of its were not kept there until they were asked for.
    pub missed: u64,
    /// How many of its were not believed here.
    pub refused: u64,
}

impl Notices<'_> {
    /// How it stands with each partner.
    ///
    /// # Errors
    /// The database's.
    pub async fn positions(self) -> Result<Vec<NoticePosition>> {
        sqlx::query("SELECT * FROM notice_positions ORDER BY cloud_id")
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(|row| {
                Ok(NoticePosition {
                    partner: row.word("cloud_id")?,
                    unheard: (row.int("noted")? - row.int("acknowledged")?).unsigned_abs(),
                    missed: row.int("missed")?.unsigned_abs(),
                    refused: row.int("refused")?.unsigned_abs(),
                })
            })
            .collect()
    }

    /// Forgets what is older, told or not.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_before(self, at: Seconds) -> Result<()> {
        self.0
            .forget("DELETE FROM notice_outbox WHERE at < ?", at)
            .await?;
        self.0
            .forget("DELETE FROM notices WHERE received_at < ?", at)
            .await?;
        self.0
            .forget("DELETE FROM notice_marks WHERE at < ?", at * 1000)
            .await?;
        Ok(())
    }
}

/// A partner's row, made if need be and kept from others until the transaction ends: one of its numbers.
async fn position(transaction: &mut AnyConnection, partner: &CloudId, which: &str) -> Result<i64> {
    let held = sqlx::query("UPDATE notice_positions SET noted = noted WHERE cloud_id = ?")
        .bind(partner.as_str())
        .execute(&mut *transaction)
        .await?;
    if held.rows_affected() == 0 {
        let floor = restart::floor(&mut *transaction).await?;
        sqlx::query(
            "INSERT INTO notice_positions (cloud_id, noted, acknowledged) VALUES (?, ?, ?)",
        )
        .bind(partner.as_str())
        .bind(floor)
        .bind(floor)
        .execute(&mut *transaction)
        .await?;
        return Ok(if which == "noted" { floor } else { 0 });
    }
    sqlx::query("SELECT noted, received FROM notice_positions WHERE cloud_id = ?")
        .bind(partner.as_str())
        .fetch_one(transaction)
        .await?
        .int(which)
}
