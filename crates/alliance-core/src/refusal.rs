//! Why a foreign token is refused, as stable codes for logs, metrics and APIs.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal),+ $(,)?) => {
        /// A stable reason code. Codes are never reused with another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason {
            $($(#[$doc])* $variant),+
        }

        impl Reason {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),+];

            /// The code as it stands in logs and on the wire.
            pub fn code(self) -> &'static str {
                match self {
                    $(Reason::$variant => $code),+
                }
            }
        }
    };
}

reasons! {
    /// The issuer does not know the token: never issued, revoked, or its user is gone.
    NotFound = "not_found",
    /// Past its expiry, and past any window for services.
    Expired = "expired",
    /// Issued later than now, beyond the tolerated skew of clocks.
    NotYetValid = "not_yet_valid",
    /// The tag names no partner of this cloud.
    UnknownPartner = "unknown_partner",
    /// The partner is suspended, by either side.
    PartnerSuspended = "partner_suspended",
    /// The partner's `trust_till` has passed.
    PartnerExpired = "partner_expired",
    /// The partner's users are not welcome here: it is a host of ours only.
    NotAGuest = "not_a_guest",
    /// No agreement covers the token's project.
    NoAgreement = "no_agreement",
    /// An agreement covers the project, but none of its roles is held by the user.
    NoCommonRole = "no_common_role",
    /// System scope never crosses a border.
    SystemScope = "system_scope",
    /// Domain scope never crosses a border.
    DomainScope = "domain_scope",
    /// The user is an administrator at home and no agreement names that role.
    AdminRole = "admin_role",
    /// Made from a trust: narrower than its user, which the host cannot see.
    Trust = "trust",
    /// Made from an OAuth access token or with an OAuth 2.0 certificate.
    Oauth = "oauth",
    /// Made from an application credential.
    ApplicationCredential = "application_credential",
    /// The user is itself a guest at home: trust is not transitive.
    Transitive = "transitive",
    /// The host's operator disabled the partner's identity provider or domain in Keystone.
    IdentityProviderDisabled = "identity_provider_disabled",
    /// Not a token, or not its one canonical spelling.
    Malformed = "malformed",
    /// A statement made for another cloud, about another token, or signed by another key.
    WrongStatement = "wrong_statement",
    /// The token was signed by its issuer, but says something else now.
    BadSignature = "bad_signature",
    /// Signed by a key that its issuer did not announce.
    UnknownKey = "unknown_key",
    /// Signed in the name of somebody who is not its issuer.
    WrongIssuer = "wrong_issuer",
    /// Signed by a key that its issuer has given up.
    RetiredKey = "retired_key",
    /// Signed by an algorithm that does not count here.
    WeakAlgorithm = "weak_algorithm",
    /// On its issuer's revocation list.
    Revoked = "revoked",
    /// The partner already has as many users here as it may.
    UserLimit = "user_limit",
    /// The partner already has as many projects here as it may.
    ProjectLimit = "project_limit",
    /// Too many invalid tokens of that issuer lately; asked again later.
    Budget = "budget",
    /// The issuer cannot be reached.
    Unreachable = "unreachable",
    /// The issuer answered, but its Keystone is down, slow or broken.
    HomeError = "home_error",
    /// Too many questions at once.
    Overloaded = "overloaded",
    /// The token is signed, but its issuer's revocation list is too old or missing.
    ListTooOld = "list_too_old",
    /// The token is signed, but carries no roles, and no fresh word of its issuer about them is
    /// here.
    NoGrantStatement = "no_grant_statement",
    /// No key is here that could verify the token.
    NoKeys = "no_keys",
    /// A login passport that was used before.
    Replayed = "replayed",
    /// A login passport that was made for another cloud.
    WrongAudience = "wrong_audience",
    /// A login passport that is bound to a key, shown by somebody who did not prove to have it.
    NoProof = "no_proof",
    /// The two clouds let each other's users in by login passport only.
    PassportOnly = "passport_only",
    /// The two clouds let each other's users in by bearer token only.
    BearerOnly = "bearer_only",
}

impl Reason {
    /// Whether this is a definite *no*. Otherwise nobody could tell: nobody is let in, and
    /// nothing may be remembered as invalid.
    pub fn is_definite(self) -> bool {
        !matches!(
            self,
            Reason::Budget
                | Reason::Unreachable
                | Reason::HomeError
                | Reason::Overloaded
                | Reason::ListTooOld
                | Reason::NoGrantStatement
                | Reason::NoKeys
        )
    }

    /// Whether the token has more power than may ever be shown to a stranger, who has now seen
    /// it: home revokes it by default.
    pub fn is_too_powerful(self) -> bool {
        matches!(self, Reason::SystemScope | Reason::AdminRole)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for Reason {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_the_code() {
        for reason in Reason::ALL {
            assert_eq!(
                serde_json::to_string(reason).ok(),
                Some(format!("\"{}\"", reason.code()))
            );
        }
    }
}
