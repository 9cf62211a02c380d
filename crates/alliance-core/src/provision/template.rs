//! Reads a template: the subset of HOT that a plan may be written in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fault::{BadPlan, short};
use super::kind::{Kind, UnknownKind};
use super::plan::{MAX_LEN, MAX_RESOURCES, Node, Plan};

/// What is filled in, by name.
pub type Parameters = BTreeMap<String, String>;

/// How deep values may be nested.
const MAX_DEPTH: usize = 12;

/// Reads a template and fills in parameters.
///
/// # Errors
/// All mistakes that were found.
pub fn read(template: &Value, given: &Parameters) -> Result<Plan, BadPlan> {
    let mut found = BadPlan::default();
    let Some(sections) = template.as_object() else {
        return Err(BadPlan::one("", "", "expected a template with resources"));
    };
    let length = template.to_string().len();
    if length > 2 * MAX_LEN {
        let why = format!(
            "{length} bytes as JSON, at most {} are allowed",
            2 * MAX_LEN
        );
        return Err(BadPlan::one("", "", why));
    }
    if !sections.contains_key("heat_template_version") {
        found.note("heat_template_version", "", "is missing, as of a template");
    }
    let nothing = Map::new();
    let mut section = |name: &str| match sections.get(name) {
        None => &nothing,
        Some(Value::Object(map)) => map,
        Some(_) => {
            found.note(name, "", "expected names with what they mean");
            &nothing
        }
    };
    let (parameters, resources) = (section("parameters"), section("resources"));
    let known = [
        "heat_template_version",
        "description",
        "parameters",
        "resources",
        "outputs",
    ];
    for name in sections.keys() {
        if !known.contains(&name.as_str()) {
            found.note(
                name,
                "",
                "no such section here; expected heat_template_version, description, parameters, resources or outputs",
            );
        }
    }
    let values = values(parameters, given, &mut found);
    if resources.len() > MAX_RESOURCES {
        let why = format!("{}, at most {MAX_RESOURCES} are allowed", resources.len());
        return Err(BadPlan::one("resources", "", why));
    }
    let mut nodes = BTreeMap::new();
    for (name, said) in resources {
        if let Some(node) = node(name, said, &values, &mut found) {
            nodes.insert(name.clone(), node);
        }
    }
    found.or(())?;
    Plan::check(nodes)
}

/// The value of each parameter.
fn values(
    declared: &Map<String, Value>,
    given: &Parameters,
    found: &mut BadPlan,
) -> BTreeMap<String, Value> {
    for name in given.keys().filter(|name| !declared.contains_key(*name)) {
        found.note("parameters", name, "the template has no such parameter");
    }
    let mut values = BTreeMap::new();
    for (name, said) in declared {
        let at = short(name);
        let known = ["type", "default", "description", "label", "hidden"];
        for key in said.as_object().into_iter().flat_map(Map::keys) {
            if !known.contains(&key.as_str()) {
                let why = format!("no such key, expected some of {}", known.join(", "));
                found.note("parameters", &format!("{at}.{}", short(key)), why);
            }
        }
        let kind = said.get("type").and_then(Value::as_str).unwrap_or_default();
        let value = match (given.get(name), said.get("default")) {
            (Some(given), _) => Value::String(given.clone()),
            (None, Some(default)) => default.clone(),
            (None, None) => {
                let why = "has no default: give it with --parameter";
                found.note("parameters", &at, why);
                continue;
            }
        };
        let typed = match (kind, value) {
            ("string", Value::Number(number)) => Ok(Value::String(number.to_string())),
            ("string", value @ Value::String(_)) => Ok(value),
            ("number", value @ Value::Number(_)) | ("boolean", value @ Value::Bool(_)) => Ok(value),
            ("number", Value::String(text)) => text
                .parse()
                .map(|number: i64| number.into())
                .map_err(|_| "expected a whole number"),
            ("boolean", Value::String(text)) => text
                .to_lowercase()
                .parse()
                .map(Value::Bool)
                .map_err(|_| "expected true or false"),
            ("string" | "number" | "boolean", _) => Err("the value is of another type"),
            _ => Err("expected type string, number or boolean"),
        };
        match typed {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(why) => found.note("parameters", &at, why),
        }
    }
    values
}

fn node(
    name: &str,
    said: &Value,
    values: &BTreeMap<String, Value>,
    found: &mut BadPlan,
) -> Option<Node> {
    let Some(said) = said.as_object() else {
        found.note(name, "", "expected a resource with its type");
        return None;
    };
    for key in said.keys() {
        if !["type", "properties", "depends_on"].contains(&key.as_str()) {
            found.note(
                name,
                key,
                "no such key here; expected type, properties or depends_on",
            );
        }
    }
    let kind = said.get("type").and_then(Value::as_str).unwrap_or_default();
    let kind: Option<Kind> = match kind.parse() {
        Ok(kind) => Some(kind),
        Err(UnknownKind) => {
            let why = format!("{:?}: {UnknownKind}", short(kind));
            found.note(name, "type", why);
            None
        }
    };
    let properties = match said.get("properties") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => {
            let mut filling = Filling {
                resource: name,
                values,
                found,
            };
            let filled = map.iter().map(|(key, value)| {
                let value = filling.fill(key, value, MAX_DEPTH);
                (key.clone(), value)
            });
            filled.collect()
        }
        Some(_) => {
            found.note(name, "properties", "expected properties with values");
            Map::new()
        }
    };
    let after = match said.get("depends_on") {
        None => Some(BTreeSet::new()),
        Some(Value::String(one)) => Some([one.clone()].into()),
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect(),
        Some(_) => None,
    };
    if after.is_none() {
        found.note(
            name,
            "depends_on",
            "expected the name of a resource, or some",
        );
    }
    Some(Node {
        kind: kind?,
        properties,
        after: after?,
    })
}

struct Filling<'f> {
    resource: &'f str,
    values: &'f BTreeMap<String, Value>,
    found: &'f mut BadPlan,
}

impl Filling<'_> {
    /// The value with its parameters filled in.
    fn fill(&mut self, at: &str, value: &Value, depth: usize) -> Value {
        if depth == 0 {
            self.found.note(self.resource, at, "is nested too deeply");
            return Value::Null;
        }
        match value {
            Value::Object(map) if map.len() == 1 && map.contains_key("get_param") => {
                let name = map.get("get_param").and_then(Value::as_str);
                match name.and_then(|name| self.values.get(name)) {
                    Some(value) => value.clone(),
                    None => {
                        let name = short(name.unwrap_or("?"));
                        let why = format!("the template gives no value to the parameter {name:?}");
                        self.found.note(self.resource, at, why);
                        Value::Null
                    }
                }
            }
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| (key.clone(), self.fill(at, value, depth - 1)))
                .collect(),
            Value::Array(values) => values
                .iter()
                .map(|value| self.fill(at, value, depth - 1))
                .collect(),
            value => value.clone(),
        }
    }
}
