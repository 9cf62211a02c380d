//! How the value of a property has to look.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::fault::{BadPlan, short};
use super::kind::Kind;
use crate::label::is_hostile;

/// How many entries a list or a map may have.
const MAX_ENTRIES: usize = 50;
/// Longest value of a map, in bytes.
const MAX_WORD: usize = 255;

/// One property of a resource, or of a part of one.
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) required: bool,
}

pub(super) const fn must(name: &'static str, form: Form) -> Property {
    Property {
        name,
        form,
        required: true,
    }
}

pub(super) const fn maybe(name: &'static str, form: Form) -> Property {
    Property {
        name,
        form,
        required: false,
    }
}

/// What is expected of a value.
pub(super) enum Form {
    /// Text of 1 to so many bytes. Control characters other than line ends are none.
    Text(usize),
    /// A whole number within these bounds.
    Whole(i64, i64),
    /// true or false.
    Switch,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// An IP address.
    Address,
    /// An IP network, `10.0.0.0/24`.
    Network,
    /// An http or https URL.
    Url,
    /// Words with texts.
    Words,
    /// Some of the same form.
    List(&'static Form),
    /// Properties again.
    Object(&'static [Property]),
    /// `{get_resource: …}` of a resource of one of these kinds, or, if so said, the name or id of what
    /// the host has.
    Of(&'static [Kind], bool),
}

/// Checks a resource's values, and collects which resources they name.
pub(super) struct Checking<'c> {
    pub(super) resource: &'c str,
    /// Of what kind a resource of the plan is.
    pub(super) kind_of: &'c dyn Fn(&str) -> Option<Kind>,
    pub(super) names: BTreeSet<String>,
    pub(super) found: &'c mut BadPlan,
}

impl Checking<'_> {
    pub(super) fn properties(
        &mut self,
        at: &str,
        known: &[Property],
        values: &Map<String, Value>,
        why_not: &dyn Fn(&str) -> Option<&'static str>,
    ) {
        for (name, value) in values {
            let at = join(at, name);
            match known.iter().find(|property| property.name == name) {
                Some(property) => self.value(&at, &property.form, value),
                None => {
                    let why = why_not(name).map_or_else(
                        || {
                            let known = known.iter().map(|property| property.name);
                            format!(
                                "no such property, expected some of {}",
                                known.collect::<Vec<_>>().join(", ")
                            )
                        },
                        |why| format!("not allowed: {why}"),
                    );
                    self.refuse(&at, why);
                }
            }
        }
        for property in known.iter().filter(|property| property.required) {
            if !values.contains_key(property.name) {
                self.refuse(&join(at, property.name), "is missing");
            }
        }
    }

    fn value(&mut self, at: &str, form: &Form, value: &Value) {
        let expected = match form {
            Form::Text(most) => match value.as_str() {
                Some(text) if is_text(text, *most) => return,
                _ => format!("text of 1 to {most} bytes without control characters"),
            },
            Form::Whole(least, most) => match value.as_i64() {
                Some(number) if (*least..=*most).contains(&number) => return,
                _ => format!("a whole number from {least} to {most}"),
            },
            Form::Switch => match value {
                Value::Bool(_) => return,
                _ => "true or false".to_owned(),
            },
            Form::OneOf(words) => match value.as_str() {
                Some(text) if words.contains(&text) => return,
                _ => format!("one of {}", words.join(", ")),
            },
            Form::Address => match value.as_str() {
                Some(text) if text.parse::<IpAddr>().is_ok() => return,
                _ => "an IP address".to_owned(),
            },
            Form::Network => match value.as_str() {
                Some(text) if is_network(text) => return,
                _ => "an IP network such as 10.0.0.0/24".to_owned(),
            },
            Form::Url => match value.as_str() {
                Some(text) if is_web(text) => return,
                _ => "an http or https URL without a user name".to_owned(),
            },
            Form::Words => match value {
                Value::Object(words) => return self.words(at, words),
                _ => "words with texts".to_owned(),
            },
            Form::List(form) => match value {
                Value::Array(values) => return self.list(at, form, values),
                _ => "a list".to_owned(),
            },
            Form::Object(known) => match value {
                Value::Object(values) => return self.properties(at, known, values, &|_| None),
                _ => "properties".to_owned(),
            },
            Form::Of(kinds, by_name) => match value {
                Value::String(name) if *by_name && is_text(name, MAX_WORD) => return,
                Value::Object(_) => match made_by_function(value) {
                    Some(name) => return self.reference(at, kinds, name),
                    None => expected_reference(kinds, *by_name),
                },
                _ => expected_reference(kinds, *by_name),
            },
        };
        self.refuse(at, format!("expected {expected}, found {}", show(value)));
    }

    fn words(&mut self, at: &str, words: &Map<String, Value>) {
        self.count(at, words.len());
        for (word, text) in words {
            let at = join(at, word);
            if !is_text(word, MAX_WORD) || word.starts_with("alliance") {
                self.refuse(
                    &at,
                    "the word must have 1 to 255 bytes and not begin with alliance",
                );
            }
            match text.as_str() {
                Some(text) if text.len() <= MAX_WORD => {}
                _ => self.refuse(
                    &at,
                    format!(
                        "expected text of at most {MAX_WORD} bytes, found {}",
                        show(text)
                    ),
                ),
            }
        }
    }

    fn list(&mut self, at: &str, form: &Form, values: &[Value]) {
        self.count(at, values.len());
        for (index, value) in values.iter().enumerate() {
            self.value(&format!("{at}[{index}]"), form, value);
        }
    }

    fn count(&mut self, at: &str, found: usize) {
        if found > MAX_ENTRIES {
            self.refuse(
                at,
                format!("{found} entries, at most {MAX_ENTRIES} are allowed"),
            );
        }
    }

    fn reference(&mut self, at: &str, kinds: &[Kind], name: &str) {
        match (self.kind_of)(name) {
            Some(kind) if kinds.contains(&kind) => {
                self.names.insert(name.to_owned());
            }
            Some(kind) => self.refuse(
                at,
                format!(
                    "{:?} is {kind}, expected {}",
                    short(name),
                    kinds
                        .iter()
                        .map(|kind| kind.as_str())
                        .collect::<Vec<_>>()
                        .join(" or ")
                ),
            ),
            None => self.refuse(at, format!("the plan has no resource {:?}", short(name))),
        }
    }

    fn refuse(&mut self, at: &str, why: impl Into<String>) {
        self.found.note(self.resource, at, why);
    }
}

/// The resource that a value names, if that is what it is.
pub(super) fn made_by_function(value: &Value) -> Option<&str> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    map.get("get_resource")?.as_str()
}

fn expected_reference(kinds: &[Kind], by_name: bool) -> String {
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
    let or = if by_name { ", or a name or id" } else { "" };
    format!("{{get_resource: …}} of {}{or}", kinds.join(" or "))
}

fn show(value: &Value) -> String {
    if let Some(map) = value.as_object()
        && let Some(function) = map.keys().next().filter(|_| map.len() == 1)
        && is_function(function)
    {
        return format!(
            "the function {:?}; of Heat's functions only get_resource and get_param are known",
            short(function)
        );
    }
    short(&value.to_string())
}

/// Whether a map of this one key would be a function of Heat's.
fn is_function(word: &str) -> bool {
    let beginnings = ["get_", "str_", "list_", "map_", "Fn::"];
    let others = [
        "repeat",
        "resource_facade",
        "digest",
        "if",
        "equals",
        "not",
        "and",
        "or",
        "yaql",
        "filter",
        "make_url",
        "contains",
    ];
    others.contains(&word) || beginnings.iter().any(|begin| word.starts_with(begin))
}

fn join(at: &str, name: &str) -> String {
    match at {
        "" => short(name),
        at => format!("{at}.{}", short(name)),
    }
}

fn is_text(text: &str, most: usize) -> bool {
    let is_layout = |c: char| c == '\n' || c == '\t';
    (1..=most).contains(&text.len()) && !text.contains(|c| is_hostile(c) && !is_layout(c))
}

fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.len() <= 3 && length.parse::<u8>().is_ok_and(|length| length <= longest)
}

fn is_web(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        text.len() <= 2048
            && matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
    })
}
