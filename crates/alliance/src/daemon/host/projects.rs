//! Partners' projects whose users were let in here, as their homes call them: for operators.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::label::clean;
use alliance_core::statement::Project;
use alliance_store::GuestProject;
use quick_cache::sync::Cache;

/// How exactly it is known when a project was last seen: more often it is not written. Seconds.
const EXACTNESS: Seconds = 60;
/// How many names are remembered between the answer that has them and the user's being let in.
const NAMES: usize = 10_000;
/// Longest name that is kept, in characters.
const NAME_LEN: usize = 64;

/// Whose project, and its id at home.
type Key = (CloudId, String);

/// In memory; the database follows within a second.
#[derive(Debug)]
pub(super) struct Projects {
    /// What homes said of projects lately, whoever is let in.
    called: Cache<Key, Arc<Labels>>,
    seen: Mutex<HashMap<Key, Seen>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Labels {
    name: String,
    domain_name: String,
}

#[derive(Debug)]
struct Seen {
    project: GuestProject,
    is_written: bool,
    /// Whether the next visit is noted however short the time since the last.
    is_awaited: bool,
}

impl Default for Projects {
    fn default() -> Self {
        Self {
            called: Cache::new(NAMES),
            seen: Mutex::default(),
        }
    }
}

impl Projects {
    /// Its home has named a project.
    pub(super) fn is_called(&self, cloud_id: &CloudId, project: &Project) {
        let labels = Labels {
            name: clean(&project.name, NAME_LEN),
            domain_name: clean(&project.domain.name, NAME_LEN),
        };
        let key = (cloud_id.clone(), project.id.clone());
        if self.called.get(&key).is_none_or(|known| *known != labels) {
            self.called.insert(key, Arc::new(labels));
        }
    }

    /// A user of a project was let in.
    pub(super) fn saw(&self, cloud_id: &CloudId, project_id: &str, now: Seconds) {
        let key = (cloud_id.clone(), project_id.to_owned());
        let labels = self.called.get(&key);
        let mut seen = self.lock();
        let known = seen.entry(key).or_insert_with(|| Seen {
            project: GuestProject {
                cloud_id: cloud_id.clone(),
                project_id: project_id.to_owned(),
                name: None,
                domain_name: None,
                first_seen: now,
                last_seen: now,
            },
            is_written: false,
            is_awaited: false,
        });
        if known.is_awaited || known.project.last_seen + EXACTNESS <= now {
            known.is_awaited = false;
            known.project.last_seen = now;
            known.is_written = false;
        }
        if let Some(labels) = labels
            && (
                known.project.name.as_ref(),
                known.project.domain_name.as_ref(),
            ) != (Some(&labels.name), Some(&labels.domain_name))
        {
            known.project.name = Some(labels.name.clone());
            known.project.domain_name = Some(labels.domain_name.clone());
            known.is_written = false;
        }
    }

    /// What the database has: another instance may have seen some later.
    pub(super) fn read(&self, projects: Vec<GuestProject>) {
        let mut seen = self.lock();
        for project in projects {
            let key = (project.cloud_id.clone(), project.project_id.clone());
            match seen.entry(key) {
                Entry::Vacant(free) => drop(free.insert(Seen {
                    project,
                    is_written: true,
                    is_awaited: false,
                })),
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    if known.is_written && known.project.last_seen < project.last_seen {
                        known.project = project;
                        known.is_awaited = false;
                    }
                }
            }
        }
    }

    /// What the database does not have yet; it counts as written from now on.
    pub(super) fn take_unwritten(&self) -> Vec<GuestProject> {
        let mut seen = self.lock();
        let unwritten = seen.values_mut().filter(|seen| !seen.is_written);
        unwritten
            .map(|seen| {
                seen.is_written = true;
                seen.project.clone()
            })
            .collect()
    }

    /// The database did not take these.
    pub(super) fn give_back(&self, unwritten: &[GuestProject]) {
        let mut seen = self.lock();
        for project in unwritten {
            let key = (project.cloud_id.clone(), project.project_id.clone());
            if let Some(seen) = seen.get_mut(&key) {
                seen.is_written = false;
            }
        }
    }

    /// Whether a project was seen, and not retired since.
    pub(super) fn has(&self, cloud_id: &CloudId, project_id: &str) -> bool {
        let key = (cloud_id.clone(), project_id.to_owned());
        self.lock().get(&key).is_some_and(|seen| !seen.is_awaited)
    }

    /// The project was retired: whoever comes next comes to a new one. Returns whether that was not known.
    pub(super) fn note_next(&self, cloud_id: &CloudId, project_id: &str) -> bool {
        let key = (cloud_id.clone(), project_id.to_owned());
        let mut seen = self.lock();
        let seen = seen.get_mut(&key);
        seen.is_some_and(|seen| !std::mem::replace(&mut seen.is_awaited, true))
    }

    /// All.
    pub(super) fn list(&self) -> Vec<GuestProject> {
        let seen = self.lock();
        seen.values().map(|seen| seen.project.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use alliance_core::statement::Named;

    use super::*;

    fn science(name: &str) -> Project {
        Project {
            id: "p".into(),
            name: name.into(),
            domain: Named {
                id: "default".into(),
                name: "Default".into(),
            },
        }
    }

    #[test]
    fn a_project_is_written_when_it_is_new_renamed_or_seen_again_after_a_minute() {
        let (projects, west) = (Projects::default(), CloudId::from_spki(b"west"));
        let written = || {
            let written = projects.take_unwritten().into_iter();
            written
                .map(|project| (project.name, project.first_seen, project.last_seen))
                .collect::<Vec<_>>()
        };
        let some = |name: &str| Some(name.to_owned());
        projects.is_called(&west, &science("science"));
        assert!(projects.list().is_empty(), "nobody was let in yet");
        projects.saw(&west, "p", 100);
        assert_eq!(written(), [(some("science"), 100, 100)]);
        projects.saw(&west, "p", 159);
        assert!(written().is_empty());
        projects.saw(&west, "p", 160);
        assert_eq!(written(), [(some("science"), 100, 160)]);
        projects.is_called(&west, &science("sci\u{1b}ence"));
        projects.saw(&west, "p", 161);
        let renamed = projects.take_unwritten();
        assert_eq!(renamed[0].name, some("sci\u{fffd}ence"));
        projects.give_back(&renamed);
        assert_eq!(written(), [(some("sci\u{fffd}ence"), 100, 160)]);
    }

    #[test]
    fn what_the_database_knew_is_known_and_not_written_again() {
        let (projects, west) = (Projects::default(), CloudId::from_spki(b"west"));
        projects.saw(&west, "p", 100);
        let restarted = Projects::default();
        restarted.read(projects.take_unwritten());
        assert!(restarted.take_unwritten().is_empty());
        restarted.saw(&west, "p", 400);
        let first_seen: Vec<_> = restarted.list().iter().map(|p| p.first_seen).collect();
        assert_eq!(first_seen, [100]);
    }
}
