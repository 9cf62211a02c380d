//! Signs and verifies tokens for others: a JSON object a line on standard input, one a line on
//! standard output. `tests/test_format_oracles.py` compares it with keystoneclient, openssl and
//! Keystone.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../verify/signing.rs"]
mod signing;

use std::io::{self, BufRead, Write};

use alliance_core::Seconds;
use alliance_core::token::TokenFormat;
use alliance_token::{Content, KeyRing, SigningKey, Token, inspect, verify};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::signing::{Cms, Signer, jws, usual_attributes};

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Order {
    Sign {
        format: TokenFormat,
        /// The body, or a JWS's claims.
        content: String,
        key: String,
        /// None for a JWS.
        #[serde(default)]
        certificate: String,
        #[serde(default)]
        attributes: bool,
    },
    Verify {
        token: String,
        /// PEM of all pinned keys.
        keys: String,
        allow_sha1: bool,
        now: Seconds,
    },
    Inspect {
        token: String,
    },
}

fn main() {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line.unwrap()).unwrap() {
            Order::Sign {
                format,
                content,
                key,
                certificate,
                attributes,
            } => json!({"token": sign(format, &content, &key, &certificate, attributes)}),
            Order::Verify {
                token,
                keys,
                allow_sha1,
                now,
            } => judge(&token, &keys, allow_sha1, now),
            Order::Inspect { token } => serde_json::to_value(inspect(&token)).unwrap(),
        };
        writeln!(out, "{answer}").unwrap();
    }
}

fn sign(
    format: TokenFormat,
    content: &str,
    key: &str,
    certificate: &str,
    attributes: bool,
) -> String {
    if format == TokenFormat::Jws {
        return jws(r#"{"alg":"ES256","typ":"JWT"}"#, content, key);
    }
    let (content, signer) = (content.as_bytes(), Signer::new(key, certificate));
    let cms = if attributes {
        Cms::with_attributes(content, &usual_attributes(content), &signer)
    } else {
        Cms::of(content, &signer)
    };
    match format {
        TokenFormat::Pki => cms.pki(),
        _ => cms.pkiz(),
    }
}

fn judge(token: &str, keys: &str, allow_sha1: bool, now: Seconds) -> Value {
    let token = match Token::parse(token) {
        Ok(token) => token,
        Err(malformed) => return json!({"refused": format!("{malformed:?}")}),
    };
    let keys = SigningKey::all_from_pem(keys.as_bytes()).unwrap();
    match verify(&token, &KeyRing::new(keys).unwrap(), allow_sha1, now) {
        Err(why) => json!({"refused": format!("{why:?}")}),
        Ok(verified) => json!({
            "format": token.format(),
            "key_id": verified.key_id,
            "user_id": verified.content.user_id(),
            "project_id": verified.content.project_id(),
            "audit_ids": verified.content.audit_ids(),
            "expires_at": verified.content.expires_at().as_second(),
            "user_name": match &verified.content {
                Content::Full(token) => Some(&token.user.name),
                Content::Bare(_) => None,
            },
        }),
    }
}
