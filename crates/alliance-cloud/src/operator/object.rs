//! The objects of a partner in Keystone: how they are found, recognised, made and removed.

use std::fmt;

use alliance_core::cloud::CloudId;
use alliance_core::keystone_id;
use alliance_core::label::is_alias;
use alliance_core::partner::PROTOCOL;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::OperatorError;
use super::session::Session;

const FEDERATION: &str = "OS-FEDERATION";
const PROVIDERS: &str = "identity_providers";

/// One of a partner's objects in Keystone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// The domain of its users and projects.
    Domain {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// The mapping that never matches.
    Mapping {
        /// Its id.
        id: String,
    },
    /// The identity provider.
    IdentityProvider {
        /// Its id.
        id: String,
    },
    /// The identity provider's protocol.
    Protocol {
        /// The id of its identity provider.
        identity_provider: String,
        /// Its id.
        id: String,
    },
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Domain { id, name } => write!(f, "domain {name} ({id})"),
            Object::Mapping { id } => write!(f, "mapping {id}"),
            Object::IdentityProvider { id } => write!(f, "identity provider {id}"),
            Object::Protocol {
                identity_provider,
                id,
            } => write!(f, "protocol {id} of identity provider {identity_provider}"),
        }
    }
}

impl Object {
    /// Below `/v3`.
    fn path(&self) -> Vec<&str> {
        match self {
            Object::Domain { id, .. } => vec!["domains", id],
            Object::Mapping { id } => vec![FEDERATION, "mappings", id],
            Object::IdentityProvider { id } => vec![FEDERATION, PROVIDERS, id],
            Object::Protocol {
                identity_provider,
                id,
            } => vec![FEDERATION, PROVIDERS, identity_provider, "protocols", id],
        }
    }

    /// What it is called in Keystone's JSON, if it can be enabled and disabled.
    fn switch(&self) -> Option<&'static str> {
        match self {
            Object::Domain { .. } => Some("domain"),
            Object::IdentityProvider { .. } => Some("identity_provider"),
            Object::Mapping { .. } | Object::Protocol { .. } => None,
        }
    }

    /// Enables or disables it, if it has such a switch and is there.
    pub(super) async fn turn(&self, session: &Session, on: bool) -> Result<(), OperatorError> {
        if let Some(kind) = self.switch() {
            let body = json!({kind: {"enabled": on}});
            session.change(&self.path(), &body).await?;
        }
        Ok(())
    }

    /// Disables and deletes it; false if it was gone already.
    pub(super) async fn remove(&self, session: &Session) -> Result<bool, OperatorError> {
        self.turn(session, false).await?;
        session.delete(&self.path()).await
    }
}

/// Whether an object is there. If something else has its name, that is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    Enabled,
    Disabled,
}

impl State {
    fn of(enabled: bool) -> Self {
        if enabled {
            State::Enabled
        } else {
            State::Disabled
        }
    }
}

/// The objects of one partner.
pub(super) struct PartnerObjects {
    pub(super) domain_id: String,
    alias: String,
    mapping_id: String,
    description: String,
}

impl PartnerObjects {
    pub(super) fn new(alias: &str, cloud_id: &CloudId) -> Result<Self, OperatorError> {
        if !is_alias(alias) {
            return Err(OperatorError::NotAnAlias(alias.to_owned()));
        }
        Ok(Self {
            domain_id: keystone_id::domain(cloud_id),
            alias: alias.to_owned(),
            mapping_id: mapping_id(cloud_id),
            description: format!("Alliance partner {cloud_id}"),
        })
    }

    /// Each needs those before it.
    pub(super) fn in_order(&self) -> [Object; 4] {
        [
            Object::Domain {
                id: self.domain_id.clone(),
                name: self.alias.clone(),
            },
            Object::Mapping {
                id: self.mapping_id.clone(),
            },
            Object::IdentityProvider {
                id: self.alias.clone(),
            },
            Object::Protocol {
                identity_provider: self.alias.clone(),
                id: PROTOCOL.to_owned(),
            },
        ]
    }

    /// Looks for one of them.
    pub(super) async fn state(
        &self,
        session: &Session,
        object: &Object,
    ) -> Result<State, OperatorError> {
        let path = object.path();
        match object {
            Object::Domain { .. } => match session.find::<DomainBody>(&path).await? {
                Some(DomainBody { domain }) => self.domain_state(domain),
                None => self.state_by_name(session).await,
            },
            Object::Mapping { .. } => match session.find::<MappingBody>(&path).await? {
                None => Ok(State::Absent),
                Some(body) if body.mapping.rules == never() => Ok(State::Enabled),
                Some(_) => Err(not_ours(
                    object,
                    "its rules are not those that never match".to_owned(),
                )),
            },
            Object::IdentityProvider { .. } => match session.find::<ProviderBody>(&path).await? {
                None => Ok(State::Absent),
                Some(body) if body.identity_provider.is_of(&self.domain_id) => {
                    Ok(State::of(body.identity_provider.enabled))
                }
                Some(body) => {
                    let found = body.identity_provider.domain_id;
                    let found = found.as_deref().unwrap_or("none");
                    let why = format!("its domain is {found}, not {}", self.domain_id);
                    Err(not_ours(object, why))
                }
            },
            Object::Protocol { .. } => match session.find::<ProtocolBody>(&path).await? {
                None => Ok(State::Absent),
                Some(body) if body.protocol.mapping_id == self.mapping_id => Ok(State::Enabled),
                Some(body) => Err(not_ours(
                    object,
                    format!(
                        "its mapping is {}, not {}",
                        body.protocol.mapping_id, self.mapping_id
                    ),
                )),
            },
        }
    }

    fn domain_state(&self, found: DomainJson) -> Result<State, OperatorError> {
        if found.name == self.alias {
            return Ok(State::of(found.enabled));
        }
        Err(not_ours(
            &found.object(),
            format!(
                "it has the id of this partner's domain, which should be called {}",
                self.alias
            ),
        ))
    }

    /// Whether a domain has the partner's name: none, another's, or the partner's own that somebody
    /// made since it was looked for by its id.
    async fn state_by_name(&self, session: &Session) -> Result<State, OperatorError> {
        let query = Some(("name", self.alias.as_str()));
        let found: Domains = session.list(&["domains"], query).await?;
        match found.domains.into_iter().next() {
            None => Ok(State::Absent),
            Some(ours) if ours.id == self.domain_id => self.domain_state(ours),
            Some(other) => Err(not_ours(
                &other.object(),
                format!("the partner's domain would have the id {}", self.domain_id),
            )),
        }
    }

    /// Makes one of them; false if somebody has just made it.
    pub(super) async fn make(
        &self,
        session: &Session,
        object: &Object,
    ) -> Result<bool, OperatorError> {
        let path = object.path();
        let body = match object {
            Object::Domain { .. } => {
                let body = json!({"domain": {
                    "name": self.alias,
                    "explicit_domain_id": self.domain_id,
                    "description": self.description,
                    "enabled": true,
                }});
                return session.create(Method::POST, &["domains"], &body).await;
            }
            Object::Mapping { .. } => json!({"mapping": {"rules": never()}}),
            Object::IdentityProvider { .. } => json!({"identity_provider": {
                "domain_id": self.domain_id,
                "description": self.description,
                "enabled": true,
            }}),
            Object::Protocol { .. } => json!({"protocol": {"mapping_id": self.mapping_id}}),
        };
        session.create(Method::PUT, &path, &body).await
    }

    /// All identity providers of the partner's domain, whatever they are called.
    pub(super) async fn providers(&self, session: &Session) -> Result<Vec<Object>, OperatorError> {
        let found: Providers = session.list(&[FEDERATION, PROVIDERS], None).await?;
        Ok(found
            .identity_providers
            .into_iter()
            .filter(|provider| provider.is_of(&self.domain_id))
            .map(|provider| Object::IdentityProvider { id: provider.id })
            .collect())
    }

    /// The partner's domain, whatever it is called.
    pub(super) async fn domain(&self, session: &Session) -> Result<Option<Object>, OperatorError> {
        let found: Option<DomainBody> = session.find(&["domains", &self.domain_id]).await?;
        Ok(found.map(|body| body.domain.object()))
    }
}

fn not_ours(object: &Object, why: String) -> OperatorError {
    OperatorError::NotOurs {
        object: object.to_string(),
        why,
    }
}

/// The id of a partner's mapping.
pub(crate) fn mapping_id(cloud_id: &CloudId) -> String {
    format!("alliance-{}", cloud_id.tag())
}

/// Rules that no login can match: one attribute would have to have a value and not to have it.
/// Guests come in by the plugin alone, never by Keystone's own federated login.
pub(crate) fn never() -> Value {
    json!([{
        "local": [{"user": {"name": "{0}"}}],
        "remote": [
            {"type": "ALLIANCE_NEVER"},
            {"type": "ALLIANCE_NEVER", "any_one_of": ["never"]},
            {"type": "ALLIANCE_NEVER", "not_any_of": ["never"]},
        ],
    }])
}

#[derive(Deserialize)]
struct DomainBody {
    domain: DomainJson,
}

#[derive(Deserialize)]
struct Domains {
    domains: Vec<DomainJson>,
}

#[derive(Deserialize)]
struct DomainJson {
    id: String,
    name: String,
    enabled: bool,
}

impl DomainJson {
    fn object(&self) -> Object {
        Object::Domain {
            id: self.id.clone(),
            name: self.name.clone(),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct MappingBody {
    pub(crate) mapping: MappingJson,
}

#[derive(Deserialize)]
pub(crate) struct MappingJson {
    pub(crate) rules: Value,
}

#[derive(Deserialize)]
struct ProviderBody {
    identity_provider: ProviderJson,
}

#[derive(Deserialize)]
struct Providers {
    identity_providers: Vec<ProviderJson>,
}

#[derive(Deserialize)]
struct ProviderJson {
    id: String,
    /// None for those that are older than this column.
    #[serde(default)]
    domain_id: Option<String>,
    enabled: bool,
}

impl ProviderJson {
    fn is_of(&self, domain_id: &str) -> bool {
        self.domain_id.as_deref() == Some(domain_id)
    }
}

#[derive(Deserialize)]
pub(crate) struct ProtocolBody {
    pub(crate) protocol: ProtocolJson,
}

#[derive(Deserialize)]
pub(crate) struct ProtocolJson {
    pub(crate) mapping_id: String,
}
