//! What holds for a while, and is noticed when it begins to.

use super::{Notice, digest};
use crate::cloud::CloudId;
use crate::usage::Millis;

/// From how much of what is allowed, in percent, a limit is nearly reached.
const NEAR: u64 = 90;
/// Below how much it is not any more.
const AWAY: u64 = 80;

/// How a condition was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It holds.
    Holds,
    /// It does not.
    Ceased,
    /// Neither is clear: it is as it was.
    AsBefore,
}

/// A condition as it was seen at a time, and the notice that says that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Who is told.
    pub home: CloudId,
    /// Which one it is.
    pub key: String,
    /// How it is.
    pub state: State,
    /// When it was seen to be so.
    pub at: Millis,
    /// What is said when it begins to hold.
    pub notice: Notice,
}

impl Condition {
    /// The condition about the notice's subject in its project and region. `part` tells several about one
    /// subject apart.
    pub fn new(home: CloudId, part: &str, state: State, at: Millis, notice: Notice) -> Self {
        let project = notice.project_id.as_deref().unwrap_or_default();
        let region = notice.region.as_deref().unwrap_or_default();
        let key = digest(&[notice.kind.as_str(), project, region, &notice.subject, part]);
        Self {
            home,
            key,
            state,
            at,
            notice,
        }
    }

    /// What is to be remembered of it, if that is something else than `before`; and whether it has begun
    /// to hold. What is older than what is known says nothing.
    pub fn heard(&self, before: Option<Mark>) -> Option<Mark> {
        let holds = match self.state {
            State::Holds => true,
            State::Ceased => false,
            State::AsBefore => return None,
        };
        let changed = match before {
            Some(before) => before.holds != holds && before.at < self.at,
            None => holds,
        };
        changed.then_some(Mark { holds, at: self.at })
    }
}

/// What is remembered of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Whether it held when it last changed.
    pub holds: bool,
    /// When that was.
    pub at: Millis,
}

/// Whether a limit is nearly reached. Where nothing is allowed, or everything, none is.
pub fn near(used: u64, allowed: Option<u64>) -> State {
    let Some(allowed) = allowed.filter(|allowed| *allowed > 0) else {
        return State::Ceased;
    };
    let percent = used.saturating_mul(100) / allowed;
    if percent >= NEAR {
        State::Holds
    } else if percent < AWAY {
        State::Ceased
    } else {
        State::AsBefore
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Kind;

    fn seen(state: State, at: Millis) -> Condition {
        let home = CloudId::from_spki(b"west");
        Condition::new(
            home,
            "",
            state,
            at,
            Notice::new(Kind::QuotaNear, "cores", at),
        )
    }

    /// How often it is noticed that it holds, in this order of news.
    fn noticed(news: &[(State, Millis)]) -> usize {
        let mut mark = None;
        let mut count = 0;
        for (state, at) in news {
            if let Some(changed) = seen(*state, *at).heard(mark) {
                count += usize::from(changed.holds);
                mark = Some(changed);
            }
        }
        count
    }

    #[test]
    fn what_goes_on_is_noticed_once_and_again_only_after_it_has_ceased() {
        use State::{AsBefore, Ceased, Holds};
        assert_eq!(
            noticed(&[(Holds, 1), (Holds, 2), (AsBefore, 3), (Holds, 4)]),
            1
        );
        assert_eq!(
            noticed(&[(Holds, 1), (Ceased, 2), (Ceased, 3), (Holds, 4)]),
            2
        );
        assert_eq!(noticed(&[(Ceased, 1), (AsBefore, 2)]), 0);
    }

    #[test]
    fn what_is_heard_late_or_again_is_not_noticed_again() {
        use State::{Ceased, Holds};
        // The bus says it five times, also after it has ceased.
        let news = [(Holds, 1), (Holds, 1), (Ceased, 3), (Holds, 1), (Holds, 3)];
        assert_eq!(noticed(&news), 1);
        // A listing that was made before it began ends nothing.
        assert_eq!(noticed(&[(Holds, 5), (Ceased, 4), (Holds, 6)]), 1);
    }

    #[test]
    fn a_limit_is_near_from_nine_tenths_on_and_away_below_eight() {
        assert_eq!(near(9, Some(10)), State::Holds);
        assert_eq!(near(11, Some(10)), State::Holds);
        assert_eq!(near(8, Some(10)), State::AsBefore);
        assert_eq!(near(7, Some(10)), State::Ceased);
        assert_eq!(near(u64::MAX, Some(1)), State::Holds);
        for allowed in [None, Some(0)] {
            assert_eq!(near(5, allowed), State::Ceased);
        }
    }

    #[test]
    fn conditions_of_two_projects_are_two() {
        let of = |project: &str| {
            let mut notice = Notice::new(Kind::QuotaNear, "cores", 1);
            notice.project_id = Some(project.into());
            Condition::new(CloudId::from_spki(b"west"), "", State::Holds, 1, notice).key
        };
        assert_ne!(of("a"), of("b"));
    }
}
