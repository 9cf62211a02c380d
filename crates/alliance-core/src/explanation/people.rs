//! How users show themselves, and what a user may.

use std::collections::BTreeSet;

use super::condition::Who::ThisOperator;
use super::condition::{Condition, Name, broken, holds, unknown};
use super::{Host, Inputs, NAME_LEN, UserFound};
use crate::label::clean;
use crate::snapshot::Received;
use crate::token::Login;

pub(super) fn login(host: &Host<'_>) -> Condition {
    let name = &host.partner.name;
    match host.login.require_bearer() {
        Ok(()) => holds(
            Name::Login,
            match host.login {
                Login::Both => "by token or by passport",
                Login::Bearer | Login::Passport => "by token",
            },
        ),
        Err(_) => broken(
            Name::Login,
            format!(
                "users log in at {name} by passport only, so that tokens do not show its regions"
            ),
            ThisOperator,
            format!("users take auth_type v3alliance; or alliance partner set {name} --login both"),
        ),
    }
}

pub(super) fn user(inputs: &Inputs<'_>, host: &Host<'_>, grants: &[&Received]) -> Vec<Condition> {
    let Some((user, found)) = inputs.user else {
        return Vec::new();
    };
    let held = match found {
        UserFound::Roles(held) => held,
        UserFound::Nobody => {
            return vec![broken(
                Name::Role,
                format!("{user:?} is nobody here, is disabled, or holds no role in the project"),
                ThisOperator,
                format!(
                    "openstack role add --user {user} --project {} member",
                    inputs.asked_project
                ),
            )];
        }
        UserFound::Unknown(error) => return vec![unknown(Name::Role, error)],
    };
    let powerful: Vec<&str> = held
        .intersection(inputs.admin_roles)
        .map(String::as_str)
        .collect();
    let admin = if powerful.is_empty() {
        holds(
            Name::AdminRole,
            format!("{user} holds none that is refused abroad"),
        )
    } else {
        broken(
            Name::AdminRole,
            format!(
                "{user} holds {} in this project: such tokens see no region of a partner",
                powerful.join(", ")
            ),
            ThisOperator,
            "use a user without it: [tokens] admin_roles",
        )
    };
    let agreed: BTreeSet<&String> = grants.iter().flat_map(|grant| &grant.roles).collect();
    if agreed.is_empty() {
        return vec![admin];
    }
    let list = |roles: &mut dyn Iterator<Item = &String>| {
        roles
            .map(|role| clean(role, NAME_LEN))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let common: Vec<&String> = held.iter().filter(|role| agreed.contains(role)).collect();
    let role = if common.is_empty() {
        broken(
            Name::Role,
            format!(
                "{user} holds {}, {} grants {}",
                list(&mut held.iter()),
                host.partner.name,
                list(&mut agreed.into_iter()),
            ),
            ThisOperator,
            "give the user one of the granted roles; or the partner's operator agrees to one that the user holds",
        )
    } else {
        holds(
            Name::Role,
            format!("{user} holds {}", list(&mut common.into_iter())),
        )
    };
    vec![admin, role]
}
