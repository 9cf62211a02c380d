//! Tokens of Keystone's `jws` provider: `keystone/token/providers/jws/core.py`.

use alliance_core::Seconds;
use alliance_core::admission::HomeView;
use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::body::{MAX_AUDIT_IDS, MAX_METHODS, MAX_STRING};
use crate::keys::{KeyRing, SigningKey};
use crate::signature::not_retired;
use crate::spelling::Jws;
use crate::verify::{BareToken, Unverified};

/// Of an ES256 signature: two numbers of 32 bytes (RFC 7518 §3.4).
const SIGNATURE_LEN: usize = 64;

/// The pinned key that signed the token `inner`, of which `jws` are the parts.
///
/// ES256 signatures come in pairs, (r, s) and (r, −s), and Keystone makes either: the two are the
/// one exception to the one spelling of a JWS.
pub(crate) fn signer<'r>(
    inner: &str,
    jws: &Jws,
    ring: &'r KeyRing,
    now: Seconds,
) -> Result<&'r SigningKey, Unverified> {
    Header::check(&jws.header).map_err(Unverified::Malformed)?;
    if jws.signature.len() != SIGNATURE_LEN {
        return Err(Unverified::Malformed("its signature is not one of ES256"));
    }
    let signed = inner.rsplit_once('.').map_or("", |(signed, _)| signed);
    let by = |(_, public): &(_, &aws_lc_rs::signature::ParsedPublicKey)| {
        public.verify_sig(signed.as_bytes(), &jws.signature).is_ok()
    };
    let (key, _) = ring.jws().find(by).ok_or(Unverified::UnknownKey)?;
    not_retired(key, now).map(|()| key)
}

/// Exactly what PyJWT writes for Keystone. Nothing in a header chooses a key, and nothing that
/// must be understood (`crit`) is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    #[serde(default = "jwt")]
    typ: String,
}

fn jwt() -> String {
    "JWT".to_owned()
}

impl Header {
    fn check(json: &[u8]) -> Result<(), &'static str> {
        match serde_json::from_slice::<Self>(json) {
            Ok(header) if header.alg == "ES256" && header.typ == "JWT" => Ok(()),
            _ => Err("its header is not the one of Keystone's: alg ES256, typ JWT, nothing else"),
        }
    }
}

/// All that Keystone may put into a token. What is not known may be a limit on what the token
/// opens, so it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    sub: String,
    iat: Seconds,
    exp: Seconds,
    openstack_methods: Vec<String>,
    openstack_audit_ids: Vec<String>,
    openstack_project_id: Option<String>,
    #[serde(default)]
    openstack_system: Presence,
    #[serde(default)]
    openstack_domain_id: Presence,
    #[serde(default)]
    openstack_trust_id: Presence,
    #[serde(default)]
    openstack_group_ids: Presence,
    #[serde(default)]
    openstack_idp_id: Presence,
    #[serde(default)]
    openstack_protocol_id: Presence,
    #[serde(default)]
    openstack_access_token_id: Presence,
    #[serde(default)]
    openstack_app_cred_id: Presence,
    #[serde(default)]
    openstack_thumbprint: Presence,
}

/// Whether a claim is there, whatever its value; null is none.
#[derive(Default)]
struct Presence(bool);

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        Option::<IgnoredAny>::deserialize(json).map(|value| Self(value.is_some()))
    }
}

impl BareToken {
    /// Reads the claims of a token, whoever signed it.
    pub(crate) fn read(claims: &[u8]) -> Result<Self, &'static str> {
        let claims: Claims = serde_json::from_slice(claims)
            .map_err(|_| "its claims are not those of Keystone's jws provider")?;
        claims.check()?;
        let time = |seconds| Timestamp::from_second(seconds).map_err(|_| "its times are no times");
        Ok(Self {
            issued_at: time(claims.iat)?,
            expires_at: time(claims.exp)?,
            view: HomeView {
                system_scope: claims.openstack_system.0,
                domain_scope: claims.openstack_domain_id.0,
                trust: claims.openstack_trust_id.0,
                oauth: claims.openstack_access_token_id.0 || claims.openstack_thumbprint.0,
                application_credential: claims.openstack_app_cred_id.0,
                guest: claims.openstack_group_ids.0
                    || claims.openstack_idp_id.0
                    || claims.openstack_protocol_id.0,
                methods: claims.openstack_methods.clone(),
            },
            user_id: claims.sub,
            project_id: claims.openstack_project_id,
            methods: claims.openstack_methods,
            audit_ids: claims.openstack_audit_ids,
        })
    }
}

impl Claims {
    fn check(&self) -> Result<(), &'static str> {
        let counts = (1..=MAX_METHODS).contains(&self.openstack_methods.len())
            && (1..=MAX_AUDIT_IDS).contains(&self.openstack_audit_ids.len());
        let mut ids = [&self.sub]
            .into_iter()
            .chain(&self.openstack_project_id)
            .chain(&self.openstack_methods)
            .chain(&self.openstack_audit_ids);
        if counts && ids.all(|id| (1..=MAX_STRING).contains(&id.len())) {
            Ok(())
        } else {
            Err("a claim is empty, or longer than any of Keystone's")
        }
    }
}
