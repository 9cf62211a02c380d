//! Whether something answers at an endpoint.

use std::time::{Duration, Instant};

use alliance_core::label::clean;
use reqwest::{Client, redirect};
use url::Url;

use crate::transport::innermost;

/// Longest text of an error, in characters.
const SHOWN: usize = 200;

/// Asks the root of the server at `url`, and nothing below it: no path of a service's, no token.
/// Returns the status of its answer, whatever that is, and how long it took.
///
/// # Errors
/// Why there was none within `deadline`.
pub async fn root(url: &str, deadline: Duration) -> Result<(u16, Duration), String> {
    let mut url = Url::parse(url).map_err(|error| error.to_string())?;
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    // An error means that another part of this program has installed one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut client = Client::builder()
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .timeout(deadline);
    if url.scheme() == "http" {
        // Nothing is verified, so a machine without authorities will do.
        client = client.tls_certs_only([]);
    }
    let client = client.build().map_err(|error| why(&error))?;
    let asked_at = Instant::now();
    match client.get(url).send().await {
        Ok(response) => Ok((response.status().as_u16(), asked_at.elapsed())),
        Err(error) if error.is_timeout() => {
            Err(format!("no answer within {} s", deadline.as_secs_f32()))
        }
        Err(error) => Err(why(&error)),
    }
}

fn why(error: &reqwest::Error) -> String {
    clean(&innermost(error).to_string(), SHOWN)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Request;
    use axum::http::StatusCode;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_the_root_is_asked_and_any_answer_is_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/v2/%(project_id)s?x=1",
            listener.local_addr().unwrap()
        );
        let answer = async |request: Request| {
            if request.uri() == "/" {
                StatusCode::MULTIPLE_CHOICES
            } else {
                StatusCode::IM_A_TEAPOT
            }
        };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (status, _) = root(&url, Duration::from_secs(10)).await.unwrap();
        assert_eq!(status, 300);
    }

    #[tokio::test]
    async fn who_says_nothing_is_left_when_the_time_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let error = root(&url, Duration::from_millis(50)).await.unwrap_err();
        assert!(error.contains("no answer within"), "{error}");
        drop(listener);
        assert!(root(&url, Duration::from_secs(10)).await.is_err());
        assert!(root("no url", Duration::from_secs(1)).await.is_err());
    }
}
