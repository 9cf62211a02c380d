//! The daemon's own state, for operators.

use std::sync::Arc;

use alliance_cloud::token_cache;
use alliance_core::cloud::CloudId;
use alliance_core::label::clean;
use alliance_peer::request_id::RequestId;
use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;

use super::{backlog, regions};
use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::directory::Way;
use crate::daemon::instances;
use crate::disk;
use crate::wire::{Health, StatusView};

/// What is wrong with the services' caches: nothing can be taken from one, and how long tokens that have
/// ended are served there then; or the services of another cloud use it too.
async fn cache_warnings(addresses: &[String], own: &CloudId) -> Vec<String> {
    let claims = addresses
        .iter()
        .map(async |address| (address, token_cache::claim(address, own.as_str()).await));
    let claims = join_all(claims).await.into_iter();
    claims
        .filter_map(|(address, claim)| match claim {
            Ok(None) => None,
            Ok(Some(other)) => {
                let other = clean(&other, 64);
                Some(format!("memcached at {address} is used by the services of cloud {other} too: they take each other's tokens from it and ask no Keystone; give the services of each cloud a memcached of their own ([keystone_authtoken] memcached_servers). If it is the memcached of a cloud that is gone, restart it"))
            }
            Err(error) => Some(format!("{error}. Services that keep tokens there go on serving those that have ended for up to their [keystone_authtoken] token_cache_time (300 s unless set)")),
        })
        .collect()
}

/// `GET /v1/status`
pub(crate) async fn show(State(daemon): State<Arc<Daemon>>) -> Json<StatusView> {
    Json(status(&daemon).await)
}

/// How this daemon and what it needs is. Asks Keystone and the services' caches.
pub(crate) async fn status(daemon: &Daemon) -> StatusView {
    let request_id = RequestId::random().to_string();
    let mut warnings = daemon.config.warnings();
    let keystone = match daemon.keystone.own_roles(&request_id).await {
        Ok(roles) => {
            let too_much: Vec<_> = roles
                .iter()
                .filter(|role| daemon.config.tokens.admin_roles.contains(&role.name))
                .map(|role| role.name.clone())
                .collect();
            if !too_much.is_empty() {
                warnings.push(format!(
                    "the daemon's Keystone user {} holds {}: it faces the Internet and needs no more than role service on its project and role reader on the system; take the rest away",
                    daemon.config.keystone.username,
                    too_much.join(", "),
                ));
            }
            Health {
                ok: true,
                detail: format!("{} answers", daemon.config.keystone.auth_url),
            }
        }
        Err(error) => Health {
            ok: false,
            detail: error.to_string(),
        },
    };
    let caches = &daemon.config.services.memcached;
    warnings.extend(cache_warnings(caches, daemon.identity.cloud_id()).await);
    warnings.extend(disk::warning(&daemon.config.cloud.state_dir, disk::LEAST));
    let showing = daemon.catalog.showing();
    for known in daemon.directory.partners().all() {
        if known.partner.require_host(now()).is_ok() {
            warnings.extend(regions::warnings(known, &showing));
        }
        let name = &known.partner.name;
        if known.partner.require_active(now()).is_err() {
            warnings.push(format!(
                "partner {name} is {}",
                known.partner.status_at(now())
            ));
        } else if let Some(error) = &known.facts.last_error {
            warnings.push(match &known.way {
                Way::Peer(_) => format!("partner {name} does not answer: {error}"),
                Way::Keystone(_) => {
                    format!("the Keystone of partner {name} cannot be asked: {error}")
                }
            });
        } else {
            let objects = daemon.keystone_objects(known).await;
            if !objects.ok {
                warnings.push(format!("partner {name}: {}", objects.detail));
            }
        }
    }
    warnings.extend(daemon.notice_warnings().await);
    warnings.extend(backlog::warnings(daemon).await);
    let instances = daemon.instances().await;
    warnings.extend(instances::warnings(&instances));
    let database = match daemon.store.ping().await {
        Ok(()) => Health {
            ok: true,
            detail: String::new(),
        },
        Err(error) => Health {
            ok: false,
            detail: format!("{error}. What is known is in memory; changes fail until it answers"),
        },
    };
    StatusView {
        cloud_id: daemon.identity.cloud_id().clone(),
        name: daemon.config.cloud.name.clone(),
        peer_url: daemon.peer_url(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        keystone,
        doorbell: daemon.publisher.health(),
        database: Some(database),
        instances,
        warnings,
    }
}
