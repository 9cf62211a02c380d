//! Partners' sessions that are here, and those that have ended before their time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use alliance_core::session::{Effect, Session, Sessions};
use alliance_core::sign_out::Change;
use alliance_core::statement::{Project, TokenFacts};
use alliance_core::{LONGEST_TOKEN_LIFE, Seconds};
use alliance_store::{EndedSession, GuestProject, SeenToken};
use data_encoding::HEXLOWER;
use tokio::sync::watch;

use super::Host;
use super::guests::guest_key;
use super::projects::Projects;
use super::standings::Standings;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;
use crate::daemon::turns::Turns;

/// In memory, as the database has it.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// `[tokens] max_live`
    most: usize,
    here: Mutex<HashMap<CloudId, Sessions>>,
    /// By id.
    ended: RwLock<HashMap<String, Ended>>,
    /// Since when, by the partner's clock, all that has ended there is known here.
    heard_since: Mutex<HashMap<CloudId, Seconds>>,
    /// Whether those of the database are being read: what it has of a million is not here at once.
    reads: watch::Sender<Reads>,
    /// One at a time: each holds a connection to the database for as long as it reads.
    reading: Turns<()>,
    /// What was last known of the users who are here.
    pub(super) standings: Standings,
    /// Their projects.
    pub(super) projects: Projects,
}

/// How many times those of the database were to be read, and how many of those are over.
#[derive(Debug, Default)]
struct Reads {
    wanted: u64,
    done: u64,
}

impl Reads {
    /// One begins, which is for all who have wanted it by now.
    fn begun(&self) -> u64 {
        self.wanted
    }

    /// That one is over. Who has wanted one since waits for the next.
    fn end(&mut self, begun: u64) {
        self.done = self.done.max(begun);
    }

    fn are_owed(&self) -> bool {
        self.done < self.wanted
    }
}

#[derive(Debug, Clone)]
struct Ended {
    /// Whose user's it was.
    cloud_id: CloudId,
    /// That user's id at home.
    user_id: String,
    /// Until when it would have counted.
    until: Seconds,
    /// Whether the database has it.
    stored: bool,
}

impl Book {
    /// Whether a session has ended before its time.
    pub(super) fn has_ended(&self, session: &str) -> bool {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        ended.contains_key(session)
    }

    /// Whether that is in the database too: to hear of it once more changes nothing.
    fn has_long_ended(&self, session: &str) -> bool {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        ended.get(session).is_some_and(|ended| ended.stored)
    }

    fn end<'a>(&self, sessions: impl IntoIterator<Item = &'a EndedSession>, stored: bool) {
        let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        for session in sessions {
            let entry = ended.entry(session.session.clone());
            let ended = entry.or_insert_with(|| Ended {
                cloud_id: session.cloud_id.clone(),
                user_id: session.user_id.clone(),
                until: session.expires_at,
                stored,
            });
            ended.stored |= stored;
        }
    }

    /// How many of each partner are here that have not ended.
    fn count(&self) -> HashMap<CloudId, usize> {
        let here = self.here();
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        // What has ended may never have been in this daemon's memory.
        let users = ended
            .values()
            .map(|ended| (&ended.cloud_id, &ended.user_id));
        let mut gone: HashMap<&CloudId, usize> = HashMap::new();
        for (cloud_id, user_id) in users.collect::<HashSet<_>>() {
            let sessions = here.get(cloud_id).into_iter();
            let sessions = sessions.flat_map(|sessions| sessions.of_user(user_id));
            let count = sessions.filter(|session| ended.contains_key(session.id()));
            *gone.entry(cloud_id).or_default() += count.count();
        }
        here.iter()
            .map(|(cloud_id, sessions)| {
                let gone = gone.get(cloud_id).copied().unwrap_or_default();
                (cloud_id.clone(), sessions.len() - gone)
            })
            .collect()
    }

    /// A partner has said all that had ended when its clock showed `at`, and goes on saying. Returns whether
    /// that is new.
    pub(super) fn listens_since(&self, cloud_id: &CloudId, at: Seconds) -> bool {
        let mut since = self.heard_since();
        let is_new = !since.contains_key(cloud_id);
        since.entry(cloud_id.clone()).or_insert(at);
        is_new
    }

    fn listens_to(&self, cloud_id: &CloudId) -> bool {
        self.heard_since().contains_key(cloud_id)
    }

    fn stops_listening(&self, cloud_id: &CloudId) {
        self.heard_since().remove(cloud_id);
    }

    fn heard_since(&self) -> MutexGuard<'_, HashMap<CloudId, Seconds>> {
        self.heard_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an end of what was so `at`, by the partner's clock, is known here or will be.
    pub(super) fn has_heard_of(&self, cloud_id: &CloudId, at: Seconds) -> bool {
        let since = self.heard_since();
        let forgotten = self.here().get(cloud_id).and_then(Sessions::forgotten);
        since.get(cloud_id).is_some_and(|since| at > *since)
            && forgotten.is_none_or(|forgotten| at > forgotten)
    }

    fn here(&self) -> MutexGuard<'_, HashMap<CloudId, Sessions>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None yet, and never more than `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// Whether there is room for a session of the partner that is not here yet. Each may have as many as are
    /// left to all others: the more partners there are that want many, the less has each, and one who wants few
    /// has room until more than ten want all.
    fn has_room(&self, cloud_id: &CloudId, token: &[u8; 32]) -> bool {
        let here = self.here();
        let own = here.get(cloud_id);
        if own.is_some_and(|own| own.get(token).is_some()) {
            return true;
        }
        let all: usize = here.values().map(Sessions::len).sum();
        own.map_or(0, Sessions::len) < self.most.saturating_sub(all)
    }

    /// A token of the partner is valid, with these roles.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] if there is no room for its session.
    pub(super) fn begin(
        &self,
        cloud_id: &CloudId,
        facts: &TokenFacts,
        roles: &Arc<BTreeSet<String>>,
    ) -> Result<(), Reason> {
        if let Some(session) = Session::of(facts, cloud_id) {
            // As long as the database keeps it.
            let session = session.until(now() + LONGEST_TOKEN_LIFE);
            if !self.has_room(cloud_id, &session.token) {
                return Err(Reason::Overloaded);
            }
            let project_id = session.project_id();
            self.standings
                .note(cloud_id, session.user_id(), project_id, Some(roles));
            if let Some(project) = &facts.project {
                self.projects.is_called(cloud_id, project);
            }
            self.add(cloud_id, session);
        }
        Ok(())
    }

    /// Takes one in. Returns whether a change that came lately has ended it.
    fn add(&self, cloud_id: &CloudId, session: Session) -> bool {
        let mut here = self.here();
        let sessions = here.entry(cloud_id.clone()).or_default();
        let ended = ended(cloud_id, &session);
        let has_ended = sessions.begin(session, now());
        drop(here);
        if has_ended {
            self.end([&ended], false);
        }
        has_ended
    }

    /// Whether a user of the partner has a session here that has not ended.
    pub(super) fn has_user(&self, cloud_id: &CloudId, user_id: &str) -> bool {
        let here = self.here();
        let sessions = here.get(cloud_id).into_iter();
        let mut sessions = sessions.flat_map(|sessions| sessions.of_user(user_id));
        sessions.any(|session| !self.has_ended(session.id()))
    }

    /// The session of a token, by its SHA-256.
    pub(super) fn of(&self, cloud_id: &CloudId, token: &[u8; 32]) -> Option<Arc<Session>> {
        let here = self.here();
        here.get(cloud_id)?.get(token).cloned()
    }

    /// The session with this id, as often as it has spellings, and whose it is.
    fn called(&self, id: &str) -> Option<(CloudId, Vec<Arc<Session>>)> {
        let here = self.here();
        here.iter().find_map(|(cloud_id, sessions)| {
            let all = sessions.iter().filter(|one| one.id() == id);
            let all: Vec<_> = all.cloned().collect();
            (!all.is_empty()).then(|| (cloud_id.clone(), all))
        })
    }

    fn id_of(&self, token: &[u8; 32]) -> Option<String> {
        let here = self.here();
        let session = here.values().find_map(|sessions| sessions.get(token))?;
        Some(session.id().to_owned())
    }

    fn forget_expired(&self, at: Seconds) {
        for sessions in self.here().values_mut() {
            sessions.forget_expired(at);
        }
        let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, ended| ended.until > at);
    }
}

/// What must be told to our Keystone and to the services' caches.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Sessions that have ended.
    pub ended: Vec<EndedSession>,
    /// All whose tokens must not be remembered any more: those, and those about which home must be
    /// asked again.
    pub concerned: BTreeSet<String>,
}

impl Host {
    /// What the database knows of sessions. Returns those that have ended and of which our Keystone
    /// does not know yet.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn read_sessions(&self) -> alliance_store::Result<Vec<EndedSession>> {
        self.read_live_sessions().await?;
        self.read_ended_sessions().await
    }

    /// Of those the ones that have ended, without which nobody may be let in. Returns those of which our
    /// Keystone does not know yet.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn read_ended_sessions(&self) -> alliance_store::Result<Vec<EndedSession>> {
        self.read_projects().await?;
        let ended = self.store.ended_sessions().list(now()).await?;
        self.book.end(ended.iter().map(|(ended, _)| ended), true);
        let untold = ended.into_iter().filter(|(_, told)| !told);
        Ok(untold.map(|(ended, _)| ended).collect())
    }

    /// Of those the ones that changes at home may still end. What changes meanwhile counts afterwards.
    ///
    /// # Errors
    /// The database's; what was read stays.
    pub(crate) async fn read_live_sessions(&self) -> alliance_store::Result<()> {
        let turn = self.book.reading.next().await;
        if turn.is_done() {
            return Ok(());
        }
        let begun = self.book.reads.borrow().begun();
        // What has ended of them the database knows, or whoever heard of it writes it.
        let take = |tokens| drop(self.take_in(tokens));
        self.store.seen_tokens().each_origin(now(), take).await?;
        self.book.reads.send_modify(|reads| reads.end(begun));
        turn.done(());
        Ok(())
    }

    /// The live ones of the database are not here yet.
    pub(crate) fn has_yet_to_read(&self) {
        self.book.reads.send_modify(|reads| reads.wanted += 1);
    }

    /// Whether they are still being read.
    pub(crate) fn is_reading(&self) -> bool {
        self.book.reads.borrow().are_owed()
    }

    /// When this returns, they are not any more.
    pub(crate) async fn when_read(&self) {
        let mut reads = self.book.reads.subscribe();
        // The sender is as old as we are.
        let _ = reads.wait_for(|reads| !reads.are_owed()).await;
    }

    /// What other instances have let in during the last so many seconds. Returns what of it had ended, though
    /// whoever let it in may be gone since.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn read_sessions_of_the_last(
        &self,
        age: Seconds,
    ) -> alliance_store::Result<Vec<Ending>> {
        let seen = self.store.seen_tokens().origins_of_the_last(age).await?;
        let mut endings = Vec::new();
        for (cloud_id, ended) in self.take_in(seen) {
            let ended: Vec<_> = ended
                .into_iter()
                .filter(|session| !self.book.has_long_ended(session.id()))
                .collect();
            endings.push(self.conclude(&cloud_id, &ended, &[]).await?);
        }
        Ok(endings)
    }

    /// Returns those that a change that came lately has ended.
    fn take_in(&self, seen: Vec<SeenToken>) -> HashMap<CloudId, Vec<Arc<Session>>> {
        let mut ended: HashMap<CloudId, Vec<Arc<Session>>> = HashMap::new();
        for (cloud_id, session) in seen.into_iter().filter_map(session_of) {
            let token = session.token;
            if self.book.of(&cloud_id, &token).is_some() {
                continue;
            }
            let project_id = session.project_id();
            let standings = &self.book.standings;
            standings.note(&cloud_id, session.user_id(), project_id, None);
            if self.book.add(&cloud_id, session) {
                let session = self.book.of(&cloud_id, &token);
                ended.entry(cloud_id).or_default().extend(session);
            }
        }
        ended
    }

    /// What the database knows of partners' projects.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn read_projects(&self) -> alliance_store::Result<()> {
        let projects = self.store.guest_projects().list().await?;
        self.book.projects.read(projects);
        Ok(())
    }

    /// Another instance has ended these. Returns what our Keystone must not remember.
    pub(crate) fn take_ended(&self, sessions: Vec<EndedSession>) -> Ending {
        let concerned: BTreeSet<_> = sessions
            .into_iter()
            .filter(|ended| !self.book.has_long_ended(&ended.session))
            .map(|ended| {
                self.book.end([&ended], true);
                let here = self.book.here();
                let sessions = here.get(&ended.cloud_id).into_iter();
                let mut tokens = sessions.flat_map(|sessions| sessions.of_user(&ended.user_id));
                tokens
                    .by_ref()
                    .filter(|session| session.id() == ended.session)
                    .for_each(|session| self.forget_what_was_said_of(&ended.cloud_id, session));
                ended.session
            })
            .collect();
        Ending {
            ended: Vec::new(),
            concerned,
        }
    }

    fn forget_what_was_said_of(&self, cloud_id: &CloudId, session: &Session) {
        self.passports.forget(&session.token);
        self.attested.remove(&session.token);
        let project_id = session.project_id();
        let key = guest_key(cloud_id, session.user_id(), project_id);
        self.grants.forget(&key);
    }

    /// What changed at a partner counts here from now on, and after a restart, for the sessions that are known
    /// here. What ended cannot be used in the very next request; what is in doubt is asked about again.
    ///
    /// # Errors
    /// If the database does not take it: it counts nevertheless, but must be applied again.
    pub(crate) async fn apply_changes(
        &self,
        known: &Known,
        changes: &[Change],
    ) -> alliance_store::Result<Ending> {
        let cloud_id = &known.partner.cloud_id;
        let Effect {
            mut ended,
            mut doubtful,
        } = {
            let mut here = self.book.here();
            let sessions = here.entry(cloud_id.clone()).or_default();
            sessions.apply(changes, now())
        };
        ended.retain(|session| !self.book.has_long_ended(session.id()));
        doubtful.retain(|session| !self.book.has_ended(session.id()));
        self.conclude(cloud_id, &ended, &doubtful).await
    }

    /// Ends one, whatever its home says. `None` if there is none with this id.
    ///
    /// # Errors
    /// As for [`Host::apply_changes`].
    pub(crate) async fn end_session(&self, id: &str) -> alliance_store::Result<Option<Ending>> {
        self.when_read().await;
        let mut found = self.book.called(id);
        if found.is_none() && self.board.is_shared() {
            self.read_sessions().await?;
            found = self.book.called(id);
        }
        match found {
            Some((cloud_id, ended)) => self.conclude(&cloud_id, &ended, &[]).await.map(Some),
            None => Ok(None),
        }
    }

    /// The id of a partner's token's session, by its SHA-256.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn session_of_token(
        &self,
        token: &[u8; 32],
    ) -> alliance_store::Result<Option<String>> {
        self.when_read().await;
        let mut found = self.book.id_of(token);
        if found.is_none() && self.board.is_shared() {
            self.read_sessions().await?;
            found = self.book.id_of(token);
        }
        Ok(found)
    }

    /// The sessions that are here, each with its partner.
    pub(crate) fn sessions(&self) -> Vec<(CloudId, Arc<Session>)> {
        let here = self.book.here();
        here.iter()
            .flat_map(|(cloud_id, sessions)| {
                sessions
                    .iter()
                    .map(|one| (cloud_id.clone(), Arc::clone(one)))
            })
            .collect()
    }

    /// Of the live sessions that `is_wanted` picks the `most` that were issued last, the newest first; and
    /// how many those are.
    pub(crate) fn newest_sessions(
        &self,
        is_wanted: impl Fn(&CloudId, &Session) -> bool,
        most: usize,
    ) -> (Vec<(CloudId, Arc<Session>)>, usize) {
        let at = now();
        let here = self.book.here();
        let all = here.iter().flat_map(|(cloud_id, sessions)| {
            let sessions = sessions.iter();
            sessions.map(move |session| (cloud_id, session))
        });
        let mut found: Vec<_> = all
            .filter(|(cloud_id, session)| {
                session.expires_at() > at
                    && is_wanted(cloud_id, session)
                    && !self.book.has_ended(session.id())
            })
            .collect();
        let (count, age) = (found.len(), |(_, session): &(_, &Arc<Session>)| {
            std::cmp::Reverse(session.issued_at())
        });
        if count > most {
            found.select_nth_unstable_by_key(most, age);
            found.truncate(most);
        }
        found.sort_unstable_by_key(age);
        let found = found.into_iter();
        let found = found.map(|(cloud_id, session)| (cloud_id.clone(), Arc::clone(session)));
        (found.collect(), count)
    }

    /// How many are here of each partner, but for those that have ended.
    pub(crate) fn count_sessions(&self) -> HashMap<CloudId, usize> {
        self.book.count()
    }

    /// Partners' projects whose users were let in here, also those of former partners.
    pub(crate) fn projects(&self) -> Vec<GuestProject> {
        self.book.projects.list()
    }

    /// Whether a partner's project is here: it was made, and not retired since.
    pub(crate) fn has_project(&self, cloud_id: &CloudId, project_id: &str) -> bool {
        self.book.projects.has(cloud_id, project_id)
    }

    /// A partner's project was retired: whoever comes next comes to a new one. Returns whether that was not
    /// known.
    pub(crate) fn note_next_visit(&self, cloud_id: &CloudId, project_id: &str) -> bool {
        self.book.projects.note_next(cloud_id, project_id)
    }

    /// A partner's project is here, though perhaps none of its users has been.
    pub(crate) fn note_prepared(&self, cloud_id: &CloudId, project: &Project) {
        self.book.projects.is_called(cloud_id, project);
        self.book.projects.saw(cloud_id, &project.id, now());
    }

    /// Writes what is new of them.
    ///
    /// # Errors
    /// The database's; the next call tries again.
    pub(crate) async fn write_projects(&self) -> alliance_store::Result<()> {
        let unwritten = self.book.projects.take_unwritten();
        if unwritten.is_empty() {
            return Ok(());
        }
        let written = self.store.guest_projects().note(&unwritten).await;
        if written.is_err() {
            self.book.projects.give_back(&unwritten);
        }
        written
    }

    async fn conclude(
        &self,
        cloud_id: &CloudId,
        ended: &[Arc<Session>],
        doubtful: &[Arc<Session>],
    ) -> alliance_store::Result<Ending> {
        let rows = ended.iter().map(|session| self::ended(cloud_id, session));
        let mut rows: Vec<_> = rows.collect();
        self.book.end(&rows, false);
        for session in ended.iter().chain(doubtful) {
            self.forget_what_was_said_of(cloud_id, session);
        }
        if !rows.is_empty() {
            // Of those that another instance has ended it tells our Keystone.
            let new = self.store.ended_sessions().add(&rows).await?;
            self.book.end(&rows, true);
            rows = new;
        }
        Ok(Ending {
            ended: rows,
            concerned: ended
                .iter()
                .chain(doubtful)
                .map(|session| session.id().to_owned())
                .collect(),
        })
    }

    /// Whether this is a partner's session that has ended before its time.
    pub(crate) fn has_ended(&self, session: &str) -> bool {
        self.book.has_ended(session)
    }

    /// Whether a partner has said all that had ended since this daemon is here.
    pub(crate) fn listens_to(&self, cloud_id: &CloudId) -> bool {
        self.book.listens_to(cloud_id)
    }

    /// Nobody asked a partner lately what has ended there.
    pub(crate) fn stops_listening(&self, cloud_id: &CloudId) {
        self.book.stops_listening(cloud_id);
    }

    /// A partner has said all that had ended when its clock showed `at`, and goes on saying. Returns whether
    /// that is new.
    pub(crate) fn listens_since(&self, cloud_id: &CloudId, at: Seconds) -> bool {
        self.book.listens_since(cloud_id, at)
    }

    /// The partners that have, and since when.
    pub(crate) fn listening(&self) -> Vec<(CloudId, Seconds)> {
        let since = self.book.heard_since();
        since.iter().map(|(id, at)| (id.clone(), *at)).collect()
    }

    /// Forgets what has expired.
    pub(crate) fn forget_expired_sessions(&self) {
        self.book.forget_expired(now());
    }
}

/// A session, as one that has ended.
fn ended(cloud_id: &CloudId, session: &Session) -> EndedSession {
    EndedSession {
        session: session.id().to_owned(),
        cloud_id: cloud_id.clone(),
        user_id: session.user_id().to_owned(),
        expires_at: session.expires_at(),
    }
}

/// A token that the database knows as a session.
fn session_of(seen: SeenToken) -> Option<(CloudId, Session)> {
    let token = HEXLOWER.decode(seen.token_sha256.as_bytes()).ok()?;
    let whose = (&*seen.user_id, seen.project_id.as_deref());
    let session = Session::new(
        token.try_into().ok()?,
        whose,
        seen.expires_at,
        &seen.origin?,
    );
    Some((seen.cloud_id, session))
}

#[cfg(test)]
mod tests {
    use alliance_core::admission::Entrant;
    use alliance_core::refusal::Reason;
    use alliance_core::session::Origin;
    use alliance_peer::identity::Identity;
    use jiff::Timestamp;

    use super::*;
    use crate::daemon::bed::logout;
    use crate::daemon::directory::tests::knows_west;
    use crate::daemon::host::tests::{alone, five_guesses, member_of_all};
    use crate::daemon::metrics::Metrics;

    fn session(number: u8, own: &str) -> Session {
        let issued_at = Timestamp::now();
        let expires_at = issued_at.as_second() + 3600;
        let origin = Origin {
            session: format!("here-{own}").into(),
            audit_ids: [own.into()].into(),
            user_domain_id: "people".into(),
            project_domain_id: Some("labs".into()),
            issued_at,
        };
        Session::new([number; 32], ("ann", Some("p")), expires_at, &origin)
    }

    fn entrant() -> Entrant {
        let at = now();
        Entrant {
            user_id: "ann".into(),
            native: true,
            project_id: Some("p".into()),
            roles: Arc::new(["member".to_owned()].into()),
            issued_at: at,
            expires_at: at + 3600,
        }
    }

    #[test]
    fn a_partner_with_very_many_leaves_room_for_others() {
        let book = Book::new(10);
        let comes = |partner: &str, numbers: std::ops::Range<u8>| {
            let cloud_id = CloudId::from_spki(partner.as_bytes());
            numbers
                .filter(|number| book.has_room(&cloud_id, &[*number; 32]))
                .map(|number| book.add(&cloud_id, session(number, &format!("{partner}{number}"))))
                .count()
        };
        assert_eq!(comes("west", 0..100), 5);
        assert_eq!(comes("north", 100..200), 3);
        assert_eq!(comes("south", 200..255), 1);
        assert_eq!(comes("west", 5..100), 0);
        assert_eq!(comes("west", 0..5), 5, "those that are here go on");
    }

    #[test]
    fn who_wants_them_read_while_they_are_being_read_waits_for_the_next_reading() {
        let mut reads = Reads::default();
        assert!(!reads.are_owed());
        reads.wanted += 1;
        let first = reads.begun();
        reads.wanted += 1;
        reads.end(first);
        assert!(reads.are_owed());
        let second = reads.begun();
        reads.end(second);
        reads.end(first);
        assert!(!reads.are_owed());
    }

    #[tokio::test]
    async fn what_ended_at_home_is_refused_here_also_after_a_restart()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, west, _folder) = knows_west().await?;
        store.agreements().create(&member_of_all(&west), 10).await?;
        directory.reload().await?;
        let identity = Arc::new(Identity::ephemeral()?);
        let host = || {
            Host::new(
                Arc::clone(&directory),
                store.clone(),
                Arc::new(Metrics::new()),
                Arc::clone(&identity),
                alone(&store),
                &five_guesses(),
            )
        };
        let partners = directory.partners();
        let known = partners.by_cloud(&west).ok_or("west is not known")?;
        let word = alliance_answers::Word::Theirs("jws".to_owned().into());
        let judged = |host: &Host, number: u8| {
            let judged = host.judge(known, &[number; 32], &word, &entrant());
            judged.map(drop)
        };

        let before = host();
        for (number, own) in [(1, "one"), (2, "two")] {
            before.book.add(&west, session(number, own));
            before.note_guest(&west, &[number; 32], &entrant()).await;
        }
        assert_eq!(judged(&before, 1), Ok(()));
        let ending = before
            .apply_changes(known, &[logout("one"), logout("nobody")])
            .await?;
        assert_eq!(ending.concerned, ["here-one".to_owned()].into());
        assert_eq!(judged(&before, 1), Err(Reason::Revoked));
        assert_eq!(judged(&before, 2), Ok(()));
        assert_eq!(before.count_sessions(), [(west.clone(), 1)].into());
        // Another instance may have let it in.
        before.take_ended(vec![ended(&west, &session(3, "three"))]);
        assert_eq!(before.count_sessions(), [(west.clone(), 1)].into());

        let after = host();
        assert_eq!(judged(&after, 1), Ok(()), "nothing was read yet");
        let untold = after.read_sessions().await?;
        let ids: Vec<_> = untold.iter().map(|ended| ended.session.as_str()).collect();
        assert_eq!(ids, ["here-one"]);
        assert_eq!(judged(&after, 1), Err(Reason::Revoked));
        assert_eq!(after.count_sessions(), [(west.clone(), 1)].into());
        // What was used before the restart ends after it.
        let ending = after.apply_changes(known, &[logout("two")]).await?;
        assert_eq!(ending.concerned, ["here-two".to_owned()].into());
        store
            .ended_sessions()
            .told(&["here-one".to_owned()])
            .await?;
        let untold = host().read_sessions().await?;
        assert_eq!(untold.len(), 1);
        Ok(())
    }
}
