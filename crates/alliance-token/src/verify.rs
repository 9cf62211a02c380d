//! Whether one of the issuer's keys signed a token, and what it then says.

use alliance_core::Seconds;
use alliance_core::admission::HomeView;
use jiff::Timestamp;

use crate::body::{self, TokenView};
use crate::cms::SignedData;
use crate::keys::KeyRing;
use crate::spelling::Form;
use crate::token::Token;
use crate::{jws, pkiz, signature};

/// A token that a key of its issuer signed. Whether it has expired or was revoked is another
/// question.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// What it says.
    pub content: Content,
    /// The key that signed it: its [`SigningKey::id`](crate::SigningKey::id).
    pub key_id: String,
}

/// What a signed token says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Everything (PKI, PKIZ).
    Full(Box<TokenView>),
    /// Ids and times, no names and no roles (JWS).
    Bare(Box<BareToken>),
}

/// What a JWS of Keystone says.
#[derive(Debug, Clone, PartialEq)]
pub struct BareToken {
    /// Whose it is.
    pub user_id: String,
    /// The project, none if unscoped or scoped to something else.
    pub project_id: Option<String>,
    /// Authentication methods.
    pub methods: Vec<String>,
    /// Its own, and that of the chain's root if it has one. At least one.
    pub audit_ids: Vec<String>,
    /// When it was issued, whole seconds.
    pub issued_at: Timestamp,
    /// When it expires, or did; whole seconds.
    pub expires_at: Timestamp,
    /// What decides whether it may leave home. `guest` is set for users that Keystone calls
    /// federated.
    pub view: HomeView,
}

impl Content {
    /// When it was issued.
    pub fn issued_at(&self) -> Timestamp {
        match self {
            Content::Full(token) => token.issued_at,
            Content::Bare(token) => token.issued_at,
        }
    }

    /// When it expires, or did.
    pub fn expires_at(&self) -> Timestamp {
        match self {
            Content::Full(token) => token.expires_at,
            Content::Bare(token) => token.expires_at,
        }
    }

    /// Whose it is.
    pub fn user_id(&self) -> &str {
        match self {
            Content::Full(token) => &token.user.id,
            Content::Bare(token) => &token.user_id,
        }
    }

    /// The project, none if unscoped or scoped to something else.
    pub fn project_id(&self) -> Option<&str> {
        match self {
            Content::Full(token) => token.project.as_ref().map(|project| project.id.as_str()),
            Content::Bare(token) => token.project_id.as_deref(),
        }
    }

    /// Its own, and that of the chain's root if it has one. At least one.
    pub fn audit_ids(&self) -> &[String] {
        match self {
            Content::Full(token) => &token.audit_ids,
            Content::Bare(token) => &token.audit_ids,
        }
    }

    /// What decides whether it may leave home.
    pub fn home_view(&self) -> HomeView {
        match self {
            Content::Full(token) => token.home_view(),
            Content::Bare(token) => token.view.clone(),
        }
    }
}

/// Why a token counts as signed by nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// UUID or Fernet: only its issuer can tell.
    #[error("it is opaque: only its issuer can validate it")]
    Opaque,
    /// No token of Keystone's, whoever signed it.
    #[error("it is no signed token of a Keystone: {0}")]
    Malformed(&'static str),
    /// Its signer names an issuer that is none of the pinned certificates'.
    #[error("its signer's certificate was issued by none of the issuers of the partner's")]
    WrongIssuer,
    /// None of the partner's keys made this signature.
    #[error("none of the partner's keys made its signature")]
    UnknownKey,
    /// Signed by a key of the partner that is no longer used.
    #[error("its key is retired")]
    RetiredKey,
    /// Signed by a key of the partner whose certificate has expired. Its Keystone may still know it.
    #[error("the certificate of its key has expired")]
    ExpiredCertificate,
    /// A key of the partner signed something else: content and signature do not belong together.
    #[error("it was altered: its content is not what was signed")]
    BadSignature,
    /// SHA-1, which the operator did not allow for this partner, or worse.
    #[error("its signature uses an algorithm that is too weak, or not allowed for this partner")]
    WeakAlgorithm,
}

/// Verifies a token by the keys of its issuer. Pure: `now` decides only which keys count.
///
/// Whatever is changed in a verified token, in its spelling or in its content, it is refused
/// afterwards, with two exceptions in which another string says the same: an ES256 signature has a
/// twin, and a zlib stream can be compressed in more than one way. Both verify as the same content
/// and the same audit ids.
///
/// # Errors
/// See [`Unverified`].
pub fn verify(
    token: &Token,
    ring: &KeyRing,
    allow_sha1: bool,
    now: Seconds,
) -> Result<Verified, Unverified> {
    match token.form() {
        Form::Uuid | Form::Fernet { .. } => Err(Unverified::Opaque),
        Form::Pki(der) => verify_cms(der, ring, allow_sha1, now),
        Form::Pkiz(stream) => {
            let der = pkiz::open(stream).map_err(Unverified::Malformed)?;
            verify_cms(&der, ring, allow_sha1, now)
        }
        Form::Jws(jws) => {
            let key = jws::signer(token.inner(), jws, ring, now)?;
            let bare = BareToken::read(&jws.claims).map_err(Unverified::Malformed)?;
            Ok(Verified {
                content: Content::Bare(Box::new(bare)),
                key_id: key.id().to_owned(),
            })
        }
    }
}

/// The content is looked at only after its signature. It is a JSON object, so signed attributes
/// cannot be passed off as a content that was signed without any.
fn verify_cms(
    der: &[u8],
    ring: &KeyRing,
    allow_sha1: bool,
    now: Seconds,
) -> Result<Verified, Unverified> {
    let signed = SignedData::read(der).map_err(Unverified::Malformed)?;
    let key = signature::signer(&signed, ring, allow_sha1, now)?;
    let view = body::read(signed.content).map_err(Unverified::Malformed)?;
    Ok(Verified {
        content: Content::Full(Box::new(view)),
        key_id: key.id().to_owned(),
    })
}
