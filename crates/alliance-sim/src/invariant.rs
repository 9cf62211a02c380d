//! What must hold whatever fails.

use std::fmt;

/// Its name is what a failing run prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// No request with a token that home has ended is let in later than promised.
    RevokedTokenAccepted,
    /// Nobody says of a token that counts at home that it does not.
    LiveTokenRefused,
    /// Home counts no usage record of a host twice.
    CountedTwice,
    /// Home counts each.
    NotCounted,
    /// When all is well again, home and host hold the same.
    SidesDisagree,
    /// Nothing takes effect that is written under a lease which another one holds.
    TwoLeadersWrite,
    /// What has ended at home is heard at each host, at each of its instances.
    SignOutLost,
    /// It is heard soon wherever one instance of each side could do it.
    SignOutLate,
}

impl Invariant {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RevokedTokenAccepted => "revoked-token-accepted",
            Self::LiveTokenRefused => "live-token-refused",
            Self::CountedTwice => "counted-twice",
            Self::NotCounted => "not-counted",
            Self::SidesDisagree => "sides-disagree",
            Self::TwoLeadersWrite => "two-leaders-write",
            Self::SignOutLost => "sign-out-lost",
            Self::SignOutLate => "sign-out-late",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, in microseconds of simulated time.
    pub at: u64,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.at / 1_000_000, self.at % 1_000_000);
        write!(
            f,
            "{} at {seconds}.{micros:06} s: {}",
            self.invariant, self.what
        )
    }
}
