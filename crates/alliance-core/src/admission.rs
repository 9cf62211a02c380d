//! Whether a token may cross: home decides whether it may leave, the host whether it may enter.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::agreement::{Agreement, covering};
use crate::cloud::CloudId;
use crate::keystone_id::is_foreign_id;
use crate::refusal::Reason;
use crate::statement::{Grants, TokenFacts};
use crate::{CLOCK_SKEW, Seconds};

/// What home sees of a token beyond what a passport can say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HomeView {
    /// `system` is in the token.
    pub system_scope: bool,
    /// `domain` is in the token.
    pub domain_scope: bool,
    /// Made from a trust.
    pub trust: bool,
    /// Made from an OAuth 1 access token or an OAuth 2.0 certificate.
    pub oauth: bool,
    /// Made from an application credential.
    pub application_credential: bool,
    /// The user is no native one (federated, or in the domain of a partner), and the host has no
    /// agreement that is transitive.
    pub guest: bool,
    /// Keystone's authentication methods.
    pub methods: Vec<String>,
}

/// Methods of tokens that carry all rights of their user. Keystone 30 calls every other one
/// delegated (`keystone/api/_shared/delegation.py`), but for the plugin's own.
const PRIMARY_METHODS: &[&str] = &[
    "password", "token", "totp", "external", "mapped", "openid", "saml2", "kerberos", "x509",
    "alliance",
];

/// Whether home lets a token of its own leave.
///
/// # Errors
/// The reason why not; the most dangerous one first.
pub fn may_leave(view: &HomeView) -> Result<(), Reason> {
    let refusals = [
        (view.system_scope, Reason::SystemScope),
        (view.guest, Reason::Transitive),
        (view.trust, Reason::Trust),
        (view.oauth, Reason::Oauth),
        (view.application_credential, Reason::ApplicationCredential),
        (view.domain_scope, Reason::DomainScope),
    ];
    if let Some((_, reason)) = refusals.into_iter().find(|(applies, _)| *applies) {
        return Err(reason);
    }
    match view
        .methods
        .iter()
        .map(String::as_str)
        .find(|m| !PRIMARY_METHODS.contains(m))
    {
        None => Ok(()),
        Some("application_credential") => Err(Reason::ApplicationCredential),
        Some(_) => Err(Reason::Oauth),
    }
}

/// What of a token decides whether it may enter. Small: a host remembers one for each token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrant {
    /// The user's id at home.
    pub user_id: Box<str>,
    /// Whether the user is a native one of the issuer, and no guest or federated one there.
    pub native: bool,
    /// The project's id at home, none if the token is unscoped.
    pub project_id: Option<Box<str>>,
    /// Role names in that project. Many tokens share one set.
    pub roles: Arc<BTreeSet<String>>,
    /// When it was issued.
    pub issued_at: Seconds,
    /// When it expires.
    pub expires_at: Seconds,
}

impl Entrant {
    /// What the issuer says of a valid token.
    ///
    /// # Errors
    /// [`Reason::NotFound`] if it says that the token is not valid, [`Reason::Malformed`] if its user
    /// or project has no id that could be a Keystone's: no table has room for it.
    pub fn of(facts: &TokenFacts, issuer: &CloudId) -> Result<Self, Reason> {
        if !facts.active {
            return Err(Reason::NotFound);
        }
        let project_id = facts.project.as_ref().map(|project| &project.id);
        if !is_foreign_id(&facts.sub) || project_id.is_some_and(|id| !is_foreign_id(id)) {
            return Err(Reason::Malformed);
        }
        Ok(Self {
            user_id: facts.sub.as_str().into(),
            native: facts.origin.as_ref() == Some(issuer),
            project_id: project_id.map(|id| id.as_str().into()),
            roles: Arc::new(facts.roles.clone()),
            issued_at: facts.issued_at.as_second(),
            expires_at: facts.expires_at.as_second(),
        })
    }
}

/// What a guest gets at the host for one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// No project: the user is known, nothing is granted.
    Unscoped,
    /// These roles in that project of home.
    Project {
        /// Id at home.
        project_id: String,
        /// Role names: what home says and the agreements allow.
        roles: BTreeSet<String>,
    },
}

/// Whether the host lets in a token of `issuer` that is valid.
///
/// `agreements` are those with its issuer. `admin_roles` are the names of roles that open a whole
/// cloud; a user that holds one is refused unless an agreement names it.
///
/// # Errors
/// The reason why not.
pub fn may_enter(
    token: &Entrant,
    agreements: &[Agreement],
    admin_roles: &BTreeSet<String>,
    now: Seconds,
) -> Result<Admission, Reason> {
    if token.issued_at > now + CLOCK_SKEW {
        return Err(Reason::NotYetValid);
    }
    let transitive = !token.native;
    let Some(project_id) = &token.project_id else {
        let welcome = agreements
            .iter()
            .any(|a| a.is_live(now) && (!transitive || a.terms.transitive));
        return match (welcome, transitive) {
            (true, _) => Ok(Admission::Unscoped),
            (false, true) => Err(Reason::Transitive),
            (false, false) => Err(Reason::NoAgreement),
        };
    };
    let roles = allowed_roles(
        project_id,
        &token.roles,
        agreements,
        admin_roles,
        transitive,
        now,
    )?;
    Ok(Admission::Project {
        project_id: project_id.to_string(),
        roles,
    })
}

/// The roles here that a grant statement buys. Empty roles and no error where only the user was
/// asked about.
///
/// # Errors
/// The reason why nothing is granted.
pub fn may_keep(
    grants: &Grants,
    agreements: &[Agreement],
    admin_roles: &BTreeSet<String>,
    now: Seconds,
) -> Result<BTreeSet<String>, Reason> {
    match &grants.project {
        Some(project) => allowed_roles(
            &project.id,
            &grants.roles,
            agreements,
            admin_roles,
            false,
            now,
        ),
        None => Ok(BTreeSet::new()),
    }
}

fn allowed_roles(
    project_id: &str,
    held: &BTreeSet<String>,
    agreements: &[Agreement],
    admin_roles: &BTreeSet<String>,
    transitive: bool,
    now: Seconds,
) -> Result<BTreeSet<String>, Reason> {
    let covered: Vec<_> = covering(agreements, project_id, now).collect();
    let named: BTreeSet<&String> = covered
        .iter()
        .filter(|a| !transitive || a.terms.transitive)
        .flat_map(|a| &a.terms.roles)
        .collect();
    // The worst first: what else there is to say of an admin's token, a stranger has seen it.
    let is_admin = |role: &&String| admin_roles.contains(*role) && !named.contains(*role);
    if held.iter().any(|role| is_admin(&role)) {
        return Err(Reason::AdminRole);
    }
    if covered.is_empty() {
        return Err(Reason::NoAgreement);
    }
    if named.is_empty() {
        return Err(Reason::Transitive);
    }
    let roles: BTreeSet<String> = held
        .iter()
        .filter(|role| named.contains(role))
        .cloned()
        .collect();
    if roles.is_empty() {
        Err(Reason::NoCommonRole)
    } else {
        Ok(roles)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::agreement::tests::member;
    use crate::statement::{Named, Project};
    use crate::terms::Terms;
    use crate::terms::tests::member as terms;

    fn west() -> CloudId {
        CloudId::from_spki(b"west")
    }

    fn domain() -> Named {
        Named {
            id: "default".into(),
            name: "Default".into(),
        }
    }

    fn facts(roles: &[&str]) -> TokenFacts {
        TokenFacts {
            active: true,
            token_sha256: "00".repeat(32),
            origin: Some(west()),
            sub: "u".into(),
            username: "ann".into(),
            user_domain: domain(),
            project: Some(Project {
                id: "p".into(),
                name: "science".into(),
                domain: domain(),
            }),
            roles: roles.iter().map(|r| (*r).to_owned()).collect(),
            methods: vec!["password".into()],
            audit_ids: vec!["a".into()],
            issued_at: Timestamp::from_second(10).unwrap_or_default(),
            expires_at: Timestamp::from_second(1000).unwrap_or_default(),
        }
    }

    fn admins() -> BTreeSet<String> {
        ["admin".to_owned()].into()
    }

    fn enter(facts: &TokenFacts, agreements: &[Agreement]) -> Result<Admission, Reason> {
        may_enter(&Entrant::of(facts, &west())?, agreements, &admins(), 15)
    }

    #[test]
    fn roles_are_what_passport_and_agreement_both_allow() {
        let admission = enter(&facts(&["member", "reader"]), &[member("p")]);
        assert_eq!(
            admission,
            Ok(Admission::Project {
                project_id: "p".into(),
                roles: ["member".to_owned()].into(),
            })
        );
    }

    #[test]
    fn without_an_agreement_there_is_nothing() {
        assert_eq!(enter(&facts(&["member"]), &[]), Err(Reason::NoAgreement));
        assert_eq!(
            enter(&facts(&["member"]), &[member("q")]),
            Err(Reason::NoAgreement)
        );
        assert_eq!(
            enter(&facts(&["reader"]), &[member("p")]),
            Err(Reason::NoCommonRole)
        );
        let unscoped = TokenFacts {
            project: None,
            ..facts(&[])
        };
        assert_eq!(enter(&unscoped, &[]), Err(Reason::NoAgreement));
        assert_eq!(enter(&unscoped, &[member("q")]), Ok(Admission::Unscoped));
    }

    #[test]
    fn an_admin_at_home_is_refused_unless_the_agreement_says_admin() {
        assert_eq!(
            enter(&facts(&["admin", "member"]), &[member("p")]),
            Err(Reason::AdminRole)
        );
        assert_eq!(enter(&facts(&["admin"]), &[]), Err(Reason::AdminRole));
        let both = Agreement {
            terms: Terms {
                roles: ["admin".to_owned(), "member".to_owned()].into(),
                ..terms()
            },
            ..member("p")
        };
        assert!(enter(&facts(&["admin", "member"]), &[both]).is_ok());
    }

    #[test]
    fn guests_of_the_partner_need_a_transitive_agreement() {
        let guest = TokenFacts {
            origin: Some(CloudId::from_spki(b"north")),
            ..facts(&["member"])
        };
        let federated = TokenFacts {
            origin: None,
            ..facts(&["member"])
        };
        assert_eq!(enter(&guest, &[member("*")]), Err(Reason::Transitive));
        assert_eq!(enter(&federated, &[member("*")]), Err(Reason::Transitive));
        let transitive = Agreement {
            terms: Terms {
                transitive: true,
                ..terms()
            },
            ..member("*")
        };
        assert!(enter(&guest, &[transitive]).is_ok());
    }

    #[test]
    fn a_token_of_which_home_says_no_is_none() {
        let ended = TokenFacts {
            active: false,
            ..facts(&["member"])
        };
        assert_eq!(enter(&ended, &[member("p")]), Err(Reason::NotFound));
    }

    #[test]
    fn what_is_no_id_enters_nowhere() {
        let long = "a".repeat(65);
        let user = TokenFacts {
            sub: long.clone(),
            ..facts(&["member"])
        };
        let mut project = facts(&["member"]);
        project.project.iter_mut().for_each(|p| p.id = long.clone());
        for facts in [user, project] {
            assert_eq!(enter(&facts, &[member("*")]), Err(Reason::Malformed));
        }
    }

    #[test]
    fn a_token_from_the_future_waits() {
        let late = TokenFacts {
            issued_at: Timestamp::from_second(76).unwrap_or_default(),
            ..facts(&["member"])
        };
        assert_eq!(enter(&late, &[member("p")]), Err(Reason::NotYetValid));
    }

    #[test]
    fn narrow_and_mighty_tokens_stay_at_home() {
        let plain = HomeView {
            methods: vec!["password".into(), "token".into()],
            ..HomeView::default()
        };
        assert_eq!(may_leave(&plain), Ok(()));
        type Change = fn(&mut HomeView);
        let change: [(Change, Reason); 8] = [
            (|v| v.system_scope = true, Reason::SystemScope),
            (|v| v.domain_scope = true, Reason::DomainScope),
            (|v| v.trust = true, Reason::Trust),
            (|v| v.oauth = true, Reason::Oauth),
            (
                |v| v.application_credential = true,
                Reason::ApplicationCredential,
            ),
            (|v| v.guest = true, Reason::Transitive),
            (
                |v| v.methods.push("application_credential".into()),
                Reason::ApplicationCredential,
            ),
            (|v| v.methods.push("oauth1".into()), Reason::Oauth),
        ];
        for (apply, reason) in change {
            let mut view = plain.clone();
            apply(&mut view);
            assert_eq!(may_leave(&view), Err(reason));
        }
    }
}
