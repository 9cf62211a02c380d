//! Partners, for operators.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_cloud::keystone::{Domain, IdentityProvider};
use alliance_core::cloud::fingerprint;
use alliance_core::label::clean;
use alliance_core::partner::{Partner, Status};
use alliance_peer::key::PublicKey;
use alliance_token::SigningKey;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use tokio::time::timeout;

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;
use crate::daemon::trust::OPERATOR;
use crate::wire::{Applied, Health, KeyView, ListView, PartnerChange, PartnerView};

type Answer<T> = Result<Json<T>, ApiError>;

/// Within this time of being asked how a partner is, its revocation list is read too if that was not done yet.
const REFRESHED: Duration = Duration::from_secs(5);
/// How long the listing waits for Keystone.
const KEYSTONE_WAIT: Duration = Duration::from_secs(2);

/// `GET /v1/partners`
pub(crate) async fn list(State(daemon): State<Arc<Daemon>>) -> Answer<Vec<PartnerView>> {
    let partners = daemon.directory.partners();
    let mut views: Vec<PartnerView> = partners
        .all()
        .into_iter()
        .map(|known| daemon.view(known, None))
        .collect();
    views.extend(daemon.drafts().await?);
    Ok(Json(views))
}

/// `GET /v1/partners/{name}`
pub(crate) async fn show(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Answer<PartnerView> {
    let known = daemon.partner(&name)?;
    let keystone = tokio::time::timeout(KEYSTONE_WAIT, daemon.keystone_objects(&known)).await;
    let keystone = keystone.unwrap_or_else(|_| Health {
        ok: false,
        detail: "Keystone does not answer".to_owned(),
    });
    Ok(Json(daemon.view(&known, Some(keystone))))
}

/// `PATCH /v1/partners/{name}`
pub(crate) async fn change(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
    change: Result<Json<PartnerChange>, JsonRejection>,
) -> Answer<Applied> {
    let Json(change) = change?;
    let known = daemon.partner(&name)?;
    if let Some(Some(till)) = change.trust_till
        && till <= now()
    {
        return Err(ApiError::invalid(
            "trust_till lies in the past; suspend or remove the partner instead",
        ));
    }
    Ok(Json(daemon.change_partner(&known, &change).await?))
}

/// `POST /v1/partners/{name}/suspend`
pub(crate) async fn suspend(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Answer<Applied> {
    daemon.suspend(&name, OPERATOR).await.map(Json)
}

/// `POST /v1/partners/{name}/resume`
pub(crate) async fn resume(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Answer<Applied> {
    daemon.resume(&name, OPERATOR).await.map(Json)
}

/// `POST /v1/partners/{name}/remove`: a partner, or a pairing under way.
pub(crate) async fn remove(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Answer<Applied> {
    if daemon.withdraw(&name).await? {
        return Ok(Json(Applied {
            keystone_told: true,
            detail: None,
        }));
    }
    let removed = daemon.turn(&name, Status::Removed, OPERATOR);
    removed.await.map(Json)
}

/// `POST /v1/partners/{name}/refresh`: pulls from the partner now.
pub(crate) async fn refresh(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Answer<PartnerView> {
    let asked_at = Instant::now();
    let known = daemon.partner(&name)?;
    daemon.pull(&known).await?;
    // When it was seen is no news, but asked for.
    daemon.directory.reload().await?;
    let known = daemon.partner(&name)?;
    if daemon.lacks_list(&known) {
        let left = REFRESHED.saturating_sub(asked_at.elapsed());
        if let Ok(Err(error)) = timeout(left, daemon.read_list(&known)).await {
            let error = format!("{error:#}");
            tracing::warn!(
                partner = name,
                error,
                "a partner's revocation list was not read"
            );
        }
    }
    Ok(Json(daemon.view(&known, None)))
}

impl Daemon {
    /// The partner that our operator calls so.
    pub(crate) fn partner(&self, name: &str) -> Result<Arc<Known>, ApiError> {
        let partners = self.directory.partners();
        partners.by_name(name).map(Arc::clone).ok_or_else(|| {
            let names: Vec<_> = partners
                .all()
                .iter()
                .map(|known| known.partner.name.clone())
                .collect();
            let there = if names.is_empty() {
                "there is none".to_owned()
            } else {
                format!("there are: {}", names.join(", "))
            };
            ApiError::not_found(format!("no partner is called {name:?}; {there}"))
        })
    }

    /// Suspends a partner, as `actor` wants it.
    pub(crate) async fn suspend(
        self: &Arc<Self>,
        name: &str,
        actor: &str,
    ) -> Result<Applied, ApiError> {
        self.turn(name, Status::Suspended, actor).await
    }

    /// Resumes a partner, as `actor` wants it.
    pub(crate) async fn resume(
        self: &Arc<Self>,
        name: &str,
        actor: &str,
    ) -> Result<Applied, ApiError> {
        let known = self.partner(name)?;
        if known.partner.trust_till.is_some_and(|till| till <= now()) {
            return Err(ApiError::conflict(format!(
                "the trust in {name} has ended by its date; give it a new one first: alliance partner set {name} --trust-till DATE"
            )));
        }
        self.turn(name, Status::Active, actor).await
    }

    async fn turn(
        self: &Arc<Self>,
        name: &str,
        status: Status,
        actor: &str,
    ) -> Result<Applied, ApiError> {
        let known = self.partner(name)?;
        known
            .partner
            .status_at(now())
            .may_become(status)
            .map_err(|error| ApiError::conflict(format!("{name}: {error}")))?;
        Ok(self.set_status(&known, status, actor).await?)
    }

    /// A partner, with what both sides say of it.
    pub(crate) fn view(&self, known: &Known, keystone: Option<Health>) -> PartnerView {
        let at = now();
        let mut partner = known.partner.clone();
        partner.status = partner.status_at(at);
        let descriptor = known.descriptor();
        let names = self.catalog.showing().names;
        let regions = descriptor.map_or(&[][..], |told| &told.regions);
        let calls_itself = descriptor.map(|told| told.name.clone());
        PartnerView {
            fingerprint: known
                .peer()
                .map(|_| fingerprint(self.identity.cloud_id(), &partner.cloud_id)),
            calls_itself: calls_itself.unwrap_or_default(),
            regions: regions
                .iter()
                .map(|region| names.name(&partner, &region.id))
                .collect(),
            their_status: known.facts.their_status,
            last_seen: known.facts.last_seen,
            last_error: known.facts.last_error.clone(),
            keystone,
            domain_id: partner.domain_id(),
            agreements_given: known
                .given
                .iter()
                .filter(|agreement| agreement.is_live(at))
                .count(),
            agreements_received: known.facts.received.len(),
            modes: known.modes(),
            allow_sha1: known.policy.allow_sha1,
            login: known.policy.login,
            signing_keys: known.ring.keys().iter().map(key_view).collect(),
            daemon_keys: known
                .signing_keys()
                .iter()
                .filter_map(|jwk| Some(PublicKey::from_jwk(jwk).ok()?.cloud_id().to_hex()))
                .collect(),
            revocation_list: self.list_view(known),
            access: known.plain().map(|plain| plain.access.clone()),
            lapses_at: None,
            border: Some(self.border.view(known, at)),
            partner,
        }
    }

    /// Whether the list of a partner that answers was not read yet: between two readings it may have become one.
    fn lacks_list(&self, known: &Known) -> bool {
        known.is_read_offline()
            && known.partner.require_guest(now()).is_ok()
            && self.border.silent_since(known, now()).is_none()
            && self.host.lists().of(&known.partner.cloud_id).is_none()
    }

    fn list_view(&self, known: &Known) -> Option<ListView> {
        if !known.is_read_offline() {
            return None;
        }
        let list = self.host.lists().of(&known.partner.cloud_id);
        Some(ListView {
            age: list.as_ref().map(|list| list.age().as_secs_f64()),
            max_age: self.config.tokens.max_revocation_age.as_secs_f64(),
            events: list.map_or(0, |list| list.revocations.len()),
        })
    }

    /// Whether our Keystone still has, and has enabled, what this partner's guests need. What an
    /// operator disabled there is respected, not repaired.
    pub(super) async fn keystone_objects(&self, known: &Known) -> Health {
        if !known.partner.role.is_guest() {
            return Health {
                ok: true,
                detail: "nothing is needed: none of its users come here".to_owned(),
            };
        }
        let request_id = alliance_peer::request_id::RequestId::random().to_string();
        let name = &known.partner.name;
        let domain_id = known.partner.domain_id();
        let found = async {
            let idp = self.keystone.identity_provider(name, &request_id).await?;
            let domain = self.keystone.domain(&domain_id, &request_id).await?;
            let federation =
                self.keystone
                    .wrong_with_federation(name, &known.partner.cloud_id, &request_id);
            Ok::<_, alliance_cloud::keystone::KeystoneError>((idp, domain, federation.await?))
        };
        let wrong = match found.await {
            Err(error) => Some(format!("unknown: {error}")),
            Ok((idp, domain, federation)) => {
                let wrong = wrong_with(&known.partner, idp.as_ref(), domain.as_ref());
                wrong.or(federation)
            }
        };
        Health {
            ok: wrong.is_none(),
            detail: wrong.unwrap_or_else(|| {
                format!("domain {domain_id} and identity provider {name} are in place")
            }),
        }
    }
}

/// What is wrong with a partner's identity provider and domain, and what mends it.
fn wrong_with(
    partner: &Partner,
    idp: Option<&IdentityProvider>,
    domain: Option<&Domain>,
) -> Option<String> {
    let (name, domain_id) = (&partner.name, partner.domain_id());
    let repair = |wrong: String| {
        Some(format!(
            "{wrong}. If that was not on purpose, `alliance partner repair {name}` makes and enables it again"
        ))
    };
    let Some(idp) = idp else {
        return repair(format!("identity provider {name} is missing"));
    };
    let Some(domain) = domain else {
        return repair(format!("domain {domain_id} is missing"));
    };
    if idp.domain_id != domain_id {
        return Some(format!(
            "identity provider {name} belongs to another domain, it is not ours: {name}'s users are refused; if nobody needs it, run: openstack identity provider delete {name}; alliance partner repair {name}"
        ));
    }
    if !idp.enabled {
        return repair(format!(
            "identity provider {name} is disabled in Keystone: its users are refused"
        ));
    }
    if !domain.enabled {
        return repair(format!(
            "domain {domain_id} is disabled in Keystone: its users are refused"
        ));
    }
    if domain.name != *name {
        return Some(format!(
            "domain {domain_id} is called {} in place of {name}: `alliance partner repair` takes it for another's; run: openstack domain set --name {name} {domain_id}",
            clean(&domain.name, 64)
        ));
    }
    if !idp.remote_ids.is_empty() {
        let remote_ids: Vec<_> = idp.remote_ids.iter().map(|id| clean(id, 64)).collect();
        return Some(format!(
            "identity provider {name} has remote ids ({}), which alliance gives none: logins may come in past this daemon; run: openstack identity provider set --remote-id-file /dev/null {name}",
            remote_ids.join(", ")
        ));
    }
    None
}

fn key_view(key: &SigningKey) -> KeyView {
    KeyView {
        family: key.format_family(),
        id: key.id().to_owned(),
        retired_at: key.retired_at,
        not_after: key.not_after(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use alliance_core::cloud::CloudId;
    use alliance_core::partner::{Kind, Role};

    use super::*;

    /// A partner whose users may come here.
    pub(in crate::daemon::delegate) fn west() -> Partner {
        Partner {
            cloud_id: CloudId::from_spki(b"west"),
            name: "west".to_owned(),
            kind: Kind::Alliance,
            role: Role::Guest,
            status: Status::Active,
            peer_url: "https://west.example:5443".to_owned(),
            trust_since: None,
            trust_till: None,
            max_users: None,
            max_projects: None,
            created_at: 0,
        }
    }

    fn idp() -> IdentityProvider {
        IdentityProvider {
            id: "west".to_owned(),
            enabled: true,
            domain_id: west().domain_id(),
            remote_ids: Vec::new(),
        }
    }

    fn domain() -> Domain {
        Domain {
            enabled: true,
            name: "west".to_owned(),
        }
    }

    #[test]
    fn what_is_as_it_was_made_is_not_wrong() {
        assert_eq!(wrong_with(&west(), Some(&idp()), Some(&domain())), None);
    }

    #[test]
    fn what_somebody_changed_in_keystone_is_named_with_what_mends_it() {
        let id = west().domain_id();
        let said = |idp: Option<IdentityProvider>, domain: Option<Domain>| {
            wrong_with(&west(), idp.as_ref(), domain.as_ref()).unwrap_or_default()
        };
        let missing = said(None, Some(domain()));
        assert!(
            missing.contains("`alliance partner repair west`"),
            "{missing}"
        );
        assert!(said(Some(idp()), None).contains(&format!("domain {id} is missing")));

        let other = IdentityProvider {
            domain_id: "default".to_owned(),
            ..idp()
        };
        let mend = "openstack identity provider delete west; alliance partner repair west";
        assert!(said(Some(other), Some(domain())).ends_with(mend));

        let named = IdentityProvider {
            remote_ids: vec!["https://idp.example".to_owned()],
            ..idp()
        };
        let found = said(Some(named), Some(domain()));
        assert!(found.contains("(https://idp.example)"), "{found}");
        assert!(
            found.ends_with("--remote-id-file /dev/null west"),
            "{found}"
        );

        let renamed = Domain {
            name: "foo".to_owned(),
            ..domain()
        };
        let found = said(Some(idp()), Some(renamed));
        assert!(found.contains("is called foo in place of west"), "{found}");
        assert!(found.ends_with(&format!("openstack domain set --name west {id}")));

        for (idp, domain) in [
            (
                IdentityProvider {
                    enabled: false,
                    ..idp()
                },
                domain(),
            ),
            (
                idp(),
                Domain {
                    enabled: false,
                    ..domain()
                },
            ),
        ] {
            assert!(said(Some(idp), Some(domain)).contains("is disabled in Keystone"));
        }
    }
}
