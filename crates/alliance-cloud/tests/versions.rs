//! Version documents, from servers that mean well and from others.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use alliance_cloud::versions::{NoVersions, read, root};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};

/// Serves what `answer` says of a path; its URL.
async fn serve(answer: fn(&str) -> Response<Body>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(move |request: Request| async move {
        assert!(!request.headers().contains_key("x-auth-token"));
        answer(request.uri().path())
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

fn says(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
}

fn leads(location: &str) -> Response<Body> {
    let mut response = says(StatusCode::FOUND, Body::empty());
    let location = location.parse().unwrap();
    response.headers_mut().insert("location", location);
    response
}

const ONE: &str = r#"{"versions": [{"id": "v2.0", "status": "CURRENT"}]}"#;

#[tokio::test]
async fn a_choice_of_versions_is_an_answer_also_one_redirect_further() {
    let server = serve(|path| match path {
        "/image/" => says(StatusCode::MULTIPLE_CHOICES, ONE),
        _ => leads("/image/"),
    })
    .await;
    for endpoint in ["image/v2", "elsewhere/v2"] {
        let root = root(&format!("{server}/{endpoint}")).unwrap();
        let versions = read(&root).await.unwrap();
        assert_eq!(versions[0].id, "v2.0");
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed_nor_one_without_end() {
    let server = serve(|path| match path {
        "/round/" => leads("/round/"),
        _ => leads("http://127.0.0.2:1/"),
    })
    .await;
    for endpoint in ["round", "away"] {
        let error = read(&root(&format!("{server}/{endpoint}")).unwrap()).await;
        assert!(matches!(error, Err(NoVersions::Elsewhere(_))), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_no_version_document_tells_nothing() {
    let server = serve(|path| match path {
        "/refused/" => says(StatusCode::UNAUTHORIZED, ONE),
        "/long/" => says(StatusCode::OK, " ".repeat(65 << 10) + ONE),
        "/page/" => says(StatusCode::OK, "<html>"),
        _ => says(StatusCode::OK, "{}"),
    })
    .await;
    for endpoint in ["refused", "long", "page", "other"] {
        let error = read(&root(&format!("{server}/{endpoint}")).unwrap()).await;
        assert!(
            matches!(error, Err(NoVersions::None(..))),
            "{endpoint}: {error:?}"
        );
    }
    let nobody = root("http://127.0.0.1:1/image").unwrap();
    assert!(matches!(
        read(&nobody).await,
        Err(NoVersions::Unreachable(..))
    ));
}
