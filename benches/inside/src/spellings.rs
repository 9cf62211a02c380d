//! Many tokens that look like a real one.

use std::io;

use alliance_core::token::TokenFormat;
use alliance_token::Token;
use anyhow::Context;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

/// Where a Fernet token has 16 random bytes, after its version and its time.
const RANDOM: std::ops::Range<usize> = 9..25;

/// A real token and what its home says of it.
#[derive(Deserialize)]
pub struct Sample {
    /// A Fernet token with its tag.
    pub token: String,
    /// JWS.
    pub passport: String,
}

impl Sample {
    /// Reads standard input, so that no secret is on a command line.
    ///
    /// # Errors
    /// If it is not JSON of a sample.
    pub fn from_stdin() -> anyhow::Result<Self> {
        serde_json::from_reader(io::stdin().lock()).context("standard input")
    }
}

/// The strings of many tokens, in one piece of memory.
pub struct Spellings {
    all: String,
    /// Length of each, in bytes.
    length: usize,
}

impl Spellings {
    /// So many different ones that are as long as `token` and of the same issuer.
    ///
    /// # Errors
    /// If `token` is no Fernet token with a tag.
    pub fn like(token: &str, count: usize) -> anyhow::Result<Self> {
        let token = Token::parse_tagged(token)?;
        anyhow::ensure!(token.format() == TokenFormat::Fernet, "no Fernet token");
        let tag = token.tag().map(ToString::to_string).unwrap_or_default();
        let mut frame = BASE64URL_NOPAD.decode(token.inner().as_bytes())?;
        let length = token.expose().len();
        let mut all = String::with_capacity(length * count);
        for number in 0..count {
            frame[RANDOM].copy_from_slice(&(number as u128).to_be_bytes());
            all.push_str(&tag);
            all.push('~');
            BASE64URL_NOPAD.encode_append(&frame, &mut all);
        }
        Ok(Self { all, length })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len() / self.length
    }

    /// One of them.
    pub fn get(&self, number: usize) -> &str {
        &self.all[number * self.length..][..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_as_many_tokens_as_asked_for() -> anyhow::Result<()> {
        let frame = [vec![0x80], vec![0; 8 + 16 + 48 + 32]].concat();
        let sample = format!("k3v7q2xa~{}", BASE64URL_NOPAD.encode(&frame));
        let spellings = Spellings::like(&sample, 1000)?;
        let mut digests = std::collections::HashSet::new();
        for number in 0..spellings.count() {
            let token = Token::parse_tagged(spellings.get(number))?;
            assert_eq!(token.expose().len(), sample.len());
            digests.insert(*token.digest());
        }
        assert_eq!(digests.len(), 1000);
        assert!(Spellings::like("k3v7q2xa~0123456789abcdef0123456789abcdef", 1).is_err());
        Ok(())
    }
}
