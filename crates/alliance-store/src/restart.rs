//! After which numbers this cloud goes on since it was restored from a backup.
//!
//! See [`alliance_core::numbering`]. Sign-outs have smaller numbers, and go on by what is in their table.

use sqlx::AnyConnection;

use crate::database::row::Columns;
use crate::error::Result;

/// The counter that knows.
pub(crate) const FLOOR: &str = "restored";

/// The number below which none is given any more, 0 if this database was never restored.
pub(crate) async fn floor(connection: &mut AnyConnection) -> Result<i64> {
    let row = sqlx::query("SELECT value FROM counters WHERE name = ?")
        .bind(FLOOR)
        .fetch_optional(connection)
        .await?;
    row.map_or(Ok(0), |row| row.int("value"))
}
