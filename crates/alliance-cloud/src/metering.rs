//! What there is in this cloud, of all projects: Nova's servers, Cinder's volumes and snapshots,
//! Glance's images, Neutron's floating IPs. Only reads.

use std::time::Duration;

use alliance_core::usage::{Fact, Kind, Millis, Resource, Size, time};
use jiff::Timestamp;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

/// How many are listed at once.
const PAGE: &str = "500";
/// Longest page, in bytes.
const LONGEST: usize = 32 << 20;
/// How many pages there are at most: a service that lists for ever is not believed.
const MOST_PAGES: usize = 10_000;
const NOVA: &str = "Nova";
const CINDER: &str = "Cinder";
/// What catalogs call the service of volumes.
const VOLUMES: &[&str] = &["block-storage", "volumev3", "block-store"];
/// From this version on Nova tells a server's flavor itself.
const COMPUTE: &str = "compute 2.47";

/// As whom the services are read.
#[derive(Debug, Clone)]
pub struct Access {
    /// Keystone's URL, with `/v3`.
    pub auth_url: Url,
    /// An application credential's id.
    pub credential_id: String,
    /// Its secret.
    pub credential_secret: SecretString,
    /// The region to read.
    pub region: String,
    /// Which endpoints are asked.
    pub interface: String,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Why a service was not read.
#[derive(Debug, thiserror::Error)]
pub enum MeteringError {
    /// No answer.
    #[error("{service} was not reached")]
    Unreachable {
        /// Which service.
        service: &'static str,
        /// Why.
        source: reqwest::Error,
    },
    /// It refuses, or fails.
    #[error("{service} answered {status} to {request}")]
    Status {
        /// Which service.
        service: &'static str,
        /// What was asked.
        request: String,
        /// What it answered.
        status: StatusCode,
    },
    /// It says something else than its API does.
    #[error("{service} answered {request} with something that its API does not know: {found}")]
    Unexpected {
        /// Which service.
        service: &'static str,
        /// What was asked.
        request: String,
        /// What was found.
        found: String,
    },
}

/// A resource as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Which.
    pub resource: Resource,
    /// Its project's id here.
    pub project_id: String,
    /// What is said of it.
    pub fact: Fact,
}

/// A login, and the endpoints that came with it.
#[derive(Debug)]
pub struct Reader {
    http: Client,
    keystone: String,
    token: SecretString,
    catalog: Vec<(String, Url)>,
}

#[derive(Deserialize)]
struct Login {
    token: LoginToken,
}

#[derive(Deserialize)]
struct LoginToken {
    #[serde(default)]
    catalog: Vec<CatalogService>,
}

#[derive(Deserialize)]
struct CatalogService {
    #[serde(rename = "type")]
    kind: String,
    endpoints: Vec<CatalogEndpoint>,
}

#[derive(Deserialize)]
struct CatalogEndpoint {
    interface: String,
    region_id: Option<String>,
    url: String,
}

impl Access {
    /// Logs in.
    ///
    /// # Errors
    /// See [`MeteringError`].
    pub async fn log_in(&self) -> Result<Reader, MeteringError> {
        let keystone = "Keystone";
        let unreachable = |source| MeteringError::Unreachable {
            service: keystone,
            source,
        };
        // An error means that another part of this program has installed one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(self.timeout)
            .user_agent(concat!("alliance/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(unreachable)?;
        let body = json!({"auth": {"identity": {
            "methods": ["application_credential"],
            "application_credential": {
                "id": self.credential_id,
                "secret": self.credential_secret.expose_secret(),
            },
        }}});
        let base = self.auth_url.as_str().trim_end_matches('/');
        let request = http.post(format!("{base}/auth/tokens")).json(&body);
        let response = request.send().await.map_err(unreachable)?;
        let asked = "POST /v3/auth/tokens";
        if response.status() != StatusCode::CREATED {
            return Err(MeteringError::Status {
                service: keystone,
                request: asked.to_owned(),
                status: response.status(),
            });
        }
        let unexpected = |found: String| MeteringError::Unexpected {
            service: keystone,
            request: asked.to_owned(),
            found,
        };
        let token = response.headers().get("x-subject-token");
        let token = token.and_then(|value| value.to_str().ok().map(str::to_owned));
        let token = token.ok_or_else(|| unexpected("no X-Subject-Token".to_owned()))?;
        let login: Login = response.json().await.map_err(unreachable)?;
        let mut catalog = Vec::new();
        for service in login.token.catalog {
            let endpoint = service.endpoints.into_iter().find(|endpoint| {
                endpoint.interface == self.interface
                    && endpoint.region_id.as_deref() == Some(&self.region)
            });
            if let Some(endpoint) = endpoint {
                let url = Url::parse(&endpoint.url)
                    .map_err(|error| unexpected(format!("the URL of {}: {error}", service.kind)))?;
                catalog.push((service.kind, url));
            }
        }
        Ok(Reader {
            http,
            keystone: base.to_owned(),
            token: SecretString::from(token),
            catalog,
        })
    }
}

/// What is listed.
struct Listing<'a> {
    service: &'static str,
    kinds: &'a [&'a str],
    path: &'a str,
    list: &'a str,
    query: &'a [(&'a str, &'a str)],
}

impl Reader {
    /// All that is there of one kind, as of `at`. `None` if this region has no such service.
    ///
    /// # Errors
    /// See [`MeteringError`]. Nothing may be concluded from what a listing lacks then.
    pub async fn list(
        &self,
        kind: Kind,
        at: Millis,
    ) -> Result<Option<Vec<Sighting>>, MeteringError> {
        let all = [("all_tenants", "1")];
        let listing = match kind {
            Kind::Server => Listing {
                service: NOVA,
                kinds: &["compute"],
                path: "servers/detail",
                list: "servers",
                query: &all,
            },
            Kind::Volume => Listing {
                service: CINDER,
                kinds: VOLUMES,
                path: "volumes/detail",
                list: "volumes",
                query: &all,
            },
            Kind::Snapshot => Listing {
                service: CINDER,
                kinds: VOLUMES,
                path: "snapshots/detail",
                list: "snapshots",
                query: &all,
            },
            Kind::Image => Listing {
                service: "Glance",
                kinds: &["image"],
                path: "v2/images",
                list: "images",
                query: &[("visibility", "all")],
            },
            Kind::FloatingIp => Listing {
                service: "Neutron",
                kinds: &["network"],
                path: "v2.0/floatingips",
                list: "floatingips",
                query: &[],
            },
        };
        let Some(items) = self.items(&listing).await? else {
            return Ok(None);
        };
        let seen = items.iter().filter_map(|item| sighting(kind, item, at));
        Ok(Some(seen.collect()))
    }

    /// Servers that were deleted since then, of which Nova knows when.
    ///
    /// # Errors
    /// See [`MeteringError`].
    pub async fn deleted_servers(
        &self,
        since: Timestamp,
        at: Millis,
    ) -> Result<Vec<Sighting>, MeteringError> {
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let listing = Listing {
            service: NOVA,
            kinds: &["compute"],
            path: "servers/detail",
            list: "servers",
            query: &[
                ("all_tenants", "1"),
                ("deleted", "true"),
                ("changes-since", &since),
            ],
        };
        let items = self.items(&listing).await?.unwrap_or_default();
        let seen = items
            .iter()
            .filter_map(|item| sighting(Kind::Server, item, at));
        Ok(seen.filter(|one| one.fact.ended.is_some()).collect())
    }

    /// The id at home of a partner's user; `None` if it is no partner's.
    ///
    /// # Errors
    /// See [`MeteringError`].
    pub async fn home_user(&self, user_id: &str) -> Result<Option<String>, MeteringError> {
        let users = Listing {
            service: "Keystone",
            kinds: &[],
            path: "users",
            list: "user",
            query: &[],
        };
        let mut url = Url::parse(&self.keystone)
            .map_err(|error| users.unexpected(format!("its own URL: {error}")))?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(["users", user_id]);
        }
        let found = match self.page(&users, url).await {
            Ok(found) => found,
            // It was deleted; what it made is still there.
            Err(MeteringError::Status {
                status: StatusCode::NOT_FOUND,
                ..
            }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let home = found.pointer("/user/federated/0/protocols/0/unique_id");
        Ok(home.and_then(Value::as_str).map(str::to_owned))
    }

    async fn items(&self, listing: &Listing<'_>) -> Result<Option<Vec<Value>>, MeteringError> {
        let found = self
            .catalog
            .iter()
            .find(|(kind, _)| listing.kinds.contains(&kind.as_str()));
        let Some((_, base)) = found else {
            return Ok(None);
        };
        let mut items: Vec<Value> = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut url = base.clone();
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty().extend(listing.path.split('/'));
            }
            {
                let mut query = url.query_pairs_mut();
                query.extend_pairs(listing.query).append_pair("limit", PAGE);
                if let Some(last) = items.last().and_then(|item| item.get("id")) {
                    query.append_pair("marker", last.as_str().unwrap_or_default());
                }
            }
            let mut page = self.page(listing, url).await?;
            match page.get_mut(listing.list).map(Value::take) {
                // No page but an empty one is surely the last: a service may list fewer than asked for.
                Some(Value::Array(next)) if next.is_empty() => return Ok(Some(items)),
                Some(Value::Array(next)) => items.extend(next),
                _ => {
                    let found = format!("no list of {}", listing.list);
                    return Err(listing.unexpected(found));
                }
            }
        }
        Err(listing.unexpected("a list without an end".to_owned()))
    }

    async fn page(&self, listing: &Listing<'_>, url: Url) -> Result<Value, MeteringError> {
        let unreachable = |source| MeteringError::Unreachable {
            service: listing.service,
            source,
        };
        let request = self
            .http
            .get(url)
            .header("x-auth-token", self.token.expose_secret());
        // Cinder refuses a request that names another service's version.
        let request = match listing.service {
            NOVA => request.header("openstack-api-version", COMPUTE),
            _ => request,
        };
        let mut response = request.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(MeteringError::Status {
                service: listing.service,
                request: format!("GET {}", listing.path),
                status: response.status(),
            });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > LONGEST {
                return Err(listing.unexpected(format!("more than {LONGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|error| listing.unexpected(error.to_string()))
    }
}

impl Listing<'_> {
    fn unexpected(&self, found: String) -> MeteringError {
        MeteringError::Unexpected {
            service: self.service,
            request: format!("GET {}", self.path),
            found,
        }
    }
}

/// What one item of a listing says; `None` if it belongs to nobody.
fn sighting(kind: Kind, item: &Value, at: Millis) -> Option<Sighting> {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_u64);
    let when = |name: &str| text(name).and_then(time);
    let (project, began, ended, size) = match kind {
        Kind::Server => {
            let began = when("OS-SRV-USG:launched_at");
            let flavor = item.get("flavor");
            let size = flavor.and_then(|flavor| {
                let disk = number(flavor, "disk")? + number(flavor, "ephemeral").unwrap_or(0);
                Some(Size::of_server(
                    flavor.get("original_name")?.as_str()?,
                    number(flavor, "vcpus")?,
                    number(flavor, "ram")?,
                    disk,
                ))
            });
            let ended = when("OS-SRV-USG:terminated_at");
            (text("tenant_id"), began, ended, began.and(size))
        }
        Kind::Volume => (
            text("os-vol-tenant-attr:tenant_id"),
            when("created_at"),
            None,
            made(text("status")).and(number(item, "size").map(Size::of_volume)),
        ),
        Kind::Snapshot => (
            text("os-extended-snapshot-attributes:project_id"),
            when("created_at"),
            None,
            made(text("status")).and(number(item, "size").map(Size::of_volume)),
        ),
        Kind::Image => (
            text("owner"),
            when("created_at"),
            None,
            number(item, "size").map(Size::of_image),
        ),
        Kind::FloatingIp => (
            text("project_id").or_else(|| text("tenant_id")),
            when("created_at"),
            None,
            Some(Size::default()),
        ),
    };
    Some(Sighting {
        resource: Resource {
            kind,
            id: text("id")?.to_owned(),
        },
        project_id: project?.to_owned(),
        fact: Fact {
            at,
            began,
            ended,
            size,
            user_id: text("user_id").map(str::to_owned),
        },
    })
}

/// A volume that was never made is billed to nobody.
fn made(status: Option<&str>) -> Option<()> {
    (!matches!(status, None | Some("creating" | "error"))).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHT: Millis = 1_795_852_800_000;

    #[test]
    fn a_server_says_when_it_was_launched_and_ended() {
        let mut server = json!({
            "id": "s", "tenant_id": "p", "user_id": "u", "status": "ACTIVE",
            "flavor": {"original_name": "m1", "vcpus": 2, "ram": 64, "disk": 1, "ephemeral": 1},
            "OS-SRV-USG:launched_at": "2026-11-28T08:00:00.000000",
            "OS-SRV-USG:terminated_at": null,
        });
        let fact = |item: &Value| sighting(Kind::Server, item, 7).map(|one| one.fact);
        let expected = Fact {
            at: 7,
            began: Some(EIGHT),
            ended: None,
            size: Some(Size::of_server("m1", 2, 64, 2)),
            user_id: Some("u".into()),
        };
        assert_eq!(fact(&server), Some(expected.clone()));
        server["OS-SRV-USG:terminated_at"] = json!("2026-11-28T08:00:01.000000");
        let ended = fact(&server).and_then(|fact| fact.ended);
        assert_eq!(ended, Some(EIGHT + 1000));
        server["OS-SRV-USG:launched_at"] = Value::Null;
        assert_eq!(fact(&server).and_then(|fact| fact.size), None);
    }

    #[test]
    fn a_volume_that_was_not_made_has_no_size() {
        let volume = |status: &str| {
            let item = json!({
                "id": "v", "size": 2, "status": status, "os-vol-tenant-attr:tenant_id": "p",
                "created_at": "2026-11-28T08:00:00.000000",
            });
            sighting(Kind::Volume, &item, 7).and_then(|one| one.fact.size)
        };
        assert_eq!(volume("in-use"), Some(Size::of_volume(2)));
        assert_eq!(volume("error_deleting"), Some(Size::of_volume(2)));
        assert_eq!(volume("creating").or(volume("error")), None);
    }
}
