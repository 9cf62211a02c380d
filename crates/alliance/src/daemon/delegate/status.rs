//! The daemon's own state, for operators.

use std::collections::BTreeSet;
use std::sync::Arc;

use alliance_cloud::keystone::{Keystone, OwnRole};
use alliance_cloud::token_cache;
use alliance_core::CLOCK_SKEW;
use alliance_core::cloud::CloudId;
use alliance_core::label::clean;
use alliance_peer::request_id::RequestId;
use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};

use super::{backlog, given, regions};
use crate::config::Config;
use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::directory::Way;
use crate::daemon::instances;
use crate::disk;
use crate::wire::{Health, StatusView};

/// Of how many partners Keystone is asked at once.
const AT_ONCE: usize = 8;
/// How many of the daemon's own roles are named: one that is inherited is held on each project.
const MENTIONED: usize = 4;

/// How what is said of Keystone's clock begins.
pub(crate) const CLOCK_OF_KEYSTONE: &str = "the clock of Keystone at";

/// What is wrong with the services' caches: those that the services of another cloud use too; those from
/// which nothing can be taken, and how long tokens that have ended are served there then.
async fn cache_warnings(addresses: &[String], own: &CloudId) -> (Vec<String>, Vec<String>) {
    let claims = addresses
        .iter()
        .map(async |address| (address, token_cache::claim(address, own.as_str()).await));
    let (mut shared, mut away) = (Vec::new(), Vec::new());
    for (address, claim) in join_all(claims).await {
        match claim {
            Ok(None) => {}
            Ok(Some(other)) => shared.push(cache_of_two(address, &other)),
            Err(error) => away.push(cache_away(&error.to_string())),
        }
    }
    (shared, away)
}

/// What to say of Keystone's clock, as it was last seen, if it is far from this machine's; and whether it is
/// so far that partners refuse what the two say.
pub(crate) fn keystones_clock(config: &Config, keystone: &Keystone) -> Option<(bool, String)> {
    let skew = keystone.clock().filter(|skew| skew.is_worth_a_warning())?;
    let text = format!(
        "{CLOCK_OF_KEYSTONE} {} is {:.0} s {} that of this machine: above {CLOCK_SKEW} s partners refuse new tokens of this cloud, or take them for ended; compare at both: timedatectl",
        config.keystone.auth_url,
        skew.ahead.abs(),
        if skew.ahead > 0.0 {
            "ahead of"
        } else {
            "behind"
        }
    );
    Some((skew.is_surely_more_than(CLOCK_SKEW as f64), text))
}

/// What to say of a memcached of the services that is another cloud's too.
pub(crate) fn cache_of_two(address: &str, other: &str) -> String {
    let other = clean(other, 64);
    format!(
        "memcached at {address} is used by the services of cloud {other} too: they take each other's tokens from it and ask no Keystone; give the services of each cloud a memcached of their own ([keystone_authtoken] memcached_servers). If it is the memcached of a cloud that is gone, restart it"
    )
}

/// What to say of one from which nothing can be taken, for this reason.
pub(crate) fn cache_away(error: &str) -> String {
    format!(
        "{error}. Services that keep tokens there go on serving those that have ended for up to their [keystone_authtoken] token_cache_time (300 s unless set)"
    )
}

/// `GET /v1/status`
pub(crate) async fn show(State(daemon): State<Arc<Daemon>>) -> Json<StatusView> {
    Json(status(&daemon).await)
}

/// How this daemon and what it needs is. Asks Keystone, the database and the services' caches, each for some
/// seconds at most, at once: who asks would wait for no more.
pub(crate) async fn status(daemon: &Daemon) -> StatusView {
    let request_id = RequestId::random().to_string();
    let caches = &daemon.config.services.memcached;
    let (database, (keystone, of_user), (mut faults, mut minor)) = tokio::join!(
        database(daemon),
        keystone(daemon, &request_id),
        cache_warnings(caches, daemon.identity.cloud_id()),
    );
    if let Some((is_wrong, text)) = keystones_clock(&daemon.config, &daemon.keystone) {
        if is_wrong { &mut faults } else { &mut minor }.push(text);
    }
    let mut warnings = daemon.config.warnings();
    warnings.extend(of_user);
    warnings.extend(faults.iter().cloned());
    warnings.extend(minor);
    warnings.extend(disk::warnings(&daemon.config));
    let of_keystone = async {
        match keystone.ok {
            true => tokio::join!(
                given::warnings(daemon),
                of_bare_regions(daemon, &request_id)
            ),
            false => Default::default(),
        }
    };
    let (of_partners, (of_given, of_bare)) =
        tokio::join!(of_partners(daemon, keystone.ok), of_keystone);
    warnings.extend([of_partners, of_given, of_bare].concat());
    let mut instances = Vec::new();
    if database.ok {
        warnings.extend(daemon.notice_warnings().await);
        warnings.extend(backlog::warnings(daemon).await);
        instances = daemon.instances().await;
        warnings.extend(instances::warnings(&instances));
    }
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
        remarks: daemon.config.remarks(),
        faults,
    }
}

async fn database(daemon: &Daemon) -> Health {
    match daemon.store.try_write().await {
        Ok(()) => Health {
            ok: true,
            detail: String::new(),
        },
        Err(error) => Health {
            ok: false,
            detail: format!("{error}. What is known is in memory; changes fail until it answers"),
        },
    }
}

/// Keystone, and what is wrong with the daemon's user there.
async fn keystone(daemon: &Daemon, request_id: &str) -> (Health, Option<String>) {
    match daemon.keystone.own_roles(request_id).await {
        Ok(roles) => {
            let health = Health {
                ok: true,
                detail: format!("{} answers", daemon.config.keystone.auth_url),
            };
            (health, too_many_roles(&daemon.config, &roles))
        }
        Err(error) => {
            let health = Health {
                ok: false,
                detail: error.to_string(),
            };
            (health, None)
        }
    }
}

/// What to say of a user that may do more than the daemon needs.
pub(crate) fn too_many_roles(config: &Config, roles: &BTreeSet<OwnRole>) -> Option<String> {
    let admin_roles = &config.tokens.admin_roles;
    let (user, domain) = (&config.keystone.username, &config.keystone.user_domain_name);
    let too_many = roles.iter().filter(|role| role.is_too_much(admin_roles));
    let too_many: Vec<_> = too_many.take(MENTIONED).collect();
    // The mightier imply the others, which cannot be taken away by themselves.
    let first = too_many
        .iter()
        .find(|role| admin_roles.contains(&role.name));
    let first = first.or(too_many.first())?;
    let named = too_many
        .iter()
        .map(|role| format!("{} on {}", clean(&role.name, 64), role.scope));
    Some(format!(
        "the daemon's Keystone user {user} holds {}: it faces the Internet and needs no more than role service on its project and role reader on the system; take the rest away: {}",
        named.collect::<Vec<_>>().join(", "),
        first.remedy(user, domain),
    ))
}

/// What to say of regions of our own that are named like a partner's, which no service is in.
async fn of_bare_regions(daemon: &Daemon, request_id: &str) -> Vec<String> {
    // Where Keystone does not say, that is found elsewhere.
    let Ok(mut bare) = daemon.keystone.region_ids(request_id).await else {
        return Vec::new();
    };
    let showing = daemon.catalog.showing();
    bare.retain(|region| !showing.names.own.contains(region));
    let partners = daemon.directory.partners();
    let known = partners.all().into_iter();
    let hosts = known.filter(|known| known.partner.require_host(now()).is_ok());
    hosts
        .flat_map(|known| regions::bare(known, &showing, &bare))
        .collect()
}

/// What is wrong with the way to each partner, and with what it needs in Keystone, if that answers.
async fn of_partners(daemon: &Daemon, keystone_answers: bool) -> Vec<String> {
    let showing = daemon.catalog.showing();
    let mut warnings = Vec::new();
    let mut well = Vec::new();
    let partners = daemon.directory.partners();
    for known in partners.all() {
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
        } else if keystone_answers {
            well.push(Arc::clone(known));
        }
    }
    let objects = stream::iter(well).map(|known| async move {
        let objects = daemon.keystone_objects(&known).await;
        (!objects.ok).then(|| format!("partner {}: {}", known.partner.name, objects.detail))
    });
    let objects: Vec<_> = objects.buffered(AT_ONCE).collect().await;
    warnings.extend(objects.into_iter().flatten());
    warnings
}
