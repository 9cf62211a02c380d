//! The questions themselves: to the issuer, over its peer API, and what its answer is worth.

use std::sync::Arc;
use std::time::Instant;

use alliance_core::descriptor::Jwk;
use alliance_core::refusal::Reason;
use alliance_core::statement::{GrantStatement, Passport, Statement, require_fresh};
use alliance_peer::client::PeerError;
use alliance_peer::request_id::RequestId;
use alliance_peer::service::Report;
use alliance_peer::statement;
use alliance_peer::wire::{GrantsAnswer, GrantsQuestion, Introspection};
use alliance_token::Token;
use serde::de::DeserializeOwned;

use super::answers::{Kept, Outcome};
use crate::daemon::budgets::Budgets;
use crate::daemon::clock::now;
use crate::daemon::directory::{Directory, Known};
use crate::daemon::metrics::{Metrics, PartnerLabel};

/// An answer is made for this question: it is not older than the clocks' skew.
const JUST_MADE: i64 = 0;

/// Whom to ask, and what to keep count of.
pub(super) struct Question {
    pub known: Arc<Known>,
    pub directory: Arc<Directory>,
    pub budgets: Arc<Budgets>,
    pub metrics: Arc<Metrics>,
    pub request_id: RequestId,
}

/// Asks the issuer for a passport.
pub(super) async fn passport(question: Question, token: Token) -> Outcome<Passport> {
    let asked_at = Instant::now();
    let Some(client) = question.known.peer() else {
        return Outcome::Failed(Reason::HomeError);
    };
    let answer = client.introspect(question.request_id, &token).await;
    let answer = answer.map(|answer| match answer {
        Introspection::Active { passport } => Ok(passport),
        Introspection::Inactive { reason } => Err(reason),
    });
    let outcome = match question.read::<Passport>(answer, asked_at) {
        Outcome::Active(kept) if kept.claims.token_introspection.token_sha256 != token.sha256() => {
            tracing::error!(request_id = %question.request_id, partner = question.known.partner.name, %token, "the partner's passport is about another token");
            Outcome::Inactive(Reason::WrongStatement)
        }
        outcome => outcome,
    };
    question.settle(outcome)
}

/// Asks a guest's home for a grant statement.
pub(super) async fn grants(
    question: Question,
    user_id: String,
    project_id: Option<String>,
) -> Outcome<GrantStatement> {
    let asked_at = Instant::now();
    let asked = GrantsQuestion {
        user_id,
        project_id,
    };
    let Some(client) = question.known.peer() else {
        return Outcome::Failed(Reason::HomeError);
    };
    let answer = client.grants(question.request_id, &asked).await;
    let answer = answer.map(|answer| match answer {
        GrantsAnswer::Active { statement } => Ok(statement),
        GrantsAnswer::Inactive { reason } => Err(reason),
    });
    let outcome = match question.read::<GrantStatement>(answer, asked_at) {
        Outcome::Active(kept) if !is_about(&kept.claims, &asked) => {
            tracing::error!(request_id = %question.request_id, partner = question.known.partner.name, user_id = asked.user_id, "the partner's grant statement is about somebody else");
            Outcome::Inactive(Reason::WrongStatement)
        }
        outcome => outcome,
    };
    question.settle(outcome)
}

/// Tells the issuer, in the background, that its token was refused here and why: its operator is
/// asked too, and a token with too much power was seen by a stranger.
pub(super) fn report(question: Question, token: Token, reason: Reason) {
    tokio::spawn(async move {
        let request_id = question.request_id;
        let report = Report { token, reason };
        let Some(client) = question.known.peer() else {
            return;
        };
        if let Err(error) = client.report(request_id, &report).await {
            tracing::warn!(%request_id, token = %report.token, partner = question.known.partner.name, %error, "the issuer was not told why its token was refused here");
        }
    });
}

impl Question {
    fn read<T: Statement + DeserializeOwned>(
        &self,
        answer: Result<Result<String, Reason>, PeerError>,
        asked_at: Instant,
    ) -> Outcome<T> {
        let seconds = asked_at.elapsed().as_secs_f64();
        self.metrics.question_seconds.observe(seconds);
        let label = PartnerLabel {
            partner: self.known.partner.name.clone(),
        };
        self.metrics.questions.get_or_create(&label).inc();
        let jws = match answer {
            Ok(Ok(jws)) => jws,
            Ok(Err(reason)) => return Outcome::Inactive(reason),
            Err(error) => {
                tracing::warn!(request_id = %self.request_id, partner = self.known.partner.name, %error, "a partner did not answer a question");
                return Outcome::Failed(error.reason());
            }
        };
        // Keys may have been rotated since this question was prepared.
        let partners = self.directory.partners();
        let keys: &[Jwk] = partners
            .by_cloud(&self.known.partner.cloud_id)
            .and_then(|known| known.descriptor())
            .map_or(&[], |told| &told.signing_keys);
        let own = self.directory.cloud_id();
        let claims: T = match statement::verify(&jws, keys, &self.known.partner.cloud_id, Some(own))
        {
            Ok(claims) => claims,
            Err(error) => {
                tracing::error!(request_id = %self.request_id, partner = self.known.partner.name, %error, "a partner's statement was refused");
                return Outcome::Failed(Reason::WrongStatement);
            }
        };
        match require_fresh(claims.issued_at(), now(), JUST_MADE) {
            Ok(()) => Outcome::Active(Arc::new(Kept {
                jws: jws.into(),
                claims,
                asked_at,
            })),
            Err(reason) => {
                tracing::error!(request_id = %self.request_id, partner = self.known.partner.name, "a partner's statement is dated wrongly; compare the clouds' clocks");
                Outcome::Failed(reason)
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

fn is_about(statement: &GrantStatement, asked: &GrantsQuestion) -> bool {
    let grants = &statement.grants;
    grants.user.id == asked.user_id
        && grants.project.as_ref().map(|project| &project.id) == asked.project_id.as_ref()
}
