//! A pairing that was confirmed becomes a partner; so does a Keystone that an operator names.

use alliance_core::cloud::CloudId;
use alliance_core::partner::{KeystoneAccess, Partner};
use alliance_core::token::{Login, TokenFormat, TokenPolicy};
use sqlx::{AnyConnection, Row};
use uuid::Uuid;

use super::facts::StoredDescriptor;
use super::{Partners, alias};
use crate::bulletins::{self, Bulletin};
use crate::database::fault::Fault;
use crate::database::retrying;
use crate::database::row::to_json;
use crate::error::{Error, Result};

impl Partners<'_> {
    /// Stores a partner that is a plain Keystone. The untagged tokens of its formats are its own
    /// from now on.
    ///
    /// # Errors
    /// [`Error::FormatTaken`], [`Error::NameTaken`], [`Error::CloudTaken`],
    /// [`Error::TagCollision`].
    pub async fn add_keystone(self, partner: &Partner, access: &KeystoneAccess) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            require_unknown(&mut transaction, &partner.cloud_id).await?;
            let id = insert_row(
                &mut transaction,
                partner,
                None,
                Login::default(),
                Some(access),
            )
            .await?;
            for format in &access.formats {
                claim(&mut transaction, *format, &id, &partner.name).await?;
            }
            bulletins::post(self.0, &mut transaction, &Bulletin::Trust).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

/// Stores a new partner; its alias must be free.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    partner: &Partner,
    descriptor: &StoredDescriptor,
    login: Login,
) -> Result<()> {
    insert_row(connection, partner, Some(descriptor), login, None).await?;
    Ok(())
}

async fn insert_row(
    connection: &mut AnyConnection,
    partner: &Partner,
    descriptor: Option<&StoredDescriptor>,
    login: Login,
    access: Option<&KeystoneAccess>,
) -> Result<String> {
    let id = Uuid::new_v4().to_string();
    let policy = TokenPolicy {
        login,
        ..TokenPolicy::default()
    };
    let access = access.map(|access| to_json("partners.keystone", access));
    let inserted = sqlx::query(
        "INSERT INTO partners (id, cloud_id, live_cloud_id, live_tag, name, kind, role, status,
            peer_url, trust_since, trust_till, max_users, max_projects, created_at,
            descriptor, claims, keystone, policy, last_seen, received)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '[]')",
    )
    .bind(&id)
    .bind(partner.cloud_id.as_str())
    .bind(partner.cloud_id.as_str())
    .bind(partner.cloud_id.tag().to_string())
    .bind(&partner.name)
    .bind(partner.kind.as_str())
    .bind(partner.role.as_str())
    .bind(partner.status.as_str())
    .bind(&partner.peer_url)
    .bind(partner.trust_since)
    .bind(partner.trust_till)
    .bind(partner.max_users.map(i64::from))
    .bind(partner.max_projects.map(i64::from))
    .bind(partner.created_at)
    .bind(descriptor.map_or("", |descriptor| &descriptor.jws))
    .bind(to_json(
        "partners.claims",
        &descriptor.map(|descriptor| &descriptor.claims),
    )?)
    .bind(access.transpose()?)
    .bind(to_json("partners.policy", &policy)?)
    .bind(partner.trust_since)
    .execute(&mut *connection)
    .await;
    match inserted {
        Ok(_) => {
            alias::take(connection, &partner.name, &alias::partner(&id)).await?;
            Ok(id)
        }
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

/// Gives the untagged tokens of `format` to the partner of the row `id`.
async fn claim(
    connection: &mut AnyConnection,
    format: TokenFormat,
    id: &str,
    name: &str,
) -> Result<()> {
    let claimed = sqlx::query("INSERT INTO untagged_formats (format, partner_id) VALUES (?, ?)")
        .bind(format.as_str())
        .bind(id)
        .execute(&mut *connection)
        .await;
    match claimed {
        Ok(_) => Ok(()),
        Err(error) if Fault::of(&error) == Fault::Unique => {
            let row = sqlx::query(
                "SELECT partners.name FROM untagged_formats
                    JOIN partners ON partners.id = untagged_formats.partner_id WHERE format = ?",
            )
            .bind(format.as_str())
            .fetch_optional(connection)
            .await?
            .ok_or(Error::Busy(error))?;
            Err(Error::FormatTaken {
                format,
                holder: row.try_get("name")?,
                name: name.to_owned(),
            })
        }
        Err(error) => Err(error.into()),
    }
}
