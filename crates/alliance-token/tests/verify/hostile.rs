//! Tokens that the partner's own key signed, built otherwise than Keystone builds them: there is
//! one encoding of each, and nothing in a token says how it is to be judged.

use alliance_token::{Unverified, Verified, verify};

use crate::data::{NOW, file, parse, partner};
use crate::signing::{Cms, Signer, attribute, der, jws, to_pki, to_pkiz, usual_attributes};

const BODY: &[u8] =
    br#"{"token": {"user": {"id": "u", "name": "n", "domain": {"id": "d", "name": "D"}},
    "methods": ["password"], "audit_ids": ["a"], "issued_at": "2026-11-24T22:00:00.000000Z",
    "expires_at": "2026-11-25T22:00:00.000000Z"}}"#;
const HEADER: &str = r#"{"alg":"ES256","typ":"JWT"}"#;
const CLAIMS: &str =
    r#"{"sub":"u","iat":1,"exp":2,"openstack_methods":["password"],"openstack_audit_ids":["a"]}"#;

fn signer(name: &str) -> Signer {
    let read = |kind| file(&format!("test-only-keys/{name}.{kind}.pem"));
    Signer::new(&read("key"), &read("cert"))
}

fn judge(text: &str) -> Result<Verified, Unverified> {
    verify(&parse(text), &partner(), false, NOW)
}

fn assert_malformed(text: &str, why: &str) {
    match judge(text) {
        Err(Unverified::Malformed(said)) if said.contains(why) => {}
        judged => panic!("expected malformed ({why}): {judged:?}"),
    }
}

#[test]
fn what_the_tests_sign_verifies() {
    let keystoneclients = Cms::of(BODY, &signer("rsa"));
    assert!(judge(&keystoneclients.pki()).is_ok());
    assert!(judge(&keystoneclients.pkiz()).is_ok());
    assert!(judge(&Cms::of(BODY, &signer("ec")).pki()).is_ok());
    let openssls = Cms::with_attributes(BODY, &usual_attributes(BODY), &signer("rsa"));
    assert!(judge(&openssls.pki()).is_ok());
    let key = file("test-only-keys/jws.key.pem");
    assert!(judge(&jws(HEADER, CLAIMS, &key)).is_ok());
}

#[test]
fn every_part_of_the_cms_is_pinned() {
    let good = Cms::of(BODY, &signer("rsa"));
    let oid = |bytes: &[u8]| der(0x06, &[bytes]);
    let two = der(0x02, &[&[2]]);
    let sha256 = good.digest_algorithm.clone();
    let sha384 = der(0x30, &[&oid(b"\x60\x86\x48\x01\x65\x03\x04\x02\x02")]);
    let null = der(0x05, &[]);
    let sha256_null = der(
        0x30,
        &[&oid(b"\x60\x86\x48\x01\x65\x03\x04\x02\x01"), &null],
    );
    let rsa = oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01");
    let certificates = der(0xa0, &[&der(0x30, &[])]);
    let lists = der(0xa1, &[&der(0x30, &[])]);
    let long_one = b"\x02\x02\x00\x01".to_vec();
    type Change = Box<dyn Fn(&mut Cms)>;
    let cases: Vec<(&str, Change)> = vec![
        (
            "no signed data",
            Box::new(move |cms| {
                cms.kind = oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03");
            }),
        ),
        ("version", {
            let two = two.clone();
            Box::new(move |cms| cms.version = two.clone())
        }),
        (
            "version",
            Box::new(move |cms| cms.signer_version = two.clone()),
        ),
        (
            "version",
            Box::new(move |cms| cms.version = long_one.clone()),
        ),
        ("more than one digest", {
            let both = der(0x31, &[&sha256, &sha384]);
            Box::new(move |cms| cms.digest_algorithms = both.clone())
        }),
        ("", Box::new(|cms| cms.digest_algorithms = der(0x31, &[]))),
        ("another digest algorithm", {
            let sha384 = sha384.clone();
            Box::new(move |cms| cms.digest_algorithm = sha384.clone())
        }),
        (
            "after the end",
            Box::new(move |cms| {
                cms.digest_algorithm = sha256_null.clone();
                cms.digest_algorithms = der(0x31, &[&sha256_null]);
            }),
        ),
        (
            "not plain data",
            Box::new(|cms| {
                cms.content_type = der(0x06, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"]);
            }),
        ),
        ("detached", Box::new(|cms| cms.content.clear())),
        // In two pieces, as BER allows.
        (
            "not DER",
            Box::new(|cms| {
                cms.content = der(0xa0, &[&der(0x24, &[&der(0x04, &[BODY])])]);
            }),
        ),
        (
            "certificates",
            Box::new(move |cms| cms.certificates = certificates.clone()),
        ),
        (
            "certificates",
            Box::new(move |cms| cms.certificates = lists.clone()),
        ),
        (
            "signature algorithm",
            Box::new(|cms| {
                cms.signature_algorithm = der(
                    0x30,
                    &[&der(0x06, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"])],
                );
            }),
        ),
        ("", {
            let rsa = rsa.clone();
            Box::new(move |cms| cms.signature_algorithm = der(0x30, &[&rsa]))
        }),
        (
            "after the end",
            Box::new(move |cms| {
                cms.signature_algorithm = der(0x30, &[&rsa, &null, &null]);
            }),
        ),
        (
            "unsigned attributes",
            Box::new(|cms| cms.unsigned_attributes = der(0xa1, &[])),
        ),
        ("after the end", Box::new(|cms| cms.trailer = vec![0])),
        (
            "after the end",
            Box::new(|cms| cms.sid = der(0x30, &[&cms.sid[2..], &[5, 0]])),
        ),
    ];
    for (why, change) in cases {
        let mut cms = good.clone();
        change(&mut cms);
        assert_malformed(&cms.pki(), why);
        assert_malformed(&cms.pkiz(), why);
    }
}

#[test]
fn lengths_have_one_encoding() {
    let whole = Cms::of(BODY, &signer("rsa")).encode();
    assert_eq!(whole[..2], [0x30, 0x82]);
    let content = &whole[4..];
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let longer = [&[0x30, 0x83, 0, high, low], content].concat();
    // Only PKIZ can carry it: a PKI token starts with 30 82.
    assert_malformed(&to_pkiz(&longer), "not DER");
    let indefinite = [&[0x30, 0x80], content, &[0, 0]].concat();
    assert_malformed(&to_pkiz(&indefinite), "not DER");
    let deep = [0x30, 0x82].repeat(2000);
    assert_malformed(&to_pki(&deep), "not");
}

#[test]
fn the_signer_is_who_it_says_it_is() {
    let (rsa, ec) = (Cms::of(BODY, &signer("rsa")), Cms::of(BODY, &signer("ec")));
    // Another pinned certificate is named than the one whose key signed.
    let mut other = rsa.clone();
    other.sid = Cms::of(BODY, &signer("rsa3072")).sid;
    assert_eq!(judge(&other.pki()), Err(Unverified::UnknownKey));
    // The kinds of key and of signature do not fit together.
    let mut other = rsa.clone();
    other.sid = ec.sid.clone();
    assert_eq!(judge(&other.pki()), Err(Unverified::UnknownKey));
    let mut other = rsa.clone();
    other.signature_algorithm = ec.signature_algorithm.clone();
    assert_eq!(judge(&other.pki()), Err(Unverified::UnknownKey));
    // ECDSA names its digest twice.
    let mut other = ec.clone();
    other.digest_algorithm = der(
        0x30,
        &[&der(0x06, &[b"\x60\x86\x48\x01\x65\x03\x04\x02\x02"])],
    );
    other.digest_algorithms = der(0x31, &[&other.digest_algorithm]);
    assert_malformed(&other.pki(), "another digest");
    // A signature that is no number below the modulus, or of another length.
    for signature in [
        vec![0xff; 256],
        vec![1; 255],
        vec![1; 257],
        vec![0; 256],
        vec![],
    ] {
        let mut other = rsa.clone();
        other.signature = der(0x04, &[&signature]);
        assert_eq!(judge(&other.pki()), Err(Unverified::UnknownKey));
    }
    // An altered ECDSA signature has no trace of its key.
    let mut other = ec.clone();
    other.content = rsa.content.clone();
    assert!(judge(&other.pki()).is_ok());
    other.signature = der(0x04, &[b"\x30\x06\x02\x01\x01\x02\x01\x01"]);
    assert_eq!(judge(&other.pki()), Err(Unverified::BadSignature));
}

#[test]
fn content_and_signed_attributes_belong_together() {
    let signer = signer("rsa");
    let usual = usual_attributes(BODY);
    let other_digest = usual_attributes(b"{}");
    let other_content = Cms::with_attributes(BODY, &other_digest, &signer);
    assert_eq!(judge(&other_content.pki()), Err(Unverified::BadSignature));
    let swapped = [usual[1].clone(), usual[0].clone()];
    for (attributes, why) in [
        (&usual[..1], "lack"),
        (&usual[1..], "lack"),
        (&[][..], "lack"),
        (&swapped[..], "order"),
        (
            &[usual[0].clone(), usual[0].clone(), usual[1].clone()][..],
            "order",
        ),
    ] {
        let cms = Cms::with_attributes(BODY, attributes, &signer);
        assert_malformed(&cms.pki(), why);
    }
    let of_other_type = |kind: &[u8]| {
        let kind = der(0x06, &[kind]);
        let contents = attribute(b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03", &[&kind]);
        Cms::with_attributes(BODY, &[contents, usual[1].clone()], &signer).pki()
    };
    assert!(judge(&of_other_type(b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")).is_ok());
    let signed_data = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    assert_malformed(&of_other_type(signed_data), "type of the content");
    // Two digests, each in a place of its own in DER's order.
    let digest = |byte: u8| {
        attribute(
            b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04",
            &[&der(0x04, &[&[byte; 32]])],
        )
    };
    let twice = [usual[0].clone(), digest(1), digest(2)];
    assert_malformed(&Cms::with_attributes(BODY, &twice, &signer).pki(), "twice");
    // Attributes that are signed cannot be passed off as content: it must be a token.
    let mut confused = Cms::of(BODY, &signer);
    let all = der(0x31, &[&usual.concat()]);
    confused.signature = Cms::with_attributes(BODY, &usual, &signer).signature;
    confused.content = der(0xa0, &[&der(0x04, &[&all])]);
    assert_malformed(&confused.pki(), "no token body");
}

#[test]
fn a_signed_content_must_still_be_a_token() {
    let signer = signer("rsa");
    for (content, why) in [
        (&b""[..], "no token body"),
        (b"[]", "no token body"),
        (b"null", "no token body"),
        (br#"{"token": null}"#, "no token body"),
        (br#"{"access": {}}"#, "v2.0"),
        (&BODY[..BODY.len() - 1], "no token body"),
        (&[BODY, BODY].concat(), "no token body"),
        (&"[".repeat(2000).into_bytes(), "no token body"),
        (br#"{"token": {}, "token": {}}"#, "no token body"),
        (b"\xff\xfe", "no token body"),
    ] {
        assert_malformed(&Cms::of(content, &signer).pkiz(), why);
    }
    let unrevocable = String::from_utf8(BODY.to_vec()).unwrap();
    let unrevocable = unrevocable.replace(r#""audit_ids": ["a"], "#, "");
    assert_malformed(&Cms::of(unrevocable.as_bytes(), &signer).pki(), "audit id");
    // What is not looked at may be as deep as it likes.
    let deep = format!(r#"{{"x": {}{}, "#, "[".repeat(3000), "]".repeat(3000));
    let deep = String::from_utf8(BODY.to_vec())
        .unwrap()
        .replacen('{', &deep, 1);
    assert!(judge(&Cms::of(deep.as_bytes(), &signer).pkiz()).is_ok());
}

#[test]
fn nothing_in_the_header_of_a_jws_chooses_how_it_is_judged() {
    let key = file("test-only-keys/jws.key.pem");
    assert!(judge(&jws(r#"{"typ":"JWT","alg":"ES256"}"#, CLAIMS, &key)).is_ok());
    assert!(judge(&jws(r#"{"alg":"ES256"}"#, CLAIMS, &key)).is_ok());
    for header in [
        r#"{"alg":"ES256","typ":"JWT","kid":"1"}"#,
        r#"{"alg":"ES256","typ":"JWT","jwk":{"kty":"EC"}}"#,
        r#"{"alg":"ES256","typ":"JWT","jku":"https://evil.example"}"#,
        r#"{"alg":"ES256","typ":"JWT","x5c":[]}"#,
        r#"{"alg":"ES256","typ":"JWT","crit":["exp"]}"#,
        r#"{"alg":"ES256","typ":"JWT","b64":false}"#,
        r#"{"alg":"ES256","typ":"passport+jwt"}"#,
        r#"{"alg":"ES256","typ":null}"#,
    ] {
        assert_malformed(&jws(header, CLAIMS, &key), "header");
    }
}

#[test]
fn the_claims_of_a_jws_are_those_that_are_known() {
    let key = file("test-only-keys/jws.key.pem");
    let with = |claims: &str| jws(HEADER, claims, &key);
    for claims in [
        CLAIMS.replace(r#""iat":1"#, r#""iat":"1""#),
        CLAIMS.replace(r#""iat":1"#, r#""iat":1.5"#),
        CLAIMS.replace(r#""exp":2,"#, ""),
        CLAIMS.replace(r#""sub""#, r#""openstack_new_limit":1,"sub""#),
        CLAIMS.replace(r#""sub""#, r#""sub":"v","sub""#),
        format!("{CLAIMS}{CLAIMS}"),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
    ] {
        assert_malformed(&with(&claims), "claims");
    }
    for claims in [
        CLAIMS.replace(r#""u""#, r#""""#),
        CLAIMS.replace(r#"["password"]"#, "[]"),
        CLAIMS.replace(r#"["a"]"#, "[]"),
        CLAIMS.replace(r#""u""#, &format!(r#""{}""#, "u".repeat(1021))),
    ] {
        assert_malformed(&with(&claims), "claim is empty");
    }
    let forever = CLAIMS.replace(r#""exp":2"#, r#""exp":9223372036854775807"#);
    assert_malformed(&with(&forever), "no times");
    // A claim that is null is not there.
    let nulls = CLAIMS.replace(
        r#""sub""#,
        r#""openstack_project_id":null,"openstack_trust_id":null,"sub""#,
    );
    let content = judge(&with(&nulls)).unwrap().content;
    assert_eq!(
        (content.project_id(), content.home_view().trust),
        (None, false)
    );
}

#[test]
fn each_claim_that_limits_a_jws_is_seen_alone() {
    let key = file("test-only-keys/jws.key.pem");
    let view = |claim: &str, value: &str| {
        let limited = format!(r#""{claim}":{value},"sub""#);
        let token = jws(HEADER, &CLAIMS.replacen(r#""sub""#, &limited, 1), &key);
        judge(&token).unwrap().content.home_view()
    };
    assert!(view("openstack_system", r#""all""#).system_scope);
    assert!(view("openstack_domain_id", r#""d""#).domain_scope);
    assert!(view("openstack_trust_id", r#""t""#).trust);
    assert!(view("openstack_access_token_id", r#""a""#).oauth);
    assert!(view("openstack_thumbprint", r#""t""#).oauth);
    assert!(view("openstack_app_cred_id", r#""c""#).application_credential);
    assert!(view("openstack_group_ids", "[]").guest);
    assert!(view("openstack_idp_id", r#""i""#).guest);
    assert!(view("openstack_protocol_id", r#""p""#).guest);
}

#[test]
fn a_jws_signature_has_one_length() {
    let key = file("test-only-keys/jws.key.pem");
    let good = jws(HEADER, CLAIMS, &key);
    let (signed, _) = good.rsplit_once('.').unwrap();
    for len in [1, 63, 65, 72, 128] {
        let signature = data_encoding::BASE64URL_NOPAD.encode(&vec![1; len]);
        assert_malformed(&format!("{signed}.{signature}"), "not one of ES256");
    }
    let nobodys = data_encoding::BASE64URL_NOPAD.encode(&[1; 64]);
    let zeros = data_encoding::BASE64URL_NOPAD.encode(&[0; 64]);
    for signature in [nobodys, zeros] {
        let judged = judge(&format!("{signed}.{signature}"));
        assert_eq!(judged, Err(Unverified::UnknownKey));
    }
}
