//! The limits that Nova, Cinder and Neutron hold for a project, and how much of them is used.

use std::collections::BTreeMap;

use alliance_core::limits::Found;
use alliance_core::terms::Resource;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::services::{Service, ServiceError, Session, found};

/// What one service calls the resources that it limits.
struct Names {
    service: Service,
    /// The object that wraps them.
    wrapper: &'static str,
    resources: &'static [(Resource, &'static str)],
}

const NAMES: [Names; 3] = [
    Names {
        service: Service::Nova,
        wrapper: "quota_set",
        resources: &[
            (Resource::Cores, "cores"),
            (Resource::RamMb, "ram"),
            (Resource::Servers, "instances"),
        ],
    },
    Names {
        service: Service::Cinder,
        wrapper: "quota_set",
        resources: &[
            (Resource::Volumes, "volumes"),
            (Resource::Gigabytes, "gigabytes"),
        ],
    },
    Names {
        service: Service::Neutron,
        wrapper: "quota",
        resources: &[
            (Resource::FloatingIps, "floatingip"),
            (Resource::Networks, "network"),
        ],
    },
];

/// What each service in this region says of a project; nothing if it is not there, as one that was
/// retired and whose agreement stands. Glance has no limits for projects: its images are
/// counted.
///
/// # Errors
/// See [`ServiceError`].
pub async fn read(
    session: &Session,
    project_id: &str,
) -> Result<BTreeMap<Resource, Found>, ServiceError> {
    let mut all = BTreeMap::new();
    let path = ["projects", project_id];
    let project = session.ask(Service::Keystone, Method::GET, &path, None);
    if found(project.await)?.is_none() {
        return Ok(all);
    }
    for names in NAMES.iter().filter(|names| session.has(names.service)) {
        let answer = names.used(session, project_id).await?;
        for (resource, name) in names.resources {
            let of = |field: &str| answer.get(*name)?.get(field)?.as_i64();
            // What Neutron says of a resource whose extension is not loaded: nothing.
            let Some(limit) = of("limit") else { continue };
            let used = of("in_use").or_else(|| of("used")).unwrap_or(0);
            let used = used + of("reserved").unwrap_or(0);
            let limit = Some(limit);
            all.insert(*resource, Found { limit, used });
        }
    }
    if session.has(Service::Glance) {
        let query = [("owner", project_id), ("visibility", "all")];
        let path = ["v2", "images"];
        let images = session
            .list(Service::Glance, &path, "images", &query)
            .await?;
        let used = i64::try_from(images.len()).unwrap_or(i64::MAX);
        all.insert(Resource::Images, Found { limit: None, used });
    }
    Ok(all)
}

/// Sets limits of a project; `None`: the service's own default. Also below what is used.
///
/// # Errors
/// See [`ServiceError`]. Some may have been set.
pub async fn write(
    session: &Session,
    project_id: &str,
    limits: &BTreeMap<Resource, Option<u32>>,
) -> Result<(), ServiceError> {
    for names in &NAMES {
        let wanted = names.resources.iter();
        let wanted: Vec<_> = wanted
            .filter_map(|(resource, name)| Some((*name, *limits.get(resource)?)))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let mut set = Map::new();
        if wanted.iter().any(|(_, limit)| limit.is_none()) {
            let defaults = names.defaults(session, project_id).await?;
            let unset = wanted.iter().filter(|(_, limit)| limit.is_none());
            for (name, _) in unset {
                let default = defaults.get(*name).cloned().unwrap_or(Value::from(-1));
                set.insert((*name).to_owned(), default);
            }
        }
        for (name, limit) in &wanted {
            if let Some(limit) = limit {
                set.insert((*name).to_owned(), Value::from(*limit));
            }
        }
        names.put(session, project_id, set).await?;
    }
    Ok(())
}

impl Names {
    fn path<'a>(&self, project_id: &'a str) -> Vec<&'a str> {
        match self.service {
            Service::Neutron => vec!["v2.0", "quotas", project_id],
            _ => vec!["os-quota-sets", project_id],
        }
    }

    /// Also below what is used, which Nova and a Neutron of 2025 or later refuse unless they are forced, and
    /// an older Neutron never refuses but does not know the word.
    async fn put(
        &self,
        session: &Session,
        project_id: &str,
        mut limits: Map<String, Value>,
    ) -> Result<(), ServiceError> {
        let path = self.path(project_id);
        let ask = |limits: &Map<String, Value>| {
            let body = json!({self.wrapper: limits});
            let path = &path;
            async move {
                session
                    .ask(self.service, Method::PUT, path, Some(&body))
                    .await
            }
        };
        let force = |limits: &mut Map<String, Value>| {
            limits.insert("force".to_owned(), Value::from(true));
        };
        if self.service == Service::Nova {
            force(&mut limits);
        }
        let done = match ask(&limits).await {
            Err(ServiceError::Status { status, .. })
                if status == StatusCode::BAD_REQUEST && self.service == Service::Neutron =>
            {
                force(&mut limits);
                ask(&limits).await
            }
            done => done,
        };
        done.map(drop)
    }

    async fn used(&self, session: &Session, project_id: &str) -> Result<Value, ServiceError> {
        let mut path = self.path(project_id);
        let mut query: &[_] = &[];
        match self.service {
            Service::Nova => path.push("detail"),
            Service::Neutron => path.push("details"),
            _ => query = &[("usage", "True")],
        }
        self.get(session, &path, query).await
    }

    async fn defaults(&self, session: &Session, project_id: &str) -> Result<Value, ServiceError> {
        let mut path = self.path(project_id);
        path.push(match self.service {
            Service::Neutron => "default",
            _ => "defaults",
        });
        self.get(session, &path, &[]).await
    }

    async fn get(
        &self,
        session: &Session,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, ServiceError> {
        let asked = session.ask_about(self.service, Method::GET, path, query, None);
        let mut answer = asked.await?;
        Ok(answer
            .get_mut(self.wrapper)
            .map(Value::take)
            .unwrap_or_default())
    }
}
