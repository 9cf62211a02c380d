//! This cloud as a host: whether a foreign token opens anything here.

mod answers;
mod ask;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_core::admission::{Admission, may_enter, may_keep};
use alliance_core::refusal::Reason;
use alliance_core::statement::{GrantStatement, Passport};
use alliance_core::{CLOCK_SKEW, Seconds};
use alliance_peer::request_id::RequestId;
use alliance_store::{SeenToken, Store};
use alliance_token::Token;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use self::answers::{Answers, Key, Outcome};

use super::budgets::Budgets;
use super::clock::now;
use super::directory::{Directory, Known};
use super::metrics::{Metrics, VerdictLabels};
use crate::config::Tokens;
use crate::wire::{ConfirmRequest, PartnerRef, Path, Signed, Verdict, Via};

/// No Keystone lets a token live longer than this, `allow_expired` included: a Fernet token that
/// was made earlier is not worth a question. Seconds.
const OLDEST_TOKEN: Seconds = 14 * 24 * 3600;

/// How long a request waits for the database to note its token.
const NOTE_WAIT: Duration = Duration::from_millis(300);

/// Decides about foreign tokens and guests.
pub(crate) struct Host {
    directory: Arc<Directory>,
    store: Store,
    metrics: Arc<Metrics>,
    admin_roles: BTreeSet<String>,
    max_staleness: Duration,
    passports: Answers<Passport>,
    grants: Answers<GrantStatement>,
    budgets: Arc<Budgets>,
    /// Apart, since nobody but a guest with a token of this cloud spends it.
    guest_budgets: Arc<Budgets>,
}

impl Host {
    /// Knows nothing yet.
    pub(crate) fn new(
        directory: Arc<Directory>,
        store: Store,
        metrics: Arc<Metrics>,
        tokens: &Tokens,
    ) -> Self {
        let (max_staleness, negative_ttl) = (tokens.max_staleness, tokens.negative_ttl);
        Self {
            directory,
            store,
            metrics,
            admin_roles: tokens.admin_roles.iter().cloned().collect(),
            max_staleness,
            passports: Answers::new(max_staleness, negative_ttl),
            grants: Answers::new(max_staleness, negative_ttl),
            budgets: Arc::new(Budgets::new(&tokens.invalid_budget)),
            guest_budgets: Arc::new(Budgets::new(&tokens.invalid_budget)),
        }
    }

    /// Forgets all answers of partners.
    pub(crate) fn forget_answers(&self) {
        self.passports.forget_all();
        self.grants.forget_all();
    }

    /// Whether a foreign token opens anything here. `max_age` bounds the age of the issuer's
    /// word, in seconds.
    pub(crate) async fn validate(
        &self,
        token: &str,
        max_age: f64,
        request_id: RequestId,
    ) -> Verdict {
        let clock = Instant::now();
        let token = match Token::parse_tagged(token) {
            Ok(token) => token,
            Err(why) => {
                tracing::info!(%request_id, %why, "a malformed foreign token was refused");
                return self.refuse("unknown", Reason::Malformed, Via::Local, clock);
            }
        };
        let partners = self.directory.partners();
        let Some(known) = token.tag().and_then(|tag| partners.by_tag(tag)) else {
            tracing::info!(%request_id, %token, "a token of an unknown partner was refused");
            return self.refuse("unknown", Reason::UnknownPartner, Via::Local, clock);
        };
        let (decided, via) = self.validate_from(known, &token, max_age, request_id).await;
        match decided {
            Ok(passport) => self.admit(known, Some(passport), None, via, clock),
            Err(reason) => {
                tracing::info!(%request_id, %token, partner = known.partner.name, %reason, ?via, "a foreign token was refused");
                self.refuse(&known.partner.name, reason, via, clock)
            }
        }
    }

    async fn validate_from(
        &self,
        known: &Arc<Known>,
        token: &Token,
        max_age: f64,
        request_id: RequestId,
    ) -> (Result<Signed, Reason>, Via) {
        let at = now();
        if let Err(reason) = known
            .partner
            .require_guest(at)
            .and_then(|()| plausible(token, at))
        {
            return (Err(reason), Via::Local);
        }
        let budgets = &self.budgets;
        let cloud_id = &known.partner.cloud_id;
        let (outcome, via) = self
            .passports
            .answer(
                *token.digest(),
                self.bounded(max_age),
                || budgets.may_ask(cloud_id),
                || ask::passport(self.question(known, request_id), token.clone()),
            )
            .await;
        let kept = match outcome {
            Outcome::Active(kept) => kept,
            Outcome::Inactive(reason) | Outcome::Failed(reason) => return (Err(reason), via),
        };
        let facts = &kept.claims.token_introspection;
        let admission = may_enter(facts, cloud_id, &known.given, &self.admin_roles, now());
        match &admission {
            Err(reason) if via == Via::Asked => {
                ask::report(self.question(known, request_id), token.clone(), *reason);
            }
            Ok(_) | Err(_) => {}
        }
        if let Ok(admission) = &admission
            && via != Via::Cache
        {
            let project = match admission {
                Admission::Unscoped => None,
                Admission::Project { project_id, .. } => Some(project_id.as_str()),
            };
            self.note(SeenToken {
                token_sha256: token.sha256().to_owned(),
                cloud_id: cloud_id.clone(),
                user_id: facts.sub.clone(),
                project_id: project.map(str::to_owned),
                expires_at: facts.expires_at.as_second(),
            })
            .await;
        }
        (admission.map(|_| kept.jws.clone()), via)
    }

    /// Whether a guest still has roles here by its home's word.
    pub(crate) async fn confirm(&self, request: &ConfirmRequest, request_id: RequestId) -> Verdict {
        let clock = Instant::now();
        let partners = self.directory.partners();
        let Some(known) = partners.by_cloud(&request.cloud_id) else {
            return self.refuse("unknown", Reason::UnknownPartner, Via::Local, clock);
        };
        let (decided, via) = self.confirm_with(known, request, request_id).await;
        match decided {
            Ok(statement) => self.admit(known, None, Some(statement), via, clock),
            Err(reason) => {
                tracing::info!(%request_id, user = request.user_id, partner = known.partner.name, %reason, ?via, "a guest was refused");
                self.refuse(&known.partner.name, reason, via, clock)
            }
        }
    }

    async fn confirm_with(
        &self,
        known: &Arc<Known>,
        request: &ConfirmRequest,
        request_id: RequestId,
    ) -> (Result<Signed, Reason>, Via) {
        let at = now();
        let covered = known.given.iter().any(|agreement| {
            agreement.is_live(at)
                && request
                    .project_id
                    .as_ref()
                    .is_none_or(|id| agreement.projects.covers(id))
        });
        let allowed = known
            .partner
            .require_guest(at)
            .and_then(|()| covered.then_some(()).ok_or(Reason::NoAgreement));
        if let Err(reason) = allowed {
            return (Err(reason), Via::Local);
        }
        let (outcome, via) = self
            .grants
            .answer(
                guest_key(request),
                self.bounded(request.max_age),
                || self.guest_budgets.may_ask(&known.partner.cloud_id),
                || {
                    ask::grants(
                        ask::Question {
                            budgets: Arc::clone(&self.guest_budgets),
                            ..self.question(known, request_id)
                        },
                        request.user_id.clone(),
                        request.project_id.clone(),
                    )
                },
            )
            .await;
        let decided = match outcome {
            Outcome::Active(kept) => {
                may_keep(&kept.claims.grants, &known.given, &self.admin_roles, now())
                    .map(|_| kept.jws.clone())
            }
            Outcome::Inactive(reason) | Outcome::Failed(reason) => Err(reason),
        };
        if let (Ok(_), Some(derived)) = (&decided, &request.token) {
            self.note(SeenToken {
                token_sha256: derived.sha256.clone(),
                cloud_id: known.partner.cloud_id.clone(),
                user_id: request.user_id.clone(),
                project_id: request.project_id.clone(),
                expires_at: derived.expires_at,
            })
            .await;
        }
        (decided, via)
    }

    /// Remembers that a token was let in, for the day when it must leave the services' caches. A
    /// database that does not answer does not keep anybody out: the next note takes this one along.
    async fn note(&self, seen: SeenToken) {
        match timeout(NOTE_WAIT, self.store.seen_tokens().note(seen)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "a token was not noted on disk; its entries in the services' caches may outlive a suspension");
            }
            Err(_) => {
                tracing::warn!("the database takes long; a token is not noted on disk yet");
            }
        }
    }

    fn question(&self, known: &Arc<Known>, request_id: RequestId) -> ask::Question {
        ask::Question {
            known: Arc::clone(known),
            directory: Arc::clone(&self.directory),
            budgets: Arc::clone(&self.budgets),
            metrics: Arc::clone(&self.metrics),
            request_id,
        }
    }

    fn bounded(&self, max_age: f64) -> Duration {
        Duration::try_from_secs_f64(max_age)
            .unwrap_or(Duration::ZERO)
            .min(self.max_staleness)
    }

    fn admit(
        &self,
        known: &Known,
        passport: Option<Signed>,
        statement: Option<Signed>,
        via: Via,
        clock: Instant,
    ) -> Verdict {
        self.count(&known.partner.name, "valid", "none", via);
        Verdict::Valid {
            partner: PartnerRef {
                cloud_id: known.partner.cloud_id.clone(),
                name: known.partner.name.clone(),
            },
            passport,
            statement,
            path: path(via, clock),
        }
    }

    fn refuse(&self, partner: &str, reason: Reason, via: Via, clock: Instant) -> Verdict {
        let path = path(via, clock);
        if reason.is_definite() {
            self.count(partner, "invalid", reason.code(), via);
            Verdict::Invalid { reason, path }
        } else {
            self.count(partner, "indeterminate", reason.code(), via);
            Verdict::Indeterminate { reason, path }
        }
    }

    fn count(&self, partner: &str, status: &'static str, reason: &'static str, via: Via) {
        let labels = VerdictLabels {
            partner: partner.to_owned(),
            status,
            reason,
            via: via.as_str(),
        };
        self.metrics.verdicts.get_or_create(&labels).inc();
    }
}

fn path(via: Via, clock: Instant) -> Path {
    Path {
        via,
        took_ms: clock.elapsed().as_secs_f64() * 1000.0,
    }
}

/// A Fernet token says when it was made; one from the future or the distant past is not worth a
/// question to its issuer.
fn plausible(token: &Token, at: Seconds) -> Result<(), Reason> {
    match token.made_at() {
        Some(made_at) if made_at > at + CLOCK_SKEW => Err(Reason::NotYetValid),
        Some(made_at) if made_at < at - OLDEST_TOKEN => Err(Reason::Expired),
        _ => Ok(()),
    }
}

fn guest_key(request: &ConfirmRequest) -> Key {
    Sha256::new()
        .chain_update(request.cloud_id.as_str())
        .chain_update([0])
        .chain_update(&request.user_id)
        .chain_update([0])
        .chain_update(request.project_id.as_deref().unwrap_or_default())
        .finalize()
        .into()
}

#[cfg(test)]
pub(crate) mod tests {
    use alliance_core::agreement::{Agreement, Projects};

    use super::*;
    use crate::config::InvalidBudget;
    use crate::daemon::directory::tests::knows_west;

    /// Usual settings, with a small budget.
    pub(crate) fn five_guesses() -> Tokens {
        Tokens {
            max_staleness: Duration::from_secs(60),
            max_revocation_age: Duration::from_secs(300),
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

    #[tokio::test]
    async fn strings_that_are_no_tokens_do_not_shut_out_guests_that_are_here()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, west, _folder) = knows_west().await?;
        let agreement = Agreement {
            id: "a".into(),
            partner: west.clone(),
            projects: Projects::All,
            project_name: None,
            project_domain: None,
            roles: ["member".to_owned()].into(),
            services: None,
            transitive: false,
            since: 0,
            till: None,
            ended_at: None,
        };
        store.agreements().create(&agreement, 10).await?;
        directory.reload().await?;
        let host = Host::new(directory, store, Arc::new(Metrics::new()), &five_guesses());
        for _ in 0..10 {
            host.budgets.wrong(&west);
        }
        let request = ConfirmRequest {
            cloud_id: west,
            user_id: "u".into(),
            project_id: Some("p".into()),
            max_age: 0.0,
            token: None,
        };
        let verdict = host.confirm(&request, RequestId::random()).await;
        // Nobody answers there, but that was found out by asking.
        let reason = Reason::Unreachable;
        assert!(
            matches!(&verdict, Verdict::Indeterminate { reason: found, .. } if *found == reason),
            "{verdict:?}"
        );
        Ok(())
    }
}
