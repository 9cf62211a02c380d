//! What is made, found and removed for a partner's project: one resource of a plan at a time, by a session
//! of that project.
//!
//! Everything that is made carries a marker from the moment that the service has it, so that who died
//! before hearing its id finds it again. What has no room for one is found by what it connects.

mod finding;
mod making;
mod removing;

use alliance_core::provision::{Kind, made_by};
use serde_json::{Map, Value};

use crate::services::{Service, ServiceError};

pub use finding::{Flavor, find, flavor, progress};
pub use making::{furnish, make};
pub use removing::{is_gone, remove};

/// The name under which Nova, Cinder and Glance keep the marker.
const MARKER: &str = "alliance";

/// One resource that is wanted: its properties, with ids where the plan names other resources.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// What.
    pub kind: Kind,
    /// What it is called if the plan does not say.
    pub name: String,
    /// By what it is found again.
    pub marker: String,
    /// As in the plan.
    pub properties: Map<String, Value>,
}

/// Why a resource is not made.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A service refuses, fails, or is not reached.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The plan names something that the project does not see.
    #[error("{0} {1:?} is not there, or the project may not see it")]
    Missing(&'static str, String),
    /// It fits several.
    #[error("several {0}s are called {1:?}: name the id")]
    Several(&'static str, String),
}

impl Fault {
    /// The service's refusal, if that is why.
    pub fn service(&self) -> Option<&ServiceError> {
        match self {
            Self::Service(error) => Some(error),
            Self::Missing(..) | Self::Several(..) => None,
        }
    }
}

/// How far a resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It can be used.
    Ready,
    /// The service works on it.
    Waiting,
    /// It will never be.
    Broken(String),
}

impl Wish {
    /// Fills in the ids of the resources that its properties name; `None` if one is not known.
    pub fn with_ids(mut self, id_of: impl Fn(&str) -> Option<String> + Copy) -> Option<Self> {
        for value in self.properties.values_mut() {
            fill(value, id_of)?;
        }
        Some(self)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.properties.get(name).and_then(Value::as_str)
    }

    /// These properties, as they are.
    fn copied(&self, names: &[&str]) -> Map<String, Value> {
        let found = names.iter().filter_map(|name| {
            let value = self.properties.get(*name)?;
            Some(((*name).to_owned(), value.clone()))
        });
        found.collect()
    }
}

fn fill(value: &mut Value, id_of: impl Fn(&str) -> Option<String> + Copy) -> Option<()> {
    if let Some(name) = made_by(value) {
        *value = Value::String(id_of(name)?);
        return Some(());
    }
    match value {
        Value::Array(values) => values.iter_mut().try_for_each(|value| fill(value, id_of)),
        Value::Object(map) => map.values_mut().try_for_each(|value| fill(value, id_of)),
        _ => Some(()),
    }
}

/// Neutron's names for a kind: of the collection, and of one.
fn neutron(kind: Kind) -> Option<(&'static str, &'static str)> {
    match kind {
        Kind::Net => Some(("networks", "network")),
        Kind::Subnet => Some(("subnets", "subnet")),
        Kind::Router => Some(("routers", "router")),
        Kind::SecurityGroup => Some(("security-groups", "security_group")),
        Kind::Port => Some(("ports", "port")),
        _ => None,
    }
}

/// The two ids of what connects two things: its own id is both.
fn pair(service: Service, id: &str) -> Result<(&str, &str), ServiceError> {
    id.split_once(':').ok_or_else(|| ServiceError::Unexpected {
        service,
        request: "the journal".to_owned(),
        found: format!("the id {id:?}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_plan_names_becomes_an_id_wherever_it_stands() {
        let wish = Wish {
            kind: Kind::Server,
            name: "web".into(),
            marker: "m".into(),
            properties: match json!({
                "image": "img",
                "networks": [{"network": {"get_resource": "net"}}],
                "metadata": {"a": "b"},
            }) {
                Value::Object(map) => map,
                _ => Map::new(),
            },
        };
        let known = |name: &str| (name == "net").then(|| "id".to_owned());
        let filled = wish.clone().with_ids(known).unwrap();
        assert_eq!(
            json!(filled.properties),
            json!({"image": "img", "networks": [{"network": "id"}], "metadata": {"a": "b"}})
        );
        assert_eq!(wish.with_ids(|_| None), None);
    }
}
