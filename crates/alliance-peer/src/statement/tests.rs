use alliance_core::descriptor::{Endpoint, Region, Service};
use alliance_core::statement::{GrantStatement, Grants, HomeUser, Named, Passport, TokenFacts};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

struct Cloud {
    id: CloudId,
    identity: SigningKey,
    signing: SigningKey,
}

impl Cloud {
    fn new() -> Self {
        let identity = SigningKey::generate().unwrap();
        Self {
            id: identity.public().cloud_id(),
            identity,
            signing: SigningKey::generate().unwrap(),
        }
    }

    fn keys(&self) -> Vec<Jwk> {
        vec![self.signing.public().to_jwk()]
    }

    fn passport(&self, aud: &CloudId) -> Passport {
        Passport {
            iss: self.id.clone(),
            aud: aud.clone(),
            iat: 1000,
            jti: "j".into(),
            token_introspection: TokenFacts {
                active: true,
                token_sha256: "0".repeat(64),
                origin: Some(self.id.clone()),
                sub: "u".into(),
                username: "ann".into(),
                user_domain: named("default"),
                project: None,
                roles: ["member".to_owned()].into(),
                methods: vec!["password".into()],
                audit_ids: vec!["a".into()],
                issued_at: Timestamp::UNIX_EPOCH,
                expires_at: Timestamp::UNIX_EPOCH,
            },
        }
    }

    fn grants(&self, aud: &CloudId) -> GrantStatement {
        GrantStatement {
            iss: self.id.clone(),
            aud: aud.clone(),
            iat: 1000,
            jti: "j".into(),
            grants: Grants {
                user: HomeUser {
                    id: "u".into(),
                    name: "ann".into(),
                    domain: named("default"),
                },
                project: None,
                roles: ["member".to_owned()].into(),
            },
        }
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            v: 1,
            iss: self.id.clone(),
            iat: 1000,
            exp: 2000,
            name: "west".into(),
            peer_url: "https://west.example:5443".into(),
            identity_key: self.identity.public().to_jwk(),
            signing_keys: self.keys(),
            token_keys: Vec::new(),
            regions: vec![Region {
                id: "west".into(),
                services: Vec::new(),
            }],
            capabilities: vec!["introspect".into()],
        }
    }
}

fn named(name: &str) -> Named {
    Named {
        id: name.into(),
        name: name.into(),
    }
}

/// Signs what `sign` would not: any header, any claims.
fn forge(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), key.encoding(), Algorithm::ES256).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn a_statement_is_believed_as_it_was_made() {
    let (west, east) = (Cloud::new(), Cloud::new());
    let passport = west.passport(&east.id);
    let jws = sign(&passport, &west.signing).unwrap();
    let read = verify::<Passport>(&jws, &west.keys(), &west.id, Some(&east.id));
    assert_eq!(read, Ok(passport));
    let descriptor = west.descriptor();
    let jws = sign(&descriptor, &west.identity).unwrap();
    assert_eq!(verify_descriptor(&jws, &west.id), Ok(descriptor));
}

#[test]
fn no_type_of_statement_is_taken_for_another() {
    let (west, east) = (Cloud::new(), Cloud::new());
    // One key for all, so that nothing but the type can tell them apart.
    let keys = west.keys();
    let all = [
        (Passport::TYP, sign(&west.passport(&east.id), &west.signing)),
        (
            GrantStatement::TYP,
            sign(&west.grants(&east.id), &west.signing),
        ),
        (Descriptor::TYP, sign(&west.descriptor(), &west.signing)),
    ];
    for (typ, jws) in all {
        let jws = jws.unwrap();
        let aud = Some(&east.id);
        let passport = verify::<Passport>(&jws, &keys, &west.id, aud).map(|_| ());
        let grants = verify::<GrantStatement>(&jws, &keys, &west.id, aud).map(|_| ());
        let descriptor = verify::<Descriptor>(&jws, &keys, &west.id, None).map(|_| ());
        for (asked, result) in [
            (Passport::TYP, passport),
            (GrantStatement::TYP, grants),
            (Descriptor::TYP, descriptor),
        ] {
            let expected = if asked == typ {
                Ok(())
            } else {
                Err(StatementError::Type {
                    expected: asked,
                    found: Some(typ.to_owned()),
                })
            };
            assert_eq!(result, expected, "{typ} as {asked}");
        }
    }
}

#[test]
fn only_the_issuers_word_to_this_cloud_counts() {
    let (west, east, north) = (Cloud::new(), Cloud::new(), Cloud::new());
    let jws = sign(&west.passport(&east.id), &west.signing).unwrap();
    let read = |issuer, audience| verify::<Passport>(&jws, &west.keys(), issuer, audience);
    assert_eq!(
        read(&north.id, Some(&east.id)),
        Err(StatementError::Issuer {
            expected: north.id.clone(),
            found: west.id.clone()
        })
    );
    for wrong in [Some(&north.id), None] {
        assert_eq!(
            read(&west.id, wrong),
            Err(StatementError::Audience {
                expected: wrong.cloned(),
                found: Some(east.id.clone())
            })
        );
    }
    assert!(matches!(
        verify::<Passport>(&jws, &north.keys(), &west.id, Some(&east.id)),
        Err(StatementError::UnknownKey { .. })
    ));
    assert!(matches!(
        verify::<Passport>(&jws, &[], &west.id, Some(&east.id)),
        Err(StatementError::UnknownKey { .. })
    ));
}

#[test]
fn a_key_in_the_statement_is_no_key() {
    let (west, east, thief) = (Cloud::new(), Cloud::new(), Cloud::new());
    let claims = serde_json::to_value(west.passport(&east.id)).unwrap();
    let own = serde_json::to_value(thief.signing.public().to_jwk()).unwrap();
    let kid = west.signing.public().kid();
    for (header, expected) in [
        (
            json!({"alg": "ES256", "typ": Passport::TYP, "jwk": own, "kid": thief.signing.public().kid()}),
            "UnknownKey",
        ),
        (
            json!({"alg": "ES256", "typ": Passport::TYP, "jwk": own}),
            "UnknownKey",
        ),
        (
            json!({"alg": "ES256", "typ": Passport::TYP, "jwk": own, "kid": kid}),
            "Signature",
        ),
        (
            json!({"alg": "ES256", "typ": Passport::TYP, "jku": "https://thief.example", "kid": kid}),
            "Signature",
        ),
    ] {
        let jws = forge(&header, &claims, &thief.signing);
        let error = verify::<Passport>(&jws, &west.keys(), &west.id, Some(&east.id)).unwrap_err();
        assert!(
            format!("{error:?}").starts_with(expected),
            "{header}: {error:?}"
        );
    }
}

#[test]
fn strange_headers_are_refused_even_with_the_right_signature() {
    let (west, east) = (Cloud::new(), Cloud::new());
    let claims = serde_json::to_value(west.passport(&east.id)).unwrap();
    let kid = west.signing.public().kid();
    let typ = Passport::TYP;
    for (header, expected) in [
        (json!({"alg": "none", "typ": typ, "kid": kid}), "Algorithm"),
        (json!({"alg": "HS256", "typ": typ, "kid": kid}), "Algorithm"),
        (json!({"alg": "ES384", "typ": typ, "kid": kid}), "Algorithm"),
        (json!({"typ": typ, "kid": kid}), "Algorithm"),
        (json!({"alg": "ES256", "kid": kid}), "Type"),
        (json!({"alg": "ES256", "typ": "JWT", "kid": kid}), "Type"),
        (
            json!({"alg": "ES256", "typ": typ.to_uppercase(), "kid": kid}),
            "Type",
        ),
        (
            json!({"alg": "ES256", "typ": format!("application/{typ}"), "kid": kid}),
            "Type",
        ),
        (
            json!({"alg": "ES256", "typ": typ, "kid": kid, "crit": ["exp"]}),
            "Critical",
        ),
        (
            json!({"alg": "ES256", "typ": typ, "kid": kid, "crit": []}),
            "Critical",
        ),
        (
            json!({"alg": "ES256", "typ": typ, "kid": kid, "b64": false, "crit": ["b64"]}),
            "Critical",
        ),
        (json!({"alg": "ES256", "typ": typ, "kid": 7}), "Header"),
        (json!([]), "Header"),
    ] {
        let jws = forge(&header, &claims, &west.signing);
        let error = verify::<Passport>(&jws, &west.keys(), &west.id, Some(&east.id)).unwrap_err();
        assert!(
            format!("{error:?}").starts_with(expected),
            "{header}: {error:?}"
        );
    }
}

#[test]
fn claims_of_another_shape_are_refused() {
    let (west, east) = (Cloud::new(), Cloud::new());
    let header = json!({"alg": "ES256", "typ": Passport::TYP, "kid": west.signing.public().kid()});
    let good = serde_json::to_value(west.passport(&east.id)).unwrap();
    for (field, value) in [
        ("aud", json!([east.id, "other"])),
        ("aud", Value::Null),
        ("iss", json!("west")),
        ("iat", json!("1000")),
        ("token_introspection", json!({"active": true})),
    ] {
        let mut claims = good.clone();
        claims[field] = value;
        let jws = forge(&header, &claims, &west.signing);
        let error = verify::<Passport>(&jws, &west.keys(), &west.id, Some(&east.id)).unwrap_err();
        assert!(
            matches!(error, StatementError::Content(_)),
            "{field}: {error:?}"
        );
    }
}

#[test]
fn a_statement_has_one_spelling() {
    let (west, east) = (Cloud::new(), Cloud::new());
    let jws = sign(&west.passport(&east.id), &west.signing).unwrap();
    for other in [
        format!("{jws}="),
        format!("{jws}\n"),
        format!(" {jws}"),
        format!("{jws}."),
        jws.replace('.', ".."),
        jws.rsplit_once('.').unwrap().0.to_owned(),
        String::new(),
    ] {
        let read = verify::<Passport>(&other, &west.keys(), &west.id, Some(&east.id));
        assert_eq!(read, Err(StatementError::NotAJws), "{other}");
    }
}

#[test]
fn what_is_too_long_is_not_even_decoded() {
    let west = Cloud::new();
    let long = "a".repeat(Passport::MAX_LEN + 1);
    assert_eq!(
        verify::<Passport>(&long, &west.keys(), &west.id, None),
        Err(StatementError::TooLong {
            limit: Passport::MAX_LEN,
            found: Passport::MAX_LEN + 1
        })
    );
    let long = "a".repeat(Descriptor::MAX_LEN + 1);
    assert!(matches!(
        verify_descriptor(&long, &west.id),
        Err(StatementError::TooLong {
            limit: Descriptor::MAX_LEN,
            ..
        })
    ));
}

#[test]
fn a_descriptor_speaks_only_for_the_cloud_whose_key_is_in_it() {
    let (west, thief) = (Cloud::new(), Cloud::new());
    // The thief signs with its own key that it is west.
    let lie = Descriptor {
        iss: west.id.clone(),
        ..thief.descriptor()
    };
    let jws = sign(&lie, &thief.identity).unwrap();
    assert_eq!(
        verify_descriptor(&jws, &west.id),
        Err(StatementError::Identity {
            expected: west.id.clone(),
            found: thief.id.clone()
        })
    );
    assert!(matches!(
        verify_descriptor(&jws, &thief.id),
        Err(StatementError::Issuer { .. })
    ));
    // With west's key in it, but without west's signature.
    let lie = Descriptor {
        identity_key: west.identity.public().to_jwk(),
        ..lie
    };
    let header =
        json!({"alg": "ES256", "typ": Descriptor::TYP, "kid": west.identity.public().kid()});
    let jws = forge(
        &header,
        &serde_json::to_value(lie).unwrap(),
        &thief.identity,
    );
    assert!(matches!(
        verify_descriptor(&jws, &west.id),
        Err(StatementError::Signature(_))
    ));
    // Signed by west's signing key only.
    let jws = sign(&west.descriptor(), &west.signing).unwrap();
    assert!(matches!(
        verify_descriptor(&jws, &west.id),
        Err(StatementError::UnknownKey { .. })
    ));
}

#[test]
fn a_descriptor_without_usable_signing_keys_is_of_no_use() {
    let west = Cloud::new();
    let key = west.signing.public().to_jwk();
    let other = SigningKey::generate().unwrap().public().kid();
    for keys in [
        Vec::new(),
        vec![key.clone(); MAX_SIGNING_KEYS + 1],
        vec![Jwk { kid: other, ..key }],
    ] {
        let jws = sign(
            &Descriptor {
                signing_keys: keys,
                ..west.descriptor()
            },
            &west.identity,
        );
        assert!(verify_descriptor(&jws.unwrap(), &west.id).is_err());
    }
    let nothing = Descriptor {
        v: 0,
        ..west.descriptor()
    };
    let jws = sign(&nothing, &west.identity).unwrap();
    let error = verify_descriptor(&jws, &west.id).unwrap_err();
    assert!(error.to_string().contains("version 0"), "{error}");
}

#[test]
fn of_a_newer_descriptor_what_is_known_is_used_and_nothing_else() {
    let west = Cloud::new();
    let header =
        json!({"alg": "ES256", "typ": Descriptor::TYP, "kid": west.identity.public().kid()});
    let mut claims = serde_json::to_value(west.descriptor()).unwrap();
    claims["v"] = json!(2);
    claims["edge"] = json!({"of": ["tomorrow"]});
    claims["regions"][0]["climate"] = json!("mild");
    claims["regions"][0]["services"] = json!([{
        "type": "image", "name": "glance", "price": 7, "endpoints": [],
        "versions": [{"id": "v2.17", "status": "CURRENT", "until": 2040}],
    }]);
    let read = verify_descriptor(&forge(&header, &claims, &west.identity), &west.id).unwrap();
    assert_eq!(read.name, "west");
    assert_eq!(read.regions[0].services[0].versions[0].id, "v2.17");
    let kept = serde_json::to_string(&read).unwrap();
    for unknown in ["tomorrow", "climate", "price", "until"] {
        assert!(!kept.contains(unknown), "{unknown}");
    }
}

#[test]
fn a_descriptor_with_a_hundred_thousand_endpoints_is_too_long_to_be_looked_at() {
    let west = Cloud::new();
    let mut descriptor = west.descriptor();
    descriptor.regions[0].services = vec![Service {
        kind: "image".into(),
        name: "glance".into(),
        endpoints: vec![
            Endpoint {
                interface: "public".into(),
                url: "https://west.example".into(),
            };
            100_000
        ],
        versions: Vec::new(),
    }];
    let jws = sign(&descriptor, &west.identity).unwrap();
    let error = verify_descriptor(&jws, &west.id).unwrap_err();
    assert!(matches!(error, StatementError::TooLong { .. }), "{error}");
}

#[test]
fn a_descriptor_whose_url_nobody_could_ask_at_is_of_no_use() {
    let west = Cloud::new();
    for wrong in ["", "west", "http://west.example", "https://west.example/v1"] {
        let descriptor = Descriptor {
            peer_url: wrong.into(),
            ..west.descriptor()
        };
        let jws = sign(&descriptor, &west.identity).unwrap();
        let error = verify_descriptor(&jws, &west.id).unwrap_err();
        assert!(matches!(error, StatementError::Descriptor(_)), "{error}");
    }
}

#[test]
fn a_descriptor_has_its_time() {
    let descriptor = Cloud::new().descriptor();
    for (now, ok) in [(939, false), (940, true), (2059, true), (2060, false)] {
        assert_eq!(require_current(&descriptor, now).is_ok(), ok, "{now}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_changed_byte_any_truncation_and_any_addition_is_noticed(
        at in any::<prop::sample::Index>(), byte in 0u8..128, cut in any::<prop::sample::Index>(), tail in "[A-Za-z0-9_.=-]{1,5}"
    ) {
        static MADE: std::sync::LazyLock<(Cloud, Cloud, String, String)> = std::sync::LazyLock::new(|| {
            let (west, east) = (Cloud::new(), Cloud::new());
            let passport = sign(&west.passport(&east.id), &west.signing).unwrap();
            let descriptor = sign(&west.descriptor(), &west.identity).unwrap();
            (west, east, passport, descriptor)
        });
        let (west, east, passport, descriptor) = &*MADE;
        let believed = |jws: &str| {
            verify::<Passport>(jws, &west.keys(), &west.id, Some(&east.id)).is_ok()
                || verify_descriptor(jws, &west.id).is_ok()
        };
        for jws in [passport, descriptor] {
            let mut bytes = jws.clone().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            prop_assert!(!believed(&String::from_utf8(bytes).unwrap()), "byte {at}");
            prop_assert!(!believed(&jws[..cut.index(jws.len())]));
            let longer = format!("{jws}{tail}");
            prop_assert!(!believed(&longer));
        }
    }

    #[test]
    fn no_text_makes_the_verifier_panic(text in "[ -~]{0,200}", head in "[A-Za-z0-9_-]{0,40}") {
        let west = CloudId::from_spki(b"west");
        for jws in [text.clone(), format!("{head}.{text}.{head}"), format!("eyJ{head}.eyJ{head}.{head}")] {
            prop_assert!(verify::<Passport>(&jws, &[], &west, None).is_err());
            prop_assert!(verify_descriptor(&jws, &west).is_err());
        }
    }
}

#[test]
fn what_is_signed_again_says_the_same_bytes_by_another_key() {
    let (home, host) = (Cloud::new(), Cloud::new());
    let said = home.passport(&host.id);
    let first = sign(&said, &home.signing).unwrap();
    let next = SigningKey::generate().unwrap();
    let again = sign_again::<Passport>(&first, &next).unwrap();
    assert_eq!(payload_sha256(&first), payload_sha256(&again));
    let keys = [next.public().to_jwk()];
    assert_eq!(
        verify::<Passport>(&again, &keys, &home.id, Some(&host.id)),
        Ok(said.clone())
    );
    assert!(verify::<Passport>(&again, &home.keys(), &home.id, Some(&host.id)).is_err());
    let other = Passport { iat: 1001, ..said };
    let other = sign(&other, &home.signing).unwrap();
    assert_ne!(payload_sha256(&first), payload_sha256(&other));
    assert_eq!(payload_sha256("a.b"), Err(StatementError::NotAJws));
}
