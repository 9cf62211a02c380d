//! Invitations that this cloud made. Each is used once, by one cloud, and decided once.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::invitation::{CONFIRMATION_TIME, InvitationState};
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

/// See [`Store::invitations`](crate::Store::invitations).
#[derive(Debug, Clone, Copy)]
pub struct Invitations<'a>(pub(crate) &'a Database);

/// An invitation to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvitation {
    /// Its id (UUID).
    pub id: String,
    /// The alias that the partner will have here.
    pub name: String,
    /// What it will be to us.
    pub role: Role,
    /// Hex SHA-256 of the secret.
    pub secret_sha256: String,
    /// Who may accept, if known.
    pub expected: Option<CloudId>,
    /// When the trust will end.
    pub trust_till: Option<Seconds>,
    /// How users will log in.
    pub login: Login,
    /// Until when it can be accepted.
    pub expires_at: Seconds,
}

/// An invitation that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Invitation {
    /// As it was made.
    pub new: NewInvitation,
    /// How far it is, as stored: see [`Invitation::state_at`].
    pub state: InvitationState,
    /// Who accepted.
    pub acceptor: Option<Acceptor>,
    /// When it was made.
    pub created_at: Seconds,
}

/// The cloud that accepted an invitation.
#[derive(Debug, Clone, PartialEq)]
pub struct Acceptor {
    /// Who.
    pub cloud_id: CloudId,
    /// When.
    pub at: Seconds,
    /// How it describes itself.
    pub descriptor: StoredDescriptor,
}

impl Invitation {
    /// The state at `now`: too late is too late, whether somebody noticed or not.
    pub fn state_at(&self, now: Seconds) -> InvitationState {
        match self.state {
            InvitationState::Open if now >= self.new.expires_at => InvitationState::Expired,
            InvitationState::Accepted if now >= self.new.expires_at + CONFIRMATION_TIME => {
                InvitationState::Expired
            }
            state => state,
        }
    }
}

impl Invitations<'_> {
    /// Stores a new one and takes its alias.
    ///
    /// # Errors
    /// [`Error::NameTaken`]; [`Error::CloudTaken`] and [`Error::TagCollision`] for an expected
    /// cloud.
    pub async fn create(self, new: &NewInvitation, now: Seconds) -> Result<()> {
        self.expire_due(now).await?;
        super::acceptances::Acceptances(self.0)
            .expire_due(now)
            .await?;
        retrying(|| self.create_once(new, now)).await
    }

    /// The one with this id, whatever became of it.
    ///
    /// # Errors
    /// The database's.
    pub async fn by_id(self, id: &str) -> Result<Option<Invitation>> {
        sqlx::query("SELECT * FROM invitations WHERE id = ?")
            .bind(id)
            .fetch_optional(self.0.pool())
            .await?
            .as_ref()
            .map(invitation)
            .transpose()
    }

    /// Those that are open or accepted.
    ///
    /// # Errors
    /// The database's.
    pub async fn undecided(self) -> Result<Vec<Invitation>> {
        sqlx::query(
            "SELECT * FROM invitations WHERE state IN ('open', 'accepted') ORDER BY created_at, id",
        )
        .fetch_all(self.0.pool())
        .await?
        .iter()
        .map(invitation)
        .collect()
    }

    /// The cloud that `descriptor` describes accepts. Of several at once one wins; that one may
    /// say it again. Whether it knows the secret and holds its key was checked before.
    ///
    /// # Errors
    /// [`Error::AlreadyUsed`] by another cloud, [`Error::NotExpected`],
    /// [`Error::InvitationIs`] expired or rejected, [`Error::CloudTaken`],
    /// [`Error::TagCollision`], [`Error::PairingUnderWay`], [`Error::NoSuchInvitation`].
    pub async fn accept(
        self,
        id: &str,
        descriptor: &StoredDescriptor,
        now: Seconds,
    ) -> Result<Invitation> {
        retrying(|| self.accept_once(id, descriptor, now)).await
    }

    /// The operator says yes: in one transaction the invitation is confirmed and its acceptor an
    /// active partner.
    ///
    /// # Errors
    /// [`Error::InvitationIs`] if it is not accepted, [`Error::CloudTaken`],
    /// [`Error::TagCollision`], [`Error::NoSuchInvitation`].
    pub async fn confirm(self, id: &str, now: Seconds) -> Result<Paired> {
        retrying(|| self.confirm_once(id, now)).await
    }

    /// The operator says no, or changes their mind: the alias is free again. Saying it again is
    /// no error.
    ///
    /// # Errors
    /// [`Error::InvitationIs`] confirmed or expired, [`Error::NoSuchInvitation`].
    pub async fn reject(self, id: &str, now: Seconds) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let found = require(&mut transaction, id).await?;
            match found.state_at(now) {
                InvitationState::Rejected => return Ok(()),
                InvitationState::Open | InvitationState::Accepted => {}
                state => return Err(Error::InvitationIs(state)),
            }
            decide(&mut transaction, &found, InvitationState::Rejected, now).await?;
            bulletins::post(self.0, &mut transaction, &Bulletin::Pairings).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Makes those expired whose time is over: open ones at their end, accepted ones
    /// [`CONFIRMATION_TIME`] later. Returns them as they were.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire_due(self, now: Seconds) -> Result<Vec<Invitation>> {
        let mut due = self.undecided().await?;
        due.retain(|found| found.state_at(now) == InvitationState::Expired);
        let mut expired = Vec::new();
        for found in due {
            let done = retrying(|| async {
                let mut transaction = self.0.write().await?;
                decide(&mut transaction, &found, InvitationState::Expired, now).await?;
                bulletins::post(self.0, &mut transaction, &Bulletin::Pairings).await?;
                Ok(transaction.commit().await?)
            })
            .await;
            match done {
                Ok(()) => expired.push(found),
                // Decided by somebody else meanwhile.
                Err(Error::Busy(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(expired)
    }

    async fn create_once(self, new: &NewInvitation, now: Seconds) -> Result<()> {
        let mut transaction = self.0.write().await?;
        if let Some(expected) = &new.expected {
            insertion::require_unknown(&mut transaction, expected).await?;
        }
        alias::take(&mut transaction, &new.name, &alias::invitation(&new.id)).await?;
        sqlx::query(
            "INSERT INTO invitations (id, name, role, secret_sha256, expected, trust_till, login,
                created_at, expires_at, state)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&new.id)
        .bind(&new.name)
        .bind(new.role.as_str())
        .bind(&new.secret_sha256)
        .bind(new.expected.as_ref().map(CloudId::as_str))
        .bind(new.trust_till)
        .bind(new.login.as_str())
        .bind(now)
        .bind(new.expires_at)
        .bind(InvitationState::Open.as_str())
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    async fn accept_once(
        self,
        id: &str,
        descriptor: &StoredDescriptor,
        now: Seconds,
    ) -> Result<Invitation> {
        let acceptor = &descriptor.claims.iss;
        let mut transaction = self.0.write().await?;
        crossing::lock(&mut transaction).await?;
        let found = require(&mut transaction, id).await?;
        match (found.state_at(now), &found.acceptor) {
            (InvitationState::Accepted | InvitationState::Confirmed, Some(first)) => {
                return if first.cloud_id == *acceptor {
                    Ok(found)
                } else {
                    Err(Error::AlreadyUsed)
                };
            }
            (InvitationState::Open, _) => {}
            (state, _) => return Err(Error::InvitationIs(state)),
        }
        if let Some(expected) = found.new.expected.as_ref().filter(|id| *id != acceptor) {
            return Err(Error::NotExpected {
                expected: expected.clone(),
                found: acceptor.clone(),
            });
        }
        insertion::require_unknown(&mut transaction, acceptor).await?;
        crossing::require_no_acceptance(&mut transaction, acceptor, self.0.cloud()).await?;
        let accepted = sqlx::query(
            "UPDATE invitations SET state = ?, acceptor = ?, accepted_at = ?, descriptor = ?,
                claims = ? WHERE id = ? AND state = ?",
        )
        .bind(InvitationState::Accepted.as_str())
        .bind(acceptor.as_str())
        .bind(now)
        .bind(&descriptor.jws)
        .bind(to_json("invitations.claims", &descriptor.claims)?)
        .bind(id)
        .bind(InvitationState::Open.as_str())
        .execute(&mut *transaction)
        .await?;
        require_one(accepted.rows_affected())?;
        let accepted = require(&mut transaction, id).await?;
        bulletins::post(self.0, &mut transaction, &Bulletin::Pairings).await?;
        transaction.commit().await?;
        Ok(accepted)
    }

    async fn confirm_once(self, id: &str, now: Seconds) -> Result<Paired> {
        let mut transaction = self.0.write().await?;
        let found = require(&mut transaction, id).await?;
        let state = found.state_at(now);
        let Some(acceptor) = &found.acceptor else {
            return Err(Error::InvitationIs(state));
        };
        if state == InvitationState::Confirmed {
            let (_, record) =
                crate::partners::require(&mut transaction, &acceptor.cloud_id).await?;
            return Ok(Paired {
                partner: record.partner,
                is_new: false,
            });
        }
        if state != InvitationState::Accepted {
            return Err(Error::InvitationIs(state));
        }
        decide(&mut transaction, &found, InvitationState::Confirmed, now).await?;
        let partner = Partner {
            cloud_id: acceptor.cloud_id.clone(),
            name: found.new.name.clone(),
            kind: Kind::Alliance,
            role: found.new.role,
            status: Status::Active,
            peer_url: acceptor.descriptor.claims.peer_url.clone(),
            trust_since: Some(now),
            trust_till: found.new.trust_till,
            max_users: None,
            max_projects: None,
            created_at: now,
        };
        insertion::insert(
            &mut transaction,
            &partner,
            &acceptor.descriptor,
            found.new.login,
        )
        .await?;
        bulletins::post(self.0, &mut transaction, &Bulletin::Trust).await?;
        transaction.commit().await?;
        Ok(Paired {
            partner,
            is_new: true,
        })
    }
}

/// Ends an invitation that is still as `found`, and frees its alias.
async fn decide(
    connection: &mut AnyConnection,
    found: &Invitation,
    state: InvitationState,
    now: Seconds,
) -> Result<()> {
    let decided =
        sqlx::query("UPDATE invitations SET state = ?, decided_at = ? WHERE id = ? AND state = ?")
            .bind(state.as_str())
            .bind(now)
            .bind(&found.new.id)
            .bind(found.state.as_str())
            .execute(&mut *connection)
            .await?;
    require_one(decided.rows_affected())?;
    alias::free(connection, &alias::invitation(&found.new.id)).await
}

/// Another transaction was first: look again.
fn require_one(rows: u64) -> Result<()> {
    if rows == 1 {
        Ok(())
    } else {
        Err(Error::Busy(sqlx::Error::RowNotFound))
    }
}

async fn require(connection: &mut AnyConnection, id: &str) -> Result<Invitation> {
    let row = sqlx::query("SELECT * FROM invitations WHERE id = ?")
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.as_ref()
        .map_or_else(|| Err(Error::NoSuchInvitation(id.to_owned())), invitation)
}

fn invitation(row: &AnyRow) -> Result<Invitation> {
    let acceptor = match row.maybe_word("acceptor")? {
        None => None,
        Some(cloud_id) => Some(Acceptor {
            cloud_id,
            at: row.int("accepted_at")?,
            descriptor: StoredDescriptor {
                jws: row.text("descriptor")?,
                claims: row.json("claims")?,
            },
        }),
    };
    Ok(Invitation {
        new: NewInvitation {
            id: row.text("id")?,
            name: row.text("name")?,
            role: row.word("role")?,
            secret_sha256: row.text("secret_sha256")?,
            expected: row.maybe_word("expected")?,
            trust_till: row.maybe_int("trust_till")?,
            login: row.word("login")?,
            expires_at: row.int("expires_at")?,
        },
        state: row.word("state")?,
        acceptor,
        created_at: row.int("created_at")?,
    })
}
