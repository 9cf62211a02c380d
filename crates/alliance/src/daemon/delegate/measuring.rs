//! How long the delegate API takes to answer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::daemon::metrics::Metrics;

/// Counts the request by its route: what stands in the path is data.
pub(super) async fn measured(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let began = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    let requests = &metrics.requests;
    requests.count_delegate(route, response.status(), began.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use http::StatusCode;
    use tower::ServiceExt;

    use super::*;
    use crate::daemon::metrics::Readings;

    #[tokio::test]
    async fn requests_are_counted_by_route_and_by_how_they_ended()
    -> Result<(), Box<dyn std::error::Error>> {
        let metrics = Arc::new(Metrics::new());
        let router = Router::new()
            .route("/v1/partners/{name}", get(StatusCode::OK))
            .route("/v1/broken", get(StatusCode::SERVICE_UNAVAILABLE))
            .fallback(StatusCode::NOT_FOUND)
            .layer(from_fn_with_state(Arc::clone(&metrics), measured));
        for path in ["/v1/partners/a", "/v1/partners/b", "/v1/broken", "/x", "/y"] {
            let request = Request::get(path).body(Body::empty())?;
            router.clone().oneshot(request).await?;
        }
        let text = metrics.text(&Readings::default())?;
        for line in [
            r#"alliance_delegate_requests_total{route="/v1/partners/{name}",outcome="ok"} 2"#,
            r#"alliance_delegate_requests_total{route="/v1/broken",outcome="failed"} 1"#,
            r#"alliance_delegate_requests_total{route="other",outcome="refused"} 2"#,
            r#"alliance_delegate_request_seconds_count{route="other"} 2"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        Ok(())
    }
}
