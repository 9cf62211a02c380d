//! Which tokens their home has ended before their time: Keystone's revocation events, and whether
//! one of them is about a token.

use std::collections::{BTreeSet, HashMap};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Seconds;
use crate::cloud::CloudId;
use crate::statement::said_to_one;

/// Longer lists are not told; the tokens are asked about then.
pub const MAX_LISTED: usize = 20_000;

/// One of Keystone's revocation events (`/v3/OS-REVOKE/events`). What is `None` matches anything;
/// each of the others must be the token's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RevocationEvent {
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// A role that the token carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// The user's domain or the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_id: Option<String>,
    /// The domain that the token is scoped to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_scope_id: Option<String>,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The token's own audit id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<String>,
    /// The audit id of the first token of its chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_chain_id: Option<String>,
    /// The trust that it was made from.
    #[serde(
        default,
        rename = "OS-TRUST:trust_id",
        skip_serializing_if = "Option::is_none"
    )]
    pub trust_id: Option<String>,
    /// The OAuth 1 consumer that it was made for.
    #[serde(
        default,
        rename = "OS-OAUTH1:consumer_id",
        skip_serializing_if = "Option::is_none"
    )]
    pub consumer_id: Option<String>,
    /// The OAuth 1 access token that it was made from.
    #[serde(
        default,
        rename = "OS-OAUTH1:access_token_id",
        skip_serializing_if = "Option::is_none"
    )]
    pub access_token_id: Option<String>,
    /// When the token expires, to the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Tokens issued at or before this time.
    pub issued_before: Timestamp,
}

/// What an event is compared with. Tokens of trusts and of OAuth never cross a border, so that an
/// event about one of those is never about a token here.
#[derive(Debug, Clone, Copy)]
pub struct Revocable<'a, Id = String> {
    /// The user's id.
    pub user_id: &'a str,
    /// The user's domain, where the token or a statement tells.
    pub user_domain_id: Option<&'a str>,
    /// The project's id.
    pub project_id: Option<&'a str>,
    /// The project's domain, where the token or a statement tells.
    pub project_domain_id: Option<&'a str>,
    /// Ids of the roles in the token.
    pub role_ids: &'a BTreeSet<String>,
    /// Own audit id, and that of the chain's first token if it is another.
    pub audit_ids: &'a [Id],
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}

impl RevocationEvent {
    /// Keystone writes events to the second, and PKI tokens to the microsecond. An event about one
    /// session can end no other, so that a second decides; after a new password, a login in the same
    /// second counts.
    fn is_late_enough(&self, issued_at: Timestamp) -> bool {
        if self.audit_id.is_some() || self.audit_chain_id.is_some() {
            self.issued_before.as_second() >= issued_at.as_second()
        } else {
            self.issued_before >= issued_at
        }
    }

    /// Whether it ends `token` (`keystone/models/revoke_model.py`, `matches`).
    pub fn is_about<Id: AsRef<str>>(&self, token: &Revocable<'_, Id>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let in_a_domain = |id: &String| {
            let domains = [token.user_domain_id, token.project_domain_id];
            domains.contains(&Some(id.as_str()))
        };
        self.trust_id.is_none()
            && self.consumer_id.is_none()
            && self.access_token_id.is_none()
            && self.domain_scope_id.is_none()
            && self.is_late_enough(token.issued_at)
            && self
                .expires_at
                .is_none_or(|at| at.as_second() == token.expires_at.as_second())
            && is(&self.user_id, Some(token.user_id))
            && is(&self.project_id, token.project_id)
            && is(&self.audit_id, token.audit_ids.first().map(Id::as_ref))
            && self
                .audit_chain_id
                .as_ref()
                .is_none_or(|id| token.audit_ids.iter().any(|found| found.as_ref() == id))
            && self.domain_id.as_ref().is_none_or(in_a_domain)
            && self
                .role_id
                .as_ref()
                .is_none_or(|id| token.role_ids.contains(id))
    }
}

/// Home's word about which of its tokens have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationList {
    /// Home.
    pub iss: CloudId,
    /// The host that asked.
    pub aud: CloudId,
    /// When home looked, seconds.
    pub iat: Seconds,
    /// Lowercase hex SHA-256 of what is listed.
    pub digest: String,
    /// What is listed; `None` if the host has it already, by its digest.
    pub listed: Option<Revoked>,
}

/// What a [`RevocationList`] lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Keystone's events.
    pub events: Vec<RevocationEvent>,
    /// Home's domains whose users are guests there: their tokens are not home's own.
    #[serde(default)]
    pub guest_domains: BTreeSet<String>,
    /// Home's projects that are disabled: Keystone stores no event for that.
    #[serde(default)]
    pub disabled_projects: BTreeSet<String>,
    /// Home's domains that are disabled: no token of their users, or for their projects, counts.
    #[serde(default)]
    pub disabled_domains: BTreeSet<String>,
}

impl Revoked {
    /// How many things are listed: events and disabled projects and domains.
    pub fn len(&self) -> usize {
        self.events.len() + self.disabled_projects.len() + self.disabled_domains.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

said_to_one!(RevocationList, "alliance-revocations+jwt", at most 12 << 20);

/// [`Revoked`], arranged so that a token is compared with few events however many there are.
#[derive(Debug, Default)]
pub struct Revocations {
    /// Nearly all, in order.
    plain: Box<[PlainEvent]>,
    by_audit_id: HashMap<String, Vec<RevocationEvent>>,
    by_user: HashMap<String, Vec<RevocationEvent>>,
    other: Vec<RevocationEvent>,
    guest_domains: BTreeSet<String>,
    disabled_projects: BTreeSet<String>,
    disabled_domains: BTreeSet<String>,
}

impl From<Revoked> for Revocations {
    fn from(revoked: Revoked) -> Self {
        let mut arranged = Self {
            guest_domains: revoked.guest_domains,
            disabled_projects: revoked.disabled_projects,
            disabled_domains: revoked.disabled_domains,
            ..Self::default()
        };
        let mut plain = Vec::new();
        for event in revoked.events {
            if let Some(event) = PlainEvent::of(&event) {
                plain.push(event);
                continue;
            }
            let place = match (&event.audit_id, &event.audit_chain_id, &event.user_id) {
                (Some(id), _, _) | (None, Some(id), _) => {
                    arranged.by_audit_id.entry(id.clone()).or_default()
                }
                (None, None, Some(id)) => arranged.by_user.entry(id.clone()).or_default(),
                (None, None, None) => &mut arranged.other,
            };
            place.push(event);
        }
        plain.sort_unstable();
        arranged.plain = plain.into();
        arranged
    }
}

/// An event about one session or one user and nothing else, as a logout and a new password leave it;
/// its id is 16 bytes, as Keystone makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PlainEvent {
    about: About,
    id: [u8; 16],
    issued_before: Seconds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Own,
    Chain,
    User,
}

impl PlainEvent {
    fn of(event: &RevocationEvent) -> Option<Self> {
        let (about, id) = match (&event.audit_id, &event.audit_chain_id, &event.user_id) {
            (Some(id), None, None) => (About::Own, audit_id_bytes(id)?),
            (None, Some(id), None) => (About::Chain, audit_id_bytes(id)?),
            (None, None, Some(id)) => (About::User, user_id_bytes(id)?),
            _ => return None,
        };
        let nothing_else = RevocationEvent {
            audit_id: event.audit_id.clone(),
            audit_chain_id: event.audit_chain_id.clone(),
            user_id: event.user_id.clone(),
            issued_before: event.issued_before,
            ..RevocationEvent::default()
        };
        let is_plain = *event == nothing_else && event.issued_before.subsec_nanosecond() == 0;
        is_plain.then_some(Self {
            about,
            id,
            issued_before: event.issued_before.as_second(),
        })
    }

    /// By the rule of [`RevocationEvent::is_late_enough`].
    fn is_late_enough(&self, issued_at: Timestamp) -> bool {
        let second = issued_at.as_second();
        match self.about {
            About::Own | About::Chain => self.issued_before >= second,
            About::User if issued_at.subsec_nanosecond() > 0 => self.issued_before > second,
            About::User => self.issued_before >= second,
        }
    }
}

fn audit_id_bytes(id: &str) -> Option<[u8; 16]> {
    BASE64URL_NOPAD.decode(id.as_bytes()).ok()?.try_into().ok()
}

fn user_id_bytes(id: &str) -> Option<[u8; 16]> {
    HEXLOWER.decode(id.as_bytes()).ok()?.try_into().ok()
}

impl Revocations {
    /// Whether an event ends `token`, or its project or a domain of its is disabled.
    pub fn ends(&self, token: &Revocable<'_>) -> bool {
        let domains = [token.user_domain_id, token.project_domain_id];
        let is_disabled = token
            .project_id
            .is_some_and(|id| self.disabled_projects.contains(id))
            || domains
                .into_iter()
                .flatten()
                .any(|id| self.disabled_domains.contains(id));
        if is_disabled {
            return true;
        }
        if self.is_plainly_ended(token) {
            return true;
        }
        let by_audit_id = token
            .audit_ids
            .iter()
            .filter_map(|id| self.by_audit_id.get(id))
            .flatten();
        let by_user = self.by_user.get(token.user_id).into_iter().flatten();
        by_audit_id
            .chain(by_user)
            .chain(&self.other)
            .any(|event| event.is_about(token))
    }

    fn is_plainly_ended(&self, token: &Revocable<'_>) -> bool {
        let own = token.audit_ids.first().map(|id| (About::Own, id));
        let chain = token.audit_ids.iter().map(|id| (About::Chain, id));
        let by_audit_id = own.into_iter().chain(chain);
        let by_audit_id = by_audit_id.filter_map(|(about, id)| Some((about, audit_id_bytes(id)?)));
        let by_user = user_id_bytes(token.user_id).map(|id| (About::User, id));
        by_audit_id.chain(by_user).any(|about| {
            // The last of those about it is the latest.
            let end = self
                .plain
                .partition_point(|event| (event.about, event.id) <= about);
            let last = end.checked_sub(1).and_then(|last| self.plain.get(last));
            last.is_some_and(|event| {
                (event.about, event.id) == about && event.is_late_enough(token.issued_at)
            })
        })
    }

    /// Whether users of this domain are guests at home.
    pub fn is_guest_domain(&self, domain_id: &str) -> bool {
        self.guest_domains.contains(domain_id)
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        let indexed = self.by_audit_id.values().chain(self.by_user.values());
        indexed.map(Vec::len).sum::<usize>() + self.other.len() + self.plain.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    fn event() -> RevocationEvent {
        RevocationEvent {
            issued_before: at(100),
            ..RevocationEvent::default()
        }
    }

    struct Ours {
        roles: BTreeSet<String>,
        audit_ids: Vec<String>,
    }

    fn ours() -> Ours {
        Ours {
            roles: ["member-id".to_owned()].into(),
            audit_ids: vec!["own".to_owned(), "root".to_owned()],
        }
    }

    fn token(ours: &Ours) -> Revocable<'_> {
        Revocable {
            user_id: "ann",
            user_domain_id: Some("default"),
            project_id: Some("science"),
            project_domain_id: Some("labs"),
            role_ids: &ours.roles,
            audit_ids: &ours.audit_ids,
            issued_at: at(50),
            expires_at: at(3650),
        }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn events() -> Vec<(RevocationEvent, bool)> {
        let e = event;
        #[rustfmt::skip]
        let events = vec![
            (RevocationEvent { user_id: some("ann"), ..e() }, true),
            (RevocationEvent { user_id: some("bob"), ..e() }, false),
            (RevocationEvent { audit_id: some("own"), ..e() }, true),
            (RevocationEvent { audit_id: some("root"), ..e() }, false),
            (RevocationEvent { audit_chain_id: some("root"), ..e() }, true),
            (RevocationEvent { audit_chain_id: some("own"), ..e() }, true),
            (RevocationEvent { audit_chain_id: some("other"), ..e() }, false),
            (RevocationEvent { project_id: some("science"), ..e() }, true),
            (RevocationEvent { project_id: some("bio"), ..e() }, false),
            (RevocationEvent { domain_id: some("default"), ..e() }, true),
            (RevocationEvent { domain_id: some("labs"), ..e() }, true),
            (RevocationEvent { domain_id: some("other"), ..e() }, false),
            (RevocationEvent { domain_scope_id: some("default"), ..e() }, false),
            (RevocationEvent { role_id: some("member-id"), ..e() }, true),
            (RevocationEvent { role_id: some("admin-id"), ..e() }, false),
            (RevocationEvent { trust_id: some("t"), ..e() }, false),
            (RevocationEvent { consumer_id: some("c"), ..e() }, false),
            (RevocationEvent { access_token_id: some("a"), ..e() }, false),
            (RevocationEvent { expires_at: Some(at(3650)), user_id: some("ann"), ..e() }, true),
            (RevocationEvent { expires_at: Some(at(3651)), user_id: some("ann"), ..e() }, false),
            (RevocationEvent { user_id: some("ann"), issued_before: at(50), ..e() }, true),
            (RevocationEvent { user_id: some("ann"), issued_before: at(49), ..e() }, false),
            (RevocationEvent { user_id: some("ann"), project_id: some("bio"), ..e() }, false),
            (RevocationEvent { user_id: some("ann"), role_id: some("member-id"), project_id: some("science"), ..e() }, true),
        ];
        events
    }

    #[test]
    fn an_event_is_about_the_tokens_that_have_all_it_names() {
        let ours = ours();
        for (event, about) in events() {
            assert_eq!(event.is_about(&token(&ours)), about, "{event:?}");
        }
    }

    #[test]
    fn arranging_changes_no_answer() {
        let ours = ours();
        for (event, about) in events() {
            let noise = events().into_iter().filter(|(_, about)| !about);
            let events: Vec<_> = noise
                .map(|(event, _)| event)
                .chain([event.clone()])
                .collect();
            let arranged = Revocations::from(Revoked {
                events: events.clone(),
                ..Revoked::default()
            });
            assert_eq!(arranged.len(), events.len());
            assert_eq!(arranged.ends(&token(&ours)), about, "{event:?}");
        }
    }

    #[test]
    fn a_logout_in_the_second_of_the_login_is_one() {
        let ours = ours();
        let later = at(100) + jiff::SignedDuration::from_millis(300);
        let token = Revocable {
            issued_at: later,
            ..token(&ours)
        };
        let logout = RevocationEvent {
            audit_id: some("own"),
            ..event()
        };
        assert!(logout.is_about(&token));
        let new_password = RevocationEvent {
            user_id: some("ann"),
            ..event()
        };
        assert!(!new_password.is_about(&token));
    }

    #[test]
    fn what_is_disabled_ends_all_tokens_in_it() {
        let ours = ours();
        let set = |id: &str| BTreeSet::from([id.to_owned()]);
        for (projects, domains, ended) in [
            (set("science"), BTreeSet::new(), true),
            (set("bio"), BTreeSet::new(), false),
            (BTreeSet::new(), set("default"), true),
            (BTreeSet::new(), set("labs"), true),
            (BTreeSet::new(), set("other"), false),
        ] {
            let arranged = Revocations::from(Revoked {
                disabled_projects: projects.clone(),
                disabled_domains: domains.clone(),
                ..Revoked::default()
            });
            assert_eq!(
                arranged.ends(&token(&ours)),
                ended,
                "{projects:?} {domains:?}"
            );
        }
    }

    #[test]
    fn keystones_own_words_are_read() {
        let event: Result<RevocationEvent, _> = serde_json::from_str(
            r#"{"audit_id": "VcxU2JYqT8OzfUVvrjEITQ", "OS-TRUST:trust_id": "t",
                "expires_at": "2026-11-25T03:00:00Z",
                "issued_before": "2026-11-25T01:00:00.000000Z",
                "revoked_at": "2026-11-25T01:00:00.000000Z", "of a newer Keystone": 1}"#,
        );
        let event = event.map_err(|error| error.to_string());
        assert!(event.is_ok_and(|event| event.trust_id == some("t") && event.expires_at.is_some()),);
    }

    /// Ids as Keystone makes them, and others.
    fn ids(plain: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
        prop_oneof![
            Just(None),
            proptest::sample::select(plain).prop_map(|id| Some(id.to_owned())),
        ]
    }

    const AUDIT_IDS: &[&str] = &["VcxU2JYqT8OzfUVvrjEITQ", "AAAAAAAAAAAAAAAAAAAAAA", "own"];
    const USER_IDS: &[&str] = &["0123456789abcdef0123456789abcdef", "ann"];

    proptest! {
        #[test]
        fn however_it_is_arranged_the_events_decide(
            events in proptest::collection::vec(
                (ids(AUDIT_IDS), ids(AUDIT_IDS), ids(USER_IDS), ids(&["science"]), 90i64..110, 0i32..3),
                0..8,
            ),
            user_id in proptest::sample::select(USER_IDS),
            audit_ids in proptest::collection::vec(proptest::sample::select(AUDIT_IDS), 1..3),
            issued in (90i64..110, 0i32..2),
        ) {
            let half = |(second, part): (i64, i32)| {
                Timestamp::new(second, part * 500_000_000).unwrap_or_default()
            };
            let events: Vec<_> = events
                .into_iter()
                .map(|(audit_id, audit_chain_id, user_id, project_id, second, part)| {
                    RevocationEvent {
                        audit_id,
                        audit_chain_id,
                        user_id,
                        project_id,
                        issued_before: half((second, part % 2)),
                        ..RevocationEvent::default()
                    }
                })
                .collect();
            let ours = Ours {
                audit_ids: audit_ids.into_iter().map(str::to_owned).collect(),
                ..ours()
            };
            let token = Revocable { user_id, issued_at: half(issued), ..token(&ours) };
            let expected = events.iter().any(|event| event.is_about(&token));
            let count = events.len();
            let arranged = Revocations::from(Revoked { events, ..Revoked::default() });
            prop_assert_eq!(arranged.ends(&token), expected);
            prop_assert_eq!(arranged.len(), count);
        }

        #[test]
        fn an_event_without_a_bound_but_time_ends_everything_older(issued in 0i64..200) {
            let ours = ours();
            let token = Revocable { issued_at: at(issued), ..token(&ours) };
            let arranged = Revocations::from(Revoked { events: vec![event()], ..Revoked::default() });
            prop_assert_eq!(arranged.ends(&token), issued <= 100);
        }
    }
}
