//! The admin who prepares what the tests need, by plain HTTP.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alliance_cloud::keystone::{Keystone, Reads, Settings};
use alliance_cloud::operator::Operator;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

pub(crate) struct Admin {
    client: Client,
    url: String,
    token: String,
}

/// A user with a password.
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
}

const PASSWORD: &str = "correct horse";

/// A name that nobody else has.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!(
        "{prefix}-{:x}-{}",
        since.as_micros(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

pub(crate) fn operator() -> Operator {
    Operator::from_env(std::env::vars()).unwrap()
}

impl Admin {
    pub(crate) async fn new() -> Self {
        // Installs the TLS provider that every client here needs.
        let _ = operator();
        let env = |name: &str| std::env::var(name).expect(name);
        let mut admin = Self {
            client: Client::builder().no_proxy().build().unwrap(),
            url: env("OS_AUTH_URL"),
            token: String::new(),
        };
        let user = json!({"name": env("OS_USERNAME"), "password": env("OS_PASSWORD"),
            "domain": {"name": env("OS_USER_DOMAIN_NAME")}});
        admin.token = admin
            .log_in(user, json!({"system": {"all": true}}))
            .await
            .unwrap();
        admin
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        request = request.header("X-Auth-Token", &self.token);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn put(&self, path: &str, body: Value) {
        let (status, answer) = self.ask(Method::PUT, path, body).await;
        assert!(status.is_success(), "PUT {path}: {status} {answer}");
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) {
        let (status, answer) = self.ask(Method::PATCH, path, body).await;
        assert!(status.is_success(), "PATCH {path}: {status} {answer}");
    }

    pub(crate) async fn delete(&self, path: &str) -> StatusCode {
        self.ask(Method::DELETE, path, Value::Null).await.0
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let (status, answer) = self.ask(Method::GET, path, Value::Null).await;
        status.is_success().then_some(answer)
    }

    /// The new thing's id.
    pub(crate) async fn make(&self, kind: &str, body: Value) -> String {
        let (status, answer) = self
            .ask(Method::POST, &format!("/{kind}s"), json!({kind: body}))
            .await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        answer[kind]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn user(&self) -> User {
        let name = unique("user");
        let body = json!({"name": name, "password": PASSWORD, "domain_id": "default"});
        User {
            id: self.make("user", body).await,
            name,
        }
    }

    pub(crate) async fn project(&self, name: &str) -> String {
        self.make("project", json!({"name": name, "domain_id": "default"}))
            .await
    }

    pub(crate) async fn role_id(&self, name: &str) -> String {
        let found = self.get(&format!("/roles?name={name}")).await.unwrap();
        found["roles"][0]["id"].as_str().unwrap().to_owned()
    }

    /// `target` is `projects/ID` or `system`.
    pub(crate) async fn grant(&self, target: &str, user_id: &str, role: &str) {
        let role = self.role_id(role).await;
        self.put(
            &format!("/{target}/users/{user_id}/roles/{role}"),
            Value::Null,
        )
        .await;
    }

    async fn log_in(&self, user: Value, scope: Value) -> Option<String> {
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}});
        let url = format!("{}/auth/tokens", self.url);
        let answer = self.client.post(url).json(&body).send().await.unwrap();
        Some(
            answer
                .headers()
                .get("X-Subject-Token")?
                .to_str()
                .unwrap()
                .to_owned(),
        )
    }

    pub(crate) async fn token(&self, user: &User, scope: Value) -> String {
        let user = json!({"id": user.id, "password": PASSWORD});
        self.log_in(user, scope).await.unwrap()
    }

    /// A daemon's user as the manual asks for it: `service` on its project, `reader` on the system.
    pub(crate) async fn daemon(&self) -> (User, Settings) {
        let user = self.user().await;
        let project_name = unique("service");
        let project = self.project(&project_name).await;
        self.grant(&format!("projects/{project}"), &user.id, "service")
            .await;
        self.grant("system", &user.id, "reader").await;
        let settings = Settings {
            auth_url: self.url.parse().unwrap(),
            ca_file: None,
            username: user.name.clone(),
            password: PASSWORD.into(),
            user_domain_name: "Default".to_owned(),
            project_name,
            project_domain_name: "Default".to_owned(),
            reads: Reads::BySystem,
            region: None,
            interface: "public".to_owned(),
            timeout: Duration::from_secs(20),
        };
        (user, settings)
    }

    pub(crate) async fn keystone(&self) -> Keystone {
        Keystone::new(self.daemon().await.1).unwrap()
    }
}
