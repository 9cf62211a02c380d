//! What is simulated, and what is taken out on purpose.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Something that keeps an invariant, and that a simulation can go without to see that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// Numbers on the board and of sign-outs are given in the order of commits.
    BoardOrder,
    /// A leader acknowledges what is on the board, and nothing before.
    AckAfterBoard,
    /// A write of who works under a lease is refused once another one holds it.
    Fence,
    /// What a leader counts names the position from which it was asked for.
    Positions,
    /// Whoever has not read the board lately reads it before it answers from memory.
    Freshness,
    /// A home's answer counts for seconds.
    AnswerAge,
    /// The database gives up the transaction of a client that says nothing for some seconds.
    IdleTransactions,
    /// An instance that has missed something on the board forgets all that it knew, and what it asked
    /// before.
    StartOver,
    /// What homes have said is kept on the board for long, and applied by who has missed the rest.
    LongMemory,
    /// Each instance learns of sessions that began at the others.
    SessionsOfOthers,
    /// As far back as it has not looked, however long that was.
    LookBack,
    /// What was noted is told to polls though nobody said that it was noted.
    WakeAnyway,
    /// The leader sees to it that Keystone is told of what the others have ended.
    Untold,
    /// Nobody waits for news at an instance that cannot read the board.
    FreshPolls,
    /// Home looks at what it holds of agreements before it asks the host, not after.
    HeldBeforeAsked,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::BoardOrder,
        Self::AckAfterBoard,
        Self::Fence,
        Self::Positions,
        Self::Freshness,
        Self::AnswerAge,
        Self::IdleTransactions,
        Self::StartOver,
        Self::LongMemory,
        Self::SessionsOfOthers,
        Self::LookBack,
        Self::WakeAnyway,
        Self::Untold,
        Self::FreshPolls,
        Self::HeldBeforeAsked,
    ];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BoardOrder => "board-order",
            Self::AckAfterBoard => "ack-after-board",
            Self::Fence => "fence",
            Self::Positions => "positions",
            Self::Freshness => "freshness",
            Self::AnswerAge => "answer-age",
            Self::IdleTransactions => "idle-transactions",
            Self::StartOver => "start-over",
            Self::LongMemory => "long-memory",
            Self::LookBack => "look-back",
            Self::WakeAnyway => "wake-anyway",
            Self::SessionsOfOthers => "sessions-of-others",
            Self::Untold => "untold",
            Self::FreshPolls => "fresh-polls",
            Self::HeldBeforeAsked => "held-before-asked",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Guard {
    type Err = UnknownGuard;

    fn from_str(text: &str) -> Result<Self, UnknownGuard> {
        let found = Self::ALL.into_iter().find(|guard| guard.as_str() == text);
        found.ok_or_else(|| UnknownGuard(text.to_owned()))
    }
}

/// No guard is called so.
#[derive(Debug)]
pub struct UnknownGuard(String);

impl fmt::Display for UnknownGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Guard::ALL.map(Guard::as_str).join(", ");
        write!(f, "{:?} is none of {names}", self.0)
    }
}

impl std::error::Error for UnknownGuard {}

/// How to simulate.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What is taken out.
    pub without: BTreeSet<Guard>,
    /// Whether to write down who does what.
    pub record: bool,
}

impl Settings {
    pub(crate) fn keeps(&self, guard: Guard) -> bool {
        !self.without.contains(&guard)
    }
}
