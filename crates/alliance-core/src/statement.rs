//! What one cloud says to another, signed: the claims of each JWS. Signing and verifying is in
//! `alliance-peer`; each type is pinned by its `typ`, and none is accepted for another.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cloud::CloudId;
use crate::refusal::Reason;
use crate::{CLOCK_SKEW, Seconds};

/// Claims with a `typ` header of their own.
pub trait Statement {
    /// The JWS header's `typ`.
    const TYP: &'static str;
    /// The longest one that is looked at, in bytes of its compact form.
    const MAX_LEN: usize = 16 << 10;
    /// Who says it.
    fn issuer(&self) -> &CloudId;
    /// To whom, if to somebody.
    fn audience(&self) -> Option<&CloudId>;
    /// When, seconds.
    fn issued_at(&self) -> Seconds;
}

/// A statement whose fields `iss`, `aud` and `iat` say by whom, to whom and when.
macro_rules! said_to_one {
    ($statement:ty, $typ:literal $(, at most $max_len:expr)?) => {
        impl $crate::statement::Statement for $statement {
            const TYP: &'static str = $typ;
            $(const MAX_LEN: usize = $max_len;)?

            fn issuer(&self) -> &$crate::cloud::CloudId {
                &self.iss
            }

            fn audience(&self) -> Option<&$crate::cloud::CloudId> {
                Some(&self.aud)
            }

            fn issued_at(&self) -> $crate::Seconds {
                self.iat
            }
        }
    };
}

pub(crate) use said_to_one;

/// A name with its id. The id identifies, the name is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Id at home.
    pub id: String,
    /// Name at home.
    pub name: String,
}

/// A project at home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Id at home.
    pub id: String,
    /// Name at home.
    pub name: String,
    /// Its domain at home.
    pub domain: Named,
}

/// The passport: home's word about one token, for one host (RFC 9701 §5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passport {
    /// Home.
    pub iss: CloudId,
    /// The host that asked.
    pub aud: CloudId,
    /// When home looked, seconds.
    pub iat: Seconds,
    /// Unique.
    pub jti: String,
    /// What home saw.
    pub token_introspection: TokenFacts,
}

said_to_one!(Passport, "token-introspection+jwt");

/// What the issuer knows of a valid token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// Always true; what is not active gets no passport.
    pub active: bool,
    /// Lowercase hex SHA-256 of the token as the host got it, tag included.
    pub token_sha256: String,
    /// The cloud whose user this is: the issuer, or a partner of the issuer's for its guests.
    /// `None` for users whom the issuer itself knows by federation only. Anything but the issuer
    /// needs an agreement that is transitive.
    pub origin: Option<CloudId>,
    /// The user's id at home.
    pub sub: String,
    /// The user's name at home.
    pub username: String,
    /// The user's domain at home.
    pub user_domain: Named,
    /// The project, none if unscoped.
    pub project: Option<Project>,
    /// Role names in that project, implied ones included.
    pub roles: BTreeSet<String>,
    /// Keystone's authentication methods.
    pub methods: Vec<String>,
    /// Keystone's audit ids: own, and that of the chain's root.
    pub audit_ids: Vec<String>,
    /// RFC 3339, as Keystone gave it.
    pub issued_at: Timestamp,
    /// RFC 3339, as Keystone gave it.
    pub expires_at: Timestamp,
}

/// A login passport: with it a user of home logs in at one host, once, and keeps the token at home.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoginPassport {
    /// Home.
    pub iss: CloudId,
    /// The host that lets the user in.
    pub aud: CloudId,
    /// When home looked, seconds.
    pub iat: Seconds,
    /// Until when it can be used, seconds: at most [`LOGIN_LIFETIME`] later.
    pub exp: Seconds,
    /// Unique; used once.
    pub jti: String,
    /// The key that whoever shows it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// The token that the user has at home.
    pub login: TokenFacts,
}

said_to_one!(LoginPassport, "alliance-login+jwt");

/// How long a login passport can be used, in seconds.
pub const LOGIN_LIFETIME: Seconds = 60;

impl LoginPassport {
    /// Whether it can be used at `now`, by this host's clock.
    ///
    /// # Errors
    /// [`Reason::NotYetValid`], [`Reason::Expired`]; [`Reason::WrongStatement`] if it would live too
    /// long.
    pub fn require_usable(&self, now: Seconds) -> Result<(), Reason> {
        if self.exp.saturating_sub(self.iat) > LOGIN_LIFETIME {
            Err(Reason::WrongStatement)
        } else if self.iat > now + CLOCK_SKEW {
            Err(Reason::NotYetValid)
        } else if self.exp < now {
            Err(Reason::Expired)
        } else {
            Ok(())
        }
    }
}

/// What a statement is bound to (RFC 7800).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The JWK thumbprint of a key (RFC 7638, RFC 9449 §6.1).
    pub jkt: String,
}

/// A grant statement: home's word that a user has these roles in a project now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrantStatement {
    /// Home.
    pub iss: CloudId,
    /// The host that asked.
    pub aud: CloudId,
    /// When home looked, seconds.
    pub iat: Seconds,
    /// Unique.
    pub jti: String,
    /// What home saw.
    pub grants: Grants,
}

said_to_one!(GrantStatement, "alliance-grants+jwt");

/// What this cloud's daemon tells its own Keystone about a token whose home signed no passport for
/// it: home has no daemon, or the token's own signature was enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenAttestation {
    /// This cloud.
    pub iss: CloudId,
    /// This cloud.
    pub aud: CloudId,
    /// When it was found, seconds.
    pub iat: Seconds,
    /// Unique.
    pub jti: String,
    /// The cloud that issued the token.
    pub partner: CloudId,
    /// What was found.
    pub token_introspection: TokenFacts,
}

said_to_one!(TokenAttestation, "alliance-token-attestation+jwt");

/// The same about a guest's roles at a home that has no daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrantsAttestation {
    /// This cloud.
    pub iss: CloudId,
    /// This cloud.
    pub aud: CloudId,
    /// When home was asked, seconds.
    pub iat: Seconds,
    /// Unique.
    pub jti: String,
    /// The guest's home.
    pub partner: CloudId,
    /// What home said.
    pub grants: Grants,
}

said_to_one!(GrantsAttestation, "alliance-grants-attestation+jwt");

/// A user, a project, and the roles between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grants {
    /// The user at home: native there, enabled, in an enabled domain.
    pub user: HomeUser,
    /// The project, none where only the user was asked about.
    pub project: Option<Project>,
    /// Role names, implied ones included.
    pub roles: BTreeSet<String>,
}

/// A user at home.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HomeUser {
    /// Id at home.
    pub id: String,
    /// Name at home.
    pub name: String,
    /// Its domain at home.
    pub domain: Named,
}

/// Checks a verified statement's time: not from the future, not older than `max_age`, with
/// [`CLOCK_SKEW`] on the side of the future only (age is measured from arrival by whoever caches).
///
/// # Errors
/// [`Reason::WrongStatement`] outside these bounds.
pub fn require_fresh(iat: Seconds, now: Seconds, max_age: Seconds) -> Result<(), Reason> {
    if iat <= now + CLOCK_SKEW && now.saturating_sub(iat) <= max_age + CLOCK_SKEW {
        Ok(())
    } else {
        Err(Reason::WrongStatement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::CloudId;

    fn passport(iat: Seconds, exp: Seconds) -> LoginPassport {
        let named = || Named {
            id: "i".into(),
            name: "n".into(),
        };
        LoginPassport {
            iss: CloudId::from_spki(b"west"),
            aud: CloudId::from_spki(b"east"),
            iat,
            exp,
            jti: "1".into(),
            cnf: None,
            login: TokenFacts {
                active: true,
                token_sha256: String::new(),
                origin: None,
                sub: "u".into(),
                username: "u".into(),
                user_domain: named(),
                project: None,
                roles: BTreeSet::new(),
                methods: Vec::new(),
                audit_ids: Vec::new(),
                issued_at: Timestamp::UNIX_EPOCH,
                expires_at: Timestamp::UNIX_EPOCH,
            },
        }
    }

    #[test]
    fn a_login_passport_can_be_used_for_a_minute() {
        for (iat, exp, now, expected) in [
            (1000, 1060, 1000, Ok(())),
            (1000, 1060, 1060, Ok(())),
            (1000, 1060, 1061, Err(Reason::Expired)),
            (1000, 1060, 940, Ok(())),
            (1000, 1060, 939, Err(Reason::NotYetValid)),
            (1000, 1061, 1000, Err(Reason::WrongStatement)),
            (i64::MIN, i64::MAX, 1000, Err(Reason::WrongStatement)),
            (i64::MIN, i64::MIN, 1000, Err(Reason::Expired)),
            (1000, 900, 950, Err(Reason::Expired)),
        ] {
            let found = passport(iat, exp).require_usable(now);
            assert_eq!(found, expected, "{iat} {exp} {now}");
        }
    }

    #[test]
    fn a_statement_is_neither_from_tomorrow_nor_from_yesterday() {
        for (iat, ok) in [
            (1000, true),
            (1060, true),
            (1061, false),
            (880, true),
            (879, false),
            (i64::MIN, false),
            (i64::MAX, false),
        ] {
            assert_eq!(require_fresh(iat, 1000, 60).is_ok(), ok, "{iat}");
        }
    }
}
