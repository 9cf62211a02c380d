//! One copy of each set of role names, however many tokens have it.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use alliance_core::admission::Entrant;
use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use alliance_core::statement::TokenFacts;

/// No cloud has so many different sets; whoever makes them up fills no memory.
const MOST: usize = 4096;

/// The sets that are in use.
#[derive(Default)]
pub(super) struct RoleSets(Mutex<HashSet<Arc<BTreeSet<String>>>>);

impl RoleSets {
    /// What of a token of `issuer` decides whether it may enter, with the one copy of its roles.
    ///
    /// # Errors
    /// See [`Entrant::of`].
    pub(super) fn entrant(&self, facts: &TokenFacts, issuer: &CloudId) -> Result<Entrant, Reason> {
        let mut entrant = Entrant::of(facts, issuer)?;
        entrant.roles = self.one(entrant.roles);
        Ok(entrant)
    }

    fn one(&self, roles: Arc<BTreeSet<String>>) -> Arc<BTreeSet<String>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = known.get(&roles) {
            return Arc::clone(one);
        }
        if known.len() >= MOST {
            known.retain(|roles| Arc::strong_count(roles) > 1);
        }
        if known.len() < MOST {
            known.insert(Arc::clone(&roles));
        }
        roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str) -> Arc<BTreeSet<String>> {
        Arc::new([name.to_owned()].into())
    }

    #[test]
    fn equal_sets_are_one_and_made_up_ones_are_not_kept() {
        let sets = RoleSets::default();
        let member = sets.one(set("member"));
        assert!(Arc::ptr_eq(&member, &sets.one(set("member"))));
        for number in 0..3 * MOST {
            drop(sets.one(set(&number.to_string())));
        }
        assert!(Arc::ptr_eq(&member, &sets.one(set("member"))));
        let held: Vec<_> = (0..2 * MOST)
            .map(|number| sets.one(set(&number.to_string())))
            .collect();
        let kept = sets.0.lock().map(|known| known.len());
        assert!(kept.is_ok_and(|kept| kept <= MOST));
        assert_eq!(held.len(), 2 * MOST);
    }
}
