//! Guests who are here: whether their home still says what their roles are.

use std::sync::Arc;
use std::time::Duration;

use alliance_answers::{Kept, Key, Outcome, Word};
use alliance_core::admission::may_keep;
use alliance_core::agreement::covering;
use alliance_core::cadf::{Matter, Person};
use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use alliance_core::statement::Grants;
use alliance_peer::request_id::RequestId;
use alliance_store::SeenToken;
use sha2::{Digest, Sha256};

use super::steps::Trace;
use super::{Host, Subject, ask, seconds};
use crate::daemon::auditing::Case;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;
use crate::wire::{ConfirmRequest, Verdict, Via};

impl Host {
    /// Whether a guest still has roles here by its home's word.
    pub(crate) async fn confirm(&self, request: &ConfirmRequest, request_id: RequestId) -> Verdict {
        let trace = Trace::new(false);
        let partners = self.directory.partners();
        let Some(known) = partners.by_cloud(&request.cloud_id) else {
            return self.refuse("unknown", Reason::UnknownPartner, Via::Local, trace);
        };
        let (decided, via) = self.confirm_with(known, request, request_id).await;
        self.auditor
            .decided(decided.as_ref().err().copied(), || Case {
                matter: Matter::Guest,
                partner: Some(known),
                person: Person {
                    user_id: Some(request.user_id.clone()),
                    project_id: request.project_id.clone(),
                    ..Person::default()
                },
                via: Some(via),
                request_id: Some(request_id),
            });
        match decided {
            Ok(word) => self.admit(known, word, Subject::Guest, via, trace),
            Err(reason) => {
                tracing::info!(%request_id, user = request.user_id, partner = known.partner.name, %reason, ?via, "a guest was refused");
                self.refuse(&known.partner.name, reason, via, trace)
            }
        }
    }

    async fn confirm_with(
        &self,
        known: &Arc<Known>,
        request: &ConfirmRequest,
        request_id: RequestId,
    ) -> (Result<Word, Reason>, Via) {
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
        let derived_from = request
            .token
            .as_ref()
            .and_then(|token| token.session.as_ref());
        if derived_from.is_some_and(|session| self.book.has_ended(session)) {
            return (Err(Reason::Revoked), Via::Local);
        }
        let project_id = request.project_id.as_deref();
        let (outcome, via) = self
            .ask_for_grants(
                known,
                &request.user_id,
                project_id,
                self.max_age(request.max_age),
                request_id,
            )
            .await;
        let outcome = match outcome {
            Outcome::Failed(reason) => self
                .borne(known, request)
                .map_or(Outcome::Failed(reason), Outcome::Active),
            told => told,
        };
        let decided = match outcome {
            Outcome::Active(kept) => may_keep(&kept.claims, &known.given, &self.admin_roles, now())
                .map(|_| kept.word.clone()),
            Outcome::Inactive(reason) | Outcome::Failed(reason) => Err(reason),
        };
        if let (Ok(_), Some(derived)) = (&decided, &request.token) {
            let standings = &self.book.standings;
            standings.note(&known.partner.cloud_id, &request.user_id, project_id, None);
            self.note(SeenToken {
                token_sha256: derived.sha256.clone(),
                cloud_id: known.partner.cloud_id.clone(),
                user_id: request.user_id.clone(),
                project_id: request.project_id.clone(),
                expires_at: derived.expires_at,
                session: derived.session.clone(),
                origin: None,
            })
            .await;
        }
        (decided, via)
    }

    /// The last good word of a home that is silent now, for what the guest was allowed to make here.
    /// A *no* since then, and whatever put that word in doubt, has replaced it.
    fn borne(&self, known: &Known, request: &ConfirmRequest) -> Option<Arc<Kept<Grants>>> {
        if !self.board.is_current() {
            // Another instance may have heard what has replaced it.
            return None;
        }
        let project_id = request.project_id.as_deref()?;
        let allowed =
            covering(&known.given, project_id, now()).any(|one| !one.terms.allow.is_empty());
        let grace = seconds(request.grace).min(self.guest_grace);
        let key = guest_key(&known.partner.cloud_id, &request.user_id, Some(project_id));
        allowed.then(|| self.grants.fresh(&key, grace))?
    }

    /// Home's word about a user's roles that is not older than `max_age`.
    pub(super) async fn ask_for_grants(
        &self,
        known: &Arc<Known>,
        user_id: &str,
        project_id: Option<&str>,
        max_age: Duration,
        request_id: RequestId,
    ) -> (Outcome<Grants>, Via) {
        let cloud_id = &known.partner.cloud_id;
        let question = ask::Question {
            budgets: Arc::clone(&self.guest_budgets),
            ..self.question(known, request_id)
        };
        let (outcome, via) = self
            .grants
            .answer(
                guest_key(cloud_id, user_id, project_id),
                max_age,
                || self.guest_budgets.may_ask(cloud_id),
                || ask::about_guest(question, user_id.to_owned(), project_id.map(str::to_owned)),
            )
            .await;
        (outcome, via.into())
    }
}

pub(super) fn guest_key(cloud_id: &CloudId, user_id: &str, project_id: Option<&str>) -> Key {
    Sha256::new()
        .chain_update(cloud_id.as_str())
        .chain_update([0])
        .chain_update(user_id)
        .chain_update([0])
        .chain_update(project_id.unwrap_or_default())
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use alliance_core::agreement::{Agreement, Door};
    use alliance_core::statement::{HomeUser, Named, Project};
    use alliance_core::terms::Terms;
    use alliance_peer::identity::Identity;

    use super::*;
    use crate::config::Tokens;
    use crate::daemon::directory::tests::knows_west;
    use crate::daemon::host::tests::{alone, five_guesses, member_of_all};
    use crate::daemon::metrics::Metrics;

    #[tokio::test]
    async fn strings_that_are_no_tokens_do_not_shut_out_guests_that_are_here()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, west, _folder) = knows_west().await?;
        store.agreements().create(&member_of_all(&west), 10).await?;
        directory.reload().await?;
        let host = Host::new(
            directory,
            store.clone(),
            Arc::new(Metrics::new()),
            Arc::new(Identity::ephemeral()?),
            alone(&store),
            &five_guesses(),
        );
        for _ in 0..10 {
            host.budgets.wrong(&west);
        }
        let request = ConfirmRequest {
            cloud_id: west,
            user_id: "u".into(),
            project_id: Some("p".into()),
            max_age: 0.0,
            grace: 0.0,
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

    #[tokio::test]
    async fn a_silent_homes_last_word_bears_what_an_agreement_lets_guests_make()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, west, _folder) = knows_west().await?;
        let allowing = Agreement {
            terms: Terms {
                allow: [Door::Trusts].into(),
                ..member_of_all(&west).terms
            },
            ..member_of_all(&west)
        };
        let key = guest_key(&west, "u", Some("p"));
        let asked = |grace: f64| ConfirmRequest {
            cloud_id: west.clone(),
            user_id: "u".into(),
            project_id: Some("p".into()),
            max_age: 0.0,
            grace,
            token: None,
        };
        let host = |guest_grace: u64| {
            let tokens = Tokens {
                guest_grace: Duration::from_secs(guest_grace),
                ..five_guesses()
            };
            let identity = Identity::ephemeral().map(Arc::new)?;
            let metrics = Arc::new(Metrics::new());
            let (directory, store) = (Arc::clone(&directory), store.clone());
            Ok::<_, anyhow::Error>(Host::new(
                directory,
                store.clone(),
                metrics,
                identity,
                alone(&store),
                &tokens,
            ))
        };
        let said = async |host: &Host| {
            let kept = Kept {
                word: Word::Theirs("jws".to_owned().into()),
                claims: member(),
                asked_at: Instant::now(),
            };
            let yes = async move || Outcome::Active(Arc::new(kept));
            host.grants
                .answer(key, Duration::ZERO, || Ok(()), yes)
                .await;
        };
        let is_borne = async |host: &Host, grace: f64| {
            let verdict = host.confirm(&asked(grace), RequestId::random()).await;
            matches!(verdict, Verdict::Valid { .. })
        };

        let agreements = store.agreements();
        agreements.create(&member_of_all(&west), 10).await?;
        directory.reload().await?;
        let patient = host(900)?;
        said(&patient).await;
        assert!(!is_borne(&patient, 900.0).await, "no agreement allows any");

        agreements.end("a", 20).await?;
        let allowing = Agreement {
            id: "b".into(),
            ..allowing
        };
        agreements.create(&allowing, 20).await?;
        directory.reload().await?;
        assert!(is_borne(&patient, 900.0).await);
        assert!(!is_borne(&patient, 0.0).await, "an ordinary token");
        patient.grants.forget(&key);
        assert!(!is_borne(&patient, 900.0).await, "it is in doubt");

        let impatient = host(0)?;
        said(&impatient).await;
        assert!(!is_borne(&impatient, 900.0).await);
        Ok(())
    }

    fn member() -> Grants {
        let default = || Named {
            id: "default".into(),
            name: "Default".into(),
        };
        Grants {
            user: HomeUser {
                id: "u".into(),
                name: "ann".into(),
                domain: default(),
            },
            project: Some(Project {
                id: "p".into(),
                name: "science".into(),
                domain: default(),
            }),
            roles: ["member".to_owned()].into(),
        }
    }
}
