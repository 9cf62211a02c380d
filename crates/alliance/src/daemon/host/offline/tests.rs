use alliance_core::cloud::CloudId;
use alliance_core::descriptor::{SignatureFamily, TokenKey};
use alliance_core::partner::Status;
use alliance_core::revocation::{RevocationEvent, Revoked};
use alliance_core::statement::{HomeUser, Named, Project, TokenAttestation};
use alliance_core::token::{TokenFormat, TokenPolicy};
use alliance_peer::identity::Identity;
use alliance_peer::request_id::RequestId;
use alliance_peer::statement;
use alliance_store::{Change, Store};
use data_encoding::BASE64;
use futures_util::FutureExt;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::daemon::clock::now;
use crate::daemon::directory::Directory;
use crate::daemon::directory::tests::knows_west;
use crate::daemon::host::tests::{alone, five_guesses, member_of_all};
use crate::daemon::metrics::{Metrics, PartnerLabel};
use crate::wire::{ValidateRequest, Verdict, Via};

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

/// East, which knows west's key, has a fresh list of it, and cannot reach it.
struct East {
    host: Host,
    directory: Arc<Directory>,
    store: Store,
    identity: Arc<Identity>,
    west: CloudId,
    key: KeyPair,
    _folder: TempDir,
}

impl East {
    async fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let (directory, store, west, folder) = knows_west().await?;
        store.agreements().create(&member_of_all(&west), 10).await?;
        let identity = Arc::new(Identity::ephemeral()?);
        let metrics = Arc::new(Metrics::new());
        let host = Host::new(
            Arc::clone(&directory),
            store.clone(),
            metrics,
            Arc::clone(&identity),
            alone(&store),
            &five_guesses(),
        );
        let east = Self {
            host,
            directory,
            store,
            identity,
            west,
            key: KeyPair::generate()?,
            _folder: folder,
        };
        east.announce(&east.key, None).await?;
        east.list(Revoked::default());
        Ok(east)
    }

    /// West's descriptor names this key for its tokens.
    async fn announce(&self, key: &KeyPair, retired_at: Option<Seconds>) -> Outcome {
        let partners = self.directory.partners();
        let known = partners.by_cloud(&self.west).ok_or("west is gone")?;
        let mut told = known.facts.descriptor.clone().ok_or("no descriptor")?;
        told.claims.token_keys = vec![TokenKey {
            family: SignatureFamily::Jws,
            der: BASE64.encode(&key.subject_public_key_info()),
            retired_at,
        }];
        self.store
            .partners()
            .set_descriptor(&told, Some(&told.jws))
            .await?;
        Ok(self.directory.reload().await?)
    }

    fn list(&self, revoked: Revoked) {
        let list = ReadList::new(String::new(), Arc::new(revoked.into()), Instant::now());
        self.host.lists().put(&self.west, list);
    }

    /// West said lately that ann is a member of science.
    async fn know_ann(&self) {
        let domain = Named {
            id: "default".into(),
            name: "Default".into(),
        };
        let grants = Grants {
            user: HomeUser {
                id: "ann".into(),
                name: "ann".into(),
                domain: domain.clone(),
            },
            project: Some(Project {
                id: "science".into(),
                name: "science".into(),
                domain,
            }),
            roles: ["member".to_owned()].into(),
        };
        let kept = Kept {
            word: Word::Theirs("statement".to_owned().into()),
            claims: grants,
            asked_at: Instant::now(),
        };
        let outcome = alliance_answers::Outcome::Active(Arc::new(kept));
        let key = guest_key(&self.west, "ann", Some("science"));
        let answers = &self.host.grants;
        answers
            .answer(key, Duration::ZERO, || Ok(()), || async { outcome })
            .await;
    }

    /// West said lately that a token is a member's of science.
    async fn know_token(&self, token: &str, user_id: &str) -> Outcome {
        let entrant = Entrant {
            user_id: user_id.into(),
            native: true,
            project_id: Some("science".into()),
            roles: Arc::new(["member".to_owned()].into()),
            issued_at: now() - 10,
            expires_at: now() + 3600,
        };
        let kept = Kept {
            word: Word::Theirs("passport".to_owned().into()),
            claims: entrant,
            asked_at: Instant::now(),
        };
        let outcome = alliance_answers::Outcome::Active(Arc::new(kept));
        let key = *Token::parse(token)?.digest();
        let answers = &self.host.passports;
        answers
            .answer(key, Duration::ZERO, || Ok(()), || async { outcome })
            .await;
        Ok(())
    }

    /// A JWS of west's Keystone, as its provider makes them.
    fn token(&self, changes: Value) -> Result<String, Box<dyn std::error::Error>> {
        self.token_by(&self.key, changes)
    }

    fn token_by(
        &self,
        key: &KeyPair,
        changes: Value,
    ) -> Result<String, Box<dyn std::error::Error>> {
        let mut claims = json!({
            "sub": "ann", "iat": now() - 10, "exp": now() + 3600, "openstack_methods": ["password"],
            "openstack_audit_ids": ["AAAAAAAAAAAAAAAAAAAAAA"], "openstack_project_id": "science",
        });
        if let (Some(claims), Value::Object(changes)) = (claims.as_object_mut(), changes) {
            claims.extend(changes);
            claims.retain(|_, value| !value.is_null());
        }
        let header = Header::new(Algorithm::ES256);
        let der = EncodingKey::from_ec_der(&key.serialize_der());
        let jws = jsonwebtoken::encode(&header, &claims, &der)?;
        Ok(format!("{}~{jws}", self.west.tag()))
    }

    async fn validate(&self, token: &str, mode: Option<Mode>, held_for: f64) -> Verdict {
        let request = ValidateRequest {
            token: token.to_owned(),
            max_age: 60.0,
            held_for,
            mode,
            refuse_expired: false,
            explain: true,
        };
        self.host.validate(&request, RequestId::random()).await
    }

    /// The reason for which a token is refused where nobody is asked.
    async fn refused(&self, token: &str) -> Option<Reason> {
        reason(&self.validate(token, Some(Mode::Offline), 0.0).await)
    }
}

fn reason(verdict: &Verdict) -> Option<Reason> {
    match verdict {
        Verdict::Valid { .. } => None,
        Verdict::Invalid { reason, .. } => {
            assert!(reason.is_definite(), "{reason}");
            Some(*reason)
        }
        Verdict::Indeterminate { reason, .. } => {
            assert!(!reason.is_definite(), "{reason}");
            Some(*reason)
        }
    }
}

#[tokio::test]
async fn a_signed_token_of_a_known_user_is_valid_while_home_is_away() -> Outcome {
    let east = East::new().await?;
    east.know_ann().await;
    for age in [1, 2] {
        let token = east.token(json!({"iat": now() - age}))?;
        let verdict = east.validate(&token, None, 0.0).await;
        let Verdict::Valid {
            attestation: Some(word),
            passport: None,
            path,
            ..
        } = verdict
        else {
            unreachable!("{verdict:?}");
        };
        assert_eq!(path.via, Via::Offline);
        let own = east.identity.cloud_id();
        let key = east.identity.signing_key().public().to_jwk();
        let claims: TokenAttestation = statement::verify(&word, &[key], own, Some(own))?;
        assert_eq!(claims.partner, east.west);
        let facts = claims.token_introspection;
        assert_eq!((facts.sub.as_str(), facts.roles.len()), ("ann", 1));
        assert_eq!(facts.origin, Some(east.west.clone()));
    }
    Ok(())
}

#[tokio::test]
async fn a_signed_token_of_an_unknown_user_is_indeterminate_at_once() -> Outcome {
    let east = East::new().await?;
    east.know_ann().await;
    let bob = east.token(json!({"sub": "bob"}))?;
    assert_eq!(east.refused(&bob).await, Some(Reason::NoGrantStatement));
    let verdict = east.validate(&bob, None, 0.0).await;
    assert!(
        matches!(verdict, Verdict::Indeterminate { .. }),
        "{verdict:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_home_said_of_the_token_itself_is_enough_and_home_is_not_asked_again() -> Outcome {
    let east = East::new().await?;
    let token = east.token(json!({"sub": "bob"}))?;
    east.know_token(&token, "bob").await?;
    let questions = || {
        let asked = east.host.metrics.questions.get_or_create(&PartnerLabel {
            partner: "west".to_owned(),
        });
        asked.get()
    };
    let verdict = east.validate(&token, None, 0.0).await;
    let Verdict::Valid { path, .. } = verdict else {
        unreachable!("{verdict:?}");
    };
    assert_eq!((path.via, questions()), (Via::Cache, 0));
    // But what has ended since has ended.
    east.list(Revoked {
        disabled_projects: ["science".to_owned()].into(),
        ..Revoked::default()
    });
    let verdict = east.validate(&token, None, 0.0).await;
    assert_eq!((reason(&verdict), questions()), (Some(Reason::Revoked), 0));
    Ok(())
}

#[tokio::test]
async fn a_list_counts_as_long_as_the_asker_has_not_used_up_its_age() -> Outcome {
    let east = East::new().await?;
    east.know_ann().await;
    let token = east.token(json!({}))?;
    for (held_for, expected) in [
        (0.0, None),
        (290.0, None),
        (299.5, Some(Reason::ListTooOld)),
        (1e9, Some(Reason::ListTooOld)),
        (f64::NAN, Some(Reason::ListTooOld)),
        (-1.0, Some(Reason::ListTooOld)),
    ] {
        let verdict = east.validate(&token, Some(Mode::Offline), held_for).await;
        assert_eq!(reason(&verdict), expected, "{held_for}");
    }
    east.host.lists().keep_only(&[]);
    assert_eq!(east.refused(&token).await, Some(Reason::ListTooOld));
    Ok(())
}

#[tokio::test]
async fn what_is_revoked_is_refused_though_it_was_valid_a_moment_ago() -> Outcome {
    let east = East::new().await?;
    east.know_ann().await;
    let token = east.token(json!({}))?;
    assert_eq!(east.refused(&token).await, None);
    let event: RevocationEvent = serde_json::from_value(json!({
        "audit_id": "AAAAAAAAAAAAAAAAAAAAAA", "issued_before": Timestamp::now().to_string(),
    }))?;
    east.list(Revoked {
        events: vec![event],
        ..Revoked::default()
    });
    assert_eq!(east.refused(&token).await, Some(Reason::Revoked));
    east.list(Revoked {
        disabled_projects: ["science".to_owned()].into(),
        ..Revoked::default()
    });
    assert_eq!(east.refused(&token).await, Some(Reason::Revoked));
    east.list(Revoked::default());
    assert_eq!(east.refused(&token).await, None);
    Ok(())
}

#[tokio::test]
async fn only_a_key_that_the_partner_uses_counts() -> Outcome {
    let east = East::new().await?;
    east.know_ann().await;
    let token = east.token(json!({}))?;
    assert_eq!(east.refused(&token).await, None);
    let stranger = KeyPair::generate()?;
    let forged = east.token_by(&stranger, json!({}))?;
    assert_eq!(east.refused(&forged).await, Some(Reason::UnknownKey));
    // It may be a new one: news of west are wanted.
    assert_eq!(east.host.wishes().next().await, [east.west.clone()].into());

    east.announce(&east.key, Some(now() + 100)).await?;
    assert_eq!(east.refused(&token).await, None);
    east.announce(&east.key, Some(now())).await?;
    assert_eq!(east.refused(&token).await, Some(Reason::RetiredKey));
    east.announce(&stranger, None).await?;
    assert!(east.refused(&token).await.is_some());
    assert_eq!(east.refused(&forged).await, None);
    Ok(())
}

#[tokio::test]
async fn a_token_that_may_not_leave_home_is_refused_without_asking_home() -> Outcome {
    let east = East::new().await?;
    east.know_ann().await;
    for (changes, expected) in [
        (
            json!({"openstack_system": "all", "openstack_project_id": null}),
            Reason::SystemScope,
        ),
        (
            json!({"openstack_domain_id": "d", "openstack_project_id": null}),
            Reason::DomainScope,
        ),
        (json!({"openstack_trust_id": "t"}), Reason::Trust),
        (
            json!({"openstack_app_cred_id": "a"}),
            Reason::ApplicationCredential,
        ),
        (json!({"openstack_access_token_id": "a"}), Reason::Oauth),
        (
            json!({"openstack_idp_id": "i", "openstack_protocol_id": "p"}),
            Reason::Transitive,
        ),
        (json!({"iat": now() + 100}), Reason::NotYetValid),
        (json!({"exp": now() - 1}), Reason::Expired),
    ] {
        let token = east.token(changes.clone())?;
        assert_eq!(east.refused(&token).await, Some(expected), "{changes}");
    }
    Ok(())
}

#[tokio::test]
async fn a_home_that_suspended_us_is_not_spoken_for() -> Outcome {
    let east = East::new().await?;
    east.know_ann().await;
    let token = east.token(json!({}))?;
    let partners = east.store.partners();
    partners
        .set_seen(&east.west, Some(Status::Suspended), now())
        .await?;
    east.directory.reload().await?;
    assert_eq!(east.refused(&token).await, Some(Reason::PartnerSuspended));
    partners
        .set_seen(&east.west, Some(Status::Active), now())
        .await?;
    east.directory.reload().await?;
    assert_eq!(east.refused(&token).await, None);
    Ok(())
}

#[tokio::test]
async fn strings_that_are_no_tokens_cause_no_pulls_without_end() -> Outcome {
    let east = East::new().await?;
    for _ in 0..10 {
        east.host.budgets.wrong(&east.west);
    }
    let forged = east.token_by(&KeyPair::generate()?, json!({}))?;
    assert_eq!(east.refused(&forged).await, Some(Reason::UnknownKey));
    assert!(east.host.wishes().next().now_or_never().is_none());
    Ok(())
}

#[tokio::test]
async fn what_a_newer_keystone_writes_is_asked_about() -> Outcome {
    let east = East::new().await?;
    east.know_ann().await;
    let token = east.token(json!({"openstack_moon_phase": "full"}))?;
    assert_eq!(east.refused(&token).await, Some(Reason::Malformed));
    let verdict = east.validate(&token, None, 0.0).await;
    assert_eq!(reason(&verdict), Some(Reason::Unreachable));
    Ok(())
}

#[tokio::test]
async fn an_expired_token_is_not_let_in_by_its_signature() -> Outcome {
    let east = East::new().await?;
    east.know_ann().await;
    let token = east.token(json!({"exp": now() - 1}))?;
    // Home would have to say whether work that was begun in time may go on.
    let verdict = east.validate(&token, None, 0.0).await;
    assert!(
        matches!(verdict, Verdict::Indeterminate { .. }),
        "{verdict:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_operator_decides_whether_signatures_are_enough() -> Outcome {
    let east = East::new().await?;
    east.know_ann().await;
    let token = east.token(json!({}))?;
    let mut policy = TokenPolicy::default();
    policy.set(TokenFormat::Jws, Mode::Hard)?;
    let change = Change {
        modes: policy.modes,
        ..Change::default()
    };
    east.store.partners().change(&east.west, &change).await?;
    east.directory.reload().await?;
    let verdict = east.validate(&token, None, 0.0).await;
    assert_eq!(reason(&verdict), Some(Reason::Unreachable));

    let at = now();
    let partners = east.store.partners();
    partners
        .set_status(&east.west, Status::Suspended, at)
        .await?;
    east.directory.reload().await?;
    assert_eq!(east.refused(&token).await, Some(Reason::PartnerSuspended));
    Ok(())
}
