//! Explaining a string to a human, without validating it.

use serde::Serialize;

use crate::token::{Malformed, Token};

/// What a string is, as far as it can be read by anybody. Nothing of it is verified; the secret is
/// not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// `uuid`, `fernet`, `pki`, `pkiz` or `jws`; none if it is no token in its canonical spelling.
    pub format: Option<&'static str>,
    /// Its issuer's tag.
    pub tag: Option<String>,
    /// In bytes, tag included.
    pub length: usize,
    /// Lowercase hex SHA-256 of the whole string.
    pub sha256: Option<String>,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// Explains any string.
pub fn inspect(text: &str) -> Inspection {
    let token = Token::parse(text);
    let problem = token.as_ref().err().map(Malformed::to_string);
    let token = token.as_ref().ok();
    Inspection {
        format: token.map(|token| token.format().as_str()),
        tag: token
            .and_then(Token::tag)
            .map(|tag| tag.as_str().to_owned()),
        length: text.len(),
        sha256: token.map(|token| token.sha256().to_owned()),
        problems: problem.into_iter().collect(),
    }
}
