//! Two clouds that invite each other at once, each accepting the other's invitation: one of the two
//! pairings goes on, the same one on both sides.
//!
//! Who has accepted an invitation of a cloud takes no acceptance of that cloud, and the other way
//! round. Where both have accepted and neither has heard of it, the invitation of the cloud with
//! the smaller id is the one.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::invitation::{CONFIRMATION_TIME, InvitationState};
use sqlx::{AnyConnection, Row};

use crate::error::{Error, Result};

/// Nobody else begins a pairing until the transaction ends. The first thing that it does: what it
/// reads afterwards is what was committed.
pub(crate) async fn lock(connection: &mut AnyConnection) -> Result<()> {
    sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'pairings'")
        .execute(connection)
        .await?;
    Ok(())
}

/// Before an invitation of `cloud` is accepted: not if it has accepted one of ours.
pub(crate) async fn require_no_invitation(
    connection: &mut AnyConnection,
    cloud: &CloudId,
    now: Seconds,
) -> Result<()> {
    let accepted = sqlx::query(
        "SELECT name FROM invitations WHERE acceptor = ? AND state = ? AND expires_at > ?",
    )
    .bind(cloud.as_str())
    .bind(InvitationState::Accepted.as_str())
    .bind(now.saturating_sub(CONFIRMATION_TIME))
    .fetch_optional(connection)
    .await?;
    match accepted {
        Some(row) => Err(Error::PairingUnderWay {
            name: row.try_get("name")?,
        }),
        None => Ok(()),
    }
}

/// Before `cloud` accepts an invitation of ours, who are `own`: not if we have accepted one of its
/// own, unless it must give way.
pub(crate) async fn require_no_acceptance(
    connection: &mut AnyConnection,
    cloud: &CloudId,
    own: &CloudId,
) -> Result<()> {
    if own < cloud {
        return Ok(());
    }
    let waiting =
        sqlx::query("SELECT name FROM acceptances WHERE inviter = ? AND state = 'waiting'")
            .bind(cloud.as_str())
            .fetch_optional(connection)
            .await?;
    match waiting {
        Some(row) => Err(Error::PairingUnderWay {
            name: row.try_get("name")?,
        }),
        None => Ok(()),
    }
}
