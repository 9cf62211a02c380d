//! A cloud without Alliance becomes a partner: its Keystone is asked by a service user.

use std::collections::BTreeSet;
use std::sync::Arc;

use alliance_cloud::keystone::{KeystoneError, ProjectQuery, read_password};
use alliance_core::partner::{AuthUrl, KeystoneAccess, Kind, Partner, Role, Status};
use alliance_peer::request_id::RequestId;
use alliance_token::KeyRing;

use super::Daemon;
use super::clock::now;
use super::delegate::ApiError;
use super::directory::Partners;
use super::key_rings;
use super::pairing::{require_alias, require_future};
use super::plain::PlainKeystone;
use crate::wire::{Applied, KeystoneFound, KeystoneRequest};

/// The role with which a Keystone lets a user validate other users' tokens.
const VALIDATES: &str = "service";

impl Daemon {
    /// Whether that Keystone can become a partner, and what an operator should know before.
    pub(crate) async fn inspect_keystone(
        &self,
        request: &KeystoneRequest,
    ) -> Result<KeystoneFound, ApiError> {
        require_alias(&request.name)?;
        require_future(request.trust_till)?;
        let access = &request.access;
        require_free(&self.directory.partners(), request)?;
        if self.is_own(&access.auth_url) {
            return Err(own_keystone(&access.auth_url));
        }
        let ring = require_files(access)?;

        let request_id = RequestId::random().to_string();
        let asked = |error: KeystoneError| ApiError::upstream(error.to_string());
        let plain = PlainKeystone::new(access.clone()).map_err(asked)?;
        let version = plain.keystone.version(&request_id).await.map_err(asked)?;
        let roles = plain.keystone.service_roles(&request_id).await;
        let roles = roles.map_err(asked)?;
        let own_project = ProjectQuery::Name {
            name: &access.project_name,
            domain: None,
        };
        let reads = match plain.keystone.projects(own_project, &request_id).await {
            Ok(_) => true,
            Err(KeystoneError::MissingRole { .. }) => false,
            Err(error) => return Err(asked(error)),
        };
        // By whatever URL it is reached: our own Keystone knows the token that was issued there.
        let shared = self
            .keystone
            .shares_tokens_with(&plain.keystone, &request_id);
        let is_own = shared.await.map_err(|error| {
            ApiError::upstream(format!(
                "our own Keystone did not say whether it is this one: {error}"
            ))
        })?;
        if is_own {
            return Err(own_keystone(&access.auth_url));
        }
        Ok(KeystoneFound {
            cloud_id: access.auth_url.cloud_id(),
            version,
            warnings: self.unwise(access, &roles, reads, &ring),
            roles,
            signing_keys: ring.keys().len(),
        })
    }

    /// Makes it a partner.
    pub(crate) async fn add_keystone(
        self: &Arc<Self>,
        request: &KeystoneRequest,
    ) -> Result<Applied, ApiError> {
        let found = self.inspect_keystone(request).await?;
        let access = &request.access;
        let at = now();
        let partner = Partner {
            cloud_id: found.cloud_id,
            name: request.name.clone(),
            kind: Kind::Keystone,
            role: Role::Guest,
            status: Status::Active,
            peer_url: access.auth_url.to_string(),
            trust_since: Some(at),
            trust_till: request.trust_till,
            max_users: request.max_users,
            max_projects: request.max_projects,
            created_at: at,
        };
        self.store.partners().add_keystone(&partner, access).await?;
        tracing::info!(partner = partner.name, cloud_id = %partner.cloud_id, url = %access.auth_url, "a plain Keystone was made a partner");
        self.audit(
            "operator",
            "partner.added",
            &partner.name,
            access.auth_url.as_url().as_str(),
        )
        .await;
        self.directory.reload().await?;
        let applied = self.publisher.publish(false).await?;
        self.pull_soon(&partner.cloud_id);
        Ok(applied)
    }

    /// Whether a URL is one of those by which this cloud's Keystone is known.
    fn is_own(&self, url: &AuthUrl) -> bool {
        let offer = self.catalog.current();
        let services = offer.regions.iter().flat_map(|region| &region.services);
        let endpoints = services
            .filter(|service| service.kind == "identity")
            .flat_map(|service| &service.endpoints);
        endpoints
            .map(|endpoint| endpoint.url.as_str())
            .chain([self.config.keystone.auth_url.as_str()])
            .any(|own| own.parse().is_ok_and(|own: AuthUrl| own == *url))
    }

    /// What works, yet an operator should know.
    fn unwise(
        &self,
        access: &KeystoneAccess,
        roles: &BTreeSet<String>,
        reads: bool,
        ring: &KeyRing,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        if access.auth_url.is_readable() {
            warnings.push(
                "the URL is http: the service user's password, and every token that is asked about, cross the network readable; use https"
                    .to_owned(),
            );
        }
        let admin = |role: &&String| self.config.tokens.admin_roles.contains(role);
        let too_much: Vec<_> = roles.iter().filter(admin).map(String::as_str).collect();
        if !too_much.is_empty() {
            warnings.push(format!(
                "the service user holds {} there: who gets at this daemon gets that cloud; role {VALIDATES} on a project is enough",
                too_much.join(", ")
            ));
        } else if !roles.contains(VALIDATES) {
            warnings.push(format!(
                "the service user holds no role {VALIDATES} on project {}: most Keystones let it validate nobody's tokens but its own; there: openstack role add --user {:?} --user-domain {:?} --project {:?} --project-domain {:?} {VALIDATES}",
                access.project_name,
                access.username,
                access.user_domain_name,
                access.project_name,
                access.project_domain_name,
            ));
        }
        if !reads {
            warnings.push(format!(
                "the service user may not read there: projects are found by their id only, and native tokens that its users buy here with theirs are refused as soon as they have to be confirmed; there, if it is of 2018 or later: openstack role add --user {:?} --user-domain {:?} --system all reader",
                access.username, access.user_domain_name,
            ));
        }
        let unkeyed: Vec<_> = access
            .formats
            .iter()
            .filter(|format| format.family().is_some_and(|family| !ring.has(family)))
            .map(|format| format.as_str())
            .collect();
        if !unkeyed.is_empty() {
            warnings.push(format!(
                "no key verifies {} tokens: each is asked about, as one that nobody can read. If you have that cloud's certificate or public key, give it by --signing-keys",
                unkeyed.join(", ")
            ));
        }
        warnings
    }
}

/// Refuses what another partner has: the name, the cloud, an untagged format.
fn require_free(partners: &Partners, request: &KeystoneRequest) -> Result<(), ApiError> {
    let KeystoneRequest { name, access, .. } = request;
    if access.formats.is_empty() {
        return Err(ApiError::invalid("name at least one token format"));
    }
    if partners.by_name(name).is_some() {
        return Err(ApiError::conflict(format!(
            "a partner is called {name} already; choose another name or remove that one first"
        )));
    }
    if let Some(known) = partners.by_cloud(&access.auth_url.cloud_id()) {
        return Err(alliance_store::Error::CloudTaken {
            name: known.partner.name.clone(),
        }
        .into());
    }
    for format in &access.formats {
        if let Some(known) = partners.by_untagged(*format) {
            return Err(alliance_store::Error::FormatTaken {
                format: *format,
                holder: known.partner.name.clone(),
                name: name.clone(),
            }
            .into());
        }
    }
    Ok(())
}

/// Reads the files that are named, as the daemon will.
fn require_files(access: &KeystoneAccess) -> Result<KeyRing, ApiError> {
    let named = [
        Some(&access.password_file),
        access.ca_file.as_ref(),
        access.signing_keys.as_ref(),
    ];
    if let Some(path) = named.into_iter().flatten().find(|path| path.is_relative()) {
        return Err(ApiError::invalid(format!(
            "{} is no absolute path",
            path.display()
        )));
    }
    read_password(&access.password_file).map_err(|error| ApiError::invalid(error.to_string()))?;
    let Some(path) = access.signing_keys.as_deref() else {
        return Ok(KeyRing::default());
    };
    if !access.formats.iter().any(|format| format.is_signed()) {
        return Err(ApiError::invalid(
            "signing keys are for pki, pkiz and jws tokens, and none of these is among the formats",
        ));
    }
    key_rings::read(path).map_err(|error| ApiError::invalid(format!("the signing keys: {error:#}")))
}

fn own_keystone(url: &AuthUrl) -> ApiError {
    ApiError::conflict(format!(
        "{url} is this cloud's own Keystone: its tokens are native here"
    ))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use alliance_core::token::TokenFormat;

    use super::*;
    use crate::daemon::directory::tests::{keystone, knows_west};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn request(
        name: &str,
        formats: &[TokenFormat],
    ) -> Result<KeystoneRequest, Box<dyn std::error::Error>> {
        let (_, access) = keystone(name, formats)?;
        Ok(KeystoneRequest {
            name: name.to_owned(),
            access,
            trust_till: None,
            max_users: None,
            max_projects: None,
        })
    }

    #[tokio::test]
    async fn what_another_partner_has_is_refused_before_anybody_is_asked() -> Outcome {
        let (directory, store, _, _folder) = knows_west().await?;
        let (north, access) = keystone("north", &[TokenFormat::Uuid])?;
        store.partners().add_keystone(&north, &access).await?;
        directory.reload().await?;
        let refusal = |request: KeystoneRequest| {
            let refused = require_free(&directory.partners(), &request).err();
            refused
                .map(|error| format!("{error:?}"))
                .unwrap_or_default()
        };
        let claimed = refusal(request("old", &[TokenFormat::Pki, TokenFormat::Uuid])?);
        assert!(
            claimed.contains("untagged uuid tokens are those of partner north"),
            "{claimed}"
        );
        assert!(claimed.contains("those of old too"), "{claimed}");
        let named = refusal(KeystoneRequest {
            name: "west".to_owned(),
            ..request("old", &[TokenFormat::Pki])?
        });
        assert!(named.contains("called west already"), "{named}");
        let again = refusal(KeystoneRequest {
            name: "nord".to_owned(),
            ..request("north", &[TokenFormat::Pki])?
        });
        assert!(again.contains("named north"), "{again}");
        assert!(refusal(request("old", &[])?).contains("at least one"));
        assert_eq!(refusal(request("old", &[TokenFormat::Pki])?), "");
        Ok(())
    }

    #[test]
    fn files_that_are_of_no_use_are_named() -> Outcome {
        let folder = tempfile::tempdir()?;
        let (password, keys) = (folder.path().join("password"), folder.path().join("keys"));
        let mut access = request("north", &[TokenFormat::Jws])?.access;
        let refusal = |access: &KeystoneAccess| {
            let refused = require_files(access).err();
            refused
                .map(|error| format!("{error:?}"))
                .unwrap_or_default()
        };
        access.password_file = "password".into();
        assert!(refusal(&access).contains("no absolute path"));
        access.password_file.clone_from(&password);
        assert!(refusal(&access).contains("cannot be read by the daemon's user"));
        fs::write(&password, "secret")?;
        fs::set_permissions(&password, Permissions::from_mode(0o644))?;
        assert!(refusal(&access).contains("chmod o="));
        fs::set_permissions(&password, Permissions::from_mode(0o600))?;
        assert_eq!(refusal(&access), "");

        access.signing_keys = Some(keys.clone());
        assert!(refusal(&access).contains("signing keys: reading"));
        fs::create_dir(&keys)?;
        assert!(refusal(&access).contains("there is no key in"));
        fs::write(keys.join("1.pem"), "no key")?;
        assert!(refusal(&access).contains("1.pem"));
        access.formats = [TokenFormat::Uuid].into();
        assert!(refusal(&access).contains("none of these is among the formats"));
        Ok(())
    }
}
