//! The Keystone of a cloud without Alliance: what may differ there, and what it must not get.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alliance_cloud::keystone::{Keystone, KeystoneError, Password, ProjectQuery, Reads, Settings};
use alliance_cloud::transport::TransportError;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const R: &str = "req-1a2b3c4d-0000-4000-8000-000000000000";
const NOT_FOUND: &str = r#"{"error": {"code": 404, "title": "Not Found", "message": "No."}}"#;

/// What a Keystone does, and what it was asked.
struct Script {
    password: String,
    /// The status of a login for the whole system.
    system: StatusCode,
    /// The same for the project.
    project: StatusCode,
    /// Whether the project is enabled.
    enabled: bool,
    /// The answer to `GET /v3`.
    version: String,
    /// Whether tokens that were issued before count.
    tokens_count: bool,
    /// The token about which it knows something.
    knows: &'static str,
    asked: Vec<String>,
}

struct Double {
    script: Arc<Mutex<Script>>,
    settings: Settings,
    password_file: PathBuf,
    _folder: TempDir,
}

impl Double {
    async fn serve() -> Self {
        let script = Arc::new(Mutex::new(Script {
            password: "one".to_owned(),
            system: StatusCode::CREATED,
            project: StatusCode::CREATED,
            enabled: true,
            version: r#"{"version": {"id": "v3.6", "status": "stable"}}"#.to_owned(),
            tokens_count: true,
            knows: "project-token",
            asked: Vec::new(),
        }));
        let router = Router::new().fallback(play).with_state(Arc::clone(&script));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let password_file = folder.path().join("password");
        let settings = Settings {
            auth_url: format!("http://{address}/v3").parse().unwrap(),
            ca_file: None,
            username: "alliance".to_owned(),
            password: Password::File(password_file.clone()),
            user_domain_name: "Default".to_owned(),
            project_name: "service".to_owned(),
            project_domain_name: "Default".to_owned(),
            reads: Reads::ByAnything,
            region: None,
            interface: "public".to_owned(),
            timeout: Duration::from_secs(5),
        };
        let double = Self {
            script,
            settings,
            password_file,
            _folder: folder,
        };
        double.write_password("one");
        double
    }

    fn write_password(&self, password: &str) {
        fs::write(&self.password_file, format!("{password}\n")).unwrap();
        fs::set_permissions(&self.password_file, Permissions::from_mode(0o600)).unwrap();
    }

    fn keystone(&self) -> Keystone {
        Keystone::new(self.settings.clone()).unwrap()
    }

    fn play(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    fn asked(&self, what: &str) -> usize {
        let script = self.script.lock().unwrap();
        script.asked.iter().filter(|asked| *asked == what).count()
    }
}

async fn play(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let mut script = script.lock().unwrap();
    let token = parts.headers.get("x-auth-token").cloned();
    let token = token.map(|token| token.to_str().unwrap().to_owned());
    if parts.method == Method::POST {
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let scope = &body["auth"]["scope"];
        let scope = match scope.as_str() {
            Some(word) => word.to_owned(),
            None => scope.as_object().unwrap().keys().next().unwrap().clone(),
        };
        script.asked.push(format!("log in to {scope}"));
        if body["auth"]["identity"]["password"]["user"]["password"] != script.password.as_str() {
            return answer(StatusCode::UNAUTHORIZED, NOT_FOUND);
        }
        if scope == "system" && script.system != StatusCode::CREATED {
            return answer(script.system, NOT_FOUND);
        }
        if scope == "project" && script.project != StatusCode::CREATED {
            return answer(script.project, NOT_FOUND);
        }
        script.tokens_count = true;
        let mut response = answer(StatusCode::CREATED, TOKEN);
        let token = format!("{scope}-token").parse().unwrap();
        response.headers_mut().insert("x-subject-token", token);
        return response;
    }
    let path = parts.uri.path().to_owned();
    if path == "/v3" {
        return answer(StatusCode::OK, script.version.clone());
    }
    let token = token.unwrap();
    script.asked.push(format!("{path} by {token}"));
    if !script.tokens_count {
        // As Keystone does it: who asks about a token that has ended is told that, whoever asks.
        return match path.as_str() {
            "/v3/auth/tokens" => answer(StatusCode::NOT_FOUND, NOT_FOUND),
            _ => answer(StatusCode::UNAUTHORIZED, NOT_FOUND),
        };
    }
    match path.as_str() {
        "/v3/auth/tokens" if parts.headers["x-subject-token"] == script.knows => {
            answer(StatusCode::OK, TOKEN)
        }
        "/v3/projects" => answer(
            StatusCode::OK,
            r#"{"projects": [{"id": "p", "name": "science", "domain_id": "d", "enabled": true}]}"#,
        ),
        "/v3/auth/projects" => answer(
            StatusCode::OK,
            format!(
                r#"{{"projects": [{{"id": "s", "name": "service", "domain_id": "d", "enabled": {}}}]}}"#,
                script.enabled
            ),
        ),
        "/v3/domains/d" => answer(
            StatusCode::OK,
            r#"{"domain": {"id": "d", "name": "D", "enabled": true}}"#,
        ),
        _ => answer(StatusCode::NOT_FOUND, NOT_FOUND),
    }
}

const TOKEN: &str = r#"{"token": {"user": {"id": "u", "name": "alliance", "domain": {"id": "d", "name": "D"}},
    "roles": [{"id": "r", "name": "service"}], "methods": ["password"], "audit_ids": ["a"],
    "issued_at": "2026-11-24T22:00:00.000000Z", "expires_at": "2026-11-24T23:00:00.000000Z"}}"#;

fn answer(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
}

#[tokio::test]
async fn the_service_user_logs_in_and_learns_its_roles() {
    let double = Double::serve().await;
    let keystone = double.keystone();
    assert_eq!(keystone.version(R).await, Ok("v3.6".to_owned()));
    let roles = keystone.service_roles(R).await;
    assert_eq!(roles, Ok(["service".to_owned()].into()));
}

#[tokio::test]
async fn a_password_that_changed_in_its_file_is_used_at_the_next_login() {
    let double = Double::serve().await;
    let keystone = double.keystone();
    keystone.service_roles(R).await.unwrap();
    double.play(|script| {
        script.password = "two".to_owned();
        script.tokens_count = false;
    });
    double.write_password("two");
    let roles = keystone.service_roles(R).await;
    assert_eq!(roles, Ok(["service".to_owned()].into()));
}

#[tokio::test]
async fn a_password_that_is_wrong_or_open_to_everybody_names_its_file() {
    let double = Double::serve().await;
    double.write_password("wrong");
    let error = double.keystone().service_roles(R).await.unwrap_err();
    assert!(
        matches!(error, KeystoneError::WrongCredentials { .. }),
        "{error}"
    );
    let file = double.password_file.display().to_string();
    assert!(error.to_string().contains(&file), "{error}");

    fs::set_permissions(&double.password_file, Permissions::from_mode(0o644)).unwrap();
    let error = double.keystone().service_roles(R).await.unwrap_err();
    assert!(error.to_string().contains("chmod o="), "{error}");
    assert!(error.to_string().contains(&file), "{error}");
}

#[tokio::test]
async fn a_project_that_is_disabled_is_told_from_a_role_that_is_missing() {
    let double = Double::serve().await;
    double.play(|script| script.project = StatusCode::UNAUTHORIZED);
    let error = double.keystone().service_roles(R).await.unwrap_err();
    assert!(
        matches!(error, KeystoneError::MissingRole { .. }),
        "{error}"
    );
    double.play(|script| script.enabled = false);
    let error = double.keystone().service_roles(R).await.unwrap_err();
    let mend = r#"openstack project set --enable --domain "Default" "service""#;
    assert!(error.to_string().contains(mend), "{error}");
}

#[tokio::test]
async fn what_is_no_keystone_of_version_3_is_told_from_one() {
    let double = Double::serve().await;
    for other in [
        r#"{"version": {"id": "v2.0"}}"#,
        r#"{"version": {"id": "v30"}}"#,
        r#"{"versions": {"values": []}}"#,
        "<html>It works!</html>",
    ] {
        double.play(|script| script.version = other.to_owned());
        let error = double.keystone().version(R).await.unwrap_err();
        assert!(
            matches!(
                error,
                KeystoneError::Transport(TransportError::Unexpected { .. })
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn who_is_no_reader_of_the_system_reads_by_its_project() {
    let by_name = ProjectQuery::Name {
        name: "science",
        domain: None,
    };
    // A user without the role, and a Keystone that knows no such scope.
    for refusal in [StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST] {
        let double = Double::serve().await;
        double.play(|script| script.system = refusal);
        let keystone = double.keystone();
        for _ in 0..3 {
            let found = keystone.projects(by_name, R).await.unwrap();
            assert_eq!(found.len(), 1);
        }
        assert_eq!(double.asked("/v3/projects by project-token"), 3);
        assert_eq!(double.asked("log in to system"), 1);
    }
    let double = Double::serve().await;
    double.keystone().projects(by_name, R).await.unwrap();
    assert_eq!(double.asked("/v3/projects by system-token"), 1);

    let own = Settings {
        reads: Reads::BySystem,
        ..double.settings.clone()
    };
    double.play(|script| script.system = StatusCode::UNAUTHORIZED);
    let refused = Keystone::new(own).unwrap().projects(by_name, R).await;
    assert!(
        matches!(refused, Err(KeystoneError::MissingRole { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_keystone_that_knows_anothers_tokens_is_the_same() {
    let (one, other) = (Double::serve().await, Double::serve().await);
    let shares = async || {
        let (ours, theirs) = (one.keystone(), other.keystone());
        ours.shares_tokens_with(&theirs, R).await
    };
    assert_eq!(shares().await, Ok(true));
    one.play(|script| script.knows = "another-token");
    assert_eq!(shares().await, Ok(false));
}

/// An authority, and what a server shows that it vouches for.
fn authority() -> (String, ServerConfig) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let server = server.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], key)
        .unwrap();
    (authority.pem(), config)
}

/// Answers each connection's first request as a Keystone of version 3 does `GET /v3`.
async fn serve_tls(config: ServerConfig) -> String {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(connection).await else {
                continue;
            };
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let body = r#"{"version": {"id": "v3.14"}}"#;
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    format!("https://{address}/v3")
}

#[tokio::test]
async fn an_https_keystone_is_believed_by_the_authorities_in_the_file_as_of_now() {
    // An error means that another test has installed one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (pem, config) = authority();
    let (other_pem, _) = authority();
    let url = serve_tls(config).await;
    let double = Double::serve().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authorities.pem");
    let keystone = Keystone::new(Settings {
        auth_url: url.parse().unwrap(),
        ca_file: Some(file.clone()),
        ..double.settings.clone()
    })
    .unwrap();
    let refused = async || keystone.version(R).await.unwrap_err().to_string();

    assert!(refused().await.contains("cannot be read"));
    fs::write(&file, "").unwrap();
    assert!(refused().await.contains("no PEM certificate"));
    fs::write(&file, other_pem).unwrap();
    assert!(refused().await.contains("was not reached"));
    fs::write(&file, format!("the new one\n{pem}")).unwrap();
    assert_eq!(keystone.version(R).await, Ok("v3.14".to_owned()));
}
