//! HTTP to one Keystone: deadlines, bounded answers, no redirects, no proxies.

use std::error::Error;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use std::{fmt, fs, io};

use alliance_core::label::clean;
use alliance_trace::within;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Method, Response, StatusCode, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// Longest answer about one thing, in bytes.
pub(crate) const SMALL: usize = 256 << 10;
/// Longest answer that lists things, in bytes.
pub(crate) const LARGE: usize = 4 << 20;

/// Unused connections are closed before the usual servers close them (gunicorn: 2 s), so that a
/// question rarely meets a dead one.
const IDLE: Duration = Duration::from_millis(1500);
const IDLE_CONNECTIONS: usize = 32;
/// Longest text of Keystone's that is shown, in characters.
const SHOWN: usize = 200;

/// What may stand in paths of Keystone's that is no data.
const WORDS: [&str; 19] = [
    "OS-FEDERATION",
    "OS-REVOKE",
    "auth",
    "domains",
    "endpoints",
    "events",
    "groups",
    "identity_providers",
    "inherited",
    "projects",
    "protocols",
    "regions",
    "role_assignments",
    "role_inferences",
    "roles",
    "services",
    "system",
    "tokens",
    "users",
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// Why there is no usable answer from Keystone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No HTTP client can be made.
    #[error("no HTTP client for {url}: {reason}")]
    Setup {
        /// Keystone's URL.
        url: String,
        /// Why.
        reason: String,
    },
    /// No connection, or it broke.
    #[error("Keystone at {url} was not reached: {reason}; is it running, and is the URL right?")]
    Unreachable {
        /// Keystone's URL.
        url: String,
        /// Why.
        reason: String,
    },
    /// No answer in time.
    #[error(
        "Keystone at {url} did not answer {request} within {} s; is it overloaded?",
        .limit.as_secs_f32()
    )]
    TimedOut {
        /// Keystone's URL.
        url: String,
        /// What was asked.
        request: String,
        /// How long the question was allowed to take.
        limit: Duration,
    },
    /// Keystone failed (5xx), or has too much to do (429).
    #[error("Keystone failed at {request} with status {status}; look in its log for {trace}")]
    Failed {
        /// What was asked.
        request: String,
        /// HTTP status.
        status: u16,
        /// Keystone's request id.
        trace: String,
    },
    /// Keystone answered something that its API does not know.
    #[error(
        "the answer to {request} is not what Keystone's API says: {found}; is auth_url that of a Keystone?"
    )]
    Unexpected {
        /// What was asked.
        request: String,
        /// What was found.
        found: String,
    },
}

impl TransportError {
    /// What it is, in a word.
    fn kind(&self) -> &'static str {
        match self {
            Self::Setup { .. } => "setup",
            Self::Unreachable { .. } => "unreachable",
            Self::TimedOut { .. } => "timed_out",
            Self::Failed { .. } => "failed",
            Self::Unexpected { .. } => "unexpected",
        }
    }
}

/// By when a question must be answered, everything included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    pub(crate) fn after(limit: Duration) -> Self {
        Self {
            at: Instant::now() + limit,
            limit,
        }
    }
}

/// One request. Not `Debug`: the body of a login holds a password.
#[derive(Clone)]
pub(crate) struct Question<'a> {
    method: Method,
    path: Vec<&'a str>,
    query: Vec<(&'a str, &'a str)>,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    limit: usize,
}

impl<'a> Question<'a> {
    /// `path` is below `/v3`, one entry for each segment.
    pub(crate) fn new(method: Method, path: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            method,
            path: path.into_iter().collect(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            limit: SMALL,
        }
    }

    pub(crate) fn get(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Expects a list.
    pub(crate) fn list(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            limit: LARGE,
            ..Self::get(path)
        }
    }

    pub(crate) fn query(mut self, name: &'a str, value: &'a str) -> Self {
        self.query.push((name, value));
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn request_id(mut self, request_id: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(request_id) {
            self.headers.insert(REQUEST_ID, value);
        }
        self
    }

    pub(crate) fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Some(body.to_string().into_bytes());
        self
    }
}

impl Question<'_> {
    /// The path, without what is data in it.
    fn template(&self) -> String {
        let parts = self.path.iter().map(|part| match WORDS.contains(part) {
            true => part,
            false => "{id}",
        });
        let parts = std::iter::once("/v3").chain(parts);
        parts.collect::<Vec<_>>().join("/")
    }
}

/// `GET /v3/users/…`; ids are in it, secrets never.
impl fmt::Display for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} /v3/{}", self.method, self.path.join("/"))
    }
}

/// Keystone, as an HTTP server.
#[derive(Debug)]
pub(crate) struct Http {
    client: Source,
    base: Url,
}

/// Where the HTTP client comes from.
#[derive(Debug)]
enum Source {
    /// It is there, once and for all.
    Fixed(Client),
    /// It is made when first needed, and anew when the file with its authorities is another one.
    Authorities {
        file: PathBuf,
        last: Mutex<Option<(Stamp, Client)>>,
    },
}

/// What tells a file from a newer one.
type Stamp = (SystemTime, u64, u64);

impl Http {
    /// `auth_url` is Keystone's, with or without `/v3`. `ca_pem` are the only authorities to trust
    /// if given, otherwise the platform's are.
    pub(crate) fn new(auth_url: &Url, ca_pem: Option<&[u8]>) -> Result<Self, TransportError> {
        let base = require_http(base(auth_url))?;
        let client = Source::Fixed(client(&base, ca_pem)?);
        Ok(Self { client, base })
    }

    /// The same with the only authorities to trust in a PEM file, which is read when it is needed
    /// and may be missing until then.
    pub(crate) fn with_ca_file(auth_url: &Url, file: &Path) -> Result<Self, TransportError> {
        Ok(Self {
            client: Source::Authorities {
                file: file.to_owned(),
                last: Mutex::default(),
            },
            base: require_http(base(auth_url))?,
        })
    }

    fn client(&self) -> Result<Client, TransportError> {
        let (file, last) = match &self.client {
            Source::Fixed(client) => return Ok(client.clone()),
            Source::Authorities { file, last } => (file, last),
        };
        let unreadable = |error: io::Error| {
            let file = file.display();
            setup(
                &self.base,
                format!("the authorities in {file} cannot be read: {error}"),
            )
        };
        let metadata = fs::metadata(file).map_err(unreadable)?;
        let modified = metadata.modified().map_err(unreadable)?;
        let stamp = (modified, metadata.ino(), metadata.len());
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = last.as_ref().filter(|(of, _)| *of == stamp) {
            return Ok(client.clone());
        }
        let pem = fs::read(file).map_err(unreadable)?;
        let client = client(&self.base, Some(&pem))?;
        *last = Some((stamp, client.clone()));
        Ok(client)
    }

    /// Asks. A status below 500 other than 429 is an answer.
    pub(crate) async fn ask(
        &self,
        mut question: Question<'_>,
        deadline: Deadline,
    ) -> Result<Answer, TransportError> {
        let name = || format!("{} {}", question.method, question.template());
        let span = alliance_trace::call(name);
        if let Some(span) = &span {
            span.note("http.request.method", question.method.to_string());
            span.note("url.template", question.template());
            if let Some(host) = self.base.host_str() {
                span.note("server.address", host.to_owned());
            }
            span.write(&mut question.headers);
        }
        let asking = async {
            let answer = self.ask_within(question, deadline).await;
            if let Err(error) = &answer {
                alliance_trace::fail(error.kind());
            }
            answer
        };
        within(span, asking).await
    }

    async fn ask_within(
        &self,
        question: Question<'_>,
        deadline: Deadline,
    ) -> Result<Answer, TransportError> {
        let request = question.to_string();
        let answer = timeout_at(deadline.at, self.exchange(&question, &request)).await;
        let answer = answer.map_err(|_| self.timed_out(request, deadline))??;
        tracing::debug!(
            request = answer.request,
            status = answer.status.as_u16(),
            trace = answer.trace,
            "Keystone answered"
        );
        alliance_trace::note("http.response.status_code", answer.status.as_u16());
        alliance_trace::note("openstack.request_id", answer.trace.clone());
        if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(TransportError::Failed {
                request: answer.request,
                status: answer.status.as_u16(),
                trace: answer.trace,
            });
        }
        Ok(answer)
    }

    /// The error of a question that had to stop.
    pub(crate) fn timed_out(&self, request: String, deadline: Deadline) -> TransportError {
        TransportError::TimedOut {
            url: self.base.to_string(),
            request,
            limit: deadline.limit,
        }
    }

    async fn exchange(
        &self,
        question: &Question<'_>,
        request: &str,
    ) -> Result<Answer, TransportError> {
        let client = self.client()?;
        let first = self.send(&client, question).await;
        // A connection that the server was just closing says nothing about the server.
        let again = question.method == Method::GET
            && first
                .as_ref()
                .is_err_and(|e| e.is_request() && !e.is_connect());
        let sent = if again {
            self.send(&client, question).await
        } else {
            first
        };
        let mut response = sent.map_err(|e| self.unreachable(&e))?;
        let mut answer = Answer {
            request: request.to_owned(),
            status: response.status(),
            trace: trace(&response),
            headers: std::mem::take(response.headers_mut()),
            body: Vec::new(),
        };
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if answer.body.len() + chunk.len() > question.limit {
                let found = format!("more than {} bytes", question.limit);
                return Err(answer.unexpected(found));
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    async fn send(
        &self,
        client: &Client,
        question: &Question<'_>,
    ) -> Result<Response, reqwest::Error> {
        let mut url = self.base.clone();
        // Never fails: `new` has refused what cannot be a base.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&question.path);
        }
        let mut request = client
            .request(question.method.clone(), url)
            .headers(question.headers.clone());
        if !question.query.is_empty() {
            request = request.query(&question.query);
        }
        if let Some(body) = &question.body {
            request = request
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(body.clone());
        }
        request.send().await
    }

    fn unreachable(&self, error: &reqwest::Error) -> TransportError {
        TransportError::Unreachable {
            url: self.base.to_string(),
            reason: causes(error),
        }
    }
}

/// What Keystone answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    request: String,
    trace: String,
    body: Vec<u8>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    message: String,
}

impl Answer {
    /// The body.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, TransportError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| self.unexpected(clean(&error.to_string(), SHOWN)))
    }

    /// Keystone's own words for why not; none if this is no error of Keystone's.
    pub(crate) fn said(&self) -> Option<String> {
        let body: ErrorBody = serde_json::from_slice(&self.body).ok()?;
        Some(clean(&body.error.message, SHOWN))
    }

    /// Whether Keystone, and not some other web server, says that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.said().is_some()
    }

    /// What was asked.
    pub(crate) fn request(&self) -> &str {
        &self.request
    }

    /// The error that says so.
    pub(crate) fn unexpected(&self, found: String) -> TransportError {
        TransportError::Unexpected {
            request: self.request.clone(),
            found,
        }
    }

    /// The error for a status that this question does not have.
    pub(crate) fn unexpected_status(&self) -> TransportError {
        let said = self.said().map(|said| format!(": {said}"));
        self.unexpected(format!(
            "status {}{}",
            self.status.as_u16(),
            said.unwrap_or_default()
        ))
    }
}

fn base(auth_url: &Url) -> Url {
    let mut url = auth_url.clone();
    // Both fail only for URLs without a host, which `Http::new` refuses.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    if !path.ends_with("/v3")
        && let Ok(mut segments) = url.path_segments_mut()
    {
        segments.pop_if_empty().push("v3");
    }
    url
}

/// A client that sends nothing anywhere else. `ca_pem` are the only authorities to trust if given,
/// otherwise the platform's are.
pub(crate) fn client(base: &Url, ca_pem: Option<&[u8]>) -> Result<Client, TransportError> {
    // An error means that another part of this program has installed one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("alliance/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS);
    if let Some(pem) = ca_pem {
        let authorities = Certificate::from_pem_bundle(pem).map_err(|e| setup(base, causes(&e)))?;
        if authorities.is_empty() {
            let reason = "there is no PEM certificate among the authorities";
            return Err(setup(base, reason.to_owned()));
        }
        builder = builder.tls_certs_only(authorities);
    } else if base.scheme() == "http" {
        // Nothing is verified, so a machine without authorities will do.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|e| setup(base, causes(&e)))
}

fn require_http(base: Url) -> Result<Url, TransportError> {
    if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
        return Err(setup(&base, "expected an http or https URL".to_owned()));
    }
    Ok(base)
}

fn setup(base: &Url, reason: String) -> TransportError {
    TransportError::Setup {
        url: base.to_string(),
        reason,
    }
}

fn trace(response: &Response) -> String {
    let id = response.headers().get(REQUEST_ID);
    id.and_then(|id| id.to_str().ok()).map_or_else(
        || "the request without an id".to_owned(),
        |id| clean(id, 64),
    )
}

/// Why a request failed, without the URL, which the caller shows.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    match error.source() {
        Some(source) => innermost(source).to_string(),
        // It says no more than "client error".
        None if error.is_builder() => "cannot be set up".to_owned(),
        None => "the connection broke".to_owned(),
    }
}

/// The cause of all causes: it says most.
pub(crate) fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_nothing_of_what_is_asked_about() {
        let of = |path: &[&'static str]| Question::get(path.iter().copied()).template();
        assert_eq!(of(&["auth", "tokens"]), "/v3/auth/tokens");
        assert_eq!(of(&["users", "ann"]), "/v3/users/{id}");
        assert_eq!(of(&[]), "/v3");
    }

    #[test]
    fn any_usual_spelling_of_the_url_leads_to_v3() {
        for (given, expected) in [
            ("http://k:5000", "http://k:5000/v3"),
            ("http://k:5000/", "http://k:5000/v3"),
            ("http://k:5000/v3/", "http://k:5000/v3"),
            ("https://k/identity", "https://k/identity/v3"),
            (
                "https://user:secret@k/identity/v3?x#y",
                "https://k/identity/v3",
            ),
        ] {
            assert_eq!(base(&given.parse().unwrap()).as_str(), expected);
        }
        assert!(Http::new(&"ftp://k/v3".parse().unwrap(), None).is_err());
        assert!(Http::new(&"mailto:k".parse().unwrap(), None).is_err());
    }
}
