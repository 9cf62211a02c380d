//! An agreement on the screen.

use std::collections::BTreeMap;

use alliance_core::agreement::Agreement;
use alliance_core::contract::Said;
use alliance_core::label::clean;
use alliance_core::terms::{Retirement, Terms};
use serde_json::Value;

use crate::cli::table::{card, listing};
use crate::cli::when;
use crate::wire::{AgreementView, ContractView, Standing, VersionView};

pub(super) fn describe(view: &AgreementView) -> String {
    let agreement = &view.agreement;
    let mut properties = vec![
        ("id", agreement.id.clone()),
        (
            "partner",
            format!("{} ({})", view.partner_name, agreement.partner),
        ),
        ("direction", direction(view).to_owned()),
        ("project", project(view)),
        ("project id at home", agreement.projects.to_string()),
        (
            "project id at the host",
            view.host_project_id.clone().unwrap_or_default(),
        ),
    ];
    properties.extend(terms(&agreement.terms));
    properties.insert(properties.len() - 2, ("state", view.state.clone()));
    if let Some(contract) = &view.contract {
        properties.extend(standing(view, contract));
    }
    if agreement.ended_at.is_some() {
        let by = view.contract.as_ref().and_then(|one| one.ended_by.as_ref());
        let by = by.map_or_else(String::new, |by| format!(", by {}", clean(by, 64)));
        let at = when::rfc3339_or(agreement.ended_at, "");
        properties.push(("ended", format!("{at}{by}")));
    }
    card(properties)
}

/// What an agreement says; the last two are its dates.
fn terms(terms: &Terms) -> Vec<(&'static str, String)> {
    let mut properties = vec![
        ("roles", join(terms.roles.iter().map(String::as_str))),
        ("services", services(terms)),
        (
            "partner's guests too",
            if terms.transitive { "yes" } else { "no" }.to_owned(),
        ),
        (
            "may outlive a login",
            match terms.allow.is_empty() {
                true => "nothing".to_owned(),
                false => join(terms.allow.iter().map(|door| door.as_str())),
            },
        ),
    ];
    for (label, names) in [("regions", &terms.regions), ("flavors", &terms.flavors)] {
        if let Some(names) = names {
            properties.push((label, join(names.iter().map(String::as_str))));
        }
    }
    if !terms.quota.is_empty() {
        properties.push(("quota of a project", terms.quota.to_string()));
    }
    if let Some(prices) = &terms.prices {
        properties.push(("prices", prices.to_string()));
    }
    if terms.retirement != Retirement::default() {
        properties.push(("after the end", retirement(terms.retirement)));
    }
    properties.extend([
        ("since", when::rfc3339(terms.since)),
        ("till", when::rfc3339_or(terms.till, "never ends by itself")),
    ]);
    properties
}

fn retirement(retirement: Retirement) -> String {
    format!(
        "stopped after {}, deleted {} later",
        when::span(retirement.quarantine_after),
        when::span(retirement.delete_after)
    )
}

fn standing(view: &AgreementView, contract: &ContractView) -> Vec<(&'static str, String)> {
    let in_force = view.agreement.version;
    let is_over = view.agreement.ended_at.is_some();
    let mut properties = Vec::new();
    if let Some(number) = in_force {
        let signed = match contract.countersigned {
            true => "both clouds have signed it",
            false => "not countersigned: home has not signed it",
        };
        let label = if is_over {
            "last version in force"
        } else {
            "version in force"
        };
        properties.push((label, format!("{number}; {signed}")));
    }
    let is_open = in_force != Some(contract.newest) && !is_over;
    if is_open {
        let number = contract.newest;
        properties.push((
            "newest version",
            format!("{number}; {}", waits(view, contract)),
        ));
    }
    for version in &contract.versions {
        let holds = Some(version.number) == in_force || version.number == contract.newest;
        if holds {
            properties.push(("signed", signatures(view, version)));
        }
        if is_open && version.number == contract.newest && in_force.is_some() {
            let proposed = changes(Some(&view.agreement.terms), &version.terms);
            properties.push(("would change", join(proposed.iter().map(String::as_str))));
        }
    }
    if let Some(fault) = &contract.fault {
        properties.push(("not believed", fault.clone()));
    }
    properties
}

/// What has to happen to the newest version, and by whom.
pub(crate) fn waits(view: &AgreementView, contract: &ContractView) -> String {
    let id = clean(&view.agreement.id, 64);
    match (contract.standing, view.received) {
        (Standing::Proposed, true) => {
            format!("it waits for this cloud's operator: alliance agreement accept {id}, or reject")
        }
        (Standing::Proposed, false) => {
            format!("it waits for the operator of {}", view.partner_name)
        }
        (Standing::Accepted, true) => format!("accepted; {} is told", view.partner_name),
        (standing, _) => standing.as_str().to_owned(),
    }
}

fn signatures(view: &AgreementView, version: &VersionView) -> String {
    let (host, home) = match view.received {
        true => (view.partner_name.as_str(), "this cloud"),
        false => ("this cloud", view.partner_name.as_str()),
    };
    let made = format!(
        "version {} by {host}{} {}",
        version.number,
        by(host, &version.made_by),
        when::rfc3339(version.made_at)
    );
    let Some(said) = version.said else {
        return made;
    };
    let who = version.said_by.as_deref().unwrap_or_default();
    let said = match said {
        Said::Accepted => "and by",
        other => other.as_str(),
    };
    let at = when::rfc3339_or(version.said_at, "");
    format!("{made}, {said} {home}{} {at}", by(home, who))
}

fn by(cloud: &str, who: &str) -> String {
    match cloud == who || who.is_empty() {
        true => String::new(),
        false => format!(" ({})", clean(who, 64)),
    }
}

/// All versions, the newest last.
pub(super) fn history(contract: &ContractView) -> String {
    let mut before: Option<&Terms> = None;
    let rows = contract.versions.iter().map(|version| {
        let said = version.said.map_or("-", Said::as_str);
        let row = [
            version.number.to_string(),
            version.standing.as_str().to_owned(),
            when::rfc3339(version.made_at),
            version.made_by.clone(),
            when::rfc3339_or(version.in_force_since, "-"),
            match &version.said_by {
                Some(by) => format!("{said} by {by}"),
                None => said.to_owned(),
            },
            when::rfc3339_or(version.said_at, "-"),
            changes(before, &version.terms).join(", "),
        ];
        before = Some(&version.terms);
        row
    });
    let headings = [
        "VERSION",
        "STANDING",
        "MADE",
        "BY",
        "IN FORCE SINCE",
        "HOME",
        "SAID",
        "CHANGES",
    ];
    listing(headings, rows.collect::<Vec<_>>())
}

/// What one version says otherwise than the one before.
fn changes(before: Option<&Terms>, after: &Terms) -> Vec<String> {
    let Some(before) = before else {
        return Vec::new();
    };
    let (before, after) = (leaves(before), leaves(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let said = |leaves: &BTreeMap<String, String>, name: &String| {
        leaves
            .get(name)
            .map_or_else(|| "-".to_owned(), String::clone)
    };
    let changed = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name));
    changed
        .map(|name| format!("{name} {} → {}", said(&before, name), said(&after, name)))
        .collect()
}

/// The fields of terms that are set, by their names in JSON.
fn leaves(terms: &Terms) -> BTreeMap<String, String> {
    fn walk(name: String, value: &Value, found: &mut BTreeMap<String, String>) {
        match value {
            Value::Null => {}
            Value::Object(fields) => {
                for (field, value) in fields {
                    let name = match name.is_empty() {
                        true => field.clone(),
                        false => format!("{name}.{field}"),
                    };
                    walk(name, value, found);
                }
            }
            Value::Array(items) => {
                let items = items.iter().filter_map(Value::as_str);
                found.insert(name, items.collect::<Vec<_>>().join("+"));
            }
            Value::Number(time) if matches!(name.as_str(), "since" | "till") => {
                let time = time.as_i64().unwrap_or_default();
                found.insert(name, when::rfc3339(time));
            }
            Value::String(text) => {
                found.insert(name, text.clone());
            }
            other => {
                found.insert(name, other.to_string());
            }
        }
    }
    let mut found = BTreeMap::new();
    // Terms are read from JSON: they can be written as such.
    if let Ok(value) = serde_json::to_value(terms) {
        walk(String::new(), &value, &mut found);
    }
    found
}

pub(super) fn direction(view: &AgreementView) -> &'static str {
    if view.received { "received" } else { "given" }
}

pub(super) fn project(view: &AgreementView) -> String {
    let agreement: &Agreement = &view.agreement;
    let id = agreement.projects.to_string();
    match (&agreement.project_name, &agreement.project_domain) {
        (Some(name), Some(domain)) => format!("{} in {}", clean(name, 64), clean(domain, 64)),
        (Some(name), None) => clean(name, 64),
        _ if id == "*" => "all".to_owned(),
        _ => id,
    }
}

/// The version in force, and what is to be said of the newest.
pub(super) fn version(view: &AgreementView) -> String {
    let in_force = view.agreement.version;
    let Some(contract) = &view.contract else {
        return String::new();
    };
    let newest = contract.newest;
    let standing = contract.standing.as_str();
    match in_force {
        Some(number) if number == newest && contract.countersigned => number.to_string(),
        Some(number) if number == newest => format!("{number}, not countersigned"),
        Some(number) => format!("{number}; {newest} {standing}"),
        None => format!("{newest} {standing}"),
    }
}

pub(super) fn services(terms: &Terms) -> String {
    terms.services.as_ref().map_or_else(
        || "those of home".to_owned(),
        |services| join(services.iter().map(String::as_str)),
    )
}

pub(super) fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
