//! The routes of the peer API: one handler per module, each of which turns JSON into domain types,
//! asks the [`PeerService`] and turns its answer back.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::StatusCode;

use crate::error::ApiError;
use crate::service::PeerService;
use crate::wire::{
    GRANTS, INTROSPECT, NOTICES, RETIREMENTS, REVOCATIONS, SIGN_OUTS, STANDING, USAGE,
};

pub(crate) mod agreements;
pub(crate) mod contract;
pub(crate) mod contract_reply;
pub(crate) mod descriptor;
pub(crate) mod grants;
pub(crate) mod introspect;
pub(crate) mod notices;
pub(crate) mod pairing_accept;
pub(crate) mod pairing_look;
pub(crate) mod pairing_withdraw;
pub(crate) mod poke;
pub(crate) mod projects;
pub(crate) mod provisions;
pub(crate) mod reports;
pub(crate) mod retirements;
pub(crate) mod revocations;
pub(crate) mod sign_outs;
pub(crate) mod standing;
pub(crate) mod usage;

mod admission;
pub(crate) mod extract;

/// The routes, behind nothing: [`crate::server`] adds who calls, limits and deadlines.
pub(crate) fn router<S: PeerService>(service: Arc<S>) -> Router {
    let partners = Router::new()
        .route("/v1/descriptor", get(descriptor::descriptor::<S>))
        .route(INTROSPECT, post(introspect::introspect::<S>))
        .route(GRANTS, post(grants::grants::<S>))
        .route("/v1/grants/batch", post(grants::batch::<S>))
        .route("/v1/projects", get(projects::projects::<S>))
        .route("/v1/agreements", get(agreements::agreements::<S>))
        .route("/v1/agreements/{id}", get(contract::contract::<S>))
        .route(
            "/v1/agreements/{id}/replies",
            post(contract_reply::contract_reply::<S>),
        )
        .route(REVOCATIONS, get(revocations::revocations::<S>))
        .route(SIGN_OUTS, post(sign_outs::poll::<S>))
        .route(USAGE, post(usage::poll::<S>))
        .route(NOTICES, post(notices::poll::<S>))
        .route(STANDING, post(standing::standing::<S>))
        .route(RETIREMENTS, post(retirements::poll::<S>))
        .route(
            "/v1/provisions",
            get(provisions::stacks::<S>).post(provisions::order::<S>),
        )
        .route("/v1/provisions/plan", post(provisions::plan::<S>))
        .route("/v1/poke", post(poke::poke::<S>))
        .route("/v1/reports", post(reports::reports::<S>))
        .route_layer(from_fn_with_state(
            service.clone(),
            admission::partners_only::<S>,
        ));
    let anybody = Router::new()
        .route("/v1/pairings/{id}", get(pairing_look::pairing_look::<S>))
        .route(
            "/v1/pairings/{id}/accept",
            post(pairing_accept::pairing_accept::<S>),
        )
        .route(
            "/v1/pairings/{id}/withdraw",
            post(pairing_withdraw::pairing_withdraw::<S>),
        );
    partners
        .merge(anybody)
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(service)
}

async fn no_such_route() -> ApiError {
    ApiError::no_such_route()
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the route does not know this method",
    )
}
