//! Invitations that this cloud accepted. The secret is kept while the inviter has to be asked,
//! also after a restart, and wiped with the decision.

use std::fmt;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::invitation::{AcceptanceState, CONFIRMATION_TIME};
use alliance_core::partner::{Kind, Partner, Role, Status};
use alliance_core::token::Login;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::{Paired, crossing};
use crate::bulletins::{self, Bulletin};
use crate::database::row::{Columns, to_json};
use crate::database::{Database, retrying};
use crate::error::{Error, Result};
use crate::partners::facts::StoredDescriptor;
use crate::partners::{alias, insertion};

/// See [`Store::acceptances`](crate::Store::acceptances).
#[derive(Debug, Clone, Copy)]
pub struct Acceptances<'a>(pub(crate) &'a Database);

/// How much longer than the inviter this side waits for its word.
const GRACE: Seconds = 600;

/// An acceptance to be stored.
#[derive(Clone, PartialEq)]
pub struct NewAcceptance {
    /// The invitation's id (UUID).
    pub id: String,
    /// The alias that the inviter will have here.
    pub name: String,
    /// What the inviter will be to us.
    pub role: Role,
    /// Where the inviter's daemon answers.
    pub url: String,
    /// The invitation's secret.
    pub secret: String,
    /// When the trust will end.
    pub trust_till: Option<Seconds>,
    /// How users will log in.
    pub login: Login,
    /// Until when the invitation can be accepted.
    pub expires_at: Seconds,
    /// How the inviter describes itself; its `iss` is the inviter.
    pub descriptor: StoredDescriptor,
}

impl fmt::Debug for NewAcceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAcceptance")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// An acceptance as stored.
#[derive(Clone, PartialEq)]
pub struct Acceptance {
    /// The invitation's id.
    pub id: String,
    /// The alias of the inviter here.
    pub name: String,
    /// What the inviter will be to us.
    pub role: Role,
    /// Who invited.
    pub inviter: CloudId,
    /// Where the inviter's daemon answers.
    pub url: String,
    /// The invitation's secret, while it is needed.
    pub secret: Option<String>,
    /// When the trust will end.
    pub trust_till: Option<Seconds>,
    /// How users will log in.
    pub login: Login,
    /// Until when the invitation could be accepted.
    pub expires_at: Seconds,
    /// How far it is.
    pub state: AcceptanceState,
    /// How the inviter described itself.
    pub descriptor: StoredDescriptor,
    /// When it was accepted.
    pub created_at: Seconds,
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptance")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("inviter", &self.inviter)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Acceptance {
    /// When this side gives up: after the inviter can no longer say yes.
    pub fn gives_up_at(&self) -> Seconds {
        self.expires_at.saturating_add(CONFIRMATION_TIME + GRACE)
    }
}

impl Acceptances<'_> {
    /// Stores a new one, waiting, and takes its alias. The same invitation with the same alias
    /// again is no error while it waits, and begins anew after a cancellation.
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::CloudTaken`], [`Error::TagCollision`],
    /// [`Error::PairingUnderWay`], [`Error::AcceptanceIs`] paired.
    pub async fn create(self, new: &NewAcceptance, now: Seconds) -> Result<Acceptance> {
        super::invitations::Invitations(self.0)
            .expire_due(now)
            .await?;
        self.expire_due(now).await?;
        retrying(|| self.create_once(new, now)).await
    }

    /// The one with this id, whatever became of it.
    ///
    /// # Errors
    /// The database's.
    pub async fn by_id(self, id: &str) -> Result<Option<Acceptance>> {
        sqlx::query("SELECT * FROM acceptances WHERE id = ?")
            .bind(id)
            .fetch_optional(self.0.pool())
            .await?
            .as_ref()
            .map(acceptance)
            .transpose()
    }

    /// Those that wait for the inviter's word: what to go on with after a restart.
    ///
    /// # Errors
    /// The database's.
    pub async fn waiting(self) -> Result<Vec<Acceptance>> {
        sqlx::query("SELECT * FROM acceptances WHERE state = 'waiting' ORDER BY created_at, id")
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(acceptance)
            .collect()
    }

    /// The inviter said yes: in one transaction the pairing is done, the inviter an active
    /// partner and the secret wiped. `descriptor` is the inviter's newest.
    ///
    /// # Errors
    /// [`Error::AcceptanceIs`] over, [`Error::NotExpected`] for another cloud's descriptor,
    /// [`Error::CloudTaken`], [`Error::TagCollision`], [`Error::NoSuchInvitation`].
    pub async fn pair(
        self,
        id: &str,
        descriptor: &StoredDescriptor,
        now: Seconds,
    ) -> Result<Paired> {
        retrying(|| self.pair_once(id, descriptor, now)).await
    }

    /// The inviter said no.
    ///
    /// # Errors
    /// [`Error::AcceptanceIs`] decided otherwise, [`Error::NoSuchInvitation`].
    pub async fn reject(self, id: &str, now: Seconds) -> Result<()> {
        self.give_up(id, AcceptanceState::Rejected, now).await
    }

    /// The inviter says that it is too late.
    ///
    /// # Errors
    /// As [`Acceptances::reject`].
    pub async fn expire(self, id: &str, now: Seconds) -> Result<()> {
        self.give_up(id, AcceptanceState::Expired, now).await
    }

    /// This side's operator changed their mind.
    ///
    /// # Errors
    /// As [`Acceptances::reject`].
    pub async fn cancel(self, id: &str, now: Seconds) -> Result<()> {
        self.give_up(id, AcceptanceState::Cancelled, now).await
    }

    /// Makes those expired that waited past [`Acceptance::gives_up_at`]. Returns them as they
    /// were.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire_due(self, now: Seconds) -> Result<Vec<Acceptance>> {
        let mut due = self.waiting().await?;
        due.retain(|found| now >= found.gives_up_at());
        let mut expired = Vec::new();
        for found in due {
            match self.expire(&found.id, now).await {
                Ok(()) => expired.push(found),
                // Decided by somebody else meanwhile.
                Err(Error::AcceptanceIs(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(expired)
    }

    async fn create_once(self, new: &NewAcceptance, now: Seconds) -> Result<Acceptance> {
        let inviter = &new.descriptor.claims.iss;
        let mut transaction = self.0.write().await?;
        crossing::lock(&mut transaction).await?;
        if let Some(found) = find(&mut transaction, &new.id).await? {
            match found.state {
                AcceptanceState::Waiting if found.name == new.name => return Ok(found),
                AcceptanceState::Waiting | AcceptanceState::Paired => {
                    return Err(Error::AcceptanceIs(found.state));
                }
                AcceptanceState::Rejected
                | AcceptanceState::Expired
                | AcceptanceState::Cancelled => {
                    sqlx::query("DELETE FROM acceptances WHERE id = ?")
                        .bind(&new.id)
                        .execute(&mut *transaction)
                        .await?;
                }
            }
        }
        insertion::require_unknown(&mut transaction, inviter).await?;
        crossing::require_no_invitation(&mut transaction, inviter, now).await?;
        alias::take(&mut transaction, &new.name, &alias::acceptance(&new.id)).await?;
        sqlx::query(
            "INSERT INTO acceptances (id, name, role, inviter, url, secret, trust_till, login,
                created_at, expires_at, state, descriptor, claims)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&new.id)
        .bind(&new.name)
        .bind(new.role.as_str())
        .bind(inviter.as_str())
        .bind(&new.url)
        .bind(&new.secret)
        .bind(new.trust_till)
        .bind(new.login.as_str())
        .bind(now)
        .bind(new.expires_at)
        .bind(AcceptanceState::Waiting.as_str())
        .bind(&new.descriptor.jws)
        .bind(to_json("acceptances.claims", &new.descriptor.claims)?)
        .execute(&mut *transaction)
        .await?;
        let stored = require(&mut transaction, &new.id).await?;
        transaction.commit().await?;
        Ok(stored)
    }

    async fn pair_once(
        self,
        id: &str,
        descriptor: &StoredDescriptor,
        now: Seconds,
    ) -> Result<Paired> {
        let mut transaction = self.0.write().await?;
        let found = require(&mut transaction, id).await?;
        if descriptor.claims.iss != found.inviter {
            return Err(Error::NotExpected {
                expected: found.inviter,
                found: descriptor.claims.iss.clone(),
            });
        }
        match found.state {
            AcceptanceState::Waiting => {}
            AcceptanceState::Paired => {
                let (_, record) =
                    crate::partners::require(&mut transaction, &found.inviter).await?;
                return Ok(Paired {
                    partner: record.partner,
                    is_new: false,
                });
            }
            state => return Err(Error::AcceptanceIs(state)),
        }
        decide(&mut transaction, id, AcceptanceState::Paired, now).await?;
        let partner = Partner {
            cloud_id: found.inviter,
            name: found.name,
            kind: Kind::Alliance,
            role: found.role,
            status: Status::Active,
            peer_url: descriptor.claims.peer_url.clone(),
            trust_since: Some(now),
            trust_till: found.trust_till,
            max_users: None,
            max_projects: None,
            created_at: now,
        };
        insertion::insert(&mut transaction, &partner, descriptor, found.login).await?;
        bulletins::post(self.0, &mut transaction, &Bulletin::Trust).await?;
        transaction.commit().await?;
        Ok(Paired {
            partner,
            is_new: true,
        })
    }

    async fn give_up(self, id: &str, state: AcceptanceState, now: Seconds) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let found = require(&mut transaction, id).await?;
            if found.state == state {
                return Ok(());
            }
            if found.state != AcceptanceState::Waiting {
                return Err(Error::AcceptanceIs(found.state));
            }
            decide(&mut transaction, id, state, now).await?;
            bulletins::post(self.0, &mut transaction, &Bulletin::Pairings).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

/// Ends one that still waits: the secret is wiped, the alias free.
async fn decide(
    connection: &mut AnyConnection,
    id: &str,
    state: AcceptanceState,
    now: Seconds,
) -> Result<()> {
    let decided = sqlx::query(
        "UPDATE acceptances SET state = ?, decided_at = ?, secret = NULL
            WHERE id = ? AND state = 'waiting'",
    )
    .bind(state.as_str())
    .bind(now)
    .bind(id)
    .execute(&mut *connection)
    .await?;
    if decided.rows_affected() != 1 {
        return Err(Error::Busy(sqlx::Error::RowNotFound));
    }
    alias::free(connection, &alias::acceptance(id)).await
}

async fn require(connection: &mut AnyConnection, id: &str) -> Result<Acceptance> {
    find(connection, id)
        .await?
        .ok_or_else(|| Error::NoSuchInvitation(id.to_owned()))
}

async fn find(connection: &mut AnyConnection, id: &str) -> Result<Option<Acceptance>> {
    sqlx::query("SELECT * FROM acceptances WHERE id = ?")
        .bind(id)
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(acceptance)
        .transpose()
}

fn acceptance(row: &AnyRow) -> Result<Acceptance> {
    Ok(Acceptance {
        id: row.text("id")?,
        name: row.text("name")?,
        role: row.word("role")?,
        inviter: row.word("inviter")?,
        url: row.text("url")?,
        secret: row.maybe_text("secret")?,
        trust_till: row.maybe_int("trust_till")?,
        login: row.word("login")?,
        expires_at: row.int("expires_at")?,
        state: row.word("state")?,
        descriptor: StoredDescriptor {
            jws: row.text("descriptor")?,
            claims: row.json("claims")?,
        },
        created_at: row.int("created_at")?,
    })
}
