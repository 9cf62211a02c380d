//! This cloud as a host: whether a foreign token opens anything here.

mod ask;
mod guests;
mod lists;
mod logins;
mod notary;
mod offline;
mod projects;
mod role_sets;
mod sessions;
mod standings;
mod steps;

pub(crate) use self::lists::{Lists, ReadList};
pub(crate) use self::sessions::Ending;
pub(crate) use self::standings::Here;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use alliance_answers::{Answers, Key, Outcome, Word};
use alliance_core::admission::{Entrant, may_enter};
use alliance_core::cadf::{Matter, Person};
use alliance_core::cloud::CloudId;
use alliance_core::partner::Kind;
use alliance_core::refusal::Reason;
use alliance_core::statement::Grants;
use alliance_core::token::Mode;
use alliance_core::{CLOCK_SKEW, LONGEST_TOKEN_LIFE, Seconds};
use alliance_peer::identity::Identity;
use alliance_peer::request_id::RequestId;
use alliance_store::{SeenToken, Store};
use alliance_token::Token;
use data_encoding::HEXLOWER;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use self::notary::Notary;
use self::offline::{Attested, Offline};
use self::role_sets::RoleSets;
use self::sessions::Book;
use self::steps::Trace;
use super::auditing::{Auditor, Case, bearer};
use super::board::Board;
use super::budgets::Budgets;
use super::clock::now;
use super::directory::{Directory, Known};
use super::metrics::{Metrics, VerdictLabels};
use super::wishes::Wishes;
use crate::config::Tokens;
use crate::wire::{PartnerRef, ValidateRequest, Verdict, Via};

/// How long a request waits for the database to note its token.
const NOTE_WAIT: Duration = Duration::from_millis(300);
/// How long after a failure the database is tried again.
const NOTE_AGAIN: Duration = Duration::from_secs(1);

/// Decides about foreign tokens and guests.
pub(crate) struct Host {
    directory: Arc<Directory>,
    store: Store,
    metrics: Arc<Metrics>,
    notary: Arc<Notary>,
    role_sets: Arc<RoleSets>,
    admin_roles: BTreeSet<String>,
    max_staleness: Duration,
    max_revocation_age: Duration,
    guest_grace: Duration,
    passports: Answers<Entrant>,
    grants: Answers<Grants>,
    /// Tokens that were validated here, and what our Keystone was told of them.
    attested: Cache<Key, Arc<Attested>>,
    /// Tokens that are noted on disk, by a hash of theirs. A write is a good part of what a
    /// question costs here, and each of these stays there until it expires.
    noted: Cache<Key, ()>,
    /// Some are not noted on disk yet.
    late_notes: Notify,
    lists: Lists,
    book: Arc<Book>,
    wishes: Wishes,
    budgets: Arc<Budgets>,
    board: Arc<Board>,
    /// Apart, since nobody but a guest with a token of this cloud spends it.
    guest_budgets: Arc<Budgets>,
    auditor: Auditor,
}

/// What is asked about a token.
struct Validate<'a> {
    /// As in [`ValidateRequest::max_age`], bounded.
    max_age: Duration,
    /// As in [`ValidateRequest::held_for`].
    held_for: Duration,
    /// What to do in place of the partner's policy.
    mode: Option<Mode>,
    request_id: RequestId,
    trace: &'a mut Trace,
}

impl Host {
    /// Knows nothing yet.
    pub(crate) fn new(
        directory: Arc<Directory>,
        store: Store,
        metrics: Arc<Metrics>,
        identity: Arc<Identity>,
        board: Arc<Board>,
        tokens: &Tokens,
    ) -> Self {
        let (max_staleness, negative_ttl) = (tokens.max_staleness, tokens.negative_ttl);
        Self {
            directory,
            store,
            metrics,
            notary: Arc::new(Notary(identity)),
            role_sets: Arc::default(),
            admin_roles: tokens.admin_roles.iter().cloned().collect(),
            max_staleness,
            max_revocation_age: tokens.max_revocation_age,
            guest_grace: tokens.guest_grace,
            passports: Answers::new(tokens.remembered, negative_ttl),
            grants: Answers::new(tokens.remembered, negative_ttl),
            attested: Cache::new(tokens.remembered),
            noted: Cache::new(tokens.remembered),
            late_notes: Notify::new(),
            lists: Lists::default(),
            book: Arc::new(Book::new(tokens.max_live)),
            wishes: Wishes::default(),
            budgets: Arc::new(Budgets::new(&tokens.invalid_budget)),
            board,
            guest_budgets: Arc::new(Budgets::new(&tokens.invalid_budget)),
            auditor: Auditor::default(),
        }
    }

    /// The same, and who writes down what is decided.
    pub(crate) fn audited_by(self, auditor: Auditor) -> Self {
        Self { auditor, ..self }
    }

    /// Forgets all answers of partners.
    pub(crate) fn forget_answers(&self) {
        self.passports.forget_all();
        self.grants.forget_all();
        self.attested.clear();
    }

    /// Partners' revocation lists.
    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Partners whose news are wanted.
    pub(crate) fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// Whether a foreign token opens anything here.
    pub(crate) async fn validate(
        &self,
        request: &ValidateRequest,
        request_id: RequestId,
    ) -> Verdict {
        let mut trace = Trace::new(request.explain);
        let token = match Token::parse(&request.token) {
            Ok(token) => token,
            Err(why) => {
                tracing::info!(%request_id, %why, "a malformed foreign token was refused");
                self.audit(
                    request,
                    None,
                    None,
                    Some(Reason::Malformed),
                    Via::Local,
                    request_id,
                );
                return self.refuse("unknown", Reason::Malformed, Via::Local, trace);
            }
        };
        trace.step("format");
        let partners = self.directory.partners();
        let known = match token.tag() {
            Some(tag) => partners.by_tag(tag),
            None => partners.by_untagged(token.format()),
        };
        let Some(known) = known else {
            tracing::info!(%request_id, %token, "a token of an unknown partner was refused");
            let reason = Some(Reason::UnknownPartner);
            self.audit(request, None, Some(&token), reason, Via::Local, request_id);
            return self.refuse("unknown", Reason::UnknownPartner, Via::Local, trace);
        };
        let mut asked = Validate {
            max_age: self.max_age(request.max_age),
            held_for: Duration::try_from_secs_f64(request.held_for).unwrap_or(Duration::MAX),
            mode: request.mode,
            request_id,
            trace: &mut trace,
        };
        let (mut decided, via) = self.validate_from(known, &token, &mut asked).await;
        if let Ok((_, expires_at)) = decided
            && request.refuse_expired
            && expires_at <= now()
        {
            decided = Err(Reason::Expired);
        }
        let reason = decided.as_ref().err().copied();
        self.audit(request, Some(known), Some(&token), reason, via, request_id);
        match decided {
            Ok((word, _)) => self.admit(known, word, Subject::Token, via, trace),
            Err(reason) => {
                tracing::info!(%request_id, %token, partner = known.partner.name, %reason, ?via, "a foreign token was refused");
                self.refuse(&known.partner.name, reason, via, trace)
            }
        }
    }

    /// What an operator only wants explained lets nobody in.
    fn audit(
        &self,
        request: &ValidateRequest,
        known: Option<&Known>,
        token: Option<&Token>,
        reason: Option<Reason>,
        via: Via,
        request_id: RequestId,
    ) {
        if request.explain {
            return;
        }
        self.auditor.decided(reason, || {
            let session = known
                .zip(token)
                .and_then(|(known, token)| self.book.of(&known.partner.cloud_id, token.digest()));
            Case {
                matter: Matter::Token,
                partner: known,
                person: Person {
                    user_id: session.as_ref().map(|session| session.user_id().to_owned()),
                    project_id: session.and_then(|session| session.project_id().map(str::to_owned)),
                    ..token.map(bearer).unwrap_or_default()
                },
                via: Some(via),
                request_id: Some(request_id),
            }
        });
    }

    /// The word about a token and when it expires, or why not.
    async fn validate_from(
        &self,
        known: &Arc<Known>,
        token: &Token,
        asked: &mut Validate<'_>,
    ) -> (Result<(Word, Seconds), Reason>, Via) {
        let at = now();
        if let Err(reason) = known
            .partner
            .require_guest(at)
            .and_then(|()| known.policy.login.require_bearer())
            .and_then(|()| one_spelling(known, token))
            .and_then(|()| plausible(token, at))
            .and_then(|()| self.goes_on(known, token.digest()))
        {
            return (Err(reason), Via::Local);
        }
        let mode = asked.mode.unwrap_or(known.policy.mode(token.format()));
        let mut open = None;
        // What has ended may be known to other instances alone.
        if mode == Mode::Offline && self.board.is_current() {
            let offline = self.offline(known, token, asked, at).await;
            match offline {
                Offline::Valid { attested, first } => {
                    let entered = self
                        .enter(known, token, &attested, first, asked.request_id)
                        .await;
                    return (entered, Via::Offline);
                }
                Offline::Refused(reason) => return (Err(reason), Via::Offline),
                Offline::Open(reason @ Reason::Overloaded) => {
                    // There is no room for it, whatever home says.
                    return (Err(reason), Via::Offline);
                }
                Offline::Open(reason) | Offline::Silent(reason)
                    if asked.mode == Some(Mode::Offline) =>
                {
                    return (Err(reason), Via::Offline);
                }
                Offline::Open(reason) => open = Some(reason),
                Offline::Silent(reason) => {
                    return match self.passports.fresh(token.digest(), asked.max_age) {
                        Some(kept) => (
                            self.judge(known, token.digest(), &kept.word, &kept.claims),
                            Via::Cache,
                        ),
                        None => (Err(reason), Via::Offline),
                    };
                }
            }
        }
        let (decided, via) = self.ask_about(known, token, mode, asked).await;
        asked.trace.step(via.as_str());
        (decided.map_err(|reason| more_telling(open, reason)), via)
    }

    /// For how long an answer of home's counts, if Keystone bears one that is so many seconds old: not at all
    /// while what other instances have heard since is not known here.
    pub(crate) fn max_age(&self, borne: f64) -> Duration {
        match self.board.is_current() {
            true => seconds(borne).min(self.max_staleness),
            false => Duration::ZERO,
        }
    }

    /// By asking its issuer, or from what that said lately.
    async fn ask_about(
        &self,
        known: &Arc<Known>,
        token: &Token,
        mode: Mode,
        asked: &Validate<'_>,
    ) -> (Result<(Word, Seconds), Reason>, Via) {
        let max_age = match mode {
            Mode::Hard => Duration::ZERO,
            Mode::Soft | Mode::Offline => asked.max_age,
        };
        let cloud_id = &known.partner.cloud_id;
        let (outcome, via) = self
            .passports
            .answer(
                *token.digest(),
                max_age,
                || self.budgets.may_ask(cloud_id),
                || ask::about_token(self.question(known, asked.request_id), token.clone()),
            )
            .await;
        let via = via.into();
        let kept = match outcome {
            Outcome::Active(kept) => kept,
            Outcome::Inactive(reason) | Outcome::Failed(reason) => return (Err(reason), via),
        };
        let decided = self.judge(known, token.digest(), &kept.word, &kept.claims);
        match &decided {
            Err(reason) if via == Via::Asked => {
                ask::report(
                    self.question(known, asked.request_id),
                    token.clone(),
                    *reason,
                );
            }
            Ok(_) if via != Via::Cache => {
                self.note_guest(cloud_id, token.digest(), &kept.claims)
                    .await;
            }
            Ok(_) | Err(_) => {}
        }
        (decided, via)
    }

    /// A token that was validated here enters, if it may.
    async fn enter(
        &self,
        known: &Arc<Known>,
        token: &Token,
        attested: &Attested,
        first: bool,
        request_id: RequestId,
    ) -> Result<(Word, Seconds), Reason> {
        let decided = self.judge(known, token.digest(), &attested.word, &attested.entrant);
        match &decided {
            Ok(_) if first => {
                self.note_guest(&known.partner.cloud_id, token.digest(), &attested.entrant)
                    .await;
            }
            Err(reason) if first => {
                ask::report(self.question(known, request_id), token.clone(), *reason);
            }
            Ok(_) | Err(_) => {}
        }
        decided
    }

    fn judge(
        &self,
        known: &Known,
        token: &Key,
        word: &Word,
        entrant: &Entrant,
    ) -> Result<(Word, Seconds), Reason> {
        // It may have ended while its home was asked.
        self.goes_on(known, token)?;
        may_enter(entrant, &known.given, &self.admin_roles, now())
            .map(|_| (word.clone(), entrant.expires_at))
    }

    /// What has ended is refused whether or not its home answers.
    fn goes_on(&self, known: &Known, token: &Key) -> Result<(), Reason> {
        let session = self.book.of(&known.partner.cloud_id, token);
        match session {
            Some(session) if self.book.has_ended(session.id()) => Err(Reason::Revoked),
            Some(_) | None => Ok(()),
        }
    }

    async fn note_guest(&self, cloud_id: &CloudId, token: &Key, entrant: &Entrant) {
        let session = self.book.of(cloud_id, token);
        if let Some(project_id) = &entrant.project_id {
            self.book.projects.saw(cloud_id, project_id, now());
        }
        self.note(SeenToken {
            token_sha256: HEXLOWER.encode(token),
            cloud_id: cloud_id.clone(),
            user_id: entrant.user_id.to_string(),
            project_id: entrant.project_id.as_deref().map(str::to_owned),
            expires_at: entrant.expires_at.min(now() + LONGEST_TOKEN_LIFE),
            session: session.as_ref().map(|session| session.id().to_owned()),
            origin: session.map(|session| session.origin()),
        })
        .await;
    }

    /// Remembers that a token was let in, for the day when it must leave the services' caches. A
    /// database that does not answer does not keep anybody out: see [`Self::write_late_notes`].
    async fn note(&self, seen: SeenToken) {
        let key = Sha256::digest(&seen.token_sha256).into();
        if self.noted.get(&key).is_some() {
            return;
        }
        match timeout(NOTE_WAIT, self.store.seen_tokens().note(seen)).await {
            Ok(Ok(())) => self.noted.insert(key, ()),
            Ok(Err(error)) => {
                tracing::error!(%error, "a token was not noted on disk, it is tried again; until then a daemon that dies leaves it in the services' caches");
                self.late_notes.notify_one();
            }
            Err(_) => {
                tracing::warn!("the database takes long; a token is not noted on disk yet");
                self.late_notes.notify_one();
            }
        }
    }

    /// Notes on disk which tokens were let in, where the request did not wait for it. Runs for ever.
    pub(crate) async fn write_late_notes(&self) {
        loop {
            self.late_notes.notified().await;
            while let Err(error) = self.write_notes().await {
                tracing::debug!(%error, "tokens are not noted on disk yet");
                sleep(NOTE_AGAIN).await;
            }
        }
    }

    /// The same once, for those that are known now.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn write_notes(&self) -> alliance_store::Result<()> {
        self.store.seen_tokens().write_waiting().await
    }

    fn question(&self, known: &Arc<Known>, request_id: RequestId) -> ask::Question {
        ask::Question {
            known: Arc::clone(known),
            directory: Arc::clone(&self.directory),
            budgets: Arc::clone(&self.budgets),
            metrics: Arc::clone(&self.metrics),
            is_awaited: true,
            notary: Arc::clone(&self.notary),
            role_sets: Arc::clone(&self.role_sets),
            book: Arc::clone(&self.book),
            request_id,
        }
    }

    fn admit(&self, known: &Known, word: Word, about: Subject, via: Via, trace: Trace) -> Verdict {
        self.count(&known.partner.name, "valid", "none", via);
        let (mut passport, mut statement, mut attestation) = (None, None, None);
        match (word, about) {
            (Word::Theirs(jws), Subject::Token) => passport = Some(jws),
            (Word::Theirs(jws), Subject::Guest) => statement = Some(jws),
            (Word::Ours(jws), _) => attestation = Some(jws),
        }
        Verdict::Valid {
            partner: PartnerRef {
                cloud_id: known.partner.cloud_id.clone(),
                name: known.partner.name.clone(),
            },
            passport,
            statement,
            attestation,
            path: trace.path(via),
        }
    }

    fn refuse(&self, partner: &str, reason: Reason, via: Via, trace: Trace) -> Verdict {
        let path = trace.path(via);
        if reason.is_definite() {
            self.count(partner, "invalid", reason.code(), via);
            Verdict::Invalid { reason, path }
        } else {
            self.count(partner, "indeterminate", reason.code(), via);
            Verdict::Indeterminate { reason, path }
        }
    }

    fn count(&self, partner: &str, status: &'static str, reason: &'static str, via: Via) {
        let via = via.as_str();
        alliance_trace::note("alliance.partner", partner.to_owned());
        alliance_trace::note("alliance.verdict", status);
        alliance_trace::note("alliance.reason", reason);
        alliance_trace::note("alliance.via", via);
        let labels = VerdictLabels {
            partner: partner.to_owned(),
            status,
            reason,
            via,
        };
        self.metrics.verdicts.get_or_create(&labels).inc();
        self.metrics.traffic.came(partner, status == "valid");
    }
}

/// What a word is about.
#[derive(Debug, Clone, Copy)]
enum Subject {
    Token,
    Guest,
}

/// What came of asking, or why the signature did not decide, whichever tells more: home says only
/// that it does not know the token, or nothing at all.
fn more_telling(open: Option<Reason>, asked: Reason) -> Reason {
    match (open, asked) {
        (Some(reason), Reason::NotFound) if reason.is_definite() => reason,
        (Some(reason), Reason::Unreachable)
            if !reason.is_definite() || reason.is_too_powerful() =>
        {
            reason
        }
        (_, asked) => asked,
    }
}

/// Tokens of a cloud with Alliance have a tag, those of a plain Keystone have none.
fn one_spelling(known: &Known, token: &Token) -> Result<(), Reason> {
    match (known.partner.kind, token.tag()) {
        (Kind::Alliance, Some(_)) | (Kind::Keystone, None) => Ok(()),
        (Kind::Alliance, None) | (Kind::Keystone, Some(_)) => Err(Reason::Malformed),
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
}

/// A Fernet token says when it was made; one from the future or the distant past is not worth a
/// question to its issuer.
fn plausible(token: &Token, at: Seconds) -> Result<(), Reason> {
    match token.made_at() {
        Some(made_at) if made_at > at + CLOCK_SKEW => Err(Reason::NotYetValid),
        Some(made_at) if made_at < at - LONGEST_TOKEN_LIFE => Err(Reason::Expired),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::task::{Context, Waker};

    use alliance_core::agreement::{Agreement, Projects};
    use alliance_core::terms::Terms;

    use super::*;
    use crate::config::InvalidBudget;
    use crate::daemon::directory::tests::knows_west;

    /// Usual settings, with a small budget.
    pub(crate) fn five_guesses() -> Tokens {
        Tokens {
            max_staleness: Duration::from_secs(60),
            max_live: 1000,
            remembered: 1000,
            max_revocation_age: Duration::from_secs(300),
            guest_grace: Duration::from_secs(900),
            revocation_refresh: Duration::from_secs(15),
            negative_ttl: Duration::from_secs(10),
            admin_roles: vec!["admin".to_owned()],
            revoke_too_powerful: true,
            invalid_budget: InvalidBudget {
                rate: 1.0,
                burst: 5,
            },
        }
    }

    /// Of the only instance.
    pub(crate) fn alone(store: &Store) -> Arc<Board> {
        Arc::new(Board::new("one".into(), "one/1".into(), store))
    }

    /// What lets all of a partner's projects in, as members.
    pub(crate) fn member_of_all(partner: &CloudId) -> Agreement {
        Agreement {
            id: "a".into(),
            partner: partner.clone(),
            projects: Projects::All,
            project_name: None,
            project_domain: None,
            version: Some(1),
            terms: Terms::granting(["member".to_owned()], 0),
            ended_at: None,
        }
    }

    fn host(directory: Arc<Directory>, store: &Store) -> Result<Host, Box<dyn std::error::Error>> {
        let (metrics, identity) = (Arc::new(Metrics::new()), Arc::new(Identity::ephemeral()?));
        let (store, board) = (store.clone(), alone(store));
        Ok(Host::new(
            directory,
            store,
            metrics,
            identity,
            board,
            &five_guesses(),
        ))
    }

    fn seen(partner: &CloudId, hash: &str) -> SeenToken {
        SeenToken {
            token_sha256: hash.to_owned(),
            cloud_id: partner.clone(),
            user_id: "u".into(),
            project_id: None,
            expires_at: now() + 1000,
            session: Some("s".into()),
            origin: None,
        }
    }

    #[tokio::test]
    async fn a_token_that_is_noted_on_disk_is_not_written_again()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, west, _folder) = knows_west().await?;
        let host = host(directory, &store)?;
        host.note(seen(&west, "a")).await;
        assert_eq!(store.seen_tokens().of_partner(&west, 0).await?, ["a"]);
        store.seen_tokens().forget_expired(now() + 2000).await?;
        host.note(seen(&west, "a")).await;
        host.note(seen(&west, "b")).await;
        assert_eq!(store.seen_tokens().of_partner(&west, 0).await?, ["b"]);
        Ok(())
    }

    #[tokio::test]
    async fn a_token_for_whose_note_nobody_waited_is_on_disk_soon()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, west, _folder) = knows_west().await?;
        let host = host(directory, &store)?;
        let on_disk = async || store.seen_tokens().count_by_session(now()).await;
        let mut busy = Box::pin(store.seen_tokens().note(seen(&west, "b")));
        let mut moment = Context::from_waker(Waker::noop());
        assert!(busy.as_mut().poll(&mut moment).is_pending());
        host.note(seen(&west, "a")).await;
        drop(busy);
        assert!(on_disk().await?.is_empty());
        tokio::select! {
            () = host.write_late_notes() => {}
            written = async {
                while on_disk().await?.is_empty() {
                    sleep(Duration::from_millis(5)).await;
                }
                Ok(())
            } => return written,
            () = sleep(Duration::from_secs(20)) => {}
        }
        Err("the token is not on disk".into())
    }
}
