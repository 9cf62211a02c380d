//! The services of this cloud, as `alliance work` uses them: a login, the endpoints that came with it,
//! and requests that end.

use std::fmt;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
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
/// Longest explanation that is kept of a refusal, in characters.
const MOST_SAID: usize = 300;
/// From this version on Nova tells a server's flavor itself.
const COMPUTE: &str = "compute 2.47";
const IMAGE_PATCH: &str = "application/openstack-images-v2.1-json-patch";

/// One of OpenStack's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Identity.
    Keystone,
    /// Servers.
    Nova,
    /// Volumes.
    Cinder,
    /// Images.
    Glance,
    /// Networks.
    Neutron,
}

impl Service {
    /// What catalogs call it.
    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Keystone => &["identity"],
            Self::Nova => &["compute"],
            Self::Cinder => &["block-storage", "volumev3", "block-store"],
            Self::Glance => &["image"],
            Self::Neutron => &["network"],
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, out)
    }
}

/// As whom the services are used.
#[derive(Debug, Clone)]
pub struct Access {
    /// Keystone's URL, with `/v3`.
    pub auth_url: Url,
    /// An application credential's id.
    pub credential_id: String,
    /// Its secret.
    pub credential_secret: SecretString,
    /// The region whose services are meant.
    pub region: String,
    /// Which endpoints are asked.
    pub interface: String,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Why a service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No answer.
    #[error("{service} was not reached")]
    Unreachable {
        /// Which service.
        service: Service,
        /// Why.
        source: reqwest::Error,
    },
    /// It refuses, or fails.
    #[error("{service} answered {status} to {request}{}", said(.message))]
    Status {
        /// Which service.
        service: Service,
        /// What was asked: method and path.
        request: String,
        /// What it answered.
        status: StatusCode,
        /// Why, in its own words; may be empty.
        message: String,
    },
    /// It says something else than its API does.
    #[error("{service} answered {request} with something that its API does not know: {found}")]
    Unexpected {
        /// Which service.
        service: Service,
        /// What was asked: method and path.
        request: String,
        /// What was found.
        found: String,
    },
    /// This region's catalog has no such service.
    #[error("{0} has no endpoint in this region")]
    Absent(Service),
}

fn said(message: &str) -> String {
    match message {
        "" => String::new(),
        message => format!(": {message}"),
    }
}

impl ServiceError {
    /// Whether what was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// What it answered, if that was a refusal.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the same question may be answered later: the service is not reached, fails, or has too
    /// much to do.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Unexpected { .. } | Self::Absent(_) => false,
        }
    }
}

/// What a service answered about something; `None` if that is not there.
pub(crate) fn found<T>(answer: Result<T, ServiceError>) -> Result<Option<T>, ServiceError> {
    match answer {
        Err(error) if error.is_not_found() => Ok(None),
        answer => answer.map(Some),
    }
}

/// A login, and the endpoints that came with it.
#[derive(Debug)]
pub struct Session {
    http: Client,
    keystone: Url,
    token: SecretString,
    user_id: String,
    catalog: Vec<(String, Url)>,
}

#[derive(Deserialize)]
struct Login {
    token: LoginToken,
}

#[derive(Deserialize)]
struct LoginToken {
    user: LoginUser,
    #[serde(default)]
    catalog: Vec<CatalogService>,
}

#[derive(Deserialize)]
struct LoginUser {
    id: String,
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
    /// See [`ServiceError`].
    pub async fn log_in(&self) -> Result<Session, ServiceError> {
        let body = json!({"auth": {"identity": {
            "methods": ["application_credential"],
            "application_credential": {
                "id": self.credential_id,
                "secret": self.credential_secret.expose_secret(),
            },
        }}});
        self.log_in_by(&body).await
    }

    /// Logs the credential's user in to another project, by its password.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn log_in_to(
        &self,
        project_id: &str,
        user_id: &str,
        password: &SecretString,
    ) -> Result<Session, ServiceError> {
        let body = json!({"auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"id": user_id, "password": password.expose_secret()}},
            },
            "scope": {"project": {"id": project_id}},
        }});
        self.log_in_by(&body).await
    }

    async fn log_in_by(&self, body: &Value) -> Result<Session, ServiceError> {
        let service = Service::Keystone;
        let unreachable = |source| ServiceError::Unreachable { service, source };
        // An error means that another part of this program has installed one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(self.timeout)
            .user_agent(concat!("alliance/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(unreachable)?;
        let asked = Asked {
            service,
            method: Method::POST,
            path: &["auth", "tokens"],
        };
        let request = http.post(below(&self.auth_url, asked.path)).json(body);
        let response = asked.answer(request).await?;
        let token = response.headers().get("x-subject-token");
        let token = token.and_then(|value| value.to_str().ok().map(str::to_owned));
        let token = token.ok_or_else(|| asked.unexpected("no X-Subject-Token".to_owned()))?;
        let login: Login = response.json().await.map_err(unreachable)?;
        let mut catalog = Vec::new();
        for found in login.token.catalog {
            let endpoint = found.endpoints.into_iter().find(|endpoint| {
                endpoint.interface == self.interface
                    && endpoint.region_id.as_deref() == Some(&self.region)
            });
            if let Some(endpoint) = endpoint {
                let url = Url::parse(&endpoint.url).map_err(|error| {
                    asked.unexpected(format!("the URL of {}: {error}", found.kind))
                })?;
                catalog.push((found.kind, url));
            }
        }
        Ok(Session {
            http,
            keystone: self.auth_url.clone(),
            token: SecretString::from(token),
            user_id: login.token.user.id,
            catalog,
        })
    }
}

impl Session {
    /// Who is logged in.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// Whether this region has such a service.
    pub fn has(&self, service: Service) -> bool {
        self.base(service).is_ok()
    }

    /// All items of a listing, page by page: what `list` names in each answer.
    ///
    /// # Errors
    /// See [`ServiceError`]. Nothing may be concluded from what a listing lacks then.
    pub async fn list(
        &self,
        service: Service,
        path: &[&str],
        list: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<Value>, ServiceError> {
        let asked = Asked {
            service,
            method: Method::GET,
            path,
        };
        let base = below(self.base(service)?, path);
        let mut items: Vec<Value> = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut url = base.clone();
            {
                let mut pairs = url.query_pairs_mut();
                pairs.extend_pairs(query).append_pair("limit", PAGE);
                if let Some(last) = items.last().and_then(|item| item.get("id")) {
                    pairs.append_pair("marker", last.as_str().unwrap_or_default());
                }
            }
            let mut page = self.send(&asked, url, None).await?;
            match page.get_mut(list).map(Value::take) {
                // No page but an empty one is surely the last: a service may list fewer than asked for.
                // One that knows no pages says the same again.
                Some(Value::Array(next)) if next.is_empty() || next.first() == items.first() => {
                    return Ok(items);
                }
                Some(Value::Array(next)) => items.extend(next),
                _ => return Err(asked.unexpected(format!("no list of {list}"))),
            }
        }
        Err(asked.unexpected("a list without an end".to_owned()))
    }

    /// One request. The answer is JSON, or null if there is none.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn ask(
        &self,
        service: Service,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Value, ServiceError> {
        self.ask_about(service, method, path, &[], body).await
    }

    /// One request with a query.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn ask_about(
        &self,
        service: Service,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ServiceError> {
        let mut url = below(self.base(service)?, path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let asked = Asked {
            service,
            method,
            path,
        };
        self.send(&asked, url, body).await
    }

    fn base(&self, service: Service) -> Result<&Url, ServiceError> {
        if service == Service::Keystone {
            return Ok(&self.keystone);
        }
        let found = self
            .catalog
            .iter()
            .find(|(kind, _)| service.types().contains(&kind.as_str()));
        let (_, url) = found.ok_or(ServiceError::Absent(service))?;
        Ok(url)
    }

    async fn send(
        &self,
        asked: &Asked<'_>,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Value, ServiceError> {
        let service = asked.service;
        let mut request = self
            .http
            .request(asked.method.clone(), url)
            .header("x-auth-token", self.token.expose_secret());
        if let Some(body) = body {
            // Glance takes changes as JSON patches of its own type.
            if asked.method == Method::PATCH && service == Service::Glance {
                request = request.header(CONTENT_TYPE, IMAGE_PATCH);
            }
            request = request.json(body);
        }
        // Cinder refuses a request that names another service's version.
        if service == Service::Nova {
            request = request.header("openstack-api-version", COMPUTE);
        }
        let mut response = asked.answer(request).await?;
        let mut body = Vec::new();
        let unreachable = |source| ServiceError::Unreachable { service, source };
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > LONGEST {
                return Err(asked.unexpected(format!("more than {LONGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| asked.unexpected(error.to_string()))
    }
}

/// What a service was asked.
struct Asked<'a> {
    service: Service,
    method: Method,
    path: &'a [&'a str],
}

impl Asked<'_> {
    fn request(&self) -> String {
        format!("{} {}", self.method, self.path.join("/"))
    }

    fn unexpected(&self, found: String) -> ServiceError {
        ServiceError::Unexpected {
            service: self.service,
            request: self.request(),
            found,
        }
    }

    /// An answer that is a success.
    async fn answer(&self, request: RequestBuilder) -> Result<Response, ServiceError> {
        let service = self.service;
        let unreachable = |source| ServiceError::Unreachable { service, source };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let said = response.chunk().await.ok().flatten().unwrap_or_default();
        Err(ServiceError::Status {
            service,
            request: self.request(),
            status,
            message: explanation(&said),
        })
    }
}

/// What a service says of its refusal: all of them wrap a `message` into one object, under one name or
/// another.
fn explanation(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let within = |value: &Value| value.get("message")?.as_str().map(str::to_owned);
    let said = within(&body).or_else(|| body.as_object()?.values().find_map(within));
    let line = said.unwrap_or_default().replace(char::is_control, " ");
    line.chars().take(MOST_SAID).collect()
}

fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_services_refusal_is_read() {
        for body in [
            r#"{"itemNotFound": {"message": "no such server", "code": 404}}"#,
            r#"{"NeutronError": {"type": "PortNotFound", "message": "no such server"}}"#,
            r#"{"error": {"message": "no such server", "title": "Not Found"}}"#,
            r#"{"message": "no such server"}"#,
        ] {
            assert_eq!(explanation(body.as_bytes()), "no such server");
        }
        for body in ["", "<html>", "[]", r#"{"error": "x"}"#] {
            assert_eq!(explanation(body.as_bytes()), "");
        }
    }

    #[test]
    fn ids_stay_within_their_segment() {
        let base = Url::parse("http://nova/v2.1/").unwrap();
        let url = below(&base, &["servers", "../a?b"]);
        assert_eq!(url.as_str(), "http://nova/v2.1/servers/..%2Fa%3Fb");
    }
}
