//! The questions themselves: to the issuer's daemon over its peer API, or to its Keystone where it
//! has no daemon; and what its answer is worth.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use alliance_answers::{Kept, Outcome, Word};
use alliance_cloud::keystone::{UserGrants, Validation};
use alliance_core::admission::{Entrant, may_leave};
use alliance_core::refusal::Reason;
use alliance_core::statement::{GrantStatement, Grants, Passport, Statement, TokenFacts};
use alliance_peer::client::{PeerClient, PeerError};
use alliance_peer::request_id::RequestId;
use alliance_peer::service::Report;
use alliance_peer::wire::{GrantsAnswer, GrantsQuestion, Introspection};
use alliance_token::Token;
use futures_util::future::join_all;
use serde::de::DeserializeOwned;

use super::notary::Notary;
use super::role_sets::RoleSets;
use super::sessions::Book;
use crate::daemon::budgets::Budgets;
use crate::daemon::directory::{Directory, Known, Way};
use crate::daemon::metrics::{Metrics, PartnerLabel};
use crate::daemon::plain::{PlainKeystone, Unanswered};

/// How many questions a partner is asked at once that can be asked about one user at a time.
const AT_ONCE: usize = 2;

/// Whom to ask, and what to keep count of.
pub(super) struct Question {
    pub known: Arc<Known>,
    pub directory: Arc<Directory>,
    pub budgets: Arc<Budgets>,
    pub metrics: Arc<Metrics>,
    /// Whether a request waits for the answer. If not, it may take longer, and a partner that does
    /// not answer is not held against it.
    pub is_awaited: bool,
    pub notary: Arc<Notary>,
    pub role_sets: Arc<RoleSets>,
    pub book: Arc<Book>,
    pub request_id: RequestId,
}

/// Asks the issuer about a token.
pub(super) async fn about_token(question: Question, token: Token) -> Outcome<Entrant> {
    let asked_at = Instant::now();
    let outcome = match &question.known.way {
        Way::Peer(client) => question.passport(client, &token, asked_at).await,
        Way::Keystone(plain) => question.validation(plain, &token, asked_at).await,
    };
    question.settle(outcome)
}

/// Asks a guest's home which roles it has.
pub(super) async fn about_guest(
    question: Question,
    user_id: String,
    project_id: Option<String>,
) -> Outcome<Grants> {
    let asked_at = Instant::now();
    let asked = GrantsQuestion {
        user_id,
        project_id,
    };
    let outcome = match &question.known.way {
        Way::Peer(client) => question.statement(client, &asked, asked_at).await,
        Way::Keystone(plain) => question.assignments(plain, &asked, asked_at).await,
    };
    question.settle(outcome)
}

/// Asks the home of several guests which roles they have, at most
/// [`MAX_QUESTIONS`](alliance_peer::wire::MAX_QUESTIONS), each in a project or without one. An outcome
/// of each, in their order. Its *no* spends no budget: they are here by its own word.
pub(super) async fn about_guests(
    question: &Question,
    asked: &[GrantsQuestion],
) -> Vec<Outcome<Grants>> {
    let asked_at = Instant::now();
    match &question.known.way {
        Way::Peer(client) => question.statements(client, asked, asked_at).await,
        Way::Keystone(plain) => question.assignments_of_many(plain, asked, asked_at).await,
    }
}

/// Tells the issuer, in the background, that its token was refused here and why: its operator is
/// asked too, and a token with too much power was seen by a stranger. A plain Keystone cannot be
/// told.
pub(super) fn report(question: Question, token: Token, reason: Reason) {
    tokio::spawn(alliance_trace::carried(async move {
        let Way::Peer(client) = &question.known.way else {
            return;
        };
        let request_id = question.request_id;
        let report = Report { token, reason };
        if let Err(error) = client.report(request_id, &report).await {
            tracing::warn!(%request_id, token = %report.token, partner = question.known.partner.name, %error, "the issuer was not told why its token was refused here");
        }
    }));
}

impl Question {
    async fn passport(
        &self,
        client: &PeerClient,
        token: &Token,
        asked_at: Instant,
    ) -> Outcome<Entrant> {
        let answer = client.introspect(self.request_id, token).await;
        let answer = answer.map(|answer| match answer {
            Introspection::Active { passport } => Ok(passport),
            Introspection::Inactive { reason } => Err(reason),
        });
        self.count(asked_at, 1);
        match self.read::<Passport>(answer) {
            Ok((_, passport)) if passport.token_introspection.token_sha256 != token.sha256() => {
                tracing::error!(request_id = %self.request_id, partner = self.known.partner.name, %token, "the partner's passport is about another token");
                Outcome::Inactive(Reason::WrongStatement)
            }
            Ok((word, passport)) => self.entrant(word, &passport.token_introspection, asked_at),
            Err(outcome) => outcome.into(),
        }
    }

    async fn statement(
        &self,
        client: &PeerClient,
        asked: &GrantsQuestion,
        asked_at: Instant,
    ) -> Outcome<Grants> {
        let answer = if self.is_awaited {
            client.grants(self.request_id, asked).await
        } else {
            client.grants_unhurried(self.request_id, asked).await
        };
        self.count(asked_at, 1);
        self.stated(answer, asked, asked_at)
    }

    async fn statements(
        &self,
        client: &PeerClient,
        asked: &[GrantsQuestion],
        asked_at: Instant,
    ) -> Vec<Outcome<Grants>> {
        let answers = client.grants_of_many(self.request_id, asked.to_vec()).await;
        if matches!(&answers, Err(error) if error.is_of_an_older_version()) {
            return self.statements_one_by_one(client, asked).await;
        }
        self.count(asked_at, asked.len());
        match answers {
            Ok(answers) => answers
                .into_iter()
                .zip(asked)
                .map(|(answer, asked)| self.stated(Ok(answer), asked, asked_at))
                .collect(),
            Err(error) => {
                self.note_silence(&error);
                vec![Outcome::Failed(error.reason()); asked.len()]
            }
        }
    }

    /// Where home is of a version that knows no other way: a few at a time, until it does not answer.
    async fn statements_one_by_one(
        &self,
        client: &PeerClient,
        asked: &[GrantsQuestion],
    ) -> Vec<Outcome<Grants>> {
        let mut outcomes = Vec::new();
        for some in asked.chunks(AT_ONCE) {
            let some = some
                .iter()
                .map(|asked| self.statement(client, asked, Instant::now()));
            let some = join_all(some).await;
            let silent = some.iter().find(|one| matches!(one, Outcome::Failed(_)));
            let silent = silent.cloned();
            outcomes.extend(some);
            if let Some(failed) = silent {
                outcomes.resize(asked.len(), failed);
                break;
            }
        }
        outcomes
    }

    fn stated(
        &self,
        answer: Result<GrantsAnswer, PeerError>,
        asked: &GrantsQuestion,
        asked_at: Instant,
    ) -> Outcome<Grants> {
        let answer = answer.map(|answer| match answer {
            GrantsAnswer::Active { statement } => Ok(statement),
            GrantsAnswer::Inactive { reason } => Err(reason),
        });
        match self.read::<GrantStatement>(answer) {
            Ok((_, statement)) if !is_about(&statement.grants, asked) => {
                tracing::error!(request_id = %self.request_id, partner = self.known.partner.name, user_id = asked.user_id, "the partner's grant statement is about somebody else");
                Outcome::Inactive(Reason::WrongStatement)
            }
            Ok((word, statement)) => active(word, statement.grants, asked_at),
            Err(outcome) => outcome.into(),
        }
    }

    async fn validation(
        &self,
        plain: &PlainKeystone,
        token: &Token,
        asked_at: Instant,
    ) -> Outcome<Entrant> {
        let id = self.request_id.to_string();
        let answer = plain
            .ask(plain.keystone.validate(token.expose(), &id))
            .await;
        self.count(asked_at, 1);
        let view = match answer {
            Ok(Validation::Valid(view)) => view,
            Ok(Validation::Unknown) => return Outcome::Inactive(Reason::NotFound),
            Err(error) => return Outcome::Failed(self.silent(&error)),
        };
        // What a home with a daemon decides, its host decides for one without.
        if let Err(reason) = may_leave(&view.home_view()) {
            return Outcome::Inactive(reason);
        }
        let issuer = &self.known.partner.cloud_id;
        let facts = view.facts(token, Some(issuer.clone()));
        match self.notary.token(issuer, &facts) {
            Ok(word) => self.entrant(word, &facts, asked_at),
            Err(reason) => Outcome::Failed(reason),
        }
    }

    fn entrant(&self, word: Word, facts: &TokenFacts, asked_at: Instant) -> Outcome<Entrant> {
        let issuer = &self.known.partner.cloud_id;
        let entrant = match self.role_sets.entrant(facts, issuer) {
            Ok(entrant) => entrant,
            Err(reason) => return Outcome::Inactive(reason),
        };
        match self.book.begin(issuer, facts, &entrant.roles) {
            Ok(()) => active(word, entrant, asked_at),
            Err(reason) => Outcome::Failed(reason),
        }
    }

    async fn assignments(
        &self,
        plain: &PlainKeystone,
        asked: &GrantsQuestion,
        asked_at: Instant,
    ) -> Outcome<Grants> {
        let id = self.request_id.to_string();
        let question = plain
            .keystone
            .grants(&asked.user_id, asked.project_id.as_deref(), &id);
        let answer = plain.ask(question).await;
        self.count(asked_at, 1);
        match answer {
            Ok(found) => self.attested(found, asked_at),
            Err(error) => Outcome::Failed(self.silent(&error)),
        }
    }

    async fn assignments_of_many(
        &self,
        plain: &PlainKeystone,
        asked: &[GrantsQuestion],
        asked_at: Instant,
    ) -> Vec<Outcome<Grants>> {
        let users: Vec<_> = asked
            .iter()
            .map(|asked| (asked.user_id.as_str(), asked.project_id.as_deref()))
            .collect();
        let id = self.request_id.to_string();
        let answers = plain.keystone.grants_of_many(&users, &id).await;
        self.count(asked_at, asked.len());
        match answers {
            Ok(answers) => answers
                .into_iter()
                .map(|found| self.attested(found, asked_at))
                .collect(),
            Err(error) => {
                let reason = self.silent(&error.into());
                vec![Outcome::Failed(reason); asked.len()]
            }
        }
    }

    fn attested(&self, found: UserGrants, asked_at: Instant) -> Outcome<Grants> {
        match found {
            UserGrants::Some(grants) => {
                match self.notary.grants(&self.known.partner.cloud_id, &grants) {
                    Ok(word) => active(word, grants, asked_at),
                    Err(reason) => Outcome::Failed(reason),
                }
            }
            UserGrants::None => Outcome::Inactive(Reason::NotFound),
        }
    }

    /// About how many users or tokens, in one question.
    fn count(&self, asked_at: Instant, subjects: usize) {
        let label = PartnerLabel {
            partner: self.known.partner.name.clone(),
        };
        let measured = self.metrics.question_seconds.get_or_create(&label);
        measured.observe(asked_at.elapsed().as_secs_f64());
        let counted = if self.is_awaited {
            &self.metrics.questions
        } else {
            &self.metrics.checks
        };
        let subjects = u64::try_from(subjects).unwrap_or(u64::MAX);
        counted.get_or_create(&label).inc_by(subjects);
    }

    fn silent(&self, error: &Unanswered) -> Reason {
        self.note_silence(error);
        error.reason()
    }

    fn note_silence(&self, error: &dyn Display) {
        let (request_id, partner) = (self.request_id, &self.known.partner.name);
        if self.is_awaited {
            tracing::warn!(%request_id, partner, %error, "a partner did not answer a question");
        } else {
            tracing::debug!(%request_id, partner, %error, "a partner did not answer a question that nobody waits for");
        }
    }

    /// The statement in an answer, with its signature checked.
    fn read<T: Statement + DeserializeOwned>(
        &self,
        answer: Result<Result<String, Reason>, PeerError>,
    ) -> Result<(Word, T), NoAnswer> {
        let jws = match answer {
            Ok(Ok(jws)) => jws,
            Ok(Err(reason)) => return Err(NoAnswer::Inactive(reason)),
            Err(error) => {
                self.note_silence(&error);
                return Err(NoAnswer::Failed(error.reason()));
            }
        };
        // Keys may have been rotated since this question was prepared.
        let partners = self.directory.partners();
        let Some(known) = partners.by_cloud(&self.known.partner.cloud_id) else {
            tracing::warn!(request_id = %self.request_id, partner = self.known.partner.name, "a partner was removed while it answered");
            return Err(NoAnswer::Failed(Reason::WrongStatement));
        };
        match known.hear(&jws, self.directory.cloud_id()) {
            Ok(said) => Ok((Word::Theirs(jws.into()), said)),
            Err(error) => {
                tracing::error!(request_id = %self.request_id, partner = self.known.partner.name, %error, "a partner's statement was refused");
                Err(NoAnswer::Failed(Reason::WrongStatement))
            }
        }
    }

    fn settle<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        if let Outcome::Inactive(_) = outcome {
            self.budgets.wrong(&self.known.partner.cloud_id);
        }
        outcome
    }
}

/// Why there is no *yes*.
enum NoAnswer {
    Inactive(Reason),
    Failed(Reason),
}

impl<T> From<NoAnswer> for Outcome<T> {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Inactive(reason) => Outcome::Inactive(reason),
            NoAnswer::Failed(reason) => Outcome::Failed(reason),
        }
    }
}

fn active<T>(word: Word, claims: T, asked_at: Instant) -> Outcome<T> {
    Outcome::Active(Arc::new(Kept {
        word,
        claims,
        asked_at,
    }))
}

fn is_about(grants: &Grants, asked: &GrantsQuestion) -> bool {
    grants.user.id == asked.user_id
        && grants.project.as_ref().map(|project| &project.id) == asked.project_id.as_ref()
}
