//! Whatever a partner's Keystone may say comes through as it was said.

use std::sync::LazyLock;

use alliance_token::{Content, KeyRing, Token, inspect, verify};
use proptest::prelude::*;
use serde_json::json;

use crate::data::{NOW, file, parse, partner};
use crate::signing::{Cms, Signer, jws, to_pki, to_pkiz, usual_attributes};

static PARTNER: LazyLock<KeyRing> = LazyLock::new(partner);
static RSA: LazyLock<Signer> = LazyLock::new(|| signer("rsa"));
static EC: LazyLock<Signer> = LazyLock::new(|| signer("ec"));

fn signer(name: &str) -> Signer {
    let read = |kind| file(&format!("test-only-keys/{name}.{kind}.pem"));
    Signer::new(&read("key"), &read("cert"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_full_token_says_what_was_signed(
        user in "\\PC{0,60}", project in "\\PC{0,60}", role in "\\PC{0,60}",
        id in "[0-9a-f]{32}", attributes: bool, rsa: bool,
    ) {
        let body = json!({"token": {
            "user": {"id": id, "name": user, "domain": {"id": "default", "name": user}},
            "project": {"id": id, "name": project, "domain": {"id": "default", "name": project}},
            "roles": [{"id": id, "name": role}],
            "catalog": [{"name": role}],
            "methods": ["password"],
            "audit_ids": [id],
            "issued_at": "2026-11-24T22:00:00.000000Z",
            "expires_at": "2026-11-25T22:00:00.000000Z",
        }})
        .to_string();
        let signer: &Signer = if rsa { &RSA } else { &EC };
        let cms = if attributes {
            Cms::with_attributes(body.as_bytes(), &usual_attributes(body.as_bytes()), signer)
        } else {
            Cms::of(body.as_bytes(), signer)
        };
        for text in [cms.pki(), cms.pkiz()] {
            let verified = verify(&parse(&text), &PARTNER, false, NOW).unwrap();
            let Content::Full(view) = verified.content else {
                panic!("no names")
            };
            prop_assert_eq!(&view.user.name, &user);
            prop_assert_eq!(view.project.map(|project| project.name), Some(project.clone()));
            prop_assert!(view.roles.contains(&role) && view.role_ids.contains(&id));
            let seen = inspect(&text);
            prop_assert_eq!(seen.user.and_then(|user| user.name), Some(user.clone()));
            prop_assert_eq!(seen.problems.len(), 0);
        }
    }

    #[test]
    fn a_bare_token_says_what_was_signed(id in "[!-~&&[^\"\\\\]]{1,255}", iat in 0i64..4_000_000_000) {
        let claims = json!({
            "sub": id, "iat": iat, "exp": iat + 1, "openstack_project_id": id,
            "openstack_methods": ["password"], "openstack_audit_ids": [id],
        });
        let key = file("test-only-keys/jws.key.pem");
        let text = jws(r#"{"alg":"ES256","typ":"JWT"}"#, &claims.to_string(), &key);
        let content = verify(&parse(&text), &PARTNER, false, NOW).unwrap().content;
        prop_assert_eq!(content.user_id(), &id);
        prop_assert_eq!(content.project_id(), Some(id.as_str()));
        prop_assert_eq!(content.audit_ids(), std::slice::from_ref(&id));
        prop_assert_eq!(content.issued_at().as_second(), iat);
        prop_assert_eq!(inspect(&text).user.map(|user| user.id), Some(id));
    }

    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600), at in any::<prop::sample::Index>()) {
        let genuine = Cms::of(b"{}", &RSA).encode();
        let mut altered = genuine.clone();
        let at = at.index(altered.len());
        altered.splice(at..(at + bytes.len() % 9).min(genuine.len()), bytes.iter().copied().take(8));
        for text in [
            to_pki(&bytes),
            to_pkiz(&bytes),
            to_pki(&altered),
            format!("MII{}", to_pki(&bytes)),
            String::from_utf8_lossy(&bytes).into_owned(),
        ] {
            let _ = inspect(&text);
            if let Ok(token) = Token::parse(&text) {
                let judged = verify(&token, &PARTNER, true, NOW);
                prop_assert!(judged.is_err());
            }
        }
    }
}
