use std::sync::Arc;
use std::time::Instant;

use alliance_core::cloud::CloudId;
use alliance_core::partner::{Role, Status};
use alliance_peer::identity::Identity;
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode, header};
use tower::ServiceExt;

use super::operator::tests::ann;
use super::visits::Sign;
use super::*;
use crate::daemon::bed::{Bed, Failure, descriptor};

/// A console at a cloud with a partner, `west`, and somebody who is logged in.
struct Opened {
    bed: Bed,
    console: Arc<Console>,
    router: Router,
    cookie: String,
    west: CloudId,
}

/// An answer.
struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl Opened {
    async fn new() -> Result<Self, Failure> {
        let bed = Bed::new().await?;
        let west = Identity::ephemeral()?;
        let told = descriptor(&west, &west, "https://127.0.0.1:1")?;
        bed.knows("west", told, Role::Both).await?;
        let console = Console::new(Arc::clone(&bed.daemon));
        let cookie = console.visits.begin(ann(), Instant::now());
        Ok(Self {
            router: router(Arc::clone(&console)),
            west: west.cloud_id().clone(),
            bed,
            console,
            cookie,
        })
    }

    fn token(&self) -> String {
        let visit = self
            .console
            .visits
            .find(&self.cookie, Sign::Idle, Instant::now());
        visit.map(|visit| visit.token).unwrap_or_default()
    }

    async fn send(&self, request: Request<Body>) -> Result<Answer, Failure> {
        let answer = self.router.clone().oneshot(request).await?;
        let (head, body) = answer.into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(to_bytes(body, 1 << 20).await?.to_vec())?,
        })
    }

    async fn get(&self, path: &str) -> Result<Answer, Failure> {
        let cookie = format!("__Host-alliance={}", self.cookie);
        let request = Request::get(path).header(header::COOKIE, cookie);
        self.send(request.body(Body::empty())?).await
    }

    async fn post(&self, path: &str, site: &str, form: &str) -> Result<Answer, Failure> {
        let cookie = format!("__Host-alliance={}", self.cookie);
        let request = Request::post(path)
            .header(header::COOKIE, cookie)
            .header("sec-fetch-site", site)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form.to_owned()))?).await
    }

    async fn order(&self, path: &str) -> Result<Answer, Failure> {
        let form = format!("token={}", self.token());
        self.post(path, "same-origin", &form).await
    }

    fn status(&self) -> Option<Status> {
        let partners = self.bed.daemon.directory.partners();
        partners.by_name("west").map(|known| known.partner.status)
    }
}

const PAGES: [&str; 8] = [
    "/",
    "/partners/west",
    "/partners/west/suspend",
    "/partners/west/resume",
    "/sessions",
    "/sign-outs",
    "/work",
    "/audit",
];

#[tokio::test]
async fn nobody_sees_a_page_without_a_login() -> Result<(), Failure> {
    let opened = Opened::new().await?;
    for path in PAGES {
        let answer = opened.send(Request::get(path).body(Body::empty())?).await?;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert!(
            answer.header("location").starts_with("/login?then=%2F"),
            "{path}"
        );
        assert_eq!(answer.body, "", "{path}");
        let answer = opened.get(path).await?;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    }
    let events = opened
        .send(Request::get("/events").body(Body::empty())?)
        .await?;
    assert_eq!(events.status, StatusCode::UNAUTHORIZED);
    Ok(())
}

#[tokio::test]
async fn every_answer_tells_the_browser_what_it_may() -> Result<(), Failure> {
    let opened = Opened::new().await?;
    let assets = [&assets::STYLE, &assets::SCRIPT, &assets::ICON].map(|one| one.path.as_str());
    let others = ["/login", "/begin", "/nowhere", "/sessions/none/end"];
    for path in PAGES.into_iter().chain(assets).chain(others) {
        let answer = opened.get(path).await?;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{path}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        let kept = match path.starts_with("/assets/") {
            true => "public, max-age=31536000, immutable",
            false => "no-store",
        };
        assert_eq!(answer.header("cache-control"), kept, "{path}");
        // The policy would refuse them, and something would be missing.
        let inline = [
            " style=\"",
            " onclick=",
            "<style",
            "<script>",
            "javascript:",
        ];
        assert!(
            !inline.iter().any(|one| answer.body.contains(one)),
            "{path}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_order_of_another_page_or_without_the_visits_token_does_nothing() -> Result<(), Failure>
{
    let opened = Opened::new().await?;
    let path = "/partners/west/suspend";
    let good = format!("token={}", opened.token());
    for (site, form) in [
        ("cross-site", good.as_str()),
        ("same-site", &good),
        ("same-origin", ""),
        ("same-origin", "token=guessed"),
    ] {
        let answer = opened.post(path, site, form).await?;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{site} {form}");
        assert_eq!(opened.status(), Some(Status::Active), "{site} {form}");
    }
    let answer = opened.post(path, "same-origin", &good).await?;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(opened.status(), Some(Status::Suspended));
    Ok(())
}

#[tokio::test]
async fn an_order_is_finished_though_the_browser_goes_away() -> Result<(), Failure> {
    let opened = Opened::new().await?;
    let mut order = Box::pin(opened.order("/partners/west/suspend"));
    // It waits for Keystone then, which does not answer.
    while opened.status() != Some(Status::Suspended) {
        tokio::select! {
            _ = &mut order => return Err("it waited for nobody".into()),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    drop(order);
    let finished = async {
        loop {
            let page = opened.get("/partners/west").await?.body;
            if page.contains("west is suspended") {
                return Ok::<_, Failure>(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), finished).await?
}

#[tokio::test]
async fn who_suspends_and_resumes_is_written_down() -> Result<(), Failure> {
    let opened = Opened::new().await?;
    for (order, said) in [
        ("suspend", "west is suspended"),
        ("resume", "west is active again"),
    ] {
        let answer = opened.order(&format!("/partners/west/{order}")).await?;
        assert_eq!(answer.header("location"), "/partners/west");
        let page = opened.get("/partners/west").await?.body;
        assert!(page.contains(said), "{page}");
        let page = opened.get("/partners/west").await?.body;
        assert!(!page.contains(said), "it is said once");
    }
    let trail = opened.bed.store().audit().list(2).await?;
    let trail: Vec<_> = trail
        .iter()
        .map(|entry| (entry.actor.as_str(), entry.action.as_str()))
        .collect();
    assert_eq!(
        trail,
        [
            ("ann in Default", "partner.active"),
            ("ann in Default", "partner.suspended")
        ]
    );
    let answer = opened.order("/partners/nobody/suspend").await?;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_session_is_ended_after_a_question() -> Result<(), Failure> {
    let opened = Opened::new().await?;
    opened
        .bed
        .receives(&opened.west, ["one".to_owned(), "two".to_owned()])
        .await?;
    let page = opened.get("/sessions").await?.body;
    assert!(page.contains("/sessions/here-one/end"), "{page}");
    let place = |words: &str| {
        page.find(words)
            .ok_or_else(|| format!("no {words}: {page}"))
    };
    let (filter, live) = (place("class=\"filter\"")?, place("id=\"live\"")?);
    assert!(filter < live, "an unsent filter is not taken away");
    let page = opened.get("/sessions?user=user-two").await?.body;
    assert!(!page.contains("/sessions/here-one/end"), "{page}");
    let page = opened.get("/sessions/here-one/end").await?.body;
    assert!(page.contains("user-one"), "{page}");
    assert_eq!(
        opened.bed.ended(),
        Vec::<String>::new(),
        "it was only asked"
    );

    let answer = opened.order("/sessions/here-one/end").await?;
    assert_eq!(answer.header("location"), "/sessions");
    assert_eq!(opened.bed.ended(), ["here-one"]);
    let page = opened.get("/sessions").await?.body;
    assert!(!page.contains("/sessions/here-one/end"), "{page}");
    assert!(page.contains("/sessions/here-two/end"), "{page}");
    let trail = opened.bed.store().audit().list(1).await?;
    let last = trail.first().ok_or("nothing is written down")?;
    assert_eq!(
        (last.actor.as_str(), last.subject.as_str()),
        ("ann in Default", "here-one")
    );
    Ok(())
}

#[tokio::test]
async fn what_partners_say_is_no_markup() -> Result<(), Failure> {
    let opened = Opened::new().await?;
    let why = "<img src=x onerror=alert(1)>\u{202e}\u{1b}[31m";
    let partners = opened.bed.store().partners();
    partners.set_failed(&opened.west, why).await?;
    opened.bed.daemon.directory.reload().await?;
    let daemon = &opened.bed.daemon;
    daemon.audit("<b>who</b>", "x", "<i>\"'", why).await;
    for path in ["/", "/partners/west", "/audit"] {
        let page = opened.get(path).await?.body;
        assert!(page.contains("&lt;img"), "{path}: {page}");
        assert!(!page.contains("<img"), "{path}");
        assert!(
            !page.contains('\u{202e}') && !page.contains('\u{1b}'),
            "{path}"
        );
        assert!(!page.contains("<b>who") && !page.contains("<i>"), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn who_logs_out_is_out() -> Result<(), Failure> {
    let opened = Opened::new().await?;
    let answer = opened.order("/logout").await?;
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    let answer = opened.get("/").await?;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    Ok(())
}

#[tokio::test]
async fn without_keystone_nobody_new_comes_in_and_nobody_is_blamed() -> Result<(), Failure> {
    let opened = Opened::new().await?;
    let form = "username=ann&domain=Default&password=secret&scope=project";
    let answer = opened.post("/login", "same-origin", form).await?;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        answer.body.contains("Keystone does not answer"),
        "{}",
        answer.body
    );
    assert!(!answer.body.contains("secret"));
    assert!(answer.headers.get(header::SET_COOKIE).is_none());
    let answer = opened.post("/login", "cross-site", form).await?;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    Ok(())
}

#[test]
fn a_browser_gives_the_cookie_to_nobody_else() {
    let cookie = guard::begin("x");
    for word in [
        "__Host-alliance=x",
        "Secure",
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
    ] {
        assert!(cookie.split("; ").any(|part| part == word), "{word}");
    }
    assert!(!cookie.contains("Domain"));
}
