//! The proof that who shows a login passport has the key that it is bound to: a JWS by that key over
//! the passport. In the manner of DPoP (RFC 9449), without what its one use makes superfluous.

use alliance_core::descriptor::Jwk;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::key::{BadKey, PublicKey};
use crate::statement::{part, signature_alone};

/// The JWS header's `typ`.
pub const TYP: &str = "alliance-proof+jwt";
/// The longest one that is looked at, in bytes.
const MAX_LEN: usize = 2048;

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// Too long, or no JWS with the right header.
    #[error("expected a JWS of type {TYP}, ES256, with its key in the header")]
    NotAProof,
    /// A key of another kind.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// Another key than the passport names.
    #[error("expected the key {expected}, found {found}")]
    OtherKey {
        /// The passport's.
        expected: String,
        /// The proof's.
        found: String,
    },
    /// Altered, or by another key.
    #[error("the signature does not fit")]
    Signature,
    /// About another passport.
    #[error("it is about another passport")]
    OtherPassport,
}

/// Checks that `proof` was made for `passport` by the key with the JWK thumbprint `jkt` (RFC 7638).
///
/// # Errors
/// Why it proves nothing.
pub fn verify_proof(proof: &str, passport: &str, jkt: &str) -> Result<(), BadProof> {
    #[derive(Deserialize)]
    struct Header {
        typ: String,
        alg: String,
        jwk: HeaderKey,
        crit: Option<serde::de::IgnoredAny>,
    }
    #[derive(Deserialize)]
    struct HeaderKey {
        kty: String,
        crv: String,
        x: String,
        y: String,
    }
    #[derive(Deserialize)]
    struct Claims {
        ath: String,
    }

    if proof.len() > MAX_LEN {
        return Err(BadProof::NotAProof);
    }
    let header = part(proof, 0).map_err(|_| BadProof::NotAProof)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| BadProof::NotAProof)?;
    if header.typ != TYP || header.alg != "ES256" || header.crit.is_some() {
        return Err(BadProof::NotAProof);
    }
    let key = PublicKey::from_coordinates(&Jwk {
        kty: header.jwk.kty,
        crv: header.jwk.crv,
        x: header.jwk.x,
        y: header.jwk.y,
        alg: header.alg,
        kid: String::new(),
    })?;
    let found = key.thumbprint();
    if found != jkt {
        return Err(BadProof::OtherKey {
            expected: alliance_core::label::clean(jkt, 60),
            found,
        });
    }
    let claims = jsonwebtoken::decode::<Claims>(proof, &key.decoding(), &signature_alone())
        .map_err(|_| BadProof::Signature)?
        .claims;
    if claims.ath == BASE64URL_NOPAD.encode(&Sha256::digest(passport)) {
        Ok(())
    } else {
        Err(BadProof::OtherPassport)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;
    use serde_json::json;

    use super::*;
    use crate::key::SigningKey;

    fn proof(
        key: &SigningKey,
        header: serde_json::Value,
        ath: &str,
    ) -> Result<String, Box<dyn std::error::Error>> {
        let jwk = key.public().to_jwk();
        let mut whole = json!({
            "typ": TYP, "alg": "ES256",
            "jwk": {"kty": jwk.kty, "crv": jwk.crv, "x": jwk.x, "y": jwk.y},
        });
        if let (Some(whole), Some(other)) = (whole.as_object_mut(), header.as_object()) {
            whole.extend(other.clone());
        }
        let part = |value: &serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(&whole), part(&json!({"ath": ath})));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), key.encoding(), Algorithm::ES256)?;
        Ok(format!("{message}.{signature}"))
    }

    #[test]
    fn only_the_key_that_the_passport_names_proves_anything()
    -> Result<(), Box<dyn std::error::Error>> {
        let (key, other) = (SigningKey::generate()?, SigningKey::generate()?);
        let jkt = key.public().thumbprint();
        let ath = BASE64URL_NOPAD.encode(&Sha256::digest("passport"));
        let good = proof(&key, json!({}), &ath)?;
        assert_eq!(verify_proof(&good, "passport", &jkt), Ok(()));
        assert_eq!(
            verify_proof(&good, "another", &jkt),
            Err(BadProof::OtherPassport)
        );
        let stolen = verify_proof(&proof(&other, json!({}), &ath)?, "passport", &jkt);
        assert!(matches!(stolen, Err(BadProof::OtherKey { .. })));
        // In the name of the right key, by another.
        let jwk = key.public().to_jwk();
        let claimed = json!({"jwk": {"kty": jwk.kty, "crv": jwk.crv, "x": jwk.x, "y": jwk.y}});
        let forged = verify_proof(&proof(&other, claimed, &ath)?, "passport", &jkt);
        assert_eq!(forged, Err(BadProof::Signature));
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "HS256"}),
            json!({"typ": "dpop+jwt"}),
            json!({"crit": ["x"]}),
            json!({"jwk": {}}),
        ] {
            let odd = verify_proof(&proof(&key, header.clone(), &ath)?, "passport", &jkt);
            assert_eq!(odd, Err(BadProof::NotAProof), "{header}");
        }
        let curve = json!({"jwk": {"kty": "EC", "crv": "P-384", "x": jwk.x, "y": jwk.y}});
        let odd = verify_proof(&proof(&key, curve, &ath)?, "passport", &jkt);
        assert!(matches!(odd, Err(BadProof::Key(_))));
        for junk in ["", "a.b.c", &"x".repeat(MAX_LEN + 1)] {
            assert_eq!(
                verify_proof(junk, "passport", &jkt),
                Err(BadProof::NotAProof)
            );
        }
        Ok(())
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() -> Result<(), Box<dyn std::error::Error>> {
        // The key of RFC 7515, appendix A.3; thumbprint by Python's hashlib.
        let key = PublicKey::from_coordinates(&Jwk {
            kty: "EC".into(),
            crv: "P-256".into(),
            x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU".into(),
            y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0".into(),
            alg: "ES256".into(),
            kid: String::new(),
        })?;
        assert_eq!(
            key.thumbprint(),
            "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
        );
        Ok(())
    }
}
