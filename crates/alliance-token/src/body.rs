//! What a token says: the body of the Identity API v3, `{"token": {…}}`. Keystone answers with it
//! when it validates a token, and a PKI token carries it.

use std::collections::BTreeSet;

use alliance_core::admission::HomeView;
use alliance_core::cloud::CloudId;
use alliance_core::statement::{HomeUser, Named, Project, TokenFacts};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::token::Token;

/// Longest name or id, in bytes: four for each of the 255 characters of Keystone's columns.
pub(crate) const MAX_STRING: usize = 4 * 255;
const MAX_ROLES: usize = 256;
/// Keystone has about a dozen.
pub(crate) const MAX_METHODS: usize = 16;
/// Keystone gives one or two.
pub(crate) const MAX_AUDIT_IDS: usize = 8;

/// `{"token": …}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TokenBody {
    /// The one member that counts; there may be others.
    pub token: TokenView,
}

/// What a token says. Strings and lists are bounded, nothing else is promised of them: a name is
/// what its cloud calls it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "TokenJson")]
pub struct TokenView {
    /// Whose it is.
    pub user: HomeUser,
    /// The project, none if unscoped or scoped to something else.
    pub project: Option<Project>,
    /// Role names in its scope, implied ones included.
    pub roles: BTreeSet<String>,
    /// The ids of the same roles.
    pub role_ids: BTreeSet<String>,
    /// Authentication methods.
    pub methods: Vec<String>,
    /// Its own, and that of the chain's root if it has one. At least one.
    pub audit_ids: Vec<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires, or did.
    pub expires_at: Timestamp,
    view: HomeView,
}

impl TokenView {
    /// What decides whether it may leave home. `guest` is set for users that Keystone calls
    /// federated; whether their domain is that of a partner is for the caller to add.
    pub fn home_view(&self) -> HomeView {
        self.view.clone()
    }

    /// The same as home says it of `token`, or a host that read it there. `origin`: whose user it is.
    pub fn facts(self, token: &Token, origin: Option<CloudId>) -> TokenFacts {
        self.facts_by_hash(token.sha256().to_owned(), origin)
    }

    /// The same of a token that is not here: by its lowercase hex SHA-256.
    pub fn facts_by_hash(self, token_sha256: String, origin: Option<CloudId>) -> TokenFacts {
        TokenFacts {
            active: true,
            token_sha256,
            origin,
            sub: self.user.id,
            username: self.user.name,
            user_domain: self.user.domain,
            project: self.project,
            roles: self.roles,
            methods: self.methods,
            audit_ids: self.audit_ids,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
        }
    }
}

/// Reads a body that came inside of a token. Lists and objects in what is not looked at may be
/// nested as deep as they like: they are skipped without recursion.
pub(crate) fn read(json: &[u8]) -> Result<TokenView, &'static str> {
    match serde_json::from_slice::<Body>(json) {
        Ok(Body {
            token: Some(token), ..
        }) => token.try_into().map_err(|Unfit(why)| why),
        Ok(Body {
            access: Some(_), ..
        }) => Err(
            "it is a token of the Identity API v2.0, which knows no domains; only v3 crosses a \
             border",
        ),
        _ => Err("its content is no token body of the Identity API v3"),
    }
}

#[derive(Deserialize)]
struct Body {
    token: Option<TokenJson>,
    /// Identity API v2.0.
    access: Option<IgnoredAny>,
}

/// Why a body is none, though it is JSON of the right shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Unfit(&'static str);

#[derive(Deserialize)]
struct TokenJson {
    user: UserJson,
    project: Option<Project>,
    #[serde(default)]
    is_domain: bool,
    domain: Option<IgnoredAny>,
    system: Option<IgnoredAny>,
    #[serde(default)]
    roles: Vec<Named>,
    methods: Vec<String>,
    /// Not there before Keystone 2014.2.
    #[serde(default)]
    audit_ids: Vec<String>,
    issued_at: Timestamp,
    expires_at: Timestamp,
    #[serde(rename = "OS-TRUST:trust")]
    trust: Option<IgnoredAny>,
    #[serde(rename = "OS-OAUTH1")]
    oauth1: Option<IgnoredAny>,
    oauth2_credential: Option<IgnoredAny>,
    application_credential: Option<IgnoredAny>,
    /// Keystone before 2019.
    bind: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct UserJson {
    id: String,
    name: String,
    domain: Named,
    #[serde(rename = "OS-FEDERATION")]
    federation: Option<IgnoredAny>,
}

impl TryFrom<TokenJson> for TokenView {
    type Error = Unfit;

    fn try_from(token: TokenJson) -> Result<Self, Unfit> {
        token.check()?;
        let (role_ids, roles) = token
            .roles
            .into_iter()
            .map(|role| (role.id, role.name))
            .unzip();
        Ok(Self {
            view: HomeView {
                system_scope: token.system.is_some(),
                // A project that acts as a domain is one.
                domain_scope: token.domain.is_some() || token.is_domain,
                trust: token.trust.is_some(),
                oauth: token.oauth1.is_some() || token.oauth2_credential.is_some(),
                application_credential: token.application_credential.is_some(),
                guest: token.user.federation.is_some(),
                methods: token.methods.clone(),
            },
            roles,
            role_ids,
            user: HomeUser {
                id: token.user.id,
                name: token.user.name,
                domain: token.user.domain,
            },
            project: token.project,
            methods: token.methods,
            audit_ids: token.audit_ids,
            issued_at: token.issued_at,
            expires_at: token.expires_at,
        })
    }
}

impl TokenJson {
    fn check(&self) -> Result<(), Unfit> {
        let methods = (1..=MAX_METHODS).contains(&self.methods.len());
        let audit_ids = (1..=MAX_AUDIT_IDS).contains(&self.audit_ids.len());
        let refusals = [
            (
                self.bind.is_some(),
                "it is bound to a Kerberos ticket or certificate, which cannot cross a border",
            ),
            (self.roles.len() > MAX_ROLES, "it has more than 256 roles"),
            (!methods, "it has no authentication method, or too many"),
            (
                !audit_ids,
                "it has no audit id, so that no revocation could name it, or too many",
            ),
            (
                !self.strings_fit(),
                "a name or id is longer than any of Keystone's, or an id is empty",
            ),
        ];
        match refusals.into_iter().find(|(applies, _)| *applies) {
            Some((_, why)) => Err(Unfit(why)),
            None => Ok(()),
        }
    }

    fn strings_fit(&self) -> bool {
        let user = [&self.user.id, &self.user.domain.id];
        let project = self.project.iter().flat_map(|p| [&p.id, &p.domain.id]);
        let mut ids = user
            .into_iter()
            .chain(project)
            .chain(self.roles.iter().map(|role| &role.id))
            .chain(&self.methods)
            .chain(&self.audit_ids);
        let project = self.project.iter().flat_map(|p| [&p.name, &p.domain.name]);
        let mut names = [&self.user.name, &self.user.domain.name]
            .into_iter()
            .chain(project)
            .chain(self.roles.iter().map(|role| &role.name));
        ids.all(|id| (1..=MAX_STRING).contains(&id.len()))
            && names.all(|name| name.len() <= MAX_STRING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Keystone's answer and as a token's content: both ways must agree.
    fn read(json: &str) -> Result<TokenView, String> {
        let inside = super::read(json.as_bytes());
        let body = serde_json::from_str::<TokenBody>(json).map_err(|e| e.to_string());
        assert_eq!(inside.is_ok(), body.is_ok(), "{inside:?} {body:?}");
        Ok(body?.token)
    }

    fn view(json: &str) -> TokenView {
        read(json).unwrap()
    }

    fn plain() -> HomeView {
        HomeView {
            methods: vec!["password".to_owned()],
            ..HomeView::default()
        }
    }

    /// A body with additions to the user and to the token.
    fn with(in_user: &str, in_token: &str) -> String {
        format!(
            r#"{{"token": {{
                "user": {{"id": "u", "name": "n", "domain": {{"id": "d", "name": "D"}}{in_user}}},
                "methods": ["password"], "audit_ids": ["a"],
                "issued_at": "2026-11-24T22:00:00.000000Z",
                "expires_at": "2026-11-24T23:00:00.000000Z"{in_token}}}}}"#
        )
    }

    #[test]
    fn a_users_token_for_a_project_tells_who_and_where() {
        let view = view(include_str!("fixtures/token-project.json"));
        assert_eq!(view.user.name, "ann");
        assert_eq!(view.user.domain.name, "Default");
        let project = view.project.as_ref().unwrap();
        assert_eq!(
            (project.name.as_str(), project.domain.id.as_str()),
            ("science", "default")
        );
        assert_eq!(
            view.roles,
            ["member".to_owned(), "reader".to_owned()].into()
        );
        assert_eq!(view.role_ids.len(), 2);
        assert!(view.role_ids.iter().all(|id| id.len() == 32));
        assert_eq!(view.audit_ids.len(), 1);
        assert!(view.expires_at > view.issued_at);
        assert_eq!(view.home_view(), plain());
    }

    #[test]
    fn an_unscoped_token_has_no_project_and_no_roles() {
        let view = view(include_str!("fixtures/token-unscoped.json"));
        assert_eq!((&view.project, view.roles.len()), (&None, 0));
        assert_eq!(view.home_view(), plain());
    }

    #[test]
    fn what_may_not_leave_is_seen() {
        let system = view(include_str!("fixtures/token-system.json"));
        assert_eq!(
            system.home_view(),
            HomeView {
                system_scope: true,
                ..plain()
            }
        );
        assert!(system.roles.contains("admin"));
        let trust = view(include_str!("fixtures/token-trust.json"));
        assert_eq!(
            trust.home_view(),
            HomeView {
                trust: true,
                ..plain()
            }
        );
        assert_eq!(trust.user.name, "ann");
        let credential = view(include_str!("fixtures/token-application-credential.json"));
        let home = credential.home_view();
        assert!(home.application_credential);
        assert_eq!(home.methods, ["application_credential"]);
    }

    #[test]
    fn rarer_kinds_are_seen_by_the_names_of_keystones_source() {
        let home = |in_user: &str, in_token: &str| view(&with(in_user, in_token)).home_view();
        assert_eq!(home("", ""), plain());
        assert!(home("", r#", "domain": {"id": "d", "name": "D"}"#).domain_scope);
        assert!(home("", r#", "is_domain": true"#).domain_scope);
        assert!(
            home(
                "",
                r#", "OS-OAUTH1": {"access_token_id": "a", "consumer_id": "c"}"#
            )
            .oauth
        );
        assert!(home("", r#", "oauth2_credential": {"x5t#S256": "t"}"#).oauth);
        assert!(home(r#", "OS-FEDERATION": {"groups": []}"#, "").guest);
        let bound = read(&with("", r#", "bind": {"kerberos": "ann@WEST"}"#));
        assert!(bound.unwrap_err().contains("Kerberos"));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let roles = |count: usize, name: &str| {
            let role = format!(r#"{{"id": "r", "name": "{name}"}}"#);
            with(
                "",
                &format!(r#", "roles": [{}]"#, vec![role; count].join(",")),
            )
        };
        assert!(read(&roles(MAX_ROLES, "member")).is_ok());
        assert!(
            read(&roles(MAX_ROLES + 1, "member"))
                .unwrap_err()
                .contains("roles")
        );
        assert!(read(&roles(1, &"m".repeat(MAX_STRING))).is_ok());
        for wrong in [
            roles(1, &"m".repeat(MAX_STRING + 1)),
            with("", "").replace(r#""id": "u""#, r#""id": """#),
            with("", "").replace(r#"["a"]"#, "[]"),
            with("", "").replace(r#"["a"]"#, r#"["a","a","a","a","a","a","a","a","a"]"#),
            with("", "").replace(r#"["password"]"#, "[]"),
            // Twice the same member: which one counts would be a guess.
            with("", r#", "audit_ids": ["b"]"#),
        ] {
            assert!(read(&wrong).is_err(), "{wrong:.400}");
        }
    }
}
