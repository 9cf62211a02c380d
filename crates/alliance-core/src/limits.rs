//! What services allow a partner's project, compared with what agreements say: who sets which limit,
//! and when one that somebody else has set is left alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::terms::{Quota, Resource, Terms};

/// The limits of agreements that cover the same project: each allows what it allows, so that the larger
/// limit counts, and none where one sets none.
pub fn agreed<'a>(terms: impl IntoIterator<Item = &'a Terms>) -> Quota {
    let mut terms = terms.into_iter().map(|terms| &terms.quota);
    let Some(first) = terms.next().cloned() else {
        return Quota::default();
    };
    terms.fold(first, |all, one| {
        let mut larger = Quota::default();
        for (resource, limit) in all.limits() {
            if let Some(other) = one.limit(resource) {
                // Both were checked.
                let _ = larger.set(resource, Some(i64::from(limit.max(other))));
            }
        }
        larger
    })
}

/// What a service says of one resource of one project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The limit; -1: none. `None`: the service has no limits for projects.
    pub limit: Option<i64>,
    /// How much is used, and reserved for what is being made.
    pub used: i64,
}

/// What is known of one resource of one project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What agreements allow; `None`: no limit.
    pub agreed: Option<u32>,
    /// What was set here last, for an agreement.
    pub set: Option<u32>,
    /// What the service said last.
    pub found: Found,
}

/// What is known of each resource.
pub type Limits = BTreeMap<Resource, Held>;

/// What is to be done about a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    Keep,
    /// The service shall allow so much.
    Set(u32),
    /// The service's own default counts again.
    Reset,
}

/// How a resource stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The agreement sets no limit.
    Free,
    /// The service allows what was agreed.
    Held,
    /// More is used than was agreed, and nothing more can be made.
    Over,
    /// Somebody has set another limit than what was agreed. It is left alone.
    Altered,
    /// The service has no limits for projects: what was agreed is only watched.
    Watched,
    /// The same, and more is used than was agreed.
    WatchedOver,
    /// The limit has not been set yet.
    Pending,
}

/// What to do when agreements allow `agreed`, `set` was set last, and the service says `found`.
///
/// A limit is set when it is new, or another than it was. One that differs from what was set was altered
/// by somebody of this cloud, who is not fought.
pub fn decide(agreed: Option<u32>, set: Option<u32>, found: Found) -> Order {
    let Some(limit) = found.limit else {
        return Order::Keep;
    };
    let is = |one: u32| limit == i64::from(one);
    match (agreed, set) {
        (None, Some(set)) if is(set) => Order::Reset,
        (None, _) => Order::Keep,
        (Some(agreed), Some(set)) if agreed == set => Order::Keep,
        (Some(agreed), _) if is(agreed) => Order::Keep,
        (Some(agreed), _) => Order::Set(agreed),
    }
}

impl Held {
    /// See [`Standing`].
    pub fn standing(self) -> Standing {
        let Some(agreed) = self.agreed else {
            return Standing::Free;
        };
        let is_over = self.found.used > i64::from(agreed);
        match (self.found.limit, self.set) {
            (None, _) if is_over => Standing::WatchedOver,
            (None, _) => Standing::Watched,
            (Some(limit), _) if limit == i64::from(agreed) && is_over => Standing::Over,
            (Some(limit), _) if limit == i64::from(agreed) => Standing::Held,
            (Some(_), Some(set)) if set == agreed => Standing::Altered,
            _ => Standing::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(limits: &[(Resource, i64)]) -> Quota {
        let mut quota = Quota::default();
        for (resource, limit) in limits {
            assert_eq!(quota.set(*resource, Some(*limit)), Ok(()));
        }
        quota
    }

    fn terms(limits: &[(Resource, i64)]) -> Terms {
        Terms {
            quota: quota(limits),
            ..Terms::granting(["member".to_owned()], 0)
        }
    }

    #[test]
    fn of_two_agreements_the_larger_limit_counts() {
        let one = terms(&[(Resource::Cores, 4), (Resource::Servers, 2)]);
        let other = terms(&[(Resource::Cores, 8)]);
        assert_eq!(agreed([&one, &other]), quota(&[(Resource::Cores, 8)]));
        assert_eq!(agreed([&one]), one.quota);
        assert_eq!(agreed([]), Quota::default());
    }

    const fn found(limit: i64, used: i64) -> Found {
        Found {
            limit: Some(limit),
            used,
        }
    }

    #[test]
    fn a_limit_is_set_once_and_again_when_the_agreement_changes() {
        assert_eq!(decide(Some(4), None, found(20, 0)), Order::Set(4));
        assert_eq!(decide(Some(4), Some(4), found(4, 0)), Order::Keep);
        assert_eq!(decide(Some(8), Some(4), found(4, 0)), Order::Set(8));
        assert_eq!(decide(None, Some(4), found(4, 0)), Order::Reset);
        assert_eq!(decide(None, None, found(20, 0)), Order::Keep);
    }

    #[test]
    fn what_somebody_else_has_set_is_left_alone_until_the_agreement_changes() {
        assert_eq!(decide(Some(4), Some(4), found(50, 0)), Order::Keep);
        assert_eq!(decide(Some(8), Some(4), found(50, 0)), Order::Set(8));
        assert_eq!(decide(None, Some(4), found(50, 0)), Order::Keep);
    }

    #[test]
    fn a_service_without_limits_is_told_nothing() {
        let none = Found {
            limit: None,
            used: 3,
        };
        assert_eq!(decide(Some(2), None, none), Order::Keep);
        let held = |agreed| Held {
            agreed,
            set: None,
            found: none,
        };
        assert_eq!(held(Some(2)).standing(), Standing::WatchedOver);
        assert_eq!(held(Some(3)).standing(), Standing::Watched);
        assert_eq!(held(None).standing(), Standing::Free);
    }

    #[test]
    fn a_limit_below_what_is_used_is_over_use() {
        let held = |set, found| Held {
            agreed: Some(4),
            set,
            found,
        };
        assert_eq!(held(Some(4), found(4, 4)).standing(), Standing::Held);
        assert_eq!(held(Some(4), found(4, 5)).standing(), Standing::Over);
        assert_eq!(held(Some(4), found(50, 5)).standing(), Standing::Altered);
        assert_eq!(held(Some(8), found(8, 5)).standing(), Standing::Pending);
        assert_eq!(held(None, found(20, 5)).standing(), Standing::Pending);
    }
}
