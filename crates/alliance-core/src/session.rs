//! Foreign tokens that are in use here, and which of them a change at home is about.

mod index;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use compact_str::CompactString;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use self::index::{ByToken, Index, Name};
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

/// Those that expire within so many seconds of each other are looked through together.
const TOGETHER: u32 = 16;

/// Of so many sessions of a user it is looked whether a new one has anything in common with them.
const LOOKED_AT: usize = 8;

/// What of a token decides, beside its user, project and times, whether a change at home is about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The session's id here: the audit id that our Keystone gives the token.
    pub session: CompactString,
    /// Audit ids at home: own, and that of the chain's first token if it is another.
    pub audit_ids: Box<[CompactString]>,
    /// The user's domain at home.
    pub user_domain_id: CompactString,
    /// The project's domain at home.
    pub project_domain_id: Option<CompactString>,
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
    expires_at: u32,
    issued_second: i64,
    issued_nanosecond: i32,
    id: CompactString,
    /// Mostly at most two.
    audit_ids: SmallVec<[CompactString; 2]>,
    whose: Arc<Whose>,
}

/// What most sessions of a user have in common.
#[derive(Debug, PartialEq, Eq)]
struct Whose {
    user_id: Box<str>,
    user_domain_id: Box<str>,
    project_id: Option<Box<str>>,
    project_domain_id: Option<Box<str>>,
}

static NO_ROLES: BTreeSet<String> = BTreeSet::new();

impl Session {
    /// That of a token with this SHA-256, whose user and project have these ids at home. It expires in 2106 at
    /// the latest.
    pub fn new(
        token: [u8; 32],
        (user_id, project_id): (&str, Option<&str>),
        expires_at: Seconds,
        origin: &Origin,
    ) -> Self {
        Self {
            token,
            expires_at: u32::try_from(expires_at.max(0)).unwrap_or(u32::MAX),
            issued_second: origin.issued_at.as_second(),
            issued_nanosecond: origin.issued_at.subsec_nanosecond(),
            id: origin.session.clone(),
            audit_ids: origin.audit_ids.iter().cloned().collect(),
            whose: Arc::new(Whose {
                user_id: user_id.into(),
                user_domain_id: (&*origin.user_domain_id).into(),
                project_id: project_id.map(Into::into),
                project_domain_id: origin.project_domain_id.as_deref().map(Into::into),
            }),
        }
    }

    /// That of a valid token of `issuer`; `None` if what is said of it names no token.
    pub fn of(facts: &TokenFacts, issuer: &CloudId) -> Option<Self> {
        let token = HEXLOWER.decode(facts.token_sha256.as_bytes()).ok()?;
        let project_id = facts.project.as_ref().map(|found| found.id.as_str());
        Some(Self::new(
            token.try_into().ok()?,
            (&facts.sub, project_id),
            facts.expires_at.as_second(),
            &Origin::of(facts, issuer),
        ))
    }

    /// The same, forgotten at `latest` if it expires later: whoever uses the token then begins it anew.
    #[must_use]
    pub fn until(mut self, latest: Seconds) -> Self {
        let latest = u32::try_from(latest.max(0)).unwrap_or(u32::MAX);
        self.expires_at = self.expires_at.min(latest);
        self
    }

    /// Its id here.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The user's id at home.
    pub fn user_id(&self) -> &str {
        &self.whose.user_id
    }

    /// The project's id at home.
    pub fn project_id(&self) -> Option<&str> {
        self.whose.project_id.as_deref()
    }

    /// When it expires.
    pub fn expires_at(&self) -> Seconds {
        self.expires_at.into()
    }

    /// When it was issued, as exactly as home says.
    pub fn issued_at(&self) -> Timestamp {
        // It was one.
        Timestamp::new(self.issued_second, self.issued_nanosecond).unwrap_or_default()
    }

    /// What else was said of it.
    pub fn origin(&self) -> Origin {
        Origin {
            session: self.id.clone(),
            audit_ids: self.audit_ids.iter().cloned().collect(),
            user_domain_id: (&*self.whose.user_domain_id).into(),
            project_domain_id: self.whose.project_domain_id.as_deref().map(Into::into),
            issued_at: self.issued_at(),
        }
    }

    fn is_ended_by(&self, event: &RevocationEvent) -> bool {
        event.is_about(&Revocable {
            user_id: self.user_id(),
            user_domain_id: Some(&self.whose.user_domain_id),
            project_id: self.project_id(),
            project_domain_id: self.whose.project_domain_id.as_deref(),
            role_ids: &NO_ROLES,
            audit_ids: &self.audit_ids,
            issued_at: self.issued_at(),
            expires_at: Timestamp::from_second(self.expires_at()).unwrap_or(Timestamp::MAX),
        })
    }

    fn is_meant_by(&self, look: &LookAgain) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let domains = [
            Some(&*self.whose.user_domain_id),
            self.whose.project_domain_id.as_deref(),
        ];
        is(&look.user_id, Some(self.user_id()))
            && is(&look.project_id, self.project_id())
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
    all: HashSet<ByToken>,
    by_audit_id: Index,
    by_user: Index,
    /// By [`TOGETHER`] of when they expire: to find those that have costs no look at all the others, of whom
    /// there may be a million.
    by_expiry: BTreeMap<u32, Vec<Arc<Session>>>,
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
        let whose = {
            let mut others = self.by_user.get(session.user_id()).take(LOOKED_AT);
            others
                .find(|other| other.whose == session.whose)
                .map(|other| Arc::clone(&other.whose))
        };
        session.whose = whose.unwrap_or(session.whose);
        let session = Arc::new(session);
        for (nth, _) in (0..).zip(&session.audit_ids) {
            self.by_audit_id.add(&session, Name::AuditId(nth));
        }
        self.by_user.add(&session, Name::User);
        let together = self.by_expiry.entry(session.expires_at / TOGETHER);
        index::push(together.or_default(), Arc::clone(&session));
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
        for id in &session.audit_ids {
            self.by_audit_id.remove(&session, id);
        }
        self.by_user.remove(&session, session.user_id());
        let together = session.expires_at / TOGETHER;
        if let Some(place) = self.by_expiry.get_mut(&together) {
            place.retain(|other| !Arc::ptr_eq(other, &session));
            if place.is_empty() {
                self.by_expiry.remove(&together);
            }
        }
    }

    /// Forgets those that have expired.
    pub fn forget_expired(&mut self, now: Seconds) {
        let is_live = |session: &Session| session.expires_at() > now;
        let mut expired = Vec::new();
        while let Some(mut first) = self.by_expiry.first_entry() {
            if Seconds::from(*first.key()) * Seconds::from(TOGETHER) > now {
                break;
            }
            let gone = first.get_mut().extract_if(.., |session| !is_live(session));
            expired.extend(gone);
            if !first.get().is_empty() {
                break;
            }
            first.remove();
        }
        // Each name once: a user may have very many.
        let mut users = HashSet::new();
        let mut audit_ids = HashSet::new();
        for session in &expired {
            self.all.remove(&session.token);
            users.insert(session.user_id());
            audit_ids.extend(session.audit_ids.iter().map(CompactString::as_str));
        }
        for user in users {
            self.by_user.retain(user, is_live);
        }
        for audit_id in audit_ids {
            self.by_audit_id.retain(audit_id, is_live);
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
        let origin = Origin {
            session: own.into(),
            audit_ids: std::iter::once(own).chain(chain).map(Into::into).collect(),
            user_domain_id: "people".into(),
            project_domain_id: Some("labs".into()),
            issued_at: at(issued_at),
        };
        Session::new([number; 32], ("ann", Some("science")), 3600, &origin)
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
        both.all(|index| index.is_empty()) && sessions.by_expiry.is_empty()
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
        // Those that came after it stand under the name of one that is gone.
        sessions.forget(&[2; 32]);
        assert_eq!(about(&sessions, "one"), ["four"]);
        assert_eq!(sessions.of_user("ann").count(), 2);
        sessions.begin(session(5, "five", Some("one"), 80), 80);
        assert_eq!(about(&sessions, "one"), ["five", "four"]);
        assert_eq!(sessions.of_user("ann").count(), 3);
        for number in 3..=5 {
            sessions.forget(&[number; 32]);
        }
        assert!(sessions.is_empty() && has_no_index(&sessions));
    }

    #[test]
    fn what_sessions_of_a_user_have_in_common_is_kept_once() {
        let mut sessions = three();
        let origin = session(4, "four", None, 200).origin();
        for number in [4, 5] {
            let in_bio = Session::new([number; 32], ("ann", Some("bio")), 3600, &origin);
            assert!(!sessions.begin(in_bio, 200));
        }
        let whose = |number: u8| sessions.get(&[number; 32]).map(|found| &found.whose);
        let is_shared = |one, other| {
            let both = whose(one).zip(whose(other));
            both.is_some_and(|(one, other)| Arc::ptr_eq(one, other))
        };
        assert!(is_shared(1, 2) && is_shared(2, 3) && is_shared(4, 5));
        assert!(!is_shared(1, 4));
    }

    #[test]
    fn a_session_is_what_was_said_of_it() {
        let one = session(1, "one", Some("first"), 50);
        assert_eq!((one.expires_at(), one.issued_at()), (3600, at(50)));
        let again = Session::new([1; 32], ("ann", Some("science")), 3600, &one.origin());
        assert_eq!(one, again);
        assert_eq!(one.origin().audit_ids.len(), 2);
        let precise = Timestamp::from_nanosecond(-1_000_000_007).unwrap_or_default();
        let origin = Origin {
            issued_at: precise,
            ..one.origin()
        };
        for (said, expires_at) in [(-1, 0), (i64::MAX, u32::MAX.into())] {
            let odd = Session::new([1; 32], ("ann", None), said, &origin);
            assert_eq!((odd.expires_at(), odd.issued_at()), (expires_at, precise));
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
    fn a_token_without_end_is_forgotten_nevertheless() {
        let mut sessions = Sessions::default();
        let origin = session(1, "one", None, 55).origin();
        let endless = || Session::new([1; 32], ("ann", None), i64::MAX, &origin);
        assert_eq!(endless().expires_at(), i64::from(u32::MAX));
        assert_eq!(session(1, "one", None, 55).until(5000).expires_at(), 3600);
        sessions.begin(endless().until(5000), 60);
        sessions.forget_expired(5000);
        assert!(sessions.is_empty() && has_no_index(&sessions));
    }

    #[test]
    fn what_has_expired_is_forgotten() {
        let mut sessions = three();
        // Two that go first, and under whose name others stand.
        for (number, own, chain) in [(2, "two", Some("one")), (3, "three", None)] {
            sessions.forget(&[number; 32]);
            let origin = session(number, own, chain, 55).origin();
            let early = Session::new([number; 32], ("ann", Some("science")), 100, &origin);
            assert!(!sessions.begin(early, 60));
        }
        sessions.begin(session(4, "four", Some("one"), 70), 70);
        sessions.forget_expired(100);
        assert_eq!((sessions.len(), sessions.of_user("ann").count()), (2, 2));
        assert_eq!(sessions.by_audit_id.get("one").count(), 2);
        // Of those that are looked through together, each in its own time.
        let mut sessions = Sessions::default();
        let origin = session(1, "one", None, 55).origin();
        for (number, expires_at) in [(1, 3600), (2, 3605), (3, 3700)] {
            let user = ("ann", Some("science"));
            sessions.begin(Session::new([number; 32], user, expires_at, &origin), 60);
        }
        for (at, left) in [(3599, 3), (3600, 2), (3604, 2), (3605, 1), (3700, 0)] {
            sessions.forget_expired(at);
            assert_eq!(sessions.len(), left, "{at}");
            assert_eq!(sessions.of_user("ann").count(), left, "{at}");
        }
        assert!(has_no_index(&sessions));
        let mut sessions = three();
        for number in 1..=3 {
            sessions.forget(&[number; 32]);
        }
        assert!(has_no_index(&sessions));
        let mut sessions = three();
        sessions.forget_expired(3599);
        assert_eq!(sessions.len(), 3);
        sessions.forget_expired(3600);
        assert!(sessions.is_empty() && has_no_index(&sessions));
    }
}
