//! What has to be done so that a stack is as its plan says.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::fault::BadPlan;
use super::kind::Kind;
use super::plan::{Node, Plan};

/// One resource, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its name in the plan.
    pub resource: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What becomes of it.
    #[serde(flatten)]
    pub what: What,
}

/// What becomes of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum What {
    /// It is as it should be.
    Keep,
    /// It is made.
    Create,
    /// It is deleted and made again.
    Replace {
        /// The property that has changed, or the resource that it needs and that is replaced.
        because: String,
    },
    /// It is deleted.
    Delete,
}

impl What {
    /// Its name in tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Create => "create",
            Self::Replace { .. } => "replace",
            Self::Delete => "delete",
        }
    }
}

/// What has to be done with what is there, `made`, for it to be as `plan` says; in the order of the names.
///
/// # Errors
/// If something has to be replaced and that is not allowed: which property has changed.
pub fn changes(
    plan: &Plan,
    made: &BTreeMap<String, Node>,
    replace: bool,
) -> Result<Vec<Change>, BadPlan> {
    let mut replaced: BTreeMap<&str, String> = BTreeMap::new();
    for (name, node) in plan.nodes() {
        if let Some(because) = made.get(name).and_then(|old| difference(old, node)) {
            replaced.insert(name, because);
        }
    }
    if !replace && !replaced.is_empty() {
        let mut found = BadPlan::default();
        for (name, because) in &replaced {
            let why = "has changed: the resource would be deleted and made again; allow it with --replace, or undo the change";
            found.note(name, because, why);
        }
        return Err(found);
    }
    // What needs something that is made again is made again.
    loop {
        let more = plan.nodes().iter().find_map(|(name, node)| {
            let is_there = made.contains_key(name) && !replaced.contains_key(&**name);
            let needed = node.after.iter().find(|one| replaced.contains_key(&***one));
            is_there.then_some((&**name, needed?.clone()))
        });
        match more {
            Some((name, needed)) => replaced.insert(name, needed),
            None => break,
        };
    }
    let names: BTreeSet<_> = plan.nodes().keys().chain(made.keys()).collect();
    let changes = names.into_iter().filter_map(|name| {
        let (new, old) = (plan.nodes().get(name), made.get(name));
        let what = match (new, old) {
            (Some(_), None) => What::Create,
            (None, Some(_)) => What::Delete,
            _ => match replaced.get(&**name) {
                Some(because) => What::Replace {
                    because: because.clone(),
                },
                None => What::Keep,
            },
        };
        Some(Change {
            resource: name.clone(),
            kind: new.or(old)?.kind,
            what,
        })
    });
    Ok(changes.collect())
}

/// The first property that differs.
fn difference(old: &Node, new: &Node) -> Option<String> {
    if old.kind != new.kind {
        return Some("type".to_owned());
    }
    let names: BTreeSet<_> = old.properties.keys().chain(new.properties.keys()).collect();
    let differs = |name: &&&String| old.properties.get(**name) != new.properties.get(**name);
    names.iter().find(differs).map(|name| (*name).clone())
}

/// The names of `made`, each before all that it needs: so they can be deleted.
pub fn reverse(made: &BTreeMap<String, Node>) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    let mut left: BTreeSet<&String> = made.keys().collect();
    while !left.is_empty() {
        let is_needed = |name: &String| {
            let mut others = left.iter().filter_map(|other| made.get(*other));
            others.any(|other| other.after.contains(name))
        };
        let mut free: Vec<&String> = left
            .iter()
            .copied()
            .filter(|name| !is_needed(name))
            .collect();
        if free.is_empty() {
            // No plan was like this: in any order then.
            free = left.iter().copied().collect();
        }
        for name in free {
            left.remove(name);
            order.push(name.clone());
        }
    }
    order
}
