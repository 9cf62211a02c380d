//! The one string that pairs two clouds.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Seconds;
use crate::cloud::CloudId;
use crate::partner::Role;
use crate::word::words;

const PREFIX: &str = "alliance1-";
const CHECKSUM_LEN: usize = 4;
const MAX_LEN: usize = 2048;

/// How long after its expiry an invitation that was accepted in time may still be confirmed: two
/// operators compare words on the telephone meanwhile.
pub const CONFIRMATION_TIME: Seconds = 3600;

/// How far an invitation is, on the side that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationState {
    /// Nobody accepted yet.
    Open,
    /// Somebody accepted; the inviter's operator has not said yes.
    Accepted,
    /// The inviter's operator said yes: the clouds are paired.
    Confirmed,
    /// The inviter's operator said no.
    Rejected,
    /// Too late.
    Expired,
}

words!(InvitationState {
    InvitationState::Open = "open",
    InvitationState::Accepted = "accepted",
    InvitationState::Confirmed = "confirmed",
    InvitationState::Rejected = "rejected",
    InvitationState::Expired = "expired",
});

/// How far an invitation is, on the side that accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptanceState {
    /// Accepted; waiting for the inviter's confirmation.
    Waiting,
    /// The clouds are paired.
    Paired,
    /// The inviter's operator said no.
    Rejected,
    /// Too late.
    Expired,
    /// This side's operator changed their mind.
    Cancelled,
}

words!(AcceptanceState {
    AcceptanceState::Waiting = "waiting",
    AcceptanceState::Paired = "paired",
    AcceptanceState::Rejected = "rejected",
    AcceptanceState::Expired = "expired",
    AcceptanceState::Cancelled = "cancelled",
});

/// What the string holds. It is a secret until it is used or expires, yet alone it opens nothing:
/// the inviter confirms who accepted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Version: 1.
    pub v: u32,
    /// The invitation's id (UUID).
    pub id: String,
    /// Where the inviter's daemon answers.
    pub url: String,
    /// The inviter: its key is pinned before anything is said to it.
    pub cloud: CloudId,
    /// What the inviter calls itself.
    pub name: String,
    /// Base64url of 32 random bytes; the inviter keeps a hash.
    pub secret: String,
    /// What the acceptor becomes to the inviter.
    pub role: Role,
    /// Who may accept, if the inviter knows.
    #[serde(rename = "for")]
    pub expected: Option<CloudId>,
    /// Until when, seconds.
    pub exp: Seconds,
}

impl Invitation {
    /// Whether `cloud` may accept it at `now`.
    ///
    /// # Errors
    /// Why not.
    pub fn require_usable(&self, cloud: &CloudId, now: Seconds) -> Result<(), BadInvitation> {
        if self.cloud == *cloud {
            return Err(BadInvitation::Own);
        }
        if self
            .expected
            .as_ref()
            .is_some_and(|expected| expected != cloud)
        {
            return Err(BadInvitation::ForAnother);
        }
        if now >= self.exp {
            return Err(BadInvitation::Expired);
        }
        Ok(())
    }
}

/// Why a string is no invitation for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInvitation {
    /// Not one at all.
    #[error("this is no invitation: expected a string that begins with {PREFIX}")]
    NotOne,
    /// Damaged.
    #[error("the invitation is truncated or altered; copy the whole line again")]
    Damaged,
    /// From a newer version.
    #[error("the invitation is of version {0}, this daemon understands version 1; upgrade it")]
    Version(u64),
    /// Pairing with oneself.
    #[error("this invitation was made by this very cloud; give it to the partner's operator")]
    Own,
    /// Made for a third cloud.
    #[error("this invitation was made for another cloud (--expect); ask for one for your cloud id")]
    ForAnother,
    /// Too late.
    #[error("the invitation has expired; ask the partner's operator for a new one")]
    Expired,
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        let checksum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum[..CHECKSUM_LEN]);
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitation({} from {:?})", self.id, self.cloud)
    }
}

impl FromStr for Invitation {
    type Err = BadInvitation;

    fn from_str(text: &str) -> Result<Self, BadInvitation> {
        let text = text.trim();
        let encoded = text.strip_prefix(PREFIX).ok_or(BadInvitation::NotOne)?;
        if text.len() > MAX_LEN {
            return Err(BadInvitation::Damaged);
        }
        let bytes = BASE64URL_NOPAD
            .decode(encoded.as_bytes())
            .map_err(|_| BadInvitation::Damaged)?;
        let (json, checksum) = bytes
            .split_at_checked(bytes.len().saturating_sub(CHECKSUM_LEN))
            .ok_or(BadInvitation::Damaged)?;
        if Sha256::digest(json)[..CHECKSUM_LEN] != *checksum {
            return Err(BadInvitation::Damaged);
        }
        let value: serde_json::Value =
            serde_json::from_slice(json).map_err(|_| BadInvitation::Damaged)?;
        match value.get("v").and_then(serde_json::Value::as_u64) {
            Some(1) => serde_json::from_value(value).map_err(|_| BadInvitation::Damaged),
            Some(newer) => Err(BadInvitation::Version(newer)),
            None => Err(BadInvitation::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            v: 1,
            id: "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b".into(),
            url: "https://west.example:5443".into(),
            cloud: CloudId::from_spki(b"west"),
            name: "west".into(),
            secret: "c2VjcmV0".into(),
            role: Role::Host,
            expected: None,
            exp: 900,
        }
    }

    #[test]
    fn it_reads_back() {
        assert_eq!(invitation().to_string().parse(), Ok(invitation()));
        assert_eq!(format!(" {}\n", invitation()).parse(), Ok(invitation()));
    }

    proptest! {
        #[test]
        fn any_truncation_and_any_changed_character_is_noticed(cut in 0usize..400, flip in 0usize..400) {
            let whole = invitation().to_string();
            let cut = cut % whole.len();
            prop_assert!(whole[..cut].parse::<Invitation>().is_err());
            let at = flip % whole.len();
            let mut bytes = whole.into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).unwrap_or_default();
            prop_assert!(altered.parse::<Invitation>().is_err());
        }
    }

    #[test]
    fn it_is_for_somebody_and_for_a_while() {
        let (west, east, north) = (
            CloudId::from_spki(b"west"),
            CloudId::from_spki(b"east"),
            CloudId::from_spki(b"north"),
        );
        assert_eq!(invitation().require_usable(&east, 899), Ok(()));
        assert_eq!(
            invitation().require_usable(&east, 900),
            Err(BadInvitation::Expired)
        );
        assert_eq!(
            invitation().require_usable(&west, 1),
            Err(BadInvitation::Own)
        );
        let for_east = Invitation {
            expected: Some(east.clone()),
            ..invitation()
        };
        assert_eq!(for_east.require_usable(&east, 1), Ok(()));
        assert_eq!(
            for_east.require_usable(&north, 1),
            Err(BadInvitation::ForAnother)
        );
    }

    #[test]
    fn a_newer_version_is_named() {
        let json = br#"{"v":2}"#;
        let mut bytes = json.to_vec();
        bytes.extend_from_slice(&Sha256::digest(json)[..4]);
        let text = format!("alliance1-{}", BASE64URL_NOPAD.encode(&bytes));
        assert_eq!(text.parse::<Invitation>(), Err(BadInvitation::Version(2)));
    }
}
