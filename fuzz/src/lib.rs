//! Whatever reads what comes from strangers, one function for each fuzz target. Nothing may panic,
//! recurse or allocate without bound; what else must hold is asserted.
//!
//! `crates/alliance-token/tests/verify/corpora.rs` feeds the corpora to the same functions.

mod partners;

use std::sync::LazyLock;

use alliance_token::body::TokenBody;
use alliance_token::{KeyRing, MAX_TOKEN_LEN, SigningKey, Token, Unverified, inspect, verify};
use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD};

pub use self::partners::{claims, message, plan};

/// 2026-11-25.
const NOW: i64 = 1_795_600_000;

/// The keys that signed the seeds.
static PINNED: LazyLock<KeyRing> = LazyLock::new(|| {
    let pem = [
        include_str!("../../crates/alliance-token/tests/data/test-only-keys/rsa.cert.pem"),
        include_str!("../../crates/alliance-token/tests/data/test-only-keys/ec.cert.pem"),
        include_str!("../../crates/alliance-token/tests/data/test-only-keys/jws.pub.pem"),
    ]
    .concat();
    SigningKey::all_from_pem(pem.as_bytes())
        .and_then(KeyRing::new)
        .unwrap_or_default()
});

/// A string that claims to be a token.
pub fn recognise(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let seen = inspect(text);
    assert_eq!(seen.length, text.len());
    match Token::parse(text) {
        Err(_) => assert!(!seen.problems.is_empty()),
        Ok(token) => {
            assert!(text.len() <= MAX_TOKEN_LEN);
            assert_eq!(seen.format, Some(token.format()));
            assert_eq!(token.expose(), text);
            assert!(text.ends_with(token.inner()));
            assert!(!token.inner().trim_end_matches('=').contains('='));
            let shown = format!("{token} {token:?} {}", Token::parse(text).is_ok());
            assert!(!shown.contains(token.inner()));
            judge(text);
        }
    }
}

/// Header, claims and signature of a JWS, separated by line feeds.
pub fn jws(data: &[u8]) {
    let parts: Vec<_> = data.splitn(3, |byte| *byte == b'\n').collect();
    let parts: Vec<_> = parts
        .iter()
        .map(|part| BASE64URL_NOPAD.encode(part))
        .collect();
    judge(&parts.join("."));
}

/// CMS, DER.
pub fn cms(data: &[u8]) {
    judge(&BASE64.encode(data).replace('/', "-"));
}

/// A zlib stream.
pub fn pkiz(data: &[u8]) {
    judge(&format!("PKIZ_{}", BASE64URL.encode(data)));
}

/// The JSON that a Keystone answers, or a token carries.
pub fn body(data: &[u8]) {
    if let Ok(TokenBody { token }) = serde_json::from_slice(data) {
        assert!(!token.user.id.is_empty() && !token.audit_ids.is_empty());
        assert_eq!(token.home_view().methods, token.methods);
    }
}

/// A key that a partner announces, PEM or DER.
pub fn keys(data: &[u8]) {
    let der = [
        SigningKey::cms_from_der(data),
        SigningKey::jws_from_spki_der(data),
    ];
    let pem = SigningKey::all_from_pem(data).unwrap_or_default();
    for key in der.into_iter().flatten().chain(pem) {
        assert_eq!(key.id().len(), 64);
        assert!(!key.to_der().is_empty());
    }
}

/// Nobody but the pinned keys signs: what verifies does so in this one spelling, or is a seed.
fn judge(text: &str) {
    let _ = inspect(text);
    let Ok(token) = Token::parse(text) else {
        return;
    };
    match verify(&token, &PINNED, true, NOW) {
        Ok(verified) => {
            let content = verified.content;
            assert!(!content.user_id().is_empty() && !content.audit_ids().is_empty());
            assert!(PINNED.keys().iter().any(|key| key.id() == verified.key_id));
        }
        Err(why) => assert_eq!(why == Unverified::Opaque, !token.format().is_signed()),
    }
}
