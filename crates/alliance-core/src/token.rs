//! The formats of Keystone tokens, and how tokens of a partner are validated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::descriptor::SignatureFamily;
use crate::refusal::Reason;
use crate::word::words;

/// A format of Keystone tokens, of any age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenFormat {
    /// 32 hex digits; only the issuer knows more.
    Uuid,
    /// Encrypted by the issuer for itself.
    Fernet,
    /// CMS signed data in Keystone's URL-safe base64; carries the whole token body.
    Pki,
    /// The same, compressed.
    Pkiz,
    /// ES256; carries ids and times, no roles and no names.
    Jws,
}

words!(TokenFormat {
    TokenFormat::Uuid = "uuid",
    TokenFormat::Fernet = "fernet",
    TokenFormat::Pki = "pki",
    TokenFormat::Pkiz = "pkiz",
    TokenFormat::Jws = "jws",
});

impl TokenFormat {
    /// Every format, in the order of the documentation.
    pub const ALL: [TokenFormat; 5] = [
        TokenFormat::Uuid,
        TokenFormat::Fernet,
        TokenFormat::Pki,
        TokenFormat::Pkiz,
        TokenFormat::Jws,
    ];

    /// How it is signed. `None`: it is not, and only its issuer can read it.
    pub fn family(self) -> Option<SignatureFamily> {
        match self {
            TokenFormat::Uuid | TokenFormat::Fernet => None,
            TokenFormat::Pki | TokenFormat::Pkiz => Some(SignatureFamily::Cms),
            TokenFormat::Jws => Some(SignatureFamily::Jws),
        }
    }

    /// Whether others than the issuer can read and verify it.
    pub fn is_signed(self) -> bool {
        self.family().is_some()
    }

    fn default_mode(self) -> Mode {
        if self.is_signed() {
            Mode::Offline
        } else {
            Mode::Soft
        }
    }
}

/// How a token of a partner is validated; the strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The issuer is asked each time.
    Hard,
    /// The issuer's last answer counts while it is fresh.
    Soft,
    /// By signature and revocation list; where these do not decide, as [`Mode::Soft`].
    Offline,
}

words!(Mode { Mode::Hard = "hard", Mode::Soft = "soft", Mode::Offline = "offline" });

/// How users of one cloud log in at the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// With the token that they have at home, which the host sees.
    Bearer,
    /// With a login passport, which opens this one host, once. The token stays at home.
    Passport,
    /// Either.
    #[default]
    Both,
}

words!(Login { Login::Bearer = "bearer", Login::Passport = "passport", Login::Both = "both" });

impl Login {
    /// Whether a token of home's may be shown at the host.
    ///
    /// # Errors
    /// [`Reason::PassportOnly`] if not.
    pub fn require_bearer(self) -> Result<(), Reason> {
        match self {
            Login::Bearer | Login::Both => Ok(()),
            Login::Passport => Err(Reason::PassportOnly),
        }
    }

    /// Whether home issues login passports for the host, and the host takes them.
    ///
    /// # Errors
    /// [`Reason::BearerOnly`] if not.
    pub fn require_passport(self) -> Result<(), Reason> {
        match self {
            Login::Passport | Login::Both => Ok(()),
            Login::Bearer => Err(Reason::BearerOnly),
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What the operator chose for one partner's tokens; what is absent has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPolicy {
    /// Modes that differ from the default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modes: BTreeMap<TokenFormat, Mode>,
    /// Whether signatures over SHA-1 count: for a Keystone that nobody can upgrade.
    #[serde(default)]
    pub allow_sha1: bool,
    /// How users of the two clouds log in at the other.
    #[serde(default, skip_serializing_if = "Login::is_default")]
    pub login: Login,
}

impl TokenPolicy {
    /// How tokens of this format are validated. Who has a PKI token can compress it, and the reverse:
    /// what was set for one of the two holds for the other.
    pub fn mode(&self, format: TokenFormat) -> Mode {
        let set = |format| self.modes.get(&format).copied();
        match format {
            TokenFormat::Pki | TokenFormat::Pkiz => {
                let set = [set(TokenFormat::Pki), set(TokenFormat::Pkiz)];
                set.into_iter().flatten().min()
            }
            other => set(other),
        }
        .unwrap_or_else(|| format.default_mode())
    }

    /// Sets a mode. An opaque token cannot be validated offline.
    ///
    /// # Errors
    /// [`NotOffline`] then; nothing is changed.
    pub fn set(&mut self, format: TokenFormat, mode: Mode) -> Result<(), NotOffline> {
        if mode == Mode::Offline && !format.is_signed() {
            return Err(NotOffline(format));
        }
        let twins: &[TokenFormat] = match format {
            TokenFormat::Pki | TokenFormat::Pkiz => &[TokenFormat::Pki, TokenFormat::Pkiz],
            _ => &[format],
        };
        for twin in twins {
            if mode == twin.default_mode() {
                self.modes.remove(twin);
            } else {
                self.modes.insert(*twin, mode);
            }
        }
        Ok(())
    }
}

/// A format that only its issuer can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} tokens are opaque: only their issuer can validate them, so offline is not possible")]
pub struct NotOffline(pub TokenFormat);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaque_tokens_are_asked_about_and_signed_ones_are_read() {
        let policy = TokenPolicy::default();
        assert_eq!(policy.mode(TokenFormat::Uuid), Mode::Soft);
        assert_eq!(policy.mode(TokenFormat::Fernet), Mode::Soft);
        for signed in [TokenFormat::Pki, TokenFormat::Pkiz, TokenFormat::Jws] {
            assert_eq!(policy.mode(signed), Mode::Offline);
        }
    }

    #[test]
    fn what_is_set_is_kept_and_the_default_is_not_written_down() {
        let mut policy = TokenPolicy::default();
        assert_eq!(policy.set(TokenFormat::Pki, Mode::Hard), Ok(()));
        assert_eq!(policy.mode(TokenFormat::Pki), Mode::Hard);
        // Who has the one can make the other of it.
        assert_eq!(policy.mode(TokenFormat::Pkiz), Mode::Hard);
        assert_eq!(policy.set(TokenFormat::Pki, Mode::Offline), Ok(()));
        assert_eq!(policy, TokenPolicy::default());
        assert_eq!(
            policy.set(TokenFormat::Uuid, Mode::Offline),
            Err(NotOffline(TokenFormat::Uuid))
        );
        for format in TokenFormat::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
    }
}
