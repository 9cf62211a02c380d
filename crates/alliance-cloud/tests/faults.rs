//! What a real Keystone does not do on demand: failing, hanging, talking nonsense, and forgetting
//! its own tokens.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alliance_cloud::keystone::{Keystone, KeystoneError, Reads, Settings, UserGrants, Validation};
use alliance_cloud::transport::TransportError;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response, StatusCode};

const R: &str = "req-00000000-0000-0000-0000-000000000000";
const NOT_FOUND: &str = r#"{"error": {"code": 404, "message": "no", "title": "Not Found"}}"#;

/// A stand-in for Keystone that counts logins.
struct Double {
    settings: Settings,
    logins: Arc<AtomicUsize>,
}

impl Double {
    /// `answer` answers all but logins, whose tokens live for `life` and are called `own-1`, ….
    async fn new<F>(
        life: Duration,
        answer: impl Fn(Request) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let logins = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&logins);
        Self::serve(logins, move |request: Request| {
            let (answer, count) = (answer.clone(), Arc::clone(&count));
            async move {
                if request.method() == Method::POST {
                    let n = count.fetch_add(1, Ordering::SeqCst) + 1;
                    // Long enough for others to arrive meanwhile.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    login(n, life)
                } else {
                    answer(request).await
                }
            }
        })
        .await
    }

    async fn serve<F>(
        logins: Arc<AtomicUsize>,
        answer: impl Fn(Request) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            settings: Settings {
                auth_url: format!("http://{address}/identity").parse().unwrap(),
                ca_file: None,
                username: "alliance".to_owned(),
                password: "secret".into(),
                user_domain_name: "Default".to_owned(),
                project_name: "service".to_owned(),
                project_domain_name: "Default".to_owned(),
                reads: Reads::BySystem,
                region: None,
                interface: "public".to_owned(),
                timeout: Duration::from_millis(500),
            },
            logins,
        }
    }

    fn keystone(&self) -> Arc<Keystone> {
        Arc::new(Keystone::new(self.settings.clone()).unwrap())
    }

    fn logins(&self) -> usize {
        self.logins.load(Ordering::SeqCst)
    }
}

fn answer(status: u16, body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(body.into())
        .unwrap()
}

fn login(n: usize, life: Duration) -> Response<Body> {
    let issued = jiff::Timestamp::UNIX_EPOCH;
    let body = format!(
        r#"{{"token": {{"user": {{"id": "u", "name": "alliance", "domain": {{"id": "d", "name": "D"}}}},
        "methods": ["password"], "audit_ids": ["a"], "issued_at": "{issued}", "expires_at": "{}"}}}}"#,
        issued + life
    );
    let mut response = answer(201, body);
    response
        .headers_mut()
        .insert("x-subject-token", format!("own-{n}").parse().unwrap());
    response
}

fn own_token(request: &Request) -> String {
    request.headers()["x-auth-token"]
        .to_str()
        .unwrap()
        .to_owned()
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_question_carries_the_token_the_request_id_and_the_subject() {
    let double = Double::new(HOUR, async |request: Request| {
        let headers = request.headers();
        let right = request.uri() == "/identity/v3/auth/tokens?allow_expired=1&nocatalog=1"
            && headers["x-auth-token"] == "own-1"
            && headers["x-subject-token"] == "subject"
            && headers["x-openstack-request-id"] == R;
        answer(if right { 404 } else { 400 }, NOT_FOUND)
    })
    .await;
    assert_eq!(
        double.keystone().validate("subject", R).await,
        Ok(Validation::Unknown)
    );
}

#[tokio::test]
async fn how_far_keystones_clock_is_from_ours_is_known_while_it_says_what_time_it_is() {
    let ahead = Arc::new(AtomicUsize::new(45));
    let by = Arc::clone(&ahead);
    let double = Double::new(HOUR, move |_| {
        let date = jiff::Timestamp::now() + Duration::from_secs(by.load(Ordering::SeqCst) as u64);
        async move {
            let mut answer = answer(404, NOT_FOUND);
            let date =
                jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date);
            answer
                .headers_mut()
                .insert("date", date.unwrap().parse().unwrap());
            answer
        }
    })
    .await;
    let keystone = double.keystone();
    assert_eq!(keystone.clock(), None);
    for seconds in [45, 0] {
        ahead.store(seconds, Ordering::SeqCst);
        assert!(keystone.own_roles(R).await.is_err());
        let clock = keystone.clock().unwrap();
        let error = clock.ahead - seconds as f64;
        assert!(error.abs() <= clock.within, "{seconds} s: {clock:?}");
    }
}

#[tokio::test]
async fn failures_are_told_apart_and_none_makes_a_token_unknown() {
    type Kind = fn(&TransportError) -> bool;
    let failed: Kind = |e| matches!(e, TransportError::Failed { .. });
    let unexpected: Kind = |e| matches!(e, TransportError::Unexpected { .. });
    let huge: &'static str = "x".repeat(300 << 10).leak();
    let cases: [(u16, &'static str, Kind); 10] = [
        (500, "", failed),
        (502, NOT_FOUND, failed),
        (503, "<html>", failed),
        (429, "", failed),
        (200, "", unexpected),
        (200, r#"{"token": {}}"#, unexpected),
        (200, huge, unexpected),
        (404, "<html>no such page", unexpected),
        (302, "", unexpected),
        (400, NOT_FOUND, unexpected),
    ];
    for (status, body, expected) in cases {
        let double = Double::new(HOUR, move |_| async move { answer(status, body) }).await;
        let keystone = double.keystone();
        let error = keystone.validate("subject", R).await.unwrap_err();
        let KeystoneError::Transport(kind) = &error else {
            unreachable!("{status}: {error}");
        };
        assert!(expected(kind), "{status}: {error}");
        assert!(keystone.ring("ring~x", R).await.is_err(), "{status}");
        assert!(
            keystone.grants("u", Some("p"), R).await.is_err(),
            "{status}"
        );
        assert!(keystone.catalog(R, &[]).await.is_err(), "{status}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn a_keystone_that_hangs_costs_the_deadline_and_no_more() {
    let forever = async |_: Request| std::future::pending::<Response<Body>>().await;
    let in_questions = Double::new(HOUR, forever).await;
    let in_logins = Double::serve(Arc::default(), forever).await;
    let trickle = Double::new(HOUR, async |_: Request| {
        let (mut writer, reader) = tokio::io::duplex(1);
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            let _ = writer.write_all(b"{").await;
            std::future::pending::<()>().await;
            drop(writer);
        });
        let stream = futures_util::stream::unfold(reader, async |mut reader| {
            use tokio::io::AsyncReadExt;
            let byte = reader.read_u8().await.ok()?;
            Some((Ok::<_, std::io::Error>(vec![byte]), reader))
        });
        answer(200, Body::from_stream(stream))
    })
    .await;
    for double in [in_questions, in_logins, trickle] {
        let keystone = double.keystone();
        let since = Instant::now();
        // All at once: those that wait for another's login have a deadline of their own.
        let (a, b, c) = tokio::join!(
            keystone.validate("subject", R),
            keystone.grants("u", Some("p"), R),
            keystone.ring("ring~x", R),
        );
        for error in [a.unwrap_err(), b.unwrap_err(), c.unwrap_err()] {
            let timed_out = KeystoneError::Transport(TransportError::TimedOut {
                url: String::new(),
                request: String::new(),
                limit: Duration::ZERO,
            });
            assert_eq!(variant(&error), variant(&timed_out), "{error}");
        }
        assert!(
            since.elapsed() < Duration::from_millis(900),
            "{:?}",
            since.elapsed()
        );
    }
}

fn variant(error: &KeystoneError) -> Option<std::mem::Discriminant<TransportError>> {
    match error {
        KeystoneError::Transport(error) => Some(std::mem::discriminant(error)),
        _ => None,
    }
}

#[tokio::test]
async fn a_keystone_that_is_not_there_is_unreachable() {
    let double = Double::new(HOUR, async |_: Request| answer(404, NOT_FOUND)).await;
    let settings = Settings {
        auth_url: "http://127.0.0.1:1".parse().unwrap(),
        ..double.settings
    };
    let error = Keystone::new(settings)
        .unwrap()
        .validate("subject", R)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            KeystoneError::Transport(TransportError::Unreachable { .. })
        ),
        "{error}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn many_questions_at_once_log_in_once() {
    let double = Double::new(HOUR, async |_: Request| answer(404, NOT_FOUND)).await;
    let keystone = double.keystone();
    let mut questions = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let keystone = Arc::clone(&keystone);
        questions.spawn(async move { keystone.validate("subject", R).await });
    }
    for answer in questions.join_all().await {
        assert_eq!(answer, Ok(Validation::Unknown));
    }
    assert_eq!(double.logins(), 1);
    assert_eq!(keystone.grants("u", None, R).await, Ok(UserGrants::None));
    assert_eq!(double.logins(), 2, "the other scope has a token of its own");
}

#[tokio::test]
async fn a_token_that_keystone_forgot_is_replaced_once() {
    let double = Double::new(HOUR, async |request: Request| {
        let known = own_token(&request) != "own-1";
        answer(if known { 404 } else { 401 }, NOT_FOUND)
    })
    .await;
    let keystone = double.keystone();
    let mut questions = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let keystone = Arc::clone(&keystone);
        questions.spawn(async move { keystone.validate("subject", R).await });
    }
    for answer in questions.join_all().await {
        assert_eq!(answer, Ok(Validation::Unknown));
    }
    assert_eq!(double.logins(), 2);

    let never = Double::new(HOUR, async |_: Request| answer(401, NOT_FOUND)).await;
    let error = never.keystone().validate("subject", R).await.unwrap_err();
    assert!(error.to_string().contains("just issued"), "{error}");
    assert_eq!(never.logins(), 2);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let double = Double::new(Duration::from_secs(1), async |_: Request| {
        answer(404, NOT_FOUND)
    })
    .await;
    let keystone = double.keystone();
    keystone.ring("ring~x", R).await.unwrap();
    keystone.ring("ring~x", R).await.unwrap();
    assert_eq!(double.logins(), 1);
    tokio::time::sleep(Duration::from_millis(800)).await;
    keystone.ring("ring~x", R).await.unwrap();
    assert_eq!(double.logins(), 2);
}

#[tokio::test]
async fn while_a_token_is_good_a_failing_renewal_harms_nobody() {
    let logins = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&logins);
    let double = Double::serve(logins, move |request: Request| {
        let count = Arc::clone(&count);
        async move {
            match (
                request.method() == Method::POST,
                count.load(Ordering::SeqCst),
            ) {
                (true, 0) => {
                    count.fetch_add(1, Ordering::SeqCst);
                    login(1, Duration::from_secs(2))
                }
                (true, _) => {
                    count.fetch_add(1, Ordering::SeqCst);
                    answer(500, "")
                }
                (false, _) => answer(404, NOT_FOUND),
            }
        }
    })
    .await;
    let keystone = double.keystone();
    keystone.ring("ring~x", R).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1600)).await;
    for _ in 0..3 {
        keystone.ring("ring~x", R).await.unwrap();
    }
    assert_eq!(
        double.logins(),
        2,
        "and it is not tried again at every question"
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    keystone.ring("ring~x", R).await.unwrap_err();
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_at_every_question() {
    let logins = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&logins);
    let double = Double::serve(logins, move |_: Request| {
        count.fetch_add(1, Ordering::SeqCst);
        async { answer(401, r#"{"error": {"message": "The password is expired."}}"#) }
    })
    .await;
    let keystone = double.keystone();
    for _ in 0..5 {
        let error = keystone.ring("ring~x", R).await.unwrap_err();
        assert!(
            matches!(error, KeystoneError::WrongCredentials { .. }),
            "{error}"
        );
        let told = error.to_string();
        assert!(told.contains("The password is expired."), "{error}");
        assert!(
            told.contains(double.settings.auth_url.as_str()),
            "which Keystone: {error}"
        );
    }
    assert_eq!(double.logins(), 2, "once with the scope, once without");
}

#[tokio::test]
async fn a_right_that_we_lack_is_an_error_and_a_broken_trust_is_none() {
    let forbidden = |message: &'static str| {
        Double::new(HOUR, move |_: Request| async move {
            answer(403, format!(r#"{{"error": {{"message": "{message}"}}}}"#))
        })
    };
    let ours = "You are not authorized to perform the requested action: identity:validate_token.";
    let error = forbidden(ours)
        .await
        .keystone()
        .validate("subject", R)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            KeystoneError::MissingRole {
                role: "service",
                ..
            }
        ),
        "{error}"
    );
    let theirs = "You are not authorized to perform the requested action.";
    let double = forbidden(theirs).await;
    assert_eq!(
        double.keystone().validate("subject", R).await,
        Ok(Validation::Unknown)
    );
}

#[tokio::test]
async fn half_a_catalog_is_no_catalog() {
    let double = Double::new(HOUR, async |request: Request| {
        let kind = request.uri().path().rsplit('/').next().unwrap().to_owned();
        answer(
            StatusCode::OK.as_u16(),
            format!(r#"{{"{kind}": [], "truncated": true}}"#),
        )
    })
    .await;
    let error = double.keystone().catalog(R, &[]).await.unwrap_err();
    assert!(error.to_string().contains("list_limit"), "{error}");
}
