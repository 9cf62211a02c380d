//! What keystoneclient, openssl and Keystone signed.

use alliance_core::admission::HomeView;
use alliance_token::{
    Content, KeyRejected, KeyRing, Malformed, SigningKey, Token, Unverified, Verified, verify,
};

use x509_parser::pem::Pem;

use crate::data::{NOW, cms_to_token, file, key, parse, partner, ring, token};

const SHA1: bool = true;
const NO_SHA1: bool = false;

fn judge(name: &str, ring: &KeyRing) -> Result<Verified, Unverified> {
    verify(&parse(&token(name)), ring, NO_SHA1, NOW)
}

/// That `name` is the usual body, signed by `by`.
fn assert_full(name: &str, by: &str, allow_sha1: bool) {
    let verified = verify(&parse(&token(name)), &ring(&[by]), allow_sha1, NOW).expect(name);
    assert_eq!(verified.key_id, key(by).id(), "{name}");
    let Content::Full(view) = &verified.content else {
        panic!("{name} has no names")
    };
    assert_eq!(view.user.name, "änn", "{name}");
    assert_eq!(
        view.roles,
        ["member".to_owned(), "reader".to_owned()].into(),
        "{name}"
    );
    assert_eq!(view.role_ids.len(), 2, "{name}");
    assert_eq!(
        view.home_view(),
        HomeView {
            methods: vec!["password".to_owned()],
            ..HomeView::default()
        },
        "{name}"
    );
    let content = &verified.content;
    assert_eq!(content.user_id(), "ec3f20dffe4f48ca98de0d46e72e5f98");
    assert_eq!(
        content.project_id(),
        Some("33c1c0641ab3440f8337b4a08f912ff3")
    );
    assert_eq!(content.audit_ids(), ["WxCuapYmQ1ScHG9m8ltKlg"]);
    assert_eq!(content.expires_at().as_second(), 4_102_444_800);
}

#[test]
fn what_keystoneclient_signs_verifies() {
    assert_full("pki-rsa", "rsa", NO_SHA1);
    assert_full("pki-rsa-sha384", "rsa", NO_SHA1);
    assert_full("pki-rsa-sha512", "rsa", NO_SHA1);
    assert_full("pki-rsa3072", "rsa3072", NO_SHA1);
    assert_full("pki-ec", "ec", NO_SHA1);
    assert_full("pkiz-rsa", "rsa", NO_SHA1);
    assert_full("pkiz-ec", "ec", NO_SHA1);
}

#[test]
fn signed_attributes_as_openssl_makes_them_verify_too() {
    assert_full("pki-rsa-attributes", "rsa", NO_SHA1);
    assert_full("pki-rsa-cades", "rsa", NO_SHA1);
    assert_full("pki-ec-attributes", "ec", NO_SHA1);
}

#[test]
fn sha1_counts_only_where_the_operator_allows_it_and_md5_never() {
    assert_full("pki-rsa-sha1", "rsa", SHA1);
    let judged = |name, allow_sha1| verify(&parse(&token(name)), &partner(), allow_sha1, NOW);
    let weak = Err(Unverified::WeakAlgorithm);
    assert_eq!(judged("pki-rsa-sha1", NO_SHA1), weak);
    assert_eq!(judged("pki-rsa-md5", NO_SHA1), weak);
    assert_eq!(judged("pki-rsa-md5", SHA1), weak);
}

#[test]
fn each_way_of_not_being_the_partners_has_its_own_reason() {
    let partner = partner();
    for (name, why) in [
        ("pki-impostor", Unverified::UnknownKey),
        ("pki-unannounced", Unverified::UnknownKey),
        ("pki-stranger", Unverified::WrongIssuer),
        ("jws-unannounced", Unverified::UnknownKey),
    ] {
        assert_eq!(judge(name, &partner), Err(why), "{name}");
    }
    let content = token("pki-rsa").replace("WVtYmVy", "WVtYmVz");
    assert_ne!(content, token("pki-rsa"));
    assert_eq!(
        verify(&parse(&content), &partner, NO_SHA1, NOW),
        Err(Unverified::BadSignature)
    );
    let nobody = KeyRing::default();
    assert_eq!(judge("pki-rsa", &nobody), Err(Unverified::UnknownKey));
    assert_eq!(judge("jws", &nobody), Err(Unverified::UnknownKey));
    for opaque in ["0123456789abcdef0123456789abcdef".to_owned(), fernet()] {
        let judged = verify(&parse(&opaque), &partner, NO_SHA1, NOW);
        assert_eq!(judged, Err(Unverified::Opaque));
    }
}

fn fernet() -> String {
    format!("gAAAAABl{}", "A".repeat(132))
}

#[test]
fn a_key_counts_until_it_is_retired_and_a_certificate_while_it_is_valid() {
    let retired_at = |name: &str, when| {
        let mut key = key(name);
        key.retired_at = Some(when);
        KeyRing::new([key]).unwrap()
    };
    for (name, by) in [("pki-rsa", "rsa"), ("pkiz-rsa", "rsa"), ("jws", "jws")] {
        assert!(judge(name, &retired_at(by, NOW + 1)).is_ok(), "{name}");
        assert_eq!(
            judge(name, &retired_at(by, NOW)),
            Err(Unverified::RetiredKey),
            "{name}"
        );
    }
    let expired = ring(&["expired"]);
    assert_eq!(
        judge("pki-expired", &expired),
        Err(Unverified::ExpiredCertificate)
    );
    let in_2013 = 1_370_000_000;
    assert!(verify(&parse(&token("pki-expired")), &expired, NO_SHA1, in_2013).is_ok());
    let future = ring(&["future"]);
    assert_eq!(judge("pki-future", &future), Err(Unverified::UnknownKey));
    // 2110-01-01
    let starts = 4_417_977_600;
    for (now, counts) in [(starts - 61, false), (starts - 60, true), (starts, true)] {
        let judged = verify(&parse(&token("pki-future")), &future, NO_SHA1, now);
        assert_eq!(judged.is_ok(), counts, "{now}");
    }
}

#[test]
fn a_key_is_found_among_others() {
    let mut old = key("jws-unannounced");
    old.retired_at = Some(NOW);
    let ring = KeyRing::new([old, key("jws"), key("impostor"), key("rsa")]).unwrap();
    assert_eq!(judge("jws", &ring).unwrap().key_id, key("jws").id());
    assert_eq!(judge("pki-rsa", &ring).unwrap().key_id, key("rsa").id());
    assert_eq!(judge("jws-unannounced", &ring), Err(Unverified::RetiredKey));
}

#[test]
fn a_ring_has_a_limit() {
    let sixteen = || vec![key("jws"); 16];
    let mut keys = sixteen();
    keys.extend(vec![key("rsa"); 16]);
    assert_eq!(KeyRing::new(keys).unwrap().keys().len(), 32);
    let mut keys = sixteen();
    keys.push(key("jws"));
    assert_eq!(KeyRing::new(keys).err(), Some(KeyRejected::TooMany));
}

#[test]
fn a_jws_of_keystone_tells_ids_and_times() {
    let verified = judge("jws", &partner()).unwrap();
    assert_eq!(verified.key_id, key("jws").id());
    let Content::Bare(token) = &verified.content else {
        panic!("a JWS has no names")
    };
    assert_eq!(token.user_id, "ec3f20dffe4f48ca98de0d46e72e5f98");
    assert_eq!(
        token.project_id.as_deref(),
        Some("33c1c0641ab3440f8337b4a08f912ff3")
    );
    assert_eq!(token.methods, ["password"]);
    assert_eq!(token.audit_ids, ["WxCuapYmQ1ScHG9m8ltKlg"]);
    assert_eq!(token.expires_at.as_second(), 4_102_444_800);
    assert!(token.issued_at < token.expires_at);
    assert_eq!(verified.content.home_view().methods, ["password"]);
}

#[test]
fn what_keeps_a_jws_from_leaving_is_seen() {
    let view = |name| judge(name, &partner()).unwrap().content.home_view();
    let plain = HomeView {
        methods: vec!["password".to_owned()],
        ..HomeView::default()
    };
    assert_eq!(view("jws"), plain);
    assert_eq!(view("jws-unscoped"), plain);
    for (name, expected) in [
        (
            "jws-system",
            HomeView {
                system_scope: true,
                ..plain.clone()
            },
        ),
        (
            "jws-domain",
            HomeView {
                domain_scope: true,
                ..plain.clone()
            },
        ),
        (
            "jws-trust",
            HomeView {
                trust: true,
                ..plain.clone()
            },
        ),
        (
            "jws-federated",
            HomeView {
                guest: true,
                ..plain.clone()
            },
        ),
        (
            "jws-oauth",
            HomeView {
                oauth: true,
                ..plain.clone()
            },
        ),
        (
            "jws-thumbprint",
            HomeView {
                oauth: true,
                ..plain.clone()
            },
        ),
        (
            "jws-application-credential",
            HomeView {
                application_credential: true,
                methods: vec!["application_credential".to_owned()],
                ..plain.clone()
            },
        ),
    ] {
        assert_eq!(view(name), expected, "{name}");
    }
}

#[test]
fn what_the_partner_signed_but_is_no_token_is_refused() {
    for (name, why) in [
        ("pki-v2", "v2.0"),
        ("pki-revocation-list", "no token body"),
        ("odd-certificates", "certificates"),
        ("odd-key-id", "version"),
        ("odd-two-signers", "more than one"),
        ("odd-pss", "signature algorithm"),
        ("odd-detached", "detached"),
    ] {
        match judge(name, &partner()) {
            Err(Unverified::Malformed(said)) => assert!(said.contains(why), "{name}: {said}"),
            judged => panic!("{name}: {judged:?}"),
        }
    }
    let indefinite = Token::parse(&token("odd-indefinite"));
    assert_eq!(indefinite, Err(Malformed::Format));
}

#[test]
fn keys_of_other_kinds_are_refused_when_they_are_pinned() {
    let read = |name: &str| file(&format!("test-only-keys/{name}.pem"));
    let cms = |name| SigningKey::cms_from_pem(read(name).as_bytes()).err();
    assert_eq!(cms("rsa1024.cert"), Some(KeyRejected::Kind));
    assert_eq!(cms("p384.cert"), Some(KeyRejected::Kind));
    assert_eq!(cms("jws.pub"), Some(KeyRejected::Pem));
    assert_eq!(cms("rsa.key"), Some(KeyRejected::Private));
    let jws = |text: &str| SigningKey::jws_from_pem(text.as_bytes()).err();
    assert_eq!(jws(&read("jws.key")), Some(KeyRejected::Private));
    assert_eq!(jws(&read("rsa.cert")), Some(KeyRejected::Pem));
    assert_eq!(jws(""), Some(KeyRejected::Pem));
    assert_eq!(jws(&read("jws.pub").repeat(2)), Some(KeyRejected::Pem));
    assert_eq!(jws(&"-".repeat(1 << 20)), Some(KeyRejected::TooLong));
    for (name, why) in [
        ("ec", None),
        ("p384", Some(KeyRejected::Kind)),
        ("rsa", Some(KeyRejected::Kind)),
    ] {
        let pem = read(&format!("{name}.cert"));
        let pem = Pem::iter_from_buffer(pem.as_bytes()).next();
        let block = pem.unwrap().unwrap();
        let spki = block.parse_x509().unwrap().tbs_certificate.subject_pki;
        assert_eq!(SigningKey::jws_from_spki_der(spki.raw).err(), why, "{name}");
        let longer = [spki.raw, b"\0"].concat();
        assert!(SigningKey::jws_from_spki_der(&longer).is_err());
    }
    let both = read("jws.pub") + "between\n" + &read("rsa.cert");
    let keys = SigningKey::all_from_pem(both.as_bytes()).unwrap();
    assert_eq!(keys, [key("jws"), key("rsa")]);
    let key = key("rsa");
    assert_eq!(SigningKey::cms_from_der(key.to_der()).as_ref(), Ok(&key));
    let longer = [key.to_der(), b"\0"].concat();
    assert!(SigningKey::cms_from_der(&longer).is_err());
}

mod python_keystoneclient {
    use super::*;

    fn published(release: &str, name: &str) -> String {
        let text = file(&format!("python-keystoneclient/{release}/{name}"));
        if name.ends_with(".pem") {
            cms_to_token(&text)
        } else {
            text
        }
    }

    fn certificate(release: &str) -> SigningKey {
        let pem = file(&format!("python-keystoneclient/{release}/signing_cert.pem"));
        SigningKey::cms_from_pem(pem.as_bytes()).unwrap()
    }

    fn judge(release: &str, name: &str, sha1: bool, now: i64) -> Result<Verified, Unverified> {
        let ring = KeyRing::new([certificate(release)]).unwrap();
        verify(&parse(&published(release, name)), &ring, sha1, now)
    }

    #[test]
    fn its_example_tokens_verify() {
        for (release, name, sha1) in [
            ("6.0.0", "auth_v3_token_scoped.pem", NO_SHA1),
            ("4.4.0", "auth_v3_token_scoped.pkiz", SHA1),
        ] {
            let verified = judge(release, name, sha1, NOW).unwrap();
            let Content::Full(view) = verified.content else {
                panic!("no names")
            };
            assert_eq!(view.user.name, "user_name1");
            assert_eq!(view.project.unwrap().name, "tenant_name1");
            assert_eq!(view.roles, ["role1".to_owned(), "role2".to_owned()].into());
            assert_eq!(view.audit_ids.len(), 2);
            assert_eq!(view.expires_at.to_string(), "2038-01-18T21:14:07Z");
        }
    }

    #[test]
    fn those_before_2022_are_signed_over_sha1() {
        for name in ["auth_v3_token_scoped.pem", "auth_v3_token_scoped.pkiz"] {
            let weak = Err(Unverified::WeakAlgorithm);
            assert_eq!(judge("4.4.0", name, NO_SHA1, NOW), weak);
        }
    }

    /// It is as Keystone made them before 2014.2.
    #[test]
    fn one_that_no_revocation_could_name_is_refused_though_it_is_genuine() {
        match judge("4.4.0", "auth_v3_token_scoped.pem", SHA1, NOW) {
            Err(Unverified::Malformed(said)) => assert!(said.contains("audit id"), "{said}"),
            judged => panic!("{judged:?}"),
        }
    }

    #[test]
    fn a_later_certificate_did_not_sign_them() {
        // Its issuer looks the same and has its names in another kind of string.
        let ring = KeyRing::new([certificate("6.0.0")]).unwrap();
        for name in ["auth_v3_token_scoped.pem", "auth_v3_token_scoped.pkiz"] {
            let old = parse(&published("4.4.0", name));
            let judged = verify(&old, &ring, SHA1, NOW);
            assert_eq!(judged, Err(Unverified::WrongIssuer));
        }
    }

    #[test]
    fn its_certificate_counts_from_2022_to_2080() {
        let at = |now| judge("6.0.0", "auth_v3_token_scoped.pem", NO_SHA1, now).err();
        assert_eq!(at(1_600_000_000), Some(Unverified::UnknownKey));
        assert_eq!(at(1_650_000_000), None);
        assert_eq!(at(3_500_000_000), Some(Unverified::ExpiredCertificate));
    }

    #[test]
    fn its_tokens_of_version_2_and_its_revocation_lists_are_no_tokens() {
        let both = KeyRing::new([certificate("4.4.0"), certificate("6.0.0")]).unwrap();
        for (name, why) in [
            ("auth_token_scoped.pem", "v2.0"),
            ("auth_token_scoped.pkiz", "v2.0"),
            ("revocation_list.pem", "no token body"),
            ("revocation_list.pkiz", "no token body"),
        ] {
            match verify(&parse(&published("6.0.0", name)), &both, SHA1, NOW) {
                Err(Unverified::Malformed(said)) => assert!(said.contains(why), "{said}"),
                judged => panic!("{name}: {judged:?}"),
            }
        }
    }

    #[test]
    fn the_other_certificate_beside_them_is_another_serial_number() {
        let pem = file("python-keystoneclient/6.0.0/ssl_cert.pem");
        let ssl = SigningKey::cms_from_pem(pem.as_bytes()).unwrap();
        let ring = KeyRing::new([ssl]).unwrap();
        let token = parse(&published("6.0.0", "auth_v3_token_scoped.pem"));
        assert_eq!(
            verify(&token, &ring, NO_SHA1, NOW),
            Err(Unverified::UnknownKey)
        );
    }
}
