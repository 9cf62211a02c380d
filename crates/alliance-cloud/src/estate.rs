//! What a partner's project has in this cloud: how it is found, shut off, started again and deleted.
//!
//! Nothing here is about a project of this cloud's own: a [`Site`] is only to be had for a partner's.

mod people;
mod removal;
mod standstill;
mod things;

use alliance_core::cloud::CloudId;
use alliance_core::keystone_id;
use reqwest::Method;
use serde_json::Value;

use crate::services::{Service, ServiceError, Session, found};

pub use removal::Force;
pub use things::{Kind, Thing};

/// A partner's project here, as an administrator of this cloud sees it.
#[derive(Debug)]
pub struct Site<'s> {
    session: &'s Session,
    /// The project's id here.
    project: String,
    /// The partner's domain.
    domain: String,
    is_in_keystone: bool,
}

/// Why a project is not touched.
#[derive(Debug, thiserror::Error)]
pub enum NoSite {
    /// A service did not say.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// It is not the partner's, whatever its id says.
    #[error("project {project} is in domain {found:?}, not in the partner's domain {domain}")]
    Foreign {
        /// The project's id here.
        project: String,
        /// The domain in which it is.
        found: String,
        /// The domain in which it belongs.
        domain: String,
    },
}

impl<'s> Site<'s> {
    /// The project `project_id` of the cloud `home`. Its id here follows from both, and Keystone must
    /// have it in that partner's domain, if it has it at all: services keep things of projects that
    /// Keystone has forgotten.
    ///
    /// # Errors
    /// See [`NoSite`].
    pub async fn of(
        session: &'s Session,
        home: &CloudId,
        project_id: &str,
    ) -> Result<Self, NoSite> {
        let project = keystone_id::project(home, project_id);
        let domain = keystone_id::domain(home);
        let path = ["projects", &project];
        let asked = session.ask(Service::Keystone, Method::GET, &path, None);
        let known = found(asked.await)?;
        if let Some(known) = &known {
            let found = known.pointer("/project/domain_id").and_then(Value::as_str);
            let found = found.unwrap_or_default();
            if found != domain {
                return Err(NoSite::Foreign {
                    found: found.to_owned(),
                    project,
                    domain,
                });
            }
        }
        Ok(Self {
            session,
            project,
            domain,
            is_in_keystone: known.is_some(),
        })
    }
}
