//! The delegate API: what the plugin and the command line ask, over a unix socket.

mod acceptances;
mod agreements;
mod backlog;
mod caller;
mod doorbell;
mod explain;
mod given;
mod guard;
mod invitations;
mod keystones;
mod measuring;
mod notices;
mod partners;
mod problem;
mod projects;
mod provisions;
mod regions;
mod retirements;
mod sessions;
mod socket;
pub(crate) mod status;
mod tokens;
mod traced;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use super::Daemon;

pub(crate) use self::guard::AdminUids;
pub(crate) use self::problem::ApiError;
pub(crate) use self::socket::{Socket, serve};
pub(crate) use self::status::status;

/// No request of the plugin or the command line is larger, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// All routes. Those of operators are guarded by the caller's uid.
pub(crate) fn router(daemon: Arc<Daemon>, admins: AdminUids) -> Router {
    let (metrics, traces) = (Arc::clone(&daemon.metrics), Arc::clone(&daemon));
    let operators = Router::new()
        .route("/v1/status", get(status::show))
        .route("/v1/doorbell/ring", post(doorbell::ring))
        .route("/v1/regions", get(regions::list))
        .route("/v1/explain", post(explain::explain))
        .route("/v1/partners", get(partners::list))
        .route(
            "/v1/partners/{name}",
            get(partners::show).patch(partners::change),
        )
        .route("/v1/partners/{name}/suspend", post(partners::suspend))
        .route("/v1/partners/{name}/resume", post(partners::resume))
        .route("/v1/partners/{name}/remove", post(partners::remove))
        .route("/v1/partners/{name}/refresh", post(partners::refresh))
        .route("/v1/invitations", post(invitations::create))
        .route("/v1/invitations/{id}", get(invitations::show))
        .route("/v1/invitations/{id}/confirm", post(invitations::confirm))
        .route("/v1/invitations/{id}/reject", post(invitations::reject))
        .route("/v1/acceptances", post(acceptances::create))
        .route("/v1/acceptances/inspect", post(acceptances::inspect))
        .route("/v1/acceptances/{id}", get(acceptances::show))
        .route("/v1/acceptances/{id}/cancel", post(acceptances::cancel))
        .route("/v1/keystones", post(keystones::create))
        .route("/v1/keystones/inspect", post(keystones::inspect))
        .route(
            "/v1/agreements",
            get(agreements::list).post(agreements::create),
        )
        .route("/v1/agreements/end", post(agreements::end))
        .route(
            "/v1/agreements/{id}",
            get(agreements::show).patch(agreements::change),
        )
        .route("/v1/agreements/{id}/accept", post(agreements::accept))
        .route("/v1/agreements/{id}/reject", post(agreements::reject))
        .route("/v1/agreements/{id}/end", post(agreements::end_by_id))
        .route("/v1/projects", get(projects::list))
        .route("/v1/projects/limits", get(projects::limits))
        .route(
            "/v1/provisions",
            get(provisions::stacks).post(provisions::order),
        )
        .route("/v1/provisions/plan", post(provisions::plan))
        .route("/v1/notices", get(notices::list))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/usage", get(usage::sums))
        .route("/v1/usage/records", get(usage::records))
        .route("/v1/usage/differences", get(usage::differences))
        .route("/v1/retirements", get(retirements::list))
        .route("/v1/retirements/{id}", get(retirements::show))
        .route("/v1/retirements/{id}/hold", post(retirements::hold))
        .route("/v1/retirements/{id}/resume", post(retirements::resume))
        .route("/v1/retirements/{id}/now", post(retirements::hurry))
        .route("/v1/orphans", get(retirements::orphans))
        .route("/v1/orphans/retire", post(retirements::retire))
        .route("/v1/tokens/revoke", post(sessions::revoke))
        .route("/v1/sessions/{id}/end", post(sessions::end))
        .route_layer(from_fn_with_state(admins, guard::operators_only));
    Router::new()
        .route("/v1/ping", get(tokens::ping))
        .route("/v1/tokens/validate", post(tokens::validate))
        .route("/v1/passports", post(tokens::issue_passport))
        .route("/v1/logins", post(tokens::login))
        .route("/v1/guests/confirm", post(tokens::confirm))
        .route("/v1/guests/sweep", post(tokens::sweep))
        .route("/v1/doorbell/answer", post(tokens::answer_doorbell))
        .route("/v1/doorbell/ack", post(tokens::acknowledge))
        .route("/v1/doorbell/done", post(tokens::acknowledge_later))
        .merge(operators)
        .fallback(problem::no_such_route)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(traces, traced::traced))
        .layer(from_fn_with_state(metrics, measuring::measured))
        .with_state(daemon)
}
