//! What versions of their APIs this cloud's services have, as their version documents say to anybody:
//! keystoneauth reads the same to find out what it can ask for.

use std::time::Duration;

use alliance_core::descriptor::ApiVersion;
use alliance_core::label::clean;
use reqwest::header::{ACCEPT, LOCATION};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use crate::transport::{TransportError, client};

/// For one document, redirects included.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest document that is read, in bytes.
const LONGEST: usize = 64 << 10;
/// How often a document may be somewhere else.
const REDIRECTS: usize = 3;
/// Most versions that are told of one API; Glance has about twenty.
const MOST: usize = 40;
/// Longest id, status or microversion, in characters.
const LONGEST_WORD: usize = 32;

/// Why the versions of an API are not known.
#[derive(Debug, thiserror::Error)]
pub enum NoVersions {
    /// No HTTP client can be made.
    #[error(transparent)]
    Setup(#[from] TransportError),
    /// No connection, or it broke.
    #[error("{0} was not reached")]
    Unreachable(Url, #[source] reqwest::Error),
    /// No answer in time.
    #[error("{0} did not answer in time")]
    TimedOut(Url),
    /// Somewhere else, on another host.
    #[error("{0} leads elsewhere")]
    Elsewhere(Url),
    /// Not a version document.
    #[error("{0} has no version document: {1}")]
    None(Url, String),
}

/// Where an API has its version document: the endpoint's URL up to the version or the project in it.
pub fn root(endpoint: &str) -> Option<Url> {
    let mut url = Url::parse(endpoint).ok()?;
    let before: Vec<String> = url
        .path_segments()?
        .take_while(|segment| !is_versioned(segment))
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned)
        .collect();
    url.set_query(None);
    url.set_fragment(None);
    // Never fails: it has segments.
    url.path_segments_mut()
        .ok()?
        .clear()
        .extend(before)
        .push("");
    Some(url)
}

fn is_versioned(segment: &str) -> bool {
    let version = segment.strip_prefix('v');
    version.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        || segment.contains("%(")
        || segment.contains("$(")
}

/// Asks for the version document at `root`, without a token.
///
/// # Errors
/// See [`NoVersions`].
pub async fn read(root: &Url) -> Result<Vec<ApiVersion>, NoVersions> {
    let reading = timeout(DEADLINE, fetch(root)).await;
    let document = reading.map_err(|_| NoVersions::TimedOut(root.clone()))??;
    let versions = understand(&document)
        .ok_or_else(|| NoVersions::None(root.clone(), "no versions in it".to_owned()))?;
    Ok(versions)
}

async fn fetch(root: &Url) -> Result<Value, NoVersions> {
    let unreachable = |error| NoVersions::Unreachable(root.clone(), error);
    let client = client(root, None)?;
    let mut url = root.clone();
    for _ in 0..=REDIRECTS {
        let request = client.get(url.clone()).header(ACCEPT, "application/json");
        let response = request.send().await.map_err(unreachable)?;
        // 300 is what most have: a choice of versions.
        match response.status() {
            StatusCode::OK | StatusCode::MULTIPLE_CHOICES => {
                let body = body(response, root).await?;
                return serde_json::from_slice(&body)
                    .map_err(|_| NoVersions::None(root.clone(), "no JSON".to_owned()));
            }
            status if status.is_redirection() => {
                let location = response.headers().get(LOCATION);
                let next = location.and_then(|location| url.join(location.to_str().ok()?).ok());
                let next = next.filter(|next| next.origin() == root.origin());
                url = next.ok_or_else(|| NoVersions::Elsewhere(root.clone()))?;
            }
            status => return Err(NoVersions::None(root.clone(), format!("status {status}"))),
        }
    }
    Err(NoVersions::Elsewhere(root.clone()))
}

async fn body(mut response: Response, root: &Url) -> Result<Vec<u8>, NoVersions> {
    let mut body = Vec::new();
    let unreachable = |error| NoVersions::Unreachable(root.clone(), error);
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > LONGEST {
            let why = format!("more than {LONGEST} bytes");
            return Err(NoVersions::None(root.clone(), why));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// `{"versions": […]}`, Keystone's `{"versions": {"values": […]}}`, or the only one,
/// `{"version": {…}}`. In a stable order.
fn understand(document: &Value) -> Option<Vec<ApiVersion>> {
    let all = match document.get("versions") {
        Some(Value::Array(versions)) => versions.as_slice(),
        Some(versions) => versions.get("values")?.as_array()?.as_slice(),
        None => std::slice::from_ref(document.get("version")?),
    };
    let mut versions: Vec<_> = all.iter().filter_map(version).take(MOST).collect();
    versions.sort();
    versions.dedup();
    Some(versions)
}

fn version(entry: &Value) -> Option<ApiVersion> {
    #[derive(Deserialize)]
    struct Entry {
        id: String,
        status: String,
        #[serde(default)]
        min_version: Option<String>,
        #[serde(default)]
        max_version: Option<String>,
        #[serde(default)]
        version: Option<String>,
    }
    let word = |text: String| clean(&text, LONGEST_WORD);
    // APIs without microversions have these empty.
    let some = |text: Option<String>| text.filter(|text| !text.is_empty()).map(word);
    let entry = Entry::deserialize(entry).ok()?;
    Some(ApiVersion {
        id: word(entry.id),
        status: word(entry.status),
        min: some(entry.min_version),
        max: some(entry.max_version.or(entry.version)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_document_is_before_the_version_and_the_project() {
        for (endpoint, expected) in [
            ("https://k/identity/v3", "https://k/identity/"),
            ("http://h:8776/v3/%(project_id)s", "http://h:8776/"),
            ("http://h:8774/v2.1", "http://h:8774/"),
            ("http://h:8004/v1/$(tenant_id)s", "http://h:8004/"),
            ("http://h/swift/%(project_id)s", "http://h/swift/"),
            ("http://h/volume/", "http://h/volume/"),
            ("http://h:9696", "http://h:9696/"),
            ("http://h/placement?x#y", "http://h/placement/"),
            ("http://h/vpn", "http://h/vpn/"),
        ] {
            let found = root(endpoint).map(|url| url.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{endpoint}");
        }
        assert_eq!(root("image"), None);
        assert_eq!(root("mailto:image"), None);
    }

    #[test]
    fn documents_of_all_services_are_understood() {
        let nova = json!({"versions": [
            {"id": "v2.0", "status": "SUPPORTED", "version": "", "min_version": "", "links": []},
            {"id": "v2.1", "status": "CURRENT", "version": "2.100", "min_version": "2.1"},
        ]});
        let keystone = json!({"versions": {"values": [{"id": "v3.14", "status": "stable"}]}});
        let one = json!({"version": {"id": "v2.0", "status": "CURRENT"}});
        let placement = json!({"versions": [
            {"id": "v1.0", "status": "CURRENT", "min_version": "1.0", "max_version": "1.39"}]});
        let shown = |document| {
            let versions = understand(&document)?;
            let shown = versions.iter().map(|version| {
                let ApiVersion {
                    id,
                    status,
                    min,
                    max,
                } = version;
                format!("{id} {status} {min:?} {max:?}")
            });
            Some(shown.collect::<Vec<_>>().join("; "))
        };
        let expected =
            r#"v2.0 SUPPORTED None None; v2.1 CURRENT Some("2.1") Some("2.100")"#.to_owned();
        assert_eq!(shown(nova), Some(expected));
        assert_eq!(shown(keystone), Some("v3.14 stable None None".to_owned()));
        assert_eq!(shown(one), Some("v2.0 CURRENT None None".to_owned()));
        let expected = r#"v1.0 CURRENT Some("1.0") Some("1.39")"#.to_owned();
        assert_eq!(shown(placement), Some(expected));
        for none in [
            json!({}),
            json!([]),
            json!({"versions": 7}),
            json!("versions"),
        ] {
            assert_eq!(shown(none), None);
        }
    }

    #[test]
    fn what_a_document_says_drives_no_terminal_and_has_an_end() {
        let odd = json!({"id": "v\u{1b}[2J", "status": "x".repeat(1000)});
        let document = json!({"versions": vec![odd; 1000]});
        let versions = understand(&document).unwrap();
        assert_eq!(versions.len(), 1);
        assert_eq!(versions[0].id, "v\u{fffd}[2J");
        assert!(versions[0].status.chars().count() <= LONGEST_WORD);
        let many: Vec<_> = (0..1000)
            .map(|n| json!({"id": format!("v{n}"), "status": "CURRENT"}))
            .collect();
        assert_eq!(understand(&json!({"versions": many})).unwrap().len(), MOST);
    }
}
