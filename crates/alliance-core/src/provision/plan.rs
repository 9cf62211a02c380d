//! A plan that was checked: resources, what each needs, and an order in which they can be made.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fault::{BadPlan, short};
use super::form::{Checking, made_by_function};
use super::kind::Kind;
use crate::terms::Resource;

/// How many resources a plan may have.
pub const MAX_RESOURCES: usize = 100;
/// How long a plan may be as JSON, in bytes: signed, it must fit an order.
pub(super) const MAX_LEN: usize = 32 << 10;
/// Longest name of a resource within its plan, in bytes.
const MAX_NAME: usize = 64;

/// One resource of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// As in the template, parameters filled in.
    #[serde(default)]
    pub properties: Map<String, Value>,
    /// What has to be made before it: what its properties name, what it says, and what Heat would know.
    #[serde(default, rename = "depends_on")]
    pub after: BTreeSet<String>,
}

/// A plan without a mistake. As JSON it is a template without parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Plan {
    nodes: BTreeMap<String, Node>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    resources: BTreeMap<String, Node>,
}

impl From<Plan> for Unchecked {
    fn from(plan: Plan) -> Self {
        Self {
            resources: plan.nodes,
        }
    }
}

impl TryFrom<Unchecked> for Plan {
    type Error = BadPlan;

    fn try_from(unchecked: Unchecked) -> Result<Self, BadPlan> {
        Self::check(unchecked.resources)
    }
}

impl Plan {
    /// Checks everything that can be checked without the host.
    ///
    /// # Errors
    /// All mistakes.
    pub fn check(nodes: BTreeMap<String, Node>) -> Result<Self, BadPlan> {
        let mut found = BadPlan::default();
        if nodes.is_empty() || nodes.len() > MAX_RESOURCES {
            let why = format!(
                "expected 1 to {MAX_RESOURCES} resources, found {}",
                nodes.len()
            );
            return Err(BadPlan::one("resources", "", why));
        }
        let length = json!(nodes).to_string().len();
        if length > MAX_LEN {
            let why = format!("{length} bytes as JSON, at most {MAX_LEN} are allowed");
            return Err(BadPlan::one("resources", "", why));
        }
        let mut checked = nodes.clone();
        for (name, node) in &nodes {
            if !is_name(name) {
                let why =
                    format!("expected a name of 1 to {MAX_NAME} letters, digits, '-', '_' or '.'");
                found.note(name, "", why);
            }
            for other in &node.after {
                if !nodes.contains_key(other) {
                    let why = format!("the plan has no resource {:?}", short(other));
                    found.note(name, "depends_on", why);
                }
            }
            let mut checking = Checking {
                resource: name,
                kind_of: &|name| nodes.get(name).map(|node| node.kind),
                names: BTreeSet::new(),
                found: &mut found,
            };
            let kind = node.kind;
            checking.properties("", kind.properties(), &node.properties, &|property| {
                kind.why_not(property)
            });
            let mut after = checking.names;
            if matches!(kind, Kind::Port | Kind::Server) {
                after.extend(subnets_of(&nodes, &after));
            }
            if let Some(checked) = checked.get_mut(name) {
                checked.after.extend(after);
            }
        }
        found.or(())?;
        let plan = Self { nodes: checked };
        match plan.cycle() {
            Some(cycle) => {
                let names: Vec<_> = cycle.iter().map(|name| short(name)).collect();
                let why = format!("needs itself: {}", names.join(" → "));
                Err(BadPlan::one(cycle.first().map_or("", |name| name), "", why))
            }
            None => Ok(plan),
        }
    }

    /// Its resources by name.
    pub fn nodes(&self) -> &BTreeMap<String, Node> {
        &self.nodes
    }

    /// How much of what agreements limit it asks for. Cores and memory are the flavors' matter.
    pub fn demand(&self) -> BTreeMap<Resource, u64> {
        let mut demand = BTreeMap::new();
        for node in self.nodes.values() {
            let (resource, size) = match node.kind {
                Kind::Net => (Resource::Networks, None),
                Kind::Server => (Resource::Servers, None),
                Kind::WebImage => (Resource::Images, None),
                Kind::Volume => (
                    Resource::Volumes,
                    node.properties.get("size").and_then(Value::as_u64),
                ),
                _ => continue,
            };
            *demand.entry(resource).or_default() += 1;
            if let Some(size) = size {
                *demand.entry(Resource::Gigabytes).or_default() += size;
            }
        }
        demand
    }

    /// The flavors that it names, each with how many servers have it.
    pub fn flavors(&self) -> BTreeMap<&str, u64> {
        let mut flavors = BTreeMap::new();
        for node in self.nodes.values() {
            if let Some(flavor) = node.properties.get("flavor").and_then(Value::as_str) {
                *flavors.entry(flavor).or_default() += 1;
            }
        }
        flavors
    }

    /// A way through resources that ends where it begins.
    fn cycle(&self) -> Option<Vec<String>> {
        let mut left: BTreeMap<&str, BTreeSet<&str>> = self
            .nodes
            .iter()
            .map(|(name, node)| (&**name, node.after.iter().map(|name| &**name).collect()))
            .collect();
        loop {
            let free: Vec<&str> = left
                .iter()
                .filter(|(_, after)| !after.iter().any(|name| left.contains_key(name)))
                .map(|(name, _)| *name)
                .collect();
            if free.is_empty() {
                break;
            }
            for name in free {
                left.remove(name);
            }
        }
        // Each that is left needs another one that is: going on, one is met again.
        let mut way: Vec<&str> = Vec::new();
        let mut name = *left.keys().next()?;
        loop {
            if let Some(begin) = way.iter().position(|met| *met == name) {
                let round = way.iter().skip(begin).copied().chain([name]);
                return Some(round.map(str::to_owned).collect());
            }
            way.push(name);
            let after = left.get(name)?;
            name = after.iter().find(|name| left.contains_key(*name))?;
        }
    }
}

/// The resource that a value names, if it is `{get_resource: …}`.
pub fn made_by(value: &Value) -> Option<&str> {
    made_by_function(value)
}

/// The subnets of these networks: who is at a network needs an address.
fn subnets_of(nodes: &BTreeMap<String, Node>, names: &BTreeSet<String>) -> BTreeSet<String> {
    let is_there = |node: &Node| {
        let network = node.properties.get("network").and_then(made_by_function);
        node.kind == Kind::Subnet && network.is_some_and(|network| names.contains(network))
    };
    let subnets = nodes.iter().filter(|(_, node)| is_there(node));
    subnets.map(|(name, _)| name.clone()).collect()
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
