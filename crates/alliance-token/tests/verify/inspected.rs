//! What a human is told of a string.

use alliance_core::token::TokenFormat;
use alliance_token::{Inspection, Scope, inspect};

use crate::data::token;

fn assert_secret_is_not_in(seen: &Inspection, text: &str) {
    let shown = serde_json::to_string(seen).unwrap();
    for part in text.as_bytes().windows(24) {
        let part = std::str::from_utf8(part).unwrap();
        assert!(!shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn a_full_token_tells_everything_but_the_secret() {
    for (name, format) in [
        ("pki-rsa", TokenFormat::Pki),
        ("pkiz-rsa", TokenFormat::Pkiz),
    ] {
        let text = format!("k3v7q2xa~{}", token(name));
        let seen = inspect(&text);
        assert_eq!(seen.format, Some(format));
        assert_eq!(seen.tag.as_deref(), Some("k3v7q2xa"));
        assert_eq!(seen.length, text.len());
        assert_eq!(seen.sha256.as_ref().map(String::len), Some(64));
        assert_eq!(seen.problems, [""; 0]);
        let signer = seen.signer.as_ref().unwrap();
        assert_eq!(signer.algorithm, "RSA (PKCS #1 v1.5) with SHA-256");
        assert_eq!(
            signer.issuer.as_deref(),
            Some("CN=Alliance test CA, for tests only")
        );
        assert_eq!(signer.serial.as_deref(), Some("11"));
        assert_eq!(
            seen.issued_at.map(|at| at.to_string()).as_deref(),
            Some("2026-11-24T22:35:09Z")
        );
        let user = seen.user.as_ref().unwrap();
        assert_eq!(user.name.as_deref(), Some("änn"));
        let Some(Scope::Project { name, .. }) = &seen.scope else {
            panic!("{:?}", seen.scope)
        };
        assert_eq!(name.as_deref(), Some("science"));
        assert_eq!(seen.roles, ["member", "reader"]);
        assert_eq!(seen.methods, ["password"]);
        assert_eq!(seen.audit_ids, ["WxCuapYmQ1ScHG9m8ltKlg"]);
        assert_secret_is_not_in(&seen, &text);
    }
}

#[test]
fn a_jws_tells_ids_times_and_what_it_was_made_from() {
    let text = token("jws");
    let seen = inspect(&text);
    assert_eq!(seen.format, Some(TokenFormat::Jws));
    assert_eq!((seen.tag.as_ref(), seen.problems.len()), (None, 0));
    let user = seen.user.as_ref().unwrap();
    assert_eq!(user.id, "ec3f20dffe4f48ca98de0d46e72e5f98");
    assert_eq!((&user.name, seen.roles.len()), (&None, 0));
    assert!(seen.expires_at > seen.issued_at && seen.issued_at.is_some());
    assert!(matches!(seen.scope, Some(Scope::Project { .. })));
    assert_secret_is_not_in(&seen, &text);
    let scope = |name: &str| inspect(&token(name)).scope;
    assert_eq!(scope("jws-unscoped"), Some(Scope::Unscoped));
    assert_eq!(scope("jws-system"), Some(Scope::System));
    assert_eq!(scope("jws-domain"), Some(Scope::Domain));
    let made_from = |name: &str| inspect(&token(name)).made_from;
    assert_eq!(made_from("jws-trust"), ["a trust"]);
    assert_eq!(made_from("jws-federated"), ["a federated login"]);
    assert_eq!(made_from("jws-oauth"), ["OAuth"]);
    assert_eq!(
        made_from("jws-application-credential"),
        ["an application credential"]
    );
}

#[test]
fn an_opaque_token_tells_little() {
    let uuid = "0123456789abcdef0123456789abcdef";
    let seen = inspect(uuid);
    assert_eq!(seen.format, Some(TokenFormat::Uuid));
    assert_eq!((seen.problems.len(), seen.issued_at), (0, None));
    assert!(!serde_json::to_string(&seen).unwrap().contains(uuid));
    let fernet = inspect(&format!("gAAAAABl{}", "A".repeat(132)));
    assert_eq!(fernet.format, Some(TokenFormat::Fernet));
    assert!(fernet.issued_at.is_some() && fernet.user.is_none());
}

#[test]
fn what_is_wrong_is_said() {
    let uuid = "0123456789abcdef0123456789abcdef";
    let pki = token("pki-rsa-attributes");
    assert!(pki.contains('-') && pki.ends_with('='));
    for (text, format, problem) in [
        (String::new(), None, "empty"),
        ("nonsense".to_owned(), None, "canonical spelling"),
        ("x~y".to_owned(), None, "eight characters"),
        (format!("{pki}\n"), Some(TokenFormat::Pki), "white space"),
        (
            format!("{}\n{}", &pki[..64], &pki[64..]),
            Some(TokenFormat::Pki),
            "line breaks",
        ),
        (
            pki.replace('-', "/"),
            Some(TokenFormat::Pki),
            "standard base64",
        ),
        (
            pki.trim_end_matches('=').to_owned(),
            Some(TokenFormat::Pki),
            "padding",
        ),
        (
            format!("{}==", token("jws")),
            Some(TokenFormat::Jws),
            "padded",
        ),
        (
            "01234567-89AB-CDEF-0123-456789ABCDEF".to_owned(),
            Some(TokenFormat::Uuid),
            "lowercase",
        ),
        (uuid.to_uppercase(), Some(TokenFormat::Uuid), "lowercase"),
        (
            format!("k3v7q2xa~MII{}", "A".repeat(9000)),
            Some(TokenFormat::Pki),
            "PKIZ",
        ),
        (token("pki-v2"), Some(TokenFormat::Pki), "v2.0"),
        (
            token("odd-certificates"),
            Some(TokenFormat::Pki),
            "certificates",
        ),
        (
            pki[..pki.len() - 400].to_owned(),
            Some(TokenFormat::Pki),
            "truncated",
        ),
    ] {
        let seen = inspect(&text);
        assert_eq!(seen.format, format, "{problem}: {seen:?}");
        let problems = seen.problems.join("; ");
        assert!(problems.contains(problem), "{problem}: {problems}");
    }
    // What can be read is told all the same.
    assert!(inspect(&format!("{pki}\n")).user.is_some());
}
