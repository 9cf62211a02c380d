//! Sessions by their token, and by what changes call them. It takes as little room as it can.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Session;

/// Takes less room than a vector takes by itself: most have few, and there are many.
pub(super) fn push(place: &mut Vec<Arc<Session>>, session: Arc<Session>) {
    if place.len() == place.capacity() {
        place.reserve_exact(1 + place.len() / 4);
    }
    place.push(session);
}

/// A session in a set of those that have different tokens.
#[derive(Debug)]
pub(super) struct ByToken(pub Arc<Session>);

impl Borrow<[u8; 32]> for ByToken {
    fn borrow(&self) -> &[u8; 32] {
        &self.0.token
    }
}

impl Hash for ByToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.token.hash(state);
    }
}

impl PartialEq for ByToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.token == other.0.token
    }
}

impl Eq for ByToken {}

/// One of the names that changes call a session by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name {
    User,
    /// Which of its audit ids.
    AuditId(u32),
}

impl Name {
    fn of(self, session: &Session) -> &str {
        match self {
            Self::User => session.user_id(),
            Self::AuditId(nth) => {
                let found = session.audit_ids.get(nth as usize);
                found.map_or("", |id| id)
            }
        }
    }
}

/// A session in a set of those that are called differently.
#[derive(Debug)]
struct Called {
    session: Arc<Session>,
    name: Name,
}

impl Borrow<str> for Called {
    fn borrow(&self) -> &str {
        self.name.of(&self.session)
    }
}

impl Hash for Called {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let name: &str = self.borrow();
        name.hash(state);
    }
}

impl PartialEq for Called {
    fn eq(&self, other: &Self) -> bool {
        let (name, others): (&str, &str) = (self.borrow(), other.borrow());
        name == others
    }
}

impl Eq for Called {}

/// Sessions by what they are called. Most are called so alone, and take no room for a name of their own.
#[derive(Debug, Default)]
pub(super) struct Index {
    first: HashSet<Called>,
    /// Others that are called like one of those, by one that was. It may be gone since, but for its name.
    more: HashMap<Called, Vec<Arc<Session>>>,
}

impl Index {
    pub(super) fn add(&mut self, session: &Arc<Session>, name: Name) {
        let called = name.of(session);
        if !self.first.contains(called) {
            let session = Arc::clone(session);
            self.first.insert(Called { session, name });
        } else if let Some(place) = self.more.get_mut(called) {
            push(place, Arc::clone(session));
        } else {
            let session = Arc::clone(session);
            let others = vec![Arc::clone(&session)];
            self.more.insert(Called { session, name }, others);
        }
    }

    pub(super) fn get(&self, name: &str) -> impl Iterator<Item = &Arc<Session>> {
        let first = self.first.get(name).map(|called| &called.session);
        first
            .into_iter()
            .chain(self.more.get(name).into_iter().flatten())
    }

    pub(super) fn remove(&mut self, session: &Session, name: &str) {
        let is_it = |other: &Arc<Session>| other.token == session.token;
        if self
            .first
            .get(name)
            .is_some_and(|first| is_it(&first.session))
        {
            self.first.remove(name);
        }
        if let Some(place) = self.more.get_mut(name) {
            place.retain(|other| !is_it(other));
            if place.is_empty() {
                self.more.remove(name);
            }
        }
    }

    /// Forgets those with this name that are not wanted.
    pub(super) fn retain(&mut self, name: &str, is_wanted: impl Fn(&Session) -> bool) {
        if self
            .first
            .get(name)
            .is_some_and(|first| !is_wanted(&first.session))
        {
            self.first.remove(name);
        }
        if let Some(place) = self.more.get_mut(name) {
            place.retain(|session| is_wanted(session));
            if place.is_empty() {
                self.more.remove(name);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.more.is_empty()
    }
}
