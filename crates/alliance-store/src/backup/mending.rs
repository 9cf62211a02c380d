//! What a database of yesterday cannot know, made up for: nothing that has ended since begins again by
//! itself, and no number is given twice.

use alliance_core::Seconds;
use alliance_core::numbering;
use alliance_core::sign_out::{Change, LookAgain};
use sqlx::AnyConnection;

use super::error::BackupError;
use super::putting::Restoration;
use crate::database::row::{Columns, to_json};
use crate::restart;

/// By how much the numbers of sign-outs go on at least, and how many more for each minute since the backup.
/// MariaDB keeps them in 32 bits.
const SIGN_OUTS: i64 = 1 << 20;
const SIGN_OUTS_A_MINUTE: i64 = 1024;

/// How a restored database is to go on.
#[derive(Debug, Clone)]
pub struct Mending {
    /// The time.
    pub now: Seconds,
    /// Whether partners, retirements and orders go on as they were: only where nothing has happened since
    /// the backup.
    pub resume: bool,
    /// Who restores, for the audit trail.
    pub by: String,
}

/// What goes on otherwise than it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// How many sessions of partners' users have ended.
    pub sessions_ended: u64,
    /// The names of partners that were active and are suspended.
    pub suspended: Vec<String>,
    /// Retirements whose clock is stopped.
    pub held: Vec<String>,
    /// Stacks whose order was under way, and failed.
    pub given_up: Vec<String>,
}

impl Restoration {
    /// Makes up for what has happened since the backup was made. To be called once, after
    /// [`Restoration::load`].
    ///
    /// # Errors
    /// The database's.
    pub async fn mend(&mut self, mending: &Mending) -> Result<Mended, BackupError> {
        let (now, made_at) = (mending.now, self.about.made_at);
        let connection = &mut self.connection;
        let sessions_ended = end_sessions(connection, now).await?;
        pass_over_numbers(connection, now).await?;
        pass_over_sign_outs(connection, now, made_at).await?;
        let mut mended = Mended {
            sessions_ended,
            ..Mended::default()
        };
        if !mending.resume {
            mended.suspended = suspend(connection).await?;
            mended.held = hold(connection).await?;
            mended.given_up = give_up(connection, now).await?;
        }
        sqlx::query(
            "INSERT INTO audit (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(now)
        .bind(&mending.by)
        .bind("database.restored")
        .bind(self.about.cloud_id.as_str())
        .bind(format!("from a backup made at {made_at}"))
        .execute(connection)
        .await?;
        Ok(mended)
    }
}

/// No session goes on: some may have ended since, and nobody here would know. Our Keystone is told of all.
async fn end_sessions(connection: &mut AnyConnection, now: Seconds) -> Result<u64, BackupError> {
    sqlx::query("UPDATE ended_sessions SET told = 0")
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query(
        "SELECT COUNT(DISTINCT session) AS sessions FROM seen_tokens
            WHERE session IS NOT NULL AND expires_at > ?
            AND session NOT IN (SELECT session FROM ended_sessions)",
    )
    .bind(now)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        "REPLACE INTO ended_sessions (session, cloud_id, user_id, expires_at, told)
            SELECT session, MIN(cloud_id), MIN(user_id), MAX(expires_at), 0 FROM seen_tokens
            WHERE session IS NOT NULL AND expires_at > ? GROUP BY session",
    )
    .bind(now)
    .execute(connection)
    .await?;
    Ok(row.int("sessions")?.unsigned_abs())
}

/// What partners are told has numbers that were never given. What they were told already is told again, for
/// this database may know less of it.
async fn pass_over_numbers(
    connection: &mut AnyConnection,
    now: Seconds,
) -> Result<(), BackupError> {
    let before = restart::floor(&mut *connection).await?;
    let floor = numbering::restart(now, before.unsigned_abs());
    let floor = i64::try_from(floor).unwrap_or(i64::MAX);
    sqlx::query("REPLACE INTO counters (name, value) VALUES (?, ?)")
        .bind(restart::FLOOR)
        .bind(floor)
        .execute(&mut *connection)
        .await?;
    for outbox in [
        "UPDATE usage_outbox SET seq = seq + ?",
        "UPDATE notice_outbox SET seq = seq + ?",
    ] {
        sqlx::query(outbox)
            .bind(floor - before)
            .execute(&mut *connection)
            .await?;
    }
    for positions in [
        "UPDATE usage_positions SET noted = noted + ?, acknowledged = ?",
        "UPDATE notice_positions SET noted = noted + ?, acknowledged = ?",
    ] {
        sqlx::query(positions)
            .bind(floor - before)
            .bind(floor)
            .execute(&mut *connection)
            .await?;
    }
    // Keystone remembers by the snapshot's generation.
    sqlx::query(
        "UPDATE counters SET value = CASE WHEN value < ? THEN ? ELSE value + 1 END
            WHERE name = 'generation'",
    )
    .bind(now)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Hosts acknowledge sign-outs by their numbers. They are told to ask about everybody again: what of that
/// stood in this database only is lost.
async fn pass_over_sign_outs(
    connection: &mut AnyConnection,
    now: Seconds,
    made_at: Seconds,
) -> Result<(), BackupError> {
    let row = sqlx::query("SELECT MAX(seq) AS newest FROM sign_outs")
        .fetch_one(&mut *connection)
        .await?;
    let newest = row.maybe_int("newest")?.unwrap_or_default();
    let minutes = (now - made_at).max(0) / 60;
    let everybody = Change::LookAgain(LookAgain::default());
    sqlx::query("INSERT INTO sign_outs (seq, digest, what, at) VALUES (?, NULL, ?, ?)")
        .bind(newest + SIGN_OUTS + minutes * SIGN_OUTS_A_MINUTE)
        .bind(to_json("sign_outs.what", &everybody)?)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// A partner may have been suspended or removed since, and an agreement ended.
async fn suspend(connection: &mut AnyConnection) -> Result<Vec<String>, BackupError> {
    let active = "SELECT name AS found FROM partners WHERE status = 'active' ORDER BY name";
    let names = found(connection, active).await?;
    sqlx::query("UPDATE partners SET status = 'suspended' WHERE status = 'active'")
        .execute(connection)
        .await?;
    Ok(names)
}

/// A retirement may have been called off since, and an agreement prolonged: what none covers here is for an
/// operator to decide about.
async fn hold(connection: &mut AnyConnection) -> Result<Vec<String>, BackupError> {
    let running =
        "SELECT id AS found FROM retirements WHERE ended_at IS NULL AND is_held = 0 ORDER BY id";
    let ids = found(connection, running).await?;
    for hold in [
        "UPDATE retirements SET is_held = 1 WHERE ended_at IS NULL",
        "UPDATE guest_standings SET is_kept = 0",
    ] {
        sqlx::query(hold).execute(&mut *connection).await?;
    }
    Ok(ids)
}

/// What a stack is to be may have been ordered otherwise since. What of it is there stays in the journal, for
/// the next order.
async fn give_up(connection: &mut AnyConnection, now: Seconds) -> Result<Vec<String>, BackupError> {
    let open = "SELECT id AS found FROM provision_stacks
        WHERE state IN ('ordered', 'running', 'undoing') ORDER BY id";
    let ids = found(connection, open).await?;
    sqlx::query(
        "UPDATE provision_stacks SET state = 'failed', ends_as = NULL, detail = ?, changed_at = ?
            WHERE state IN ('ordered', 'running', 'undoing')",
    )
    .bind("the host was restored from a backup while this was under way; order it again")
    .bind(now)
    .execute(connection)
    .await?;
    Ok(ids)
}

async fn found(connection: &mut AnyConnection, sql: &str) -> Result<Vec<String>, BackupError> {
    let rows = sqlx::query(sql).fetch_all(connection).await?;
    let texts: crate::Result<_> = rows.iter().map(|row| row.text("found")).collect();
    Ok(texts?)
}
