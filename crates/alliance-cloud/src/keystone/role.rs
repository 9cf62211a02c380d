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

/// Why a role is held. What is taken away most easily comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Because {
    /// It was granted there.
    Granted,
    /// It is inherited from a grant on this, as options of the `openstack` command.
    Inherited(String),
    /// A group of this id has it.
    Group(String),
    /// The same, and the group has what is needed too.
    NeededGroup(String),
    /// This role, which is needed, implies it.
    Implied(String),
}

/// A role of the daemon's own user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnRole {
    /// Its name.
    pub name: String,
    /// Where it holds, in words.
    pub scope: String,
    /// The same as options of the `openstack` command.
    target: String,
    held: Held,
    because: Because,
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

    /// The command that takes it from this user.
    #[must_use]
    pub fn remedy(&self, user: &str, domain: &str) -> String {
        let name = clean(&self.name, 64);
        let of_user = format!("--user {user:?} --user-domain {domain:?}");
        match &self.because {
            Because::Granted => format!("openstack role remove {of_user} {} {name}", self.target),
            Because::Inherited(place) => {
                format!("openstack role remove {of_user} {place} --inherited {name}")
            }
            Because::Group(group) => {
                format!("openstack group remove user --user-domain {domain:?} {group} {user:?}")
            }
            Because::NeededGroup(group) => {
                format!(
                    "openstack role remove --group {group} {} {name}",
                    self.target
                )
            }
            Because::Implied(by) => format!(
                "openstack implied role delete {} --implied-role {name}",
                clean(by, 64)
            ),
        }
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
        let mut own = Vec::new();
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
                because: Because::Granted,
                is_implied: false,
            }));
        }
        let question = Question::list(["role_assignments"])
            .query("effective", "true")
            .query("include_names", "true")
            .query("user.id", &user_id);
        let found: Assignments = self.list(question, call).await?;
        let (found, project_id) = (found.role_assignments, project_id.as_deref());
        for role in &mut own {
            let there = found.iter().filter(|found| {
                found.role.name == role.name && found.held(project_id) == Some(role.held)
            });
            role.because = there
                .map(|found| found.links.because())
                .min()
                .unwrap_or(Because::Granted);
        }
        own.extend(
            found
                .into_iter()
                .filter_map(|found| found.elsewhere(project_id)),
        );
        // What is held for several reasons goes by one after the other.
        own.sort();
        own.dedup_by(|next, role| (&next.name, &next.target) == (&role.name, &role.target));
        let own = sparing(own.into_iter().collect());
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
        marked(&own, rules.as_ref())
    }
}

/// The same roles: who would take the user out of a group that gives it what it needs is told to take the
/// group's other roles away in place of that.
fn sparing(own: BTreeSet<OwnRole>) -> BTreeSet<OwnRole> {
    let needed = own.iter().filter(|role| role.is_usual());
    let needed: BTreeSet<_> = needed.map(|role| role.because.clone()).collect();
    let spare = |mut role: OwnRole| {
        if needed.contains(&role.because)
            && let Because::Group(group) = role.because
        {
            role.because = Because::NeededGroup(group);
        }
        role
    };
    own.into_iter().map(spare).collect()
}

fn marked(own: &BTreeSet<OwnRole>, rules: Option<&Inferences>) -> BTreeSet<OwnRole> {
    let mark = |role: &OwnRole| {
        let mut marked = role.clone();
        let Some(rules) = rules else {
            marked.is_implied = role.held != Held::In(Scope::System);
            return marked;
        };
        let there = own.iter().filter(|other| other.target == role.target);
        let (needed, others): (Vec<_>, Vec<_>) = there
            .filter(|other| rules.lead(other, role))
            .partition(|other| other.is_usual());
        marked.is_implied = !others.is_empty();
        if let Some(needed) = needed.first() {
            marked.because = Because::Implied(needed.name.clone());
        }
        marked
    };
    own.iter().map(mark).collect()
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
    #[serde(default)]
    links: Links,
}

#[derive(Default, Deserialize)]
struct Links {
    /// Where the grant is that it comes from, be it to a group, or on a domain whose projects inherit it.
    #[serde(default)]
    assignment: String,
}

impl Links {
    /// Why a role is held that comes from there.
    fn because(&self) -> Because {
        let mut after = None;
        let (mut place, mut is_inherited) = (None, false);
        for segment in self.assignment.split('/') {
            match after.replace(segment) {
                Some("groups") => return Because::Group(clean(segment, 64)),
                Some("domains") => place = Some(format!("--domain {}", clean(segment, 64))),
                Some("projects") => place = Some(format!("--project {}", clean(segment, 64))),
                _ => {}
            }
            is_inherited |= segment == "OS-INHERIT";
        }
        match place.filter(|_| is_inherited) {
            Some(place) => Because::Inherited(place),
            None => Because::Granted,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct AssignmentScope {
    pub(super) project: Option<Ref>,
    domain: Option<Ref>,
    system: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct Ref {
    pub(super) id: String,
    #[serde(default)]
    name: String,
}

impl Assignment {
    /// Where it holds; nothing of a single domain's or another project's.
    fn held(&self, own_project: Option<&str>) -> Option<Held> {
        let scope = &self.scope;
        match (&scope.project, &scope.domain, &scope.system) {
            (Some(project), ..) if Some(project.id.as_str()) == own_project => {
                Some(Held::In(Scope::Project))
            }
            (None, None, Some(_)) => Some(Held::In(Scope::System)),
            _ => None,
        }
    }

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
                ..
            } => ("domain", domain),
            _ => return None,
        };
        Some(OwnRole {
            because: self.links.because(),
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
            because: Because::Granted,
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
        // What is needed may imply what is not.
        let on_project = |name| held(name, Held::In(Scope::Project));
        let own: BTreeSet<_> = ["service", "manager", "member", "reader"]
            .map(on_project)
            .into();
        let too_much = |rules: &Inferences| {
            let marked = marked(&own, Some(rules)).into_iter();
            let too_much = marked.filter(|role| role.is_too_much(&["admin".to_owned()]));
            let remedies: Vec<_> = too_much.map(|role| role.remedy("u", "d")).collect();
            remedies
        };
        let granted = too_much(&rules).join("; ");
        assert!(granted.starts_with("openstack role remove"), "{granted}");
        assert!(granted.ends_with(" manager"), "{granted}");
        let json = r#"{"role_inferences": [
            {"prior_role": {"name": "service"}, "implies": [{"name": "manager"}]},
            {"prior_role": {"name": "manager"}, "implies": [{"name": "member"}, {"name": "reader"}]}]}"#;
        let rules: Inferences = serde_json::from_str(json).unwrap();
        assert_eq!(
            too_much(&rules),
            ["openstack implied role delete service --implied-role manager"]
        );
        let implied = |name| OwnRole {
            is_implied: true,
            ..role(name)
        };
        assert!(!implied("member").is_too_much(&["admin".to_owned()]));
        assert!(implied("admin").is_too_much(&["admin".to_owned()]));
    }

    #[test]
    fn what_takes_a_role_away_is_what_gave_it() {
        for (assignment, remedy) in [
            (
                "projects/p/users/u/roles/r",
                "openstack role remove --user \"alliance\" --user-domain \"Default\" --project p admin",
            ),
            (
                "projects/p/groups/g/roles/r",
                "openstack group remove user --user-domain \"Default\" g \"alliance\"",
            ),
            (
                "OS-INHERIT/domains/d/users/u/roles/r/inherited_to_projects",
                "openstack role remove --user \"alliance\" --user-domain \"Default\" --domain d --inherited admin",
            ),
            (
                "OS-INHERIT/projects/q/users/u/roles/r/inherited_to_projects",
                "openstack role remove --user \"alliance\" --user-domain \"Default\" --project q --inherited admin",
            ),
            (
                "OS-INHERIT/domains/d/groups/g/roles/r/inherited_to_projects",
                "openstack group remove user --user-domain \"Default\" g \"alliance\"",
            ),
        ] {
            let json = format!(
                r#"{{"role": {{"id": "r", "name": "admin"}}, "user": {{"id": "u"}},
                    "scope": {{"project": {{"id": "p", "name": "science"}}}},
                    "links": {{"assignment": "http://127.0.0.1:5000/v3/{assignment}"}}}}"#
            );
            let found: Assignment = serde_json::from_str(&json).unwrap();
            let role = found.elsewhere(Some("own")).unwrap();
            assert_eq!(role.remedy("alliance", "Default"), remedy);
        }
        let by_group = |name, id: &str| OwnRole {
            because: Because::Group(id.into()),
            ..held(name, Held::In(Scope::Project))
        };
        let own = [
            by_group("service", "g"),
            by_group("admin", "g"),
            by_group("manager", "other"),
        ];
        let remedies: Vec<_> = sparing(own.into())
            .iter()
            .filter(|role| !role.is_usual())
            .map(|role| role.remedy("alliance", "Default"))
            .collect();
        assert_eq!(
            remedies,
            [
                "openstack role remove --group g  admin",
                "openstack group remove user --user-domain \"Default\" other \"alliance\""
            ]
        );
        let implied = OwnRole {
            because: Because::Implied("service".into()),
            ..held("manager", Held::In(Scope::Project))
        };
        assert_eq!(
            implied.remedy("alliance", "Default"),
            "openstack implied role delete service --implied-role manager"
        );
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
