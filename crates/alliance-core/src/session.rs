//! Foreign tokens that are in use here, and which of them a change at home is about.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Seconds;
use crate::cloud::CloudId;
use crate::keystone_id;
use crate::revocation::{Revocable, RevocationEvent};
use crate::sign_out::{Change, LookAgain};
use crate::statement::TokenFacts;

/// A change is remembered for so long, for tokens that home was being asked about when it came.
/// Seconds.
const REMEMBERED_FOR: Seconds = 120;
/// And not more changes of one partner than this.
const REMEMBERED: usize = 4096;

/// What of a token decides, beside its user, project and times, whether a change at home is about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The session's id here: the audit id that our Keystone gives the token.
    pub session: String,
    /// Audit ids at home: own, and that of the chain's first token if it is another.
    pub audit_ids: Vec<String>,
    /// The user's domain at home.
    pub user_domain_id: String,
    /// The project's domain at home.
    pub project_domain_id: Option<String>,
    /// When it was issued, as exactly as home says.
    pub issued_at: Timestamp,
}

impl Origin {
    /// That of a token of `issuer`.
    pub fn of(facts: &TokenFacts, issuer: &CloudId) -> Self {
        // Keystones before Juno wrote no audit ids; such a token is ended by what else is known of it.
        let own = facts.audit_ids.first().unwrap_or(&facts.token_sha256);
        Self {
            session: keystone_id::audit_id(issuer, own),
            audit_ids: facts.audit_ids.clone(),
            user_domain_id: facts.user_domain.id.clone(),
            project_domain_id: facts.project.as_ref().map(|found| found.domain.id.clone()),
            issued_at: facts.issued_at,
        }
    }
}

/// A partner's token that was let in. What was made from it here hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the token.
    pub token: [u8; 32],
    /// The user's id at home.
    pub user_id: String,
    /// The project's id at home.
    pub project_id: Option<String>,
    /// When it expires.
    pub expires_at: Seconds,
    /// The rest.
    pub origin: Arc<Origin>,
}

static NO_ROLES: BTreeSet<String> = BTreeSet::new();

impl Session {
    /// Its id here.
    pub fn id(&self) -> &str {
        &self.origin.session
    }

    /// That of a valid token of `issuer`; `None` if what is said of it names no token.
    pub fn of(facts: &TokenFacts, issuer: &CloudId) -> Option<Self> {
        let token = HEXLOWER.decode(facts.token_sha256.as_bytes()).ok()?;
        Some(Self {
            token: token.try_into().ok()?,
            user_id: facts.sub.clone(),
            project_id: facts.project.as_ref().map(|project| project.id.clone()),
            expires_at: facts.expires_at.as_second(),
            origin: Arc::new(Origin::of(facts, issuer)),
        })
    }

    fn is_ended_by(&self, event: &RevocationEvent) -> bool {
        event.is_about(&Revocable {
            user_id: &self.user_id,
            user_domain_id: Some(&self.origin.user_domain_id),
            project_id: self.project_id.as_deref(),
            project_domain_id: self.origin.project_domain_id.as_deref(),
            role_ids: &NO_ROLES,
            audit_ids: &self.origin.audit_ids,
            issued_at: self.origin.issued_at,
            expires_at: Timestamp::from_second(self.expires_at).unwrap_or(Timestamp::MAX),
        })
    }

    fn is_meant_by(&self, look: &LookAgain) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let domains = [
            Some(self.origin.user_domain_id.as_str()),
            self.origin.project_domain_id.as_deref(),
        ];
        is(&look.user_id, Some(&self.user_id))
            && is(&look.project_id, self.project_id.as_deref())
            && look
                .domain_id
                .as_deref()
                .is_none_or(|id| domains.contains(&Some(id)))
    }
}

/// What a change at home means here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Sessions that have ended.
    pub ended: Vec<Arc<Session>>,
    /// Sessions about which home must be asked again.
    pub doubtful: Vec<Arc<Session>>,
}

impl Effect {
    /// Whether nothing here is concerned.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.doubtful.is_empty()
    }
}

/// The sessions of one partner's users, found by what changes name.
#[derive(Debug, Default)]
pub struct Sessions {
    all: HashMap<[u8; 32], Arc<Session>>,
    by_audit_id: HashMap<String, Vec<Arc<Session>>>,
    by_user: HashMap<String, Vec<Arc<Session>>>,
    recent: VecDeque<(Seconds, RevocationEvent)>,
    /// When the latest of the recent changes happened that there was no room for, by home's clock.
    forgotten: Option<Seconds>,
}

impl Sessions {
    /// Takes one in. Returns whether a change that came lately has ended it: home may have been asked
    /// about it just before.
    pub fn begin(&mut self, session: Session, now: Seconds) -> bool {
        self.forget_changes(now);
        let is_ended = self
            .recent
            .iter()
            .any(|(_, event)| session.is_ended_by(event));
        if self.all.contains_key(&session.token) {
            return is_ended;
        }
        let session = Arc::new(session);
        for id in &session.origin.audit_ids {
            let place = self.by_audit_id.entry(id.clone()).or_default();
            place.push(Arc::clone(&session));
        }
        let place = self.by_user.entry(session.user_id.clone()).or_default();
        place.push(Arc::clone(&session));
        self.all.insert(session.token, session);
        is_ended
    }

    /// What changes mean for those that are here, and for those that begin a moment later.
    pub fn apply(&mut self, changes: &[Change], now: Seconds) -> Effect {
        let mut ended = HashMap::new();
        let mut doubtful = HashMap::new();
        for change in changes {
            match change {
                Change::Revoked(event) => {
                    let (found, of) = if event.role_id.is_some() {
                        // Which roles a token has is known here by name only.
                        let whoever = RevocationEvent {
                            role_id: None,
                            ..event.clone()
                        };
                        (self.ended_by(&whoever), &mut doubtful)
                    } else {
                        self.recent.push_back((now, event.clone()));
                        (self.ended_by(event), &mut ended)
                    };
                    of.extend(found.into_iter().map(|session| (session.token, session)));
                }
                Change::LookAgain(look) => {
                    let found = self.meant_by(look);
                    doubtful.extend(found.into_iter().map(|session| (session.token, session)));
                }
            }
        }
        self.forget_changes(now);
        doubtful.retain(|token, _| !ended.contains_key(token));
        Effect {
            ended: ended.into_values().collect(),
            doubtful: doubtful.into_values().collect(),
        }
    }

    /// That of a token, by its SHA-256.
    pub fn get(&self, token: &[u8; 32]) -> Option<&Arc<Session>> {
        self.all.get(token)
    }

    /// Those of a user, by its id at home.
    pub fn of_user(&self, user_id: &str) -> impl Iterator<Item = &Arc<Session>> {
        self.by_user.get(user_id).into_iter().flatten()
    }

    /// All that are here.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.all.values()
    }

    /// Forgets that of a token, by its SHA-256.
    pub fn forget(&mut self, token: &[u8; 32]) {
        let Some(session) = self.all.remove(token) else {
            return;
        };
        let is_other = |other: &Arc<Session>| other.token != *token;
        for id in &session.origin.audit_ids {
            if let Some(place) = self.by_audit_id.get_mut(id) {
                place.retain(is_other);
                if place.is_empty() {
                    self.by_audit_id.remove(id);
                }
            }
        }
        if let Some(place) = self.by_user.get_mut(&session.user_id) {
            place.retain(is_other);
            if place.is_empty() {
                self.by_user.remove(&session.user_id);
            }
        }
    }

    /// Forgets those that have expired.
    pub fn forget_expired(&mut self, now: Seconds) {
        let is_live = |session: &Arc<Session>| session.expires_at > now;
        self.all.retain(|_, session| is_live(session));
        for index in [&mut self.by_audit_id, &mut self.by_user] {
            index.retain(|_, sessions| {
                sessions.retain(is_live);
                !sessions.is_empty()
            });
        }
    }

    /// Until when, by home's clock, something may have ended that is not remembered: there was no
    /// room.
    pub fn forgotten(&self) -> Option<Seconds> {
        self.forgotten
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn ended_by(&self, event: &RevocationEvent) -> Vec<Arc<Session>> {
        let (index, key) = match (&event.audit_id, &event.audit_chain_id, &event.user_id) {
            (Some(id), _, _) | (None, Some(id), _) => (&self.by_audit_id, id),
            (None, None, Some(id)) => (&self.by_user, id),
            (None, None, None) => return self.all_that(|session| session.is_ended_by(event)),
        };
        let found = index.get(key).into_iter().flatten();
        found
            .filter(|session| session.is_ended_by(event))
            .cloned()
            .collect()
    }

    fn meant_by(&self, look: &LookAgain) -> Vec<Arc<Session>> {
        let Some(user_id) = &look.user_id else {
            return self.all_that(|session| session.is_meant_by(look));
        };
        self.of_user(user_id)
            .filter(|session| session.is_meant_by(look))
            .cloned()
            .collect()
    }

    fn all_that(&self, is_meant: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let all = self.all.values();
        all.filter(|session| is_meant(session)).cloned().collect()
    }

    fn forget_changes(&mut self, now: Seconds) {
        let surplus = self.recent.len().saturating_sub(REMEMBERED);
        let surplus = self.recent.drain(..surplus);
        let latest = surplus
            .map(|(_, event)| event.issued_before.as_second())
            .max();
        self.forgotten = self.forgotten.max(latest);
        while let Some((at, _)) = self.recent.front()
            && now - at > REMEMBERED_FOR
        {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    /// `own` is its audit id, and its session's id too.
    fn session(number: u8, own: &str, chain: Option<&str>, issued_at: i64) -> Session {
        Session {
            token: [number; 32],
            user_id: "ann".into(),
            project_id: Some("science".into()),
            expires_at: 3600,
            origin: Arc::new(Origin {
                session: own.into(),
                audit_ids: std::iter::once(own)
                    .chain(chain)
                    .map(str::to_owned)
                    .collect(),
                user_domain_id: "people".into(),
                project_domain_id: Some("labs".into()),
                issued_at: at(issued_at),
            }),
        }
    }

    fn event() -> RevocationEvent {
        RevocationEvent {
            issued_before: at(100),
            ..RevocationEvent::default()
        }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn three() -> Sessions {
        let mut sessions = Sessions::default();
        assert!(!sessions.begin(session(1, "one", None, 50), 60));
        assert!(!sessions.begin(session(2, "two", Some("one"), 55), 60));
        assert!(!sessions.begin(session(3, "three", None, 200), 200));
        sessions
    }

    fn ids(sessions: &[Arc<Session>]) -> Vec<&str> {
        let mut ids: Vec<_> = sessions.iter().map(|session| session.id()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn what_is_forgotten_is_in_no_index() {
        let mut sessions = three();
        sessions.forget(&[2; 32]);
        sessions.forget(&[2; 32]);
        assert_eq!((sessions.len(), sessions.by_audit_id.len()), (2, 2));
        assert_eq!(sessions.of_user("ann").count(), 2);
        sessions.forget(&[1; 32]);
        sessions.forget(&[3; 32]);
        assert!(sessions.is_empty() && sessions.by_audit_id.is_empty());
        assert!(sessions.by_user.is_empty());
    }

    #[test]
    fn an_event_ends_those_that_it_is_about_and_no_other() {
        let e = event;
        #[rustfmt::skip]
        let events: Vec<(RevocationEvent, &[&str])> = vec![
            (RevocationEvent { audit_id: some("one"), ..e() }, &["one"]),
            (RevocationEvent { audit_id: some("two"), ..e() }, &["two"]),
            (RevocationEvent { audit_chain_id: some("one"), ..e() }, &["one", "two"]),
            (RevocationEvent { audit_chain_id: some("three"), ..e() }, &[]),
            (RevocationEvent { user_id: some("ann"), ..e() }, &["one", "two"]),
            (RevocationEvent { user_id: some("ann"), issued_before: at(300), ..e() }, &["one", "three", "two"]),
            (RevocationEvent { user_id: some("bob"), ..e() }, &[]),
            (RevocationEvent { user_id: some("ann"), project_id: some("bio"), ..e() }, &[]),
            (RevocationEvent { project_id: some("science"), ..e() }, &["one", "two"]),
            (RevocationEvent { domain_id: some("people"), ..e() }, &["one", "two"]),
            (RevocationEvent { domain_id: some("labs"), ..e() }, &["one", "two"]),
            (RevocationEvent { domain_id: some("other"), ..e() }, &[]),
            (RevocationEvent { trust_id: some("t"), ..e() }, &[]),
        ];
        for (event, expected) in events {
            let effect = three().apply(&[Change::Revoked(event.clone())], 210);
            assert_eq!(ids(&effect.ended), expected, "{event:?}");
            assert!(effect.doubtful.is_empty(), "{event:?}");
        }
    }

    #[test]
    fn what_may_concern_a_session_puts_it_in_doubt() {
        let look = |user: Option<&str>, project: Option<&str>, domain: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            Change::LookAgain(LookAgain {
                user_id: owned(user),
                project_id: owned(project),
                domain_id: owned(domain),
            })
        };
        let role = Change::Revoked(RevocationEvent {
            role_id: some("member"),
            user_id: some("ann"),
            ..event()
        });
        let all: &[&str] = &["one", "three", "two"];
        for (change, expected) in [
            (look(Some("ann"), None, None), all),
            (look(Some("ann"), Some("science"), None), all),
            (look(Some("ann"), Some("bio"), None), &[]),
            (look(Some("bob"), None, None), &[]),
            (look(None, Some("science"), None), all),
            (look(None, None, Some("labs")), all),
            (look(None, None, Some("other")), &[]),
            (role, &["one", "two"]),
        ] {
            let effect = three().apply(std::slice::from_ref(&change), 210);
            assert_eq!(ids(&effect.doubtful), expected, "{change:?}");
            assert!(effect.ended.is_empty(), "{change:?}");
        }
    }

    #[test]
    fn who_has_ended_is_not_in_doubt_too() {
        let changes = [
            Change::LookAgain(LookAgain {
                user_id: some("ann"),
                project_id: None,
                domain_id: None,
            }),
            Change::Revoked(RevocationEvent {
                audit_id: some("one"),
                ..event()
            }),
        ];
        let effect = three().apply(&changes, 210);
        assert_eq!(ids(&effect.ended), ["one"]);
        assert_eq!(ids(&effect.doubtful), ["three", "two"]);
    }

    #[test]
    fn a_token_that_was_asked_about_when_the_event_came_is_ended_by_it() {
        let mut sessions = Sessions::default();
        let event = RevocationEvent {
            audit_id: some("late"),
            ..event()
        };
        assert!(sessions.apply(&[Change::Revoked(event)], 100).is_empty());
        assert!(sessions.begin(session(9, "late", None, 50), 101));
        assert!(!sessions.begin(session(8, "other", None, 50), 101));
        let later = 101 + REMEMBERED_FOR;
        assert!(!sessions.begin(session(7, "late", None, 50), later));
    }

    #[test]
    fn a_flood_of_events_fills_no_memory() {
        let mut sessions = three();
        let flood: Vec<_> = (0..3 * REMEMBERED)
            .map(|number| {
                Change::Revoked(RevocationEvent {
                    audit_id: Some(number.to_string()),
                    ..event()
                })
            })
            .collect();
        assert!(sessions.apply(&flood, 100).is_empty());
        assert!(sessions.recent.len() <= REMEMBERED);
    }

    #[test]
    fn what_has_expired_is_forgotten() {
        let mut sessions = three();
        sessions.forget_expired(3599);
        assert_eq!(sessions.len(), 3);
        sessions.forget_expired(3600);
        assert!(
            sessions.is_empty() && sessions.by_user.is_empty() && sessions.by_audit_id.is_empty()
        );
    }
}
