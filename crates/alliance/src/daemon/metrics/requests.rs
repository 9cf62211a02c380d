//! What the two APIs are asked: how often, how it ended, how long it took.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use super::{Times, times};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    /// The caller's alias; `stranger` where it is none of our partners.
    partner: String,
    /// `ok`, `refused` or `failed`.
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DelegateLabels {
    /// The route, with the names of its parts for what stands there; `other` for what is none.
    route: String,
    /// As in [`PeerLabels`].
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    /// As in [`DelegateLabels`].
    route: String,
}

/// Requests to the peer API and to the delegate API.
pub(crate) struct Requests {
    peer: Family<PeerLabels, Counter>,
    peer_seconds: Times<RouteLabel>,
    delegate: Family<DelegateLabels, Counter>,
    delegate_seconds: Times<RouteLabel>,
}

impl Requests {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let requests = Self {
            peer: Family::default(),
            peer_seconds: times(),
            delegate: Family::default(),
            delegate_seconds: times(),
        };
        registry.register(
            "peer_requests",
            "Requests of partners and strangers to the peer API",
            requests.peer.clone(),
        );
        registry.register_with_unit(
            "peer_request",
            "How long requests to the peer API took; a poll for sign-outs waits for news",
            Unit::Seconds,
            requests.peer_seconds.clone(),
        );
        registry.register(
            "delegate_requests",
            "Requests of Keystone's plugin and of operators",
            requests.delegate.clone(),
        );
        registry.register_with_unit(
            "delegate_request",
            "How long they took",
            Unit::Seconds,
            requests.delegate_seconds.clone(),
        );
        requests
    }

    /// The peer API has answered.
    pub(crate) fn count_peer(
        &self,
        partner: &str,
        route: &str,
        status: StatusCode,
        took: Duration,
    ) {
        let labels = PeerLabels {
            partner: partner.to_owned(),
            outcome: outcome(status),
        };
        self.peer.get_or_create(&labels).inc();
        measure(&self.peer_seconds, route, took);
    }

    /// The delegate API has answered.
    pub(crate) fn count_delegate(&self, route: &str, status: StatusCode, took: Duration) {
        let labels = DelegateLabels {
            route: route.to_owned(),
            outcome: outcome(status),
        };
        self.delegate.get_or_create(&labels).inc();
        measure(&self.delegate_seconds, route, took);
    }
}

fn measure(times: &Times<RouteLabel>, route: &str, took: Duration) {
    let route = route.to_owned();
    let measured = times.get_or_create(&RouteLabel { route });
    measured.observe(took.as_secs_f64());
}

fn outcome(status: StatusCode) -> &'static str {
    if status.is_server_error() {
        "failed"
    } else if status.is_client_error() {
        "refused"
    } else {
        "ok"
    }
}
