//! The keys that may sign a partner's tokens: those that its daemon announces, or those that our
//! operator has in a file.

use std::path::Path;

use alliance_core::descriptor::{SignatureFamily, TokenKey};
use alliance_token::{KeyRing, SigningKey};
use anyhow::Context;
use data_encoding::BASE64;

use super::key_files;

/// What a partner announced, as far as it is of use.
pub(crate) fn announced(partner: &str, keys: &[TokenKey]) -> KeyRing {
    let keys = keys.iter().filter_map(|key| match parse(key) {
        Ok(key) => Some(key),
        Err(error) => {
            tracing::warn!(partner, family = %key.family, error = format!("{error:#}"), "a key that a partner announced is of no use; tokens that it signs are asked about");
            None
        }
    });
    KeyRing::new(keys).unwrap_or_else(|error| {
        tracing::error!(partner, %error, "the keys of a partner are of no use; its tokens are asked about");
        KeyRing::default()
    })
}

/// What is in the operator's file or folder. Without it, or if it cannot be read: no keys, and
/// tokens are asked about.
pub(crate) fn on_file(partner: &str, path: Option<&Path>) -> KeyRing {
    let Some(path) = path else {
        return KeyRing::default();
    };
    read(path).unwrap_or_else(|error| {
        tracing::error!(
            partner,
            error = format!("{error:#}"),
            "the keys of a partner were not read; its tokens are asked about"
        );
        KeyRing::default()
    })
}

/// The keys in a file or folder.
///
/// # Errors
/// Which file cannot be read or holds no key, or that there are too many.
pub(crate) fn read(path: &Path) -> anyhow::Result<KeyRing> {
    Ok(KeyRing::new(key_files::read(path)?)?)
}

fn parse(key: &TokenKey) -> anyhow::Result<SigningKey> {
    let der = BASE64.decode(key.der.as_bytes()).context("no base64")?;
    let mut parsed = match key.family {
        SignatureFamily::Jws => SigningKey::jws_from_spki_der(&der)?,
        SignatureFamily::Cms => SigningKey::cms_from_der(&der)?,
    };
    parsed.retired_at = key.retired_at;
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_no_use_spoils_no_other() -> Result<(), Box<dyn std::error::Error>> {
        let pair = rcgen::KeyPair::generate()?;
        let good = TokenKey {
            family: SignatureFamily::Jws,
            der: BASE64.encode(&rcgen::PublicKeyData::subject_public_key_info(&pair)),
            retired_at: Some(7),
        };
        let bad = TokenKey {
            der: "?".into(),
            ..good.clone()
        };
        let ring = announced("west", &[bad, good]);
        assert_eq!(ring.keys().len(), 1);
        assert_eq!(ring.keys()[0].retired_at, Some(7));
        assert!(announced("west", &[]).keys().is_empty());
        Ok(())
    }
}
