//! Foreign tokens that are in use here, and which of them a change at home is about.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use compact_str::CompactString;
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
    pub session: CompactString,
    /// Audit ids at home: own, and that of the chain's first token if it is another.
    pub audit_ids: Box<[CompactString]>,
    /// The user's domain at home.
    pub user_domain_id: Arc<str>,
    /// The project's domain at home.
    pub project_domain_id: Option<Arc<str>>,
    /// When it was issued, as exactly as home says.
    pub issued_at: Timestamp,
}

impl Origin {
    /// That of a token of `issuer`.
    pub fn of(facts: &TokenFacts, issuer: &CloudId) -> Self {
        // Keystones before Juno wrote no audit ids; such a token is ended by what else is known of it.
        let own = facts.audit_ids.first().unwrap_or(&facts.token_sha256);
        let project = facts.project.as_ref();
        Self {
            session: keystone_id::audit_id(issuer, own).into(),
            audit_ids: facts.audit_ids.iter().map(CompactString::from).collect(),
            user_domain_id: facts.user_domain.id.as_str().into(),
            project_domain_id: project.map(|found| found.domain.id.as_str().into()),
            issued_at: facts.issued_at,
        }
    }
}

/// A partner's token that was let in. What was made from it here hangs on it. There may be a million.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the token.
    pub token: [u8; 32],
    /// The user's id at home.
    pub user_id: Arc<str>,
    /// The project's id at home.
    pub project_id: Option<Arc<str>>,
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
            user_id: facts.sub.as_str().into(),
            project_id: facts.project.as_ref().map(|found| found.id.as_str().into()),
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
            Some(&*self.origin.user_domain_id),
            self.origin.project_domain_id.as_deref(),
        ];
        is(&look.user_id, Some(&self.user_id))
            && is(&look.project_id, self.project_id.as_deref())
            && look
                .domain_id
                .as_deref()
                .is_none_or(|id| domains.contains(&Some(id)))
    }

    /// Keeps what another session of the user's says too only once.
    fn share(&mut self, other: &Self) {
        let share = |own: &mut Arc<str>, others: &Arc<str>| {
            if *own == *others {
                *own = Arc::clone(others);
            }
        };
        share(&mut self.user_id, &other.user_id);
        if let (Some(own), Some(others)) = (&mut self.project_id, &other.project_id) {
            share(own, others);
        }
        let (origin, others) = (Arc::make_mut(&mut self.origin), &other.origin);
        share(&mut origin.user_domain_id, &others.user_domain_id);
        if let (Some(own), Some(others)) =
            (&mut origin.project_domain_id, &others.project_domain_id)
        {
            share(own, others);
        }
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

/// A session in a set of those that have different tokens.
#[derive(Debug)]
struct ByToken(Arc<Session>);

impl Borrow<[u8; 32]> for ByToken {
    fn borrow(&self) -> &[u8; 32] {
        &self.0.token
    }
}

impl Hash for ByToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.token.hash(state);
    }
}

impl PartialEq for ByToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.token == other.0.token
    }
}

impl Eq for ByToken {}

/// One of the names that changes call a session by.
#[derive(Debug, Clone, Copy)]
enum Name {
    User,
    /// Which of its audit ids.
    AuditId(usize),
}

impl Name {
    fn of(self, session: &Session) -> &str {
        match self {
            Self::User => &session.user_id,
            Self::AuditId(nth) => session.origin.audit_ids.get(nth).map_or("", |id| id),
        }
    }
}

/// A session in a set of those that are called differently.
#[derive(Debug)]
struct Called {
    session: Arc<Session>,
    name: Name,
}

impl Borrow<str> for Called {
    fn borrow(&self) -> &str {
        self.name.of(&self.session)
    }
}

impl Hash for Called {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let name: &str = self.borrow();
        name.hash(state);
    }
}

impl PartialEq for Called {
    fn eq(&self, other: &Self) -> bool {
        let (name, others): (&str, &str) = (self.borrow(), other.borrow());
        name == others
    }
}

impl Eq for Called {}

/// Sessions by what they are called. Most are called so alone, and take no room for a name of their own.
#[derive(Debug, Default)]
struct Index {
    first: HashSet<Called>,
    /// Others that are called like one of those.
    more: HashMap<Box<str>, Vec<Arc<Session>>>,
}

impl Index {
    fn add(&mut self, session: &Arc<Session>, name: Name) {
        let called = name.of(session);
        if !self.first.contains(called) {
            let session = Arc::clone(session);
            self.first.insert(Called { session, name });
        } else if let Some(place) = self.more.get_mut(called) {
            place.push(Arc::clone(session));
        } else {
            self.more.insert(called.into(), vec![Arc::clone(session)]);
        }
    }

    fn get(&self, name: &str) -> impl Iterator<Item = &Arc<Session>> {
        let first = self.first.get(name).map(|called| &called.session);
        first
            .into_iter()
            .chain(self.more.get(name).into_iter().flatten())
    }

    fn remove(&mut self, session: &Session, name: &str) {
        let is_it = |other: &Arc<Session>| other.token == session.token;
        if self
            .first
            .get(name)
            .is_some_and(|first| is_it(&first.session))
        {
            self.first.remove(name);
        }
        if let Some(place) = self.more.get_mut(name) {
            place.retain(|other| !is_it(other));
            if place.is_empty() {
                self.more.remove(name);
            }
        }
    }

    fn retain(&mut self, is_wanted: impl Fn(&Session) -> bool) {
        self.first.retain(|called| is_wanted(&called.session));
        self.more.retain(|_, sessions| {
            sessions.retain(|session| is_wanted(session));
            !sessions.is_empty()
        });
    }
}

/// The sessions of one partner's users, found by what changes name.
#[derive(Debug, Default)]
pub struct Sessions {
    all: HashSet<ByToken>,
    by_audit_id: Index,
    by_user: Index,
    recent: VecDeque<(Seconds, RevocationEvent)>,
    /// When the latest of the recent changes happened that there was no room for, by home's clock.
    forgotten: Option<Seconds>,
}

impl Sessions {
    /// Takes one in. Returns whether a change that came lately has ended it: home may have been asked
    /// about it just before.
    pub fn begin(&mut self, mut session: Session, now: Seconds) -> bool {
        self.forget_changes(now);
        let is_ended = self
            .recent
            .iter()
            .any(|(_, event)| session.is_ended_by(event));
        if self.all.contains(&session.token) {
            return is_ended;
        }
        let other = self.by_user.get(&session.user_id).next().cloned();
        if let Some(other) = other {
            session.share(&other);
        }
        let session = Arc::new(session);
        for nth in 0..session.origin.audit_ids.len() {
            self.by_audit_id.add(&session, Name::AuditId(nth));
        }
        self.by_user.add(&session, Name::User);
        self.all.insert(ByToken(session));
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
        self.all.get(token).map(|found| &found.0)
    }

    /// Those of a user, by its id at home.
    pub fn of_user(&self, user_id: &str) -> impl Iterator<Item = &Arc<Session>> {
        self.by_user.get(user_id)
    }

    /// All that are here.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.all.iter().map(|found| &found.0)
    }

    /// Forgets that of a token, by its SHA-256.
    pub fn forget(&mut self, token: &[u8; 32]) {
        let Some(ByToken(session)) = self.all.take(token) else {
            return;
        };
        for id in &session.origin.audit_ids {
            self.by_audit_id.remove(&session, id);
        }
        self.by_user.remove(&session, &session.user_id);
    }

    /// Forgets those that have expired.
    pub fn forget_expired(&mut self, now: Seconds) {
        let is_live = |session: &Session| session.expires_at > now;
        self.all.retain(|found| is_live(&found.0));
        self.by_audit_id.retain(is_live);
        self.by_user.retain(is_live);
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
        index
            .get(key)
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
        self.iter()
            .filter(|session| is_meant(session))
            .cloned()
            .collect()
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
                audit_ids: std::iter::once(own).chain(chain).map(Into::into).collect(),
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

    fn has_no_index(sessions: &Sessions) -> bool {
        let mut both = [&sessions.by_audit_id, &sessions.by_user].into_iter();
        both.all(|index| index.first.is_empty() && index.more.is_empty())
    }

    fn ids(sessions: &[Arc<Session>]) -> Vec<&str> {
        let mut ids: Vec<_> = sessions.iter().map(|session| session.id()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn what_is_forgotten_is_in_no_index() {
        let about = |sessions: &Sessions, id: &str| {
            let by_id = sessions.by_audit_id.get(id).cloned();
            let by_id: Vec<_> = by_id.collect();
            ids(&by_id)
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut sessions = three();
        assert_eq!(about(&sessions, "one"), ["one", "two"]);
        sessions.forget(&[1; 32]);
        sessions.forget(&[1; 32]);
        assert_eq!(sessions.len(), 2);
        assert_eq!(about(&sessions, "one"), ["two"]);
        assert_eq!(sessions.of_user("ann").count(), 2);
        // Whoever comes next is found beside those that came later than what is gone.
        sessions.begin(session(4, "four", Some("one"), 70), 70);
        assert_eq!(about(&sessions, "one"), ["four", "two"]);
        assert_eq!(sessions.of_user("ann").count(), 3);
        for number in 2..=4 {
            sessions.forget(&[number; 32]);
        }
        assert!(sessions.is_empty() && has_no_index(&sessions));
    }

    #[test]
    fn what_sessions_of_a_user_have_in_common_is_kept_once() {
        let sessions = three();
        let all: Vec<_> = sessions.of_user("ann").collect();
        assert_eq!(all.len(), 3);
        for pair in all.windows(2) {
            let (one, two) = (&pair[0], &pair[1]);
            assert!(Arc::ptr_eq(&one.user_id, &two.user_id));
            let domains = [&one.origin, &two.origin].map(|origin| &origin.user_domain_id);
            assert!(Arc::ptr_eq(domains[0], domains[1]));
            let projects = one.project_id.as_ref().zip(two.project_id.as_ref());
            assert!(projects.is_some_and(|(one, two)| Arc::ptr_eq(one, two)));
        }
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
        assert!(sessions.is_empty() && has_no_index(&sessions));
    }
}
