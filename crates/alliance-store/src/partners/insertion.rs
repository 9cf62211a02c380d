//! A pairing that was confirmed becomes a partner.

use alliance_core::cloud::CloudId;
use alliance_core::partner::Partner;
use sqlx::{AnyConnection, Row};
use uuid::Uuid;

use super::alias;
use super::facts::StoredDescriptor;
use crate::database::fault::Fault;
use crate::database::row::to_json;
use crate::error::{Error, Result};

/// Stores a new partner; its alias must be free.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    partner: &Partner,
    descriptor: &StoredDescriptor,
) -> Result<()> {
    let id = Uuid::new_v4().to_string();
    let inserted = sqlx::query(
        "INSERT INTO partners (id, cloud_id, live_cloud_id, live_tag, name, role, status,
            peer_url, trust_since, trust_till, max_users, max_projects, created_at,
            descriptor, claims, last_seen, received)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '[]')",
    )
    .bind(&id)
    .bind(partner.cloud_id.as_str())
    .bind(partner.cloud_id.as_str())
    .bind(partner.cloud_id.tag().to_string())
    .bind(&partner.name)
    .bind(partner.role.as_str())
    .bind(partner.status.as_str())
    .bind(&partner.peer_url)
    .bind(partner.trust_since)
    .bind(partner.trust_till)
    .bind(partner.max_users.map(i64::from))
    .bind(partner.max_projects.map(i64::from))
    .bind(partner.created_at)
    .bind(&descriptor.jws)
    .bind(to_json("partners.claims", &descriptor.claims)?)
    .bind(partner.trust_since)
    .execute(&mut *connection)
    .await;
    match inserted {
        Ok(_) => alias::take(connection, &partner.name, &alias::partner(&id)).await,
        Err(error) if Fault::of(&error) == Fault::Unique => {
            require_unknown(connection, &partner.cloud_id).await?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses a cloud that is a partner already, or whose tokens could be taken for a partner's.
pub(crate) async fn require_unknown(connection: &mut AnyConnection, cloud: &CloudId) -> Result<()> {
    let row = sqlx::query("SELECT name, cloud_id FROM partners WHERE live_tag = ?")
        .bind(cloud.tag().to_string())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else {
        return Ok(());
    };
    let name = row.try_get("name")?;
    let known: String = row.try_get("cloud_id")?;
    Err(if known == cloud.as_str() {
        Error::CloudTaken { name }
    } else {
        Error::TagCollision {
            name,
            tag: cloud.tag(),
        }
    })
}
