//! The peer API's description, made from the code.

use utoipa::OpenApi;

use crate::api::{
    agreements, contract, contract_reply, descriptor, grants, introspect, notices, pairing_accept,
    pairing_look, pairing_withdraw, poke, projects, provisions, reports, retirements, revocations,
    sign_outs, standing, usage,
};
use crate::wire::{NamedSchema, ProjectSchema};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Alliance peer API",
        description = "What the daemons of two clouds say to each other: HTTP/2 over TLS 1.3, both ends with a self-signed certificate of their identity key, pinned by its hash. `x-openstack-request-id` is carried through. Errors are RFC 9457 problem details.",
        version = "1",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        descriptor::descriptor,
        introspect::introspect,
        grants::grants,
        grants::batch,
        projects::projects,
        agreements::agreements,
        contract::contract,
        contract_reply::contract_reply,
        provisions::order,
        provisions::plan,
        provisions::stacks,
        poke::poke,
        reports::reports,
        revocations::revocations,
        sign_outs::poll,
        usage::poll,
        notices::poll,
        standing::standing,
        retirements::poll,
        pairing_look::pairing_look,
        pairing_accept::pairing_accept,
        pairing_withdraw::pairing_withdraw,
    ),
    components(schemas(ProjectSchema, NamedSchema)),
    tags(
        (name = "partners", description = "For active partners; others get 403"),
        (name = "pairing", description = "For who knows an invitation's secret"),
    )
)]
struct PeerApi;

/// The description.
pub fn openapi() -> utoipa::openapi::OpenApi {
    PeerApi::openapi()
}

/// The description as it stands in `docs/peer-api.openapi.json`.
///
/// # Errors
/// Only if it cannot be written as JSON.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    let mut json = openapi().to_pretty_json()?;
    json.push('\n');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const REFRESH: &str =
        "ALLIANCE_REFRESH=1 cargo test -p alliance-peer the_committed_description";

    #[test]
    fn the_committed_description_is_that_of_the_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/peer-api.openapi.json");
        let json = openapi_json().unwrap();
        if std::env::var_os("ALLIANCE_REFRESH").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &json).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == json,
            "the peer API has changed; if that is meant, run: {REFRESH}"
        );
    }

    #[test]
    fn every_route_is_described() {
        let paths: Vec<_> = openapi().paths.paths.into_keys().collect();
        assert_eq!(
            paths,
            [
                "/v1/agreements",
                "/v1/agreements/{id}",
                "/v1/agreements/{id}/replies",
                "/v1/descriptor",
                "/v1/grants",
                "/v1/grants/batch",
                "/v1/introspect",
                "/v1/notices/poll",
                "/v1/pairings/{id}",
                "/v1/pairings/{id}/accept",
                "/v1/pairings/{id}/withdraw",
                "/v1/poke",
                "/v1/projects",
                "/v1/projects/standing",
                "/v1/provisions",
                "/v1/provisions/plan",
                "/v1/reports",
                "/v1/retirements/poll",
                "/v1/revocations",
                "/v1/sign-outs/poll",
                "/v1/usage/poll",
            ]
        );
    }
}
