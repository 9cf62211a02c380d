//! What the operator's command line makes in Keystone for a partner whose users come here: a
//! domain, and an identity provider with a protocol and a mapping. With the operator's own rights;
//! the daemon has none to change anything.
//!
//! An object of the right name that is not the partner's is never adopted, changed or deleted.
//! Whatever is interrupted can be repeated and goes on from there.

mod environment;
mod error;
pub(crate) mod object;
mod session;

use alliance_core::cloud::CloudId;

use self::environment::Environment;
pub use self::error::OperatorError;
pub use self::object::Object;
use self::object::{PartnerObjects, State};
use self::session::Session;

/// Keystone, with the rights of the operator who is at the command line.
#[derive(Debug)]
pub struct Operator {
    session: Session,
}

/// What one call of [`Operator::ensure_partner_objects`] made and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Created {
    /// Made by this call, in this order.
    pub made: Vec<Object>,
    /// There already, but disabled by somebody: the partner's users are refused until
    /// [`Operator::repair`].
    pub disabled: Vec<Object>,
}

/// What [`Operator::purge`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// Gone.
    pub deleted: Vec<Object>,
    /// Of a name of the partner's, but not its own; left alone. Says why.
    pub left: Vec<OperatorError>,
}

impl Operator {
    /// From OpenStack's usual environment variables; others are ignored. Logs in by
    /// `OS_APPLICATION_CREDENTIAL_ID` and `…_SECRET`, or uses `OS_TOKEN` as it is, or by
    /// `OS_USERNAME` or `OS_USER_ID` and `OS_PASSWORD` for `OS_SYSTEM_SCOPE=all` or a project. Asks
    /// nobody yet.
    ///
    /// # Errors
    /// Names all variables that are missing, or the one that is wrong.
    pub fn from_env(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, OperatorError> {
        Ok(Self {
            session: Session::new(Environment::read(variables)?)?,
        })
    }

    /// Makes what is missing of a partner's objects. What is disabled stays disabled and is listed.
    /// If it fails, what this call made is removed again.
    ///
    /// # Errors
    /// If Keystone refuses or fails, or if something of that name is not ours: then before
    /// anything was made.
    pub async fn ensure_partner_objects(
        &self,
        alias: &str,
        cloud_id: &CloudId,
    ) -> Result<Created, OperatorError> {
        let mut created = Created::default();
        let Err(failure) = self.ensure(alias, cloud_id, &mut created).await else {
            return Ok(created);
        };
        match self.undo(&created).await {
            Ok(()) => Err(failure),
            Err(undo) => Err(OperatorError::Incomplete {
                failure: Box::new(failure),
                undo: Box::new(undo),
                left: created.made.iter().map(Object::to_string).collect(),
            }),
        }
    }

    /// Removes what one call of [`Self::ensure_partner_objects`] made, and nothing else.
    ///
    /// # Errors
    /// If Keystone refuses or fails; may be repeated.
    pub async fn undo(&self, created: &Created) -> Result<(), OperatorError> {
        for object in created.made.iter().rev() {
            object.remove(&self.session).await?;
        }
        Ok(())
    }

    /// Makes what is missing and enables what is disabled. Says what it did, in words.
    ///
    /// # Errors
    /// If Keystone refuses or fails, or if something of that name is not ours. May be repeated.
    pub async fn repair(
        &self,
        alias: &str,
        cloud_id: &CloudId,
    ) -> Result<Vec<String>, OperatorError> {
        let mut created = Created::default();
        self.ensure(alias, cloud_id, &mut created).await?;
        let mut done: Vec<String> = created.made.iter().map(|o| format!("made {o}")).collect();
        for object in &created.disabled {
            object.turn(&self.session, true).await?;
            done.push(format!("enabled {object}"));
        }
        Ok(done)
    }

    /// Disables and deletes a partner's objects, its shadow users and projects with them: first
    /// the domain is disabled, which ends all their tokens.
    ///
    /// # Errors
    /// If Keystone refuses or fails; may be repeated.
    pub async fn purge(&self, alias: &str, cloud_id: &CloudId) -> Result<Purged, OperatorError> {
        let objects = PartnerObjects::new(alias, cloud_id)?;
        let session = &self.session;
        let mut purged = Purged::default();
        let domain = objects.domain(session).await?;
        if let Some(domain) = &domain {
            domain.turn(session, false).await?;
        }
        let mut ours = objects.providers(session).await?;
        for object in objects.in_order() {
            match objects.state(session, &object).await {
                Ok(State::Absent) => {}
                // Those of the domain's id are ours whatever they are called, and listed already.
                Ok(_) if matches!(object, Object::Mapping { .. }) => ours.push(object),
                Ok(_) => {}
                // The domain of that id is ours, under whatever name.
                Err(OperatorError::NotOurs { .. })
                    if domain.is_some() && matches!(object, Object::Domain { .. }) => {}
                // A foreign protocol of our provider goes with it.
                Err(OperatorError::NotOurs { .. }) if matches!(object, Object::Protocol { .. }) => {
                }
                Err(other @ OperatorError::NotOurs { .. }) => purged.left.push(other),
                Err(error) => return Err(error),
            }
        }
        for object in ours.into_iter().chain(domain) {
            if object.remove(session).await? {
                purged.deleted.push(object);
            }
        }
        Ok(purged)
    }

    async fn ensure(
        &self,
        alias: &str,
        cloud_id: &CloudId,
        created: &mut Created,
    ) -> Result<(), OperatorError> {
        let objects = PartnerObjects::new(alias, cloud_id)?;
        let session = &self.session;
        let mut absent = Vec::new();
        for object in objects.in_order() {
            match objects.state(session, &object).await? {
                State::Absent => absent.push(object),
                State::Enabled => {}
                State::Disabled => created.disabled.push(object),
            }
        }
        for object in absent {
            if objects.make(session, &object).await? {
                created.made.push(object);
            } else if objects.state(session, &object).await? == State::Disabled {
                // Somebody was faster; it is ours, or `state` has said no.
                created.disabled.push(object);
            }
        }
        Ok(())
    }
}
