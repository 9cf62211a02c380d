//! For those who watch: `/healthz`, `/readyz`, `/metrics`. Plain HTTP, no secrets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use tokio::net::TcpListener;

use super::Daemon;
use super::clock::now;
use super::contracts::Shown;
use super::listening::{self, Limits};
use super::metrics::{AgreementLabels, PartnerMetrics, UsageMetrics};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens.
///
/// # Errors
/// If the address is taken or not this machine's.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listening at {address}; is it taken? see [metrics] listen"))
}

/// Some monitors, none of which sends a body.
const LIMITS: Limits = Limits {
    connections: 64,
    patience: Duration::from_secs(10),
    body: 0,
};

/// Serves until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    daemon: Arc<Daemon>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let router = Router::new()
        .route("/healthz", get(StatusCode::OK))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(daemon);
    listening::serve(listener, router, |_, _| (), LIMITS, stop).await;
}

/// Ready: the database answers. Keystone and partners may be away, that is what the daemon is for.
async fn ready(State(daemon): State<Arc<Daemon>>) -> Response {
    match daemon.store.ping().await {
        Ok(()) => (StatusCode::OK, "ready\n").into_response(),
        Err(error) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("database: {error}\n"),
        )
            .into_response(),
    }
}

async fn metrics(State(daemon): State<Arc<Daemon>>) -> Response {
    let (at, partners) = (now(), daemon.directory.partners());
    let partners = partners.all().into_iter();
    let partners: Vec<PartnerMetrics> = partners
        .map(|known| PartnerMetrics {
            partner: known.partner.name.clone(),
            last_seen: known.facts.last_seen,
            trust_till: known.partner.trust_till,
            border: daemon.border.view(known, at),
        })
        .collect();
    // Without the database, what is in memory is told all the same.
    let agreements = daemon.agreements(Shown::Standing).await.unwrap_or_default();
    let mut counts: BTreeMap<AgreementLabels, i64> = BTreeMap::new();
    for view in agreements.into_iter().filter(|view| view.state != "ended") {
        let direction = if view.received { "received" } else { "given" };
        let state = view.state;
        *counts
            .entry(AgreementLabels { direction, state })
            .or_default() += 1;
    }
    let retirements = daemon.count_retirements().await;
    let stacks = daemon.store.provisions().counts().await;
    let stacks = stacks.unwrap_or_default();
    let usage = usage(&daemon).await.unwrap_or_default();
    daemon.measure_notices().await;
    match daemon
        .metrics
        .text(&partners, &counts, &retirements, &stacks, &usage)
    {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn usage(daemon: &Daemon) -> alliance_store::Result<UsageMetrics> {
    let usage = daemon.store.usage();
    let listed = usage.listed().await?.into_iter();
    let flows = usage.flows().await?.into_iter();
    let flows = flows.map(|flow| (daemon.name_of(&flow.partner), flow));
    Ok(UsageMetrics {
        notifications: usage.notifications().await?,
        listed: listed.map(|(kind, at)| (kind.as_str(), at)).collect(),
        flows: flows.collect(),
    })
}
