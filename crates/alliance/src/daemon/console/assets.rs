//! The style sheet, the script and the icon: files beside this one, named by what is in them so that
//! browsers keep them.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use data_encoding::HEXLOWER;
use http::header;
use sha2::{Digest, Sha256};

use super::Console;

/// A file.
pub(super) struct Asset {
    /// Where it is served.
    pub path: String,
    kind: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, kind: &'static str, content: &'static str) -> Self {
        let hash = HEXLOWER.encode(&Sha256::digest(content));
        Self {
            path: format!("/assets/{name}-{}.{extension}", &hash[..16]),
            kind,
            content,
        }
    }
}

/// How pages look.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("console", "css", "text/css", include_str!("console.css")));
/// Brings pages up to date.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("live", "js", "text/javascript", include_str!("live.js")));
/// What browsers show beside the title.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")));

/// Their routes.
pub(super) fn routes() -> Router<Arc<Console>> {
    let all: [&'static Asset; 3] = [&STYLE, &SCRIPT, &ICON];
    all.into_iter().fold(Router::new(), |router, asset| {
        let headers = [
            (header::CONTENT_TYPE, asset.kind),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ];
        let answer = move || async move { (headers, asset.content).into_response() };
        router.route(&asset.path, get(answer))
    })
}
