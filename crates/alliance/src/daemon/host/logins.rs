//! Logins by passport: home vouches for a user once, and no token of its crosses the border.

use std::sync::Arc;

use alliance_answers::{Key, Word};
use alliance_core::Seconds;
use alliance_core::admission::Entrant;
use alliance_core::cadf::{Matter, Person};
use alliance_core::keystone_id::is_foreign_id;
use alliance_core::refusal::Reason;
use alliance_core::session::Session;
use alliance_core::statement::LoginPassport;
use alliance_peer::proof::verify_proof;
use alliance_peer::request_id::RequestId;
use alliance_peer::statement::{self, StatementError};

use super::steps::Trace;
use super::{Host, Subject};
use crate::daemon::auditing::Case;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;
use crate::wire::{LoginRequest, Verdict, Via};

/// How long a used passport is remembered after it has expired, in seconds: whatever the clocks do.
const REMEMBERED_FOR: Seconds = 600;

impl Host {
    /// Whether a login passport lets its user in. It is used up if so.
    pub(crate) async fn login(&self, request: &LoginRequest, request_id: RequestId) -> Verdict {
        let trace = Trace::new(false);
        let partners = self.directory.partners();
        let issuer = statement::claimed_issuer(&request.passport);
        let known = match issuer.map(|issuer| partners.by_cloud(&issuer)) {
            Ok(Some(known)) => known,
            Ok(None) => {
                self.audit_login(
                    None,
                    Person::default(),
                    Some(Reason::UnknownPartner),
                    request_id,
                );
                return self.refuse("unknown", Reason::UnknownPartner, Via::Local, trace);
            }
            Err(_) => {
                self.audit_login(None, Person::default(), Some(Reason::Malformed), request_id);
                return self.refuse("unknown", Reason::Malformed, Via::Local, trace);
            }
        };
        let mut person = Person::default();
        let decided = self.login_of(known, request, request_id, &mut person).await;
        let reason = decided.as_ref().err().copied();
        self.audit_login(Some(known), person, reason, request_id);
        match decided {
            Ok(word) => self.admit(known, word, Subject::Token, Via::Local, trace),
            Err(reason) => {
                tracing::info!(%request_id, partner = known.partner.name, %reason, "a login passport was refused");
                self.refuse(&known.partner.name, reason, Via::Local, trace)
            }
        }
    }

    fn audit_login(
        &self,
        known: Option<&Known>,
        person: Person,
        reason: Option<Reason>,
        request_id: RequestId,
    ) {
        self.auditor.decided(reason, || Case {
            matter: Matter::Login,
            partner: known,
            person,
            via: Some(Via::Local),
            request_id: Some(request_id),
        });
    }

    /// `person` is who it is about, once that is known.
    async fn login_of(
        &self,
        known: &Arc<Known>,
        request: &LoginRequest,
        request_id: RequestId,
        person: &mut Person,
    ) -> Result<Word, Reason> {
        let at = now();
        known.partner.require_guest(at)?;
        known.policy.login.require_passport()?;
        let passport = self.read(known, &request.passport, request_id)?;
        *person = bearer_of(&passport);
        passport.require_usable(at)?;
        if let Some(bound) = &passport.cnf {
            let proof = request.proof.as_deref().ok_or(Reason::NoProof)?;
            verify_proof(proof, &request.passport, &bound.jkt).map_err(|error| {
                tracing::info!(%request_id, partner = known.partner.name, %error, "a login passport was shown without its key");
                Reason::NoProof
            })?;
        }
        let cloud_id = &known.partner.cloud_id;
        if !is_foreign_id(&passport.jti) {
            return Err(Reason::Malformed);
        }
        // So that it is said whatever else is wrong by now; what counts is said below.
        let used_passports = self.store.used_passports();
        let unknown = |error| {
            tracing::error!(%request_id, %error, "whether a login passport was used before is not known");
            Reason::Overloaded
        };
        if used_passports
            .is_used(cloud_id, &passport.jti)
            .await
            .map_err(unknown)?
        {
            return Err(Reason::Replayed);
        }
        let (token, entrant) = self.begin(known, &passport)?;
        let word = Word::Theirs(request.passport.clone().into());
        let (word, _) = self.judge(known, &token, &word, &entrant)?;
        let forget_at = at.max(passport.exp) + REMEMBERED_FOR;
        let is_first = used_passports.use_up(cloud_id, &passport.jti, forget_at);
        if !is_first.await.map_err(unknown)? {
            return Err(Reason::Replayed);
        }
        self.note_guest(cloud_id, &token, &entrant).await;
        tracing::info!(%request_id, partner = known.partner.name, user = passport.login.sub, jti = passport.jti, "a partner's user logs in by passport");
        Ok(word)
    }

    /// The passport, if the partner made it for us.
    fn read(
        &self,
        known: &Known,
        jws: &str,
        request_id: RequestId,
    ) -> Result<LoginPassport, Reason> {
        let cloud_id = &known.partner.cloud_id;
        let own = self.directory.cloud_id();
        statement::verify(jws, known.signing_keys(), cloud_id, Some(own)).map_err(|error| {
            tracing::info!(%request_id, partner = known.partner.name, %error, "a login passport is not believed");
            match error {
                StatementError::Audience { .. } => Reason::WrongAudience,
                StatementError::Signature(_) => Reason::BadSignature,
                StatementError::UnknownKey { .. } => {
                    self.wishes.wish(cloud_id);
                    Reason::UnknownKey
                }
                StatementError::Type { .. } | StatementError::Issuer { .. } => {
                    Reason::WrongStatement
                }
                _ => Reason::Malformed,
            }
        })
    }

    /// The session that begins, or goes on: that of the token at home.
    fn begin(&self, known: &Known, passport: &LoginPassport) -> Result<(Key, Entrant), Reason> {
        let cloud_id = &known.partner.cloud_id;
        let facts = &passport.login;
        let session = Session::of(facts, cloud_id).ok_or(Reason::Malformed)?;
        let entrant = self.role_sets.entrant(facts, cloud_id)?;
        if entrant.expires_at <= now() {
            return Err(Reason::Expired);
        }
        // What has ended before we listened is not known here, and home was not asked.
        if !self.book.has_heard_of(cloud_id, passport.iat) {
            return Err(Reason::Unreachable);
        }
        self.book.begin(cloud_id, facts, &entrant.roles)?;
        Ok((session.token, entrant))
    }
}

fn bearer_of(passport: &LoginPassport) -> Person {
    let LoginPassport { login, jti, .. } = passport;
    Person {
        token: Some(format!("passport {jti}")),
        format: Some("login_passport"),
        user_id: Some(login.sub.clone()),
        user_name: Some(login.username.clone()),
        project_id: login.project.as_ref().map(|project| project.id.clone()),
    }
}

#[cfg(test)]
mod tests {
    use alliance_core::cloud::CloudId;
    use alliance_core::partner::{Role, Status};
    use alliance_core::revocation::RevocationEvent;
    use alliance_core::sign_out::Change;
    use alliance_core::statement::{Confirmation, LOGIN_LIFETIME, Passport, Project, TokenFacts};
    use alliance_core::token::Login;
    use alliance_peer::identity::Identity;
    use alliance_store::{Change as PartnerChange, Store};
    use jiff::Timestamp;
    use tempfile::TempDir;

    use super::*;
    use crate::daemon::bed::token_facts;
    use crate::daemon::directory::Directory;
    use crate::daemon::directory::tests::knows;
    use crate::daemon::host::tests::{alone, five_guesses, member_of_all};
    use crate::daemon::metrics::Metrics;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    struct East {
        host: Host,
        directory: Arc<Directory>,
        store: Store,
        west: Identity,
        _folder: TempDir,
    }

    impl East {
        async fn new() -> Result<Self, Box<dyn std::error::Error>> {
            let west = Identity::ephemeral()?;
            let (directory, store, folder) = knows(&west, Role::Guest).await?;
            let agreement = member_of_all(west.cloud_id());
            store.agreements().create(&agreement, 10).await?;
            directory.reload().await?;
            let host = host(&directory, &store)?;
            host.listens_since(west.cloud_id(), now() - 1);
            Ok(Self {
                host,
                directory,
                store,
                west,
                _folder: folder,
            })
        }

        fn passport(&self) -> LoginPassport {
            let at = now();
            LoginPassport {
                iss: self.west.cloud_id().clone(),
                aud: self.directory.cloud_id().clone(),
                iat: at,
                exp: at + LOGIN_LIFETIME,
                jti: "1".into(),
                cnf: None,
                login: facts(self.west.cloud_id()),
            }
        }

        fn signed(&self, passport: &LoginPassport) -> Result<String, Box<dyn std::error::Error>> {
            Ok(statement::sign(passport, self.west.signing_key())?)
        }

        async fn shows(&self, passport: &str) -> Result<(), Reason> {
            shows(&self.host, passport, None).await
        }
    }

    fn host(directory: &Arc<Directory>, store: &Store) -> Result<Host, Box<dyn std::error::Error>> {
        Ok(Host::new(
            Arc::clone(directory),
            store.clone(),
            Arc::new(Metrics::new()),
            Arc::new(Identity::ephemeral()?),
            alone(store),
            &five_guesses(),
        ))
    }

    async fn shows(host: &Host, passport: &str, proof: Option<&str>) -> Result<(), Reason> {
        let request = LoginRequest {
            passport: passport.to_owned(),
            proof: proof.map(str::to_owned),
        };
        match host.login(&request, RequestId::random()).await {
            Verdict::Valid { passport: word, .. } => {
                assert_eq!(word.map(|word| word.to_string()), Some(passport.to_owned()));
                Ok(())
            }
            Verdict::Invalid { reason, .. } => {
                assert!(reason.is_definite());
                Err(reason)
            }
            Verdict::Indeterminate { reason, .. } => {
                assert!(!reason.is_definite());
                Err(reason)
            }
        }
    }

    fn facts(west: &CloudId) -> TokenFacts {
        let facts = token_facts(0xab, "own", Timestamp::now());
        TokenFacts {
            origin: Some(west.clone()),
            project: Some(Project {
                id: "science".into(),
                name: "science".into(),
                domain: facts.user_domain.clone(),
            }),
            roles: ["member".to_owned()].into(),
            ..facts
        }
    }

    #[tokio::test]
    async fn a_passport_lets_in_once_also_after_a_restart() -> Outcome {
        let east = East::new().await?;
        let passport = east.signed(&east.passport())?;
        assert_eq!(east.shows(&passport).await, Ok(()));
        assert_eq!(east.shows(&passport).await, Err(Reason::Replayed));
        // The same, signed anew.
        let again = east.signed(&east.passport())?;
        assert_eq!(east.shows(&again).await, Err(Reason::Replayed));
        let restarted = host(&east.directory, &east.store)?;
        assert_eq!(
            shows(&restarted, &passport, None).await,
            Err(Reason::Replayed)
        );
        restarted.listens_since(east.west.cloud_id(), now() - 1);
        let other = LoginPassport {
            jti: "2".into(),
            ..east.passport()
        };
        assert_eq!(shows(&restarted, &east.signed(&other)?, None).await, Ok(()));
        let session = restarted.sessions().pop().ok_or("no session")?;
        assert_eq!(session.1.user_id(), "ann");
        Ok(())
    }

    #[tokio::test]
    async fn each_way_of_being_wrong_has_its_own_reason() -> Outcome {
        let east = East::new().await?;
        let good = east.passport();
        let good = || good.clone();
        let old = now() - LOGIN_LIFETIME - 1;
        let refusals = [
            (
                LoginPassport {
                    iat: old,
                    exp: old + LOGIN_LIFETIME,
                    ..good()
                },
                Reason::Expired,
            ),
            (
                LoginPassport {
                    exp: now() + 3600,
                    ..good()
                },
                Reason::WrongStatement,
            ),
            (
                LoginPassport {
                    aud: CloudId::from_spki(b"north"),
                    ..good()
                },
                Reason::WrongAudience,
            ),
            (
                LoginPassport {
                    jti: "x".repeat(65),
                    ..good()
                },
                Reason::Malformed,
            ),
            (
                LoginPassport {
                    cnf: Some(Confirmation { jkt: "key".into() }),
                    ..good()
                },
                Reason::NoProof,
            ),
            (
                LoginPassport {
                    login: TokenFacts {
                        roles: ["reader".to_owned()].into(),
                        ..good().login
                    },
                    ..good()
                },
                Reason::NoCommonRole,
            ),
            (
                LoginPassport {
                    login: TokenFacts {
                        expires_at: Timestamp::now(),
                        ..good().login
                    },
                    ..good()
                },
                Reason::Expired,
            ),
            (
                LoginPassport {
                    login: TokenFacts {
                        token_sha256: "no hash".into(),
                        ..good().login
                    },
                    ..good()
                },
                Reason::Malformed,
            ),
            (
                LoginPassport {
                    iss: CloudId::from_spki(b"nobody"),
                    ..good()
                },
                Reason::UnknownPartner,
            ),
        ];
        for (passport, reason) in refusals {
            assert_eq!(east.shows(&east.signed(&passport)?).await, Err(reason));
        }
        let signed = east.signed(&good())?;
        let flipped = if signed.ends_with('A') { "B" } else { "A" };
        let (head, tail) = signed.split_at(signed.len() - 5);
        let altered = format!("{head}{flipped}{}", &tail[1..]);
        assert_eq!(east.shows(&altered).await, Err(Reason::BadSignature));
        let stranger = Identity::ephemeral()?;
        let forged = statement::sign(&good(), stranger.signing_key())?;
        assert_eq!(east.shows(&forged).await, Err(Reason::UnknownKey));
        // An introspection answer is another type, whoever signed it.
        let introspection = Passport {
            iss: good().iss,
            aud: good().aud,
            iat: now(),
            jti: "1".into(),
            token_introspection: good().login,
        };
        let introspection = statement::sign(&introspection, east.west.signing_key())?;
        assert_eq!(
            east.shows(&introspection).await,
            Err(Reason::WrongStatement)
        );
        for junk in ["", "a.b.c", &"x".repeat(20_000)] {
            assert_eq!(east.shows(junk).await, Err(Reason::Malformed));
        }
        // None of them used it up.
        assert_eq!(east.shows(&signed).await, Ok(()));
        Ok(())
    }

    #[tokio::test]
    async fn what_ended_at_home_lets_nobody_in() -> Outcome {
        let east = East::new().await?;
        let partners = east.directory.partners();
        let known = partners.by_cloud(east.west.cloud_id()).ok_or("no west")?;
        let logout = Change::Revoked(RevocationEvent {
            audit_id: Some("own".into()),
            issued_before: Timestamp::now(),
            ..RevocationEvent::default()
        });
        east.host.apply_changes(known, &[logout]).await?;
        let late = east.signed(&east.passport())?;
        assert_eq!(east.shows(&late).await, Err(Reason::Revoked));
        // After a restart nobody here knows of it any more: what is older than the first word of
        // home does not count.
        let restarted = host(&east.directory, &east.store)?;
        assert_eq!(
            shows(&restarted, &late, None).await,
            Err(Reason::Unreachable)
        );
        restarted.listens_since(east.west.cloud_id(), now());
        assert_eq!(
            shows(&restarted, &late, None).await,
            Err(Reason::Unreachable)
        );
        Ok(())
    }

    #[tokio::test]
    async fn who_may_not_come_does_not_come_by_passport() -> Outcome {
        let east = East::new().await?;
        let west = east.west.cloud_id();
        let passport = east.signed(&east.passport())?;
        let login = |login| PartnerChange {
            login: Some(login),
            ..PartnerChange::default()
        };
        let bearer = login(Login::Bearer);
        east.store.partners().change(west, &bearer).await?;
        east.directory.reload().await?;
        assert_eq!(east.shows(&passport).await, Err(Reason::BearerOnly));
        let only = login(Login::Passport);
        east.store.partners().change(west, &only).await?;
        let suspended = Status::Suspended;
        east.store
            .partners()
            .set_status(west, suspended, 20)
            .await?;
        east.directory.reload().await?;
        assert_eq!(east.shows(&passport).await, Err(Reason::PartnerSuspended));
        let active = Status::Active;
        east.store.partners().set_status(west, active, 30).await?;
        east.directory.reload().await?;
        assert_eq!(east.shows(&passport).await, Ok(()));
        Ok(())
    }
}
