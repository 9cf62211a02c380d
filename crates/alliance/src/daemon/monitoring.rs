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
use super::metrics::{AgreementLabels, PartnerMetrics, Readings, UsageMetrics};

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

/// Ready: the database answers, and what other instances tell counts here. Keystone and partners may be away,
/// that is what the daemon is for.
async fn ready(State(daemon): State<Arc<Daemon>>) -> Response {
    match daemon.store.ping().await {
        Ok(()) if daemon.board.is_fit() => (StatusCode::OK, "ready\n").into_response(),
        Ok(()) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "what other instances tell was not read for seconds\n",
        )
            .into_response(),
        Err(error) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("database: {error}\n"),
        )
            .into_response(),
    }
}

async fn metrics(State(daemon): State<Arc<Daemon>>) -> Response {
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
    let stacks = daemon.store.provisions().counts().await;
    daemon.measure_notices().await;
    let readings = Readings {
        partners: partners(&daemon).await,
        agreements: counts,
        retirements: daemon.count_retirements().await,
        stacks: stacks.unwrap_or_default(),
        usage: usage(&daemon).await.unwrap_or_default(),
        database: daemon.store.ping().await.is_ok(),
        keystone_deaf_since: daemon.publisher.deaf_since(),
        leads: daemon.board.leads(),
        board_age: daemon.board.age(),
    };
    match daemon.metrics.text(&readings) {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn partners(daemon: &Daemon) -> Vec<PartnerMetrics> {
    let at = now();
    let here = daemon.host.count_sessions();
    let abroad = daemon.home.abroad().count();
    let behind = daemon.store.sign_outs().behind().await.unwrap_or_default();
    let partners = daemon.directory.partners();
    let all = partners.all().into_iter();
    all.map(|known| {
        let (partner, cloud_id) = (&known.partner, &known.partner.cloud_id);
        let list = daemon.host.lists().of(cloud_id);
        // Who may not be told does not poll either.
        let is_told = partner.require_host(at).is_ok();
        let behind = behind.iter().find(|one| is_told && one.host == *cloud_id);
        PartnerMetrics {
            partner: partner.name.clone(),
            here: partner.status_at(at),
            there: known.facts.their_status,
            last_seen: known.facts.last_seen,
            trust_till: partner.trust_till,
            list_read: list.map(|list| at - list.age().as_secs().cast_signed()),
            border: daemon.border.view(known, at),
            sessions_here: here.get(cloud_id).copied().unwrap_or_default(),
            sessions_abroad: abroad.get(cloud_id).copied().unwrap_or_default(),
            unheard: behind.map(|one| (one.unheard, one.unheard_since)),
        }
    })
    .collect()
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
