//! Another cloud that this one is paired with.

use serde::{Deserialize, Serialize};

use crate::Seconds;
use crate::cloud::CloudId;
use crate::keystone_id;
use crate::refusal::Reason;
use crate::word::words;

/// The name of the federation protocol that each partner's identity provider has in Keystone.
pub const PROTOCOL: &str = "alliance";

/// What a partner is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its users come here.
    Guest,
    /// Our users go there.
    Host,
    /// Both.
    Both,
}

impl Role {
    /// Whether the partner's users may come here.
    pub fn is_guest(self) -> bool {
        matches!(self, Role::Guest | Role::Both)
    }

    /// Whether our users may go there.
    pub fn is_host(self) -> bool {
        matches!(self, Role::Host | Role::Both)
    }

    /// What we are to the partner, if this is what it is to us.
    pub fn seen_from_the_other_side(self) -> Self {
        match self {
            Role::Guest => Role::Host,
            Role::Host => Role::Guest,
            Role::Both => Role::Both,
        }
    }
}

/// How far the pairing is, and whether its tokens count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Invited or accepted, not confirmed: nothing is allowed yet.
    Draft,
    /// Paired.
    Active,
    /// Stopped by this side's operator; `resume` brings it back.
    Suspended,
    /// `trust_till` has passed.
    Expired,
    /// Gone; kept for the record.
    Removed,
}

words!(Role { Role::Guest = "guest", Role::Host = "host", Role::Both = "both" });
words!(Status {
    Status::Draft = "draft",
    Status::Active = "active",
    Status::Suspended = "suspended",
    Status::Expired = "expired",
    Status::Removed = "removed",
});

impl Status {
    /// The rule of trust: what may become what, and by whose hand it stays. Setting a status again
    /// is allowed and changes nothing; nothing comes back from [`Status::Removed`].
    ///
    /// # Errors
    /// The pair that is not allowed.
    pub fn may_become(self, next: Status) -> Result<(), IllegalChange> {
        use Status::{Active, Draft, Expired, Removed, Suspended};
        let legal = self == next
            || matches!(
                (self, next),
                (Draft, Active | Removed)
                    | (Active, Suspended | Expired | Removed)
                    | (Suspended, Active | Expired | Removed)
                    | (Expired, Active | Removed)
            );
        if legal {
            Ok(())
        } else {
            Err(IllegalChange {
                from: self,
                to: next,
            })
        }
    }
}

/// A change of status that the rule of [`Status::may_become`] does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a partner that is {from} cannot become {to}")]
pub struct IllegalChange {
    /// What it is.
    pub from: Status,
    /// What it should have become.
    pub to: Status,
}

/// A partner as this cloud's database knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partner {
    /// Who it is; the only thing that identifies it.
    pub cloud_id: CloudId,
    /// What this cloud's operator calls it; unique here among partners that are not removed.
    pub name: String,
    /// What it is to us.
    pub role: Role,
    /// How far the pairing is.
    pub status: Status,
    /// Where its daemon answers (`https://…`).
    pub peer_url: String,
    /// When the pairing became active.
    pub trust_since: Option<Seconds>,
    /// When it ends by itself.
    pub trust_till: Option<Seconds>,
    /// At most this many shadow users here.
    pub max_users: Option<u32>,
    /// At most this many of its projects here.
    pub max_projects: Option<u32>,
    /// When this row was made.
    pub created_at: Seconds,
}

impl Partner {
    /// The status at `now`: an active partner whose time is over has expired, whoever noticed.
    pub fn status_at(&self, now: Seconds) -> Status {
        match (self.status, self.trust_till) {
            (Status::Active | Status::Suspended, Some(till)) if now >= till => Status::Expired,
            (status, _) => status,
        }
    }

    /// Whether statements and questions of this partner count at `now`.
    ///
    /// # Errors
    /// The reason why they do not.
    pub fn require_active(&self, now: Seconds) -> Result<(), Reason> {
        match self.status_at(now) {
            Status::Active => Ok(()),
            Status::Suspended => Err(Reason::PartnerSuspended),
            Status::Expired => Err(Reason::PartnerExpired),
            Status::Draft | Status::Removed => Err(Reason::UnknownPartner),
        }
    }

    /// Whether its users may come here at `now`.
    ///
    /// # Errors
    /// The reason why not.
    pub fn require_guest(&self, now: Seconds) -> Result<(), Reason> {
        self.require_active(now)?;
        if self.role.is_guest() {
            Ok(())
        } else {
            Err(Reason::NotAGuest)
        }
    }

    /// The id of the Keystone domain that holds its users and projects here.
    pub fn domain_id(&self) -> String {
        keystone_id::domain(&self.cloud_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn west() -> Partner {
        Partner {
            cloud_id: CloudId::from_spki(b"west"),
            name: "west".into(),
            role: Role::Guest,
            status: Status::Active,
            peer_url: "https://west:5443".into(),
            trust_since: Some(0),
            trust_till: None,
            max_users: None,
            max_projects: None,
            created_at: 0,
        }
    }

    #[test]
    fn trust_ends_at_the_second_it_was_given_until() {
        let partner = Partner {
            trust_till: Some(100),
            ..west()
        };
        assert_eq!(partner.require_guest(99), Ok(()));
        assert_eq!(partner.require_guest(100), Err(Reason::PartnerExpired));
    }

    #[test]
    fn only_an_active_guest_is_let_in() {
        for (status, reason) in [
            (Status::Draft, Reason::UnknownPartner),
            (Status::Suspended, Reason::PartnerSuspended),
            (Status::Removed, Reason::UnknownPartner),
        ] {
            assert_eq!(Partner { status, ..west() }.require_guest(1), Err(reason));
        }
        let host = Partner {
            role: Role::Host,
            ..west()
        };
        assert_eq!(host.require_guest(1), Err(Reason::NotAGuest));
    }

    #[test]
    fn nothing_comes_back_from_removed_and_nothing_becomes_draft_again() {
        use Status::{Active, Draft, Expired, Removed, Suspended};
        let all = [Draft, Active, Suspended, Expired, Removed];
        for status in all {
            assert_eq!(status.may_become(status), Ok(()));
            assert_eq!(Removed.may_become(status).is_ok(), status == Removed);
            assert_eq!(status.may_become(Draft).is_ok(), status == Draft);
            assert_eq!(status.may_become(Removed), Ok(()));
        }
        assert_eq!(Suspended.may_become(Active), Ok(()));
        assert_eq!(Expired.may_become(Active), Ok(()));
        assert!(Expired.may_become(Suspended).is_err());
        assert!(Draft.may_become(Suspended).is_err());
    }

    #[test]
    fn words_read_back() {
        for role in [Role::Guest, Role::Host, Role::Both] {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(
                role.seen_from_the_other_side().seen_from_the_other_side(),
                role
            );
        }
        assert!("Guest".parse::<Role>().is_err());
    }
}
