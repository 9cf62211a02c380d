//! Roles that exist, and those of the daemon's own user.

use std::collections::BTreeSet;

use alliance_core::label::clean;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::login::Scope;
use super::{Call, Keystone, KeystoneError};
use crate::transport::Question;

/// Who has it may do what the others may.
const ADMIN: &str = "admin";

/// Where a role of the daemon's own user holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    /// In the scope of a token of the daemon's.
    In(Scope),
    Elsewhere,
}

/// A role of the daemon's own user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnRole {
    /// Its name.
    pub name: String,
    /// Where it holds, in words.
    pub scope: String,
    /// The same as options of the `openstack` command.
    pub target: String,
    held: Held,
    /// Whether another one that is held there implies it.
    is_implied: bool,
}

impl OwnRole {
    /// Whether it is more than the daemon needs: one of these, which administrate, or any other but those
    /// that it needs where it needs them, one that only reads, and what these imply.
    #[must_use]
    pub fn is_too_much(&self, admin_roles: &[String]) -> bool {
        admin_roles.contains(&self.name) || !self.is_implied && !self.is_usual()
    }

    fn is_usual(&self) -> bool {
        let needed = match self.held {
            Held::In(scope) => scope.role(),
            Held::Elsewhere => Scope::System.role(),
        };
        self.name == needed || self.name == Scope::System.role()
    }
}

impl Keystone {
    /// Those of `names` that are no role here. Roles of a single domain do not count.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn roles_missing(
        &self,
        names: &BTreeSet<String>,
        request_id: &str,
    ) -> Result<BTreeSet<String>, KeystoneError> {
        let call = self.call(request_id);
        let mut missing = BTreeSet::new();
        for name in names {
            let question = Question::list(["roles"]).query("name", name);
            let found: Roles = self.list(question, call).await?;
            if !found
                .roles
                .iter()
                .any(|role| role.name == *name && role.is_global())
            {
                missing.insert(name.clone());
            }
        }
        Ok(missing)
    }

    /// All roles that the daemon's user holds now, wherever, implied and inherited ones and those of groups
    /// included.
    ///
    /// # Errors
    /// If Keystone does not say, or if one of the two roles that it needs is missing.
    pub async fn own_roles(&self, request_id: &str) -> Result<BTreeSet<OwnRole>, KeystoneError> {
        let call = self.call(request_id);
        let mut own = BTreeSet::new();
        let (mut user_id, mut project_id) = (String::new(), None);
        for scope in [Scope::Project, Scope::System] {
            let view = self.own_view(scope, call).await?;
            if !view.roles.contains(scope.role()) && !view.roles.contains(ADMIN) {
                let request = format!(
                    "do all that it has to on the {}",
                    scope.describe(&self.settings)
                );
                return Err(scope.missing_role(&self.settings, request));
            }
            user_id = view.user.id;
            project_id = project_id.or(view.project.map(|project| project.id));
            own.extend(view.roles.into_iter().map(|name| OwnRole {
                name,
                scope: scope.describe(&self.settings),
                target: scope.target(&self.settings),
                held: Held::In(scope),
                is_implied: false,
            }));
        }
        let question = Question::list(["role_assignments"])
            .query("effective", "true")
            .query("include_names", "true")
            .query("user.id", &user_id);
        let found: Assignments = self.list(question, call).await?;
        let elsewhere = found.role_assignments.into_iter();
        own.extend(elsewhere.filter_map(|found| found.elsewhere(project_id.as_deref())));
        match own.iter().all(OwnRole::is_usual) {
            true => Ok(own),
            false => Ok(self.with_implied(own, call).await),
        }
    }

    /// The same roles, with those marked that others imply. An old Keystone does not let the daemon know:
    /// there, whatever is not of the system may be implied.
    async fn with_implied(&self, own: BTreeSet<OwnRole>, call: Call<'_>) -> BTreeSet<OwnRole> {
        let question = Question::list(["role_inferences"]);
        let rules = self.list::<Inferences>(question, call).await.ok();
        let mark = |role: &OwnRole| {
            let mut there = own.iter().filter(|other| other.target == role.target);
            let is_implied = match &rules {
                Some(rules) => there.any(|other| rules.lead(other, role)),
                None => role.held != Held::In(Scope::System),
            };
            OwnRole {
                is_implied,
                ..role.clone()
            }
        };
        own.iter().map(mark).collect()
    }
}

/// Which roles imply which.
#[derive(Deserialize)]
struct Inferences {
    role_inferences: Vec<Inference>,
}

#[derive(Deserialize)]
struct Inference {
    prior_role: RoleName,
    implies: Vec<RoleName>,
}

#[derive(Deserialize)]
struct RoleName {
    name: String,
}

impl Inferences {
    /// Whether the first implies the second, be it by others between them.
    fn lead(&self, from: &OwnRole, to: &OwnRole) -> bool {
        let mut known = BTreeSet::from([from.name.as_str()]);
        let mut next = vec![from.name.as_str()];
        while let Some(name) = next.pop() {
            let rules = self.role_inferences.iter();
            let rules = rules.filter(|rule| rule.prior_role.name == name);
            for implied in rules.flat_map(|rule| &rule.implies) {
                if known.insert(&implied.name) {
                    next.push(&implied.name);
                }
            }
        }
        from.name != to.name && known.contains(to.name.as_str())
    }
}

/// A list of role assignments, with names.
#[derive(Deserialize)]
pub(super) struct Assignments {
    pub(super) role_assignments: Vec<Assignment>,
}

/// Who holds a role where; a group's has no user.
#[derive(Deserialize)]
pub(super) struct Assignment {
    pub(super) role: RoleJson,
    pub(super) user: Option<Ref>,
    pub(super) scope: AssignmentScope,
}

#[derive(Deserialize)]
pub(super) struct AssignmentScope {
    pub(super) project: Option<Ref>,
    domain: Option<Ref>,
}

#[derive(Deserialize)]
pub(super) struct Ref {
    pub(super) id: String,
    #[serde(default)]
    name: String,
}

impl Assignment {
    /// What it is, unless it is on the project of which the token has told, or on the system.
    fn elsewhere(self, own_project: Option<&str>) -> Option<OwnRole> {
        let (kind, place) = match self.scope {
            AssignmentScope {
                project: Some(project),
                ..
            } if Some(project.id.as_str()) != own_project => ("project", project),
            AssignmentScope {
                project: None,
                domain: Some(domain),
            } => ("domain", domain),
            _ => return None,
        };
        Some(OwnRole {
            name: self.role.name,
            scope: format!("{kind} {}", clean(&place.name, 64)),
            target: format!("--{kind} {}", clean(&place.id, 64)),
            held: Held::Elsewhere,
            is_implied: false,
        })
    }
}

#[derive(Deserialize)]
struct Roles {
    roles: Vec<RoleJson>,
}

/// A role as Keystone shows it.
#[derive(Deserialize)]
pub(super) struct RoleJson {
    pub(super) name: String,
    /// In lists of roles.
    domain_id: Option<IgnoredAny>,
    /// In lists of assignments.
    domain: Option<IgnoredAny>,
}

impl RoleJson {
    /// Whether it is of no single domain.
    pub(super) fn is_global(&self) -> bool {
        self.domain_id.is_none() && self.domain.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_roles_read() {
        let found: Roles = serde_json::from_str(include_str!("fixtures/roles.json")).unwrap();
        assert!(
            found
                .roles
                .iter()
                .any(|role| role.name == "member" && role.is_global())
        );
    }

    fn held(name: &str, held: Held) -> OwnRole {
        OwnRole {
            name: name.to_owned(),
            scope: String::new(),
            target: String::new(),
            held,
            is_implied: false,
        }
    }

    #[test]
    fn all_is_too_much_but_what_is_needed_where_it_is_needed_and_what_only_reads() {
        let (project, system) = (Held::In(Scope::Project), Held::In(Scope::System));
        let admin_roles = ["admin".to_owned(), "root".to_owned()];
        for (name, place, is_too_much) in [
            ("service", project, false),
            ("reader", project, false),
            ("reader", system, false),
            ("reader", Held::Elsewhere, false),
            ("service", system, true),
            ("service", Held::Elsewhere, true),
            ("manager", project, true),
            ("member", Held::Elsewhere, true),
            ("member", system, true),
            ("admin", project, true),
            ("root", system, true),
        ] {
            let found = held(name, place).is_too_much(&admin_roles);
            assert_eq!(found, is_too_much, "{name} {place:?}");
        }
    }

    #[test]
    fn what_another_role_implies_is_not_too_much_by_itself_unless_it_administrates() {
        let rules: Inferences = serde_json::from_str(
            r#"{"role_inferences": [
                {"prior_role": {"id": "1", "name": "manager"}, "implies": [{"id": "2", "name": "member"}]},
                {"prior_role": {"id": "2", "name": "member"}, "implies": [{"id": "3", "name": "reader"}]}]}"#,
        )
        .unwrap();
        let role = |name| held(name, Held::Elsewhere);
        assert!(rules.lead(&role("manager"), &role("reader")));
        assert!(!rules.lead(&role("member"), &role("manager")));
        assert!(!rules.lead(&role("member"), &role("member")));
        let implied = |name| OwnRole {
            is_implied: true,
            ..role(name)
        };
        assert!(!implied("member").is_too_much(&["admin".to_owned()]));
        assert!(implied("admin").is_too_much(&["admin".to_owned()]));
    }

    #[test]
    fn another_project_of_the_same_name_is_another_one() {
        let granted = |project: &str| {
            let json = format!(
                r#"{{"role": {{"id": "r", "name": "member"}}, "user": {{"id": "u"}},
                    "scope": {{"project": {{"id": "{project}", "name": "service"}}}}}}"#
            );
            serde_json::from_str::<Assignment>(&json).unwrap()
        };
        assert_eq!(granted("own").elsewhere(Some("own")), None);
        let other = granted("other").elsewhere(Some("own")).unwrap();
        assert_eq!(other.target, "--project other");
    }

    #[test]
    fn a_role_of_one_domain_is_not_global() {
        let role: RoleJson =
            serde_json::from_str(r#"{"id": "1", "name": "member", "domain_id": "d"}"#).unwrap();
        assert!(!role.is_global());
    }
}
