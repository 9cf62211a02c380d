//! The files in `tests/data`.

use std::fs;
use std::path::Path;

use alliance_core::Seconds;
use alliance_token::{KeyRing, SigningKey, Token};

/// 2026-11-25: within the validity of the certificates that have one.
pub(crate) const NOW: Seconds = 1_795_600_000;

pub(crate) fn file(path: &str) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    fs::read_to_string(data.join(path)).expect(path)
}

pub(crate) fn token(name: &str) -> String {
    file(&format!("tokens/{name}.token"))
}

pub(crate) fn parse(text: &str) -> Token {
    Token::parse(text).expect("a token in its one spelling")
}

/// A key by its name in `test-only-keys`.
pub(crate) fn key(name: &str) -> SigningKey {
    let path = |kind| format!("test-only-keys/{name}.{kind}.pem");
    if name.starts_with("jws") {
        SigningKey::jws_from_pem(file(&path("pub")).as_bytes()).expect(name)
    } else {
        SigningKey::cms_from_pem(file(&path("cert")).as_bytes()).expect(name)
    }
}

pub(crate) fn ring(names: &[&str]) -> KeyRing {
    KeyRing::new(names.iter().map(|name| key(name))).expect("not too many")
}

/// The ring of an ordinary partner.
pub(crate) fn partner() -> KeyRing {
    ring(&["rsa", "rsa3072", "ec", "jws"])
}

/// PEM of CMS as a token: what `cms_to_token` of `keystoneclient.common.cms` does.
pub(crate) fn cms_to_token(pem: &str) -> String {
    pem.lines()
        .filter(|line| !line.starts_with("-----"))
        .collect::<String>()
        .replace('/', "-")
}
