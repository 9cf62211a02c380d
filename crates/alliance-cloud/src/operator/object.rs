//! The objects of a partner.

use std::fmt;

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
            } => {
                write!(f, "protocol {id} of identity provider {identity_provider}")
            }
        }
    }
}

/// What one call made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Created {
    /// Made by this call, in this order.
    pub made: Vec<Object>,
    /// There already, but disabled by somebody: the partner's users are refused until `repair`.
    pub disabled: Vec<Object>,
}

/// What a purge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// Gone.
    pub deleted: Vec<Object>,
    /// Of a name of ours, but not ours; left alone. Says why.
    pub left: Vec<String>,
}
