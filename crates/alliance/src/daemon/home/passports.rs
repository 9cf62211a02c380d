//! Login passports: with one, a user of ours logs in at a partner, and the token stays here.

use std::sync::Arc;

use alliance_cloud::keystone::PUBLIC;
use alliance_core::cadf::{Matter, Person};
use alliance_core::cloud::CloudId;
use alliance_core::endpoint_url::UrlRules;
use alliance_core::keystone_id;
use alliance_core::refusal::Reason;
use alliance_core::snapshot::Showing;
use alliance_core::statement::{Confirmation, LOGIN_LIFETIME, LoginPassport};
use alliance_peer::request_id::RequestId;
use uuid::Uuid;

use super::{Home, is_of};
use crate::daemon::auditing::Case;
use crate::daemon::clock::now;
use crate::daemon::directory::{Known, Partners};
use crate::daemon::own_catalog::IDENTITY;
use crate::wire::{PassportRequest, PassportView};

/// A hash in hex, and a JWK thumbprint.
const HASH_LEN: usize = 64;
const THUMBPRINT_LEN: usize = 43;

impl Home {
    /// A passport for one login at a partner. Our Keystone has looked at the token just now.
    ///
    /// # Errors
    /// Why the user may not go there, or not in this way.
    pub(crate) fn login_passport(
        &self,
        request: PassportRequest,
        showing: &Showing,
        request_id: RequestId,
    ) -> Result<PassportView, Reason> {
        let partners = self.directory.partners();
        let host = find(&partners, showing, &request.cloud).ok_or(Reason::UnknownPartner)?;
        let mut person = Person::default();
        is_of(&mut person, &request.token);
        let issued = self.issue(host, request, showing, request_id);
        self.auditor
            .decided(issued.as_ref().err().copied(), || Case {
                matter: Matter::LoginPassport,
                partner: Some(host),
                person,
                via: None,
                request_id: Some(request_id),
            });
        match &issued {
            Ok(_) => self.count(host, &Ok(String::new())),
            Err(reason) => {
                tracing::info!(%request_id, host = host.partner.name, %reason, "no login passport was issued");
                self.count(host, &Err(*reason));
            }
        }
        issued
    }

    fn issue(
        &self,
        host: &Known,
        request: PassportRequest,
        showing: &Showing,
        request_id: RequestId,
    ) -> Result<PassportView, Reason> {
        let at = now();
        host.partner.require_host(at)?;
        host.policy.login.require_passport()?;
        let is_hash = request.token_sha256.len() == HASH_LEN;
        let is_thumbprint = |jkt: &String| jkt.len() == THUMBPRINT_LEN;
        if !is_hash || !request.jkt.as_ref().is_none_or(is_thumbprint) {
            return Err(Reason::Malformed);
        }
        let view = request.token;
        self.leave(host, &view)?;
        let token_expires_at = view.expires_at.as_second();
        if token_expires_at <= at {
            return Err(Reason::Expired);
        }
        let origin = self.origin(&view);
        let own = self.identity.cloud_id();
        let project_id = view.project.as_ref().map(|project| &project.id);
        let project_id = project_id.map(|id| keystone_id::project(own, id));
        let passport = LoginPassport {
            iss: own.clone(),
            aud: host.partner.cloud_id.clone(),
            iat: at,
            exp: token_expires_at.min(at + LOGIN_LIFETIME),
            jti: Uuid::new_v4().to_string(),
            cnf: request.jkt.map(|jkt| Confirmation { jkt }),
            login: view.facts_by_hash(request.token_sha256, origin),
        };
        self.vouches_for(&passport.login, &passport.aud);
        tracing::info!(%request_id, host = host.partner.name, user = passport.login.sub, jti = passport.jti, "a login passport is issued");
        Ok(PassportView {
            expires_at: passport.exp,
            passport: self.sign(&passport)?,
            auth_url: identity_url(host, &showing.urls),
            project_id,
        })
    }
}

/// The partner that a user names: by its alias here, a region of its as our catalog names it, or its
/// cloud id.
fn find<'a>(partners: &'a Partners, showing: &Showing, name: &str) -> Option<&'a Arc<Known>> {
    let by_id = name.parse::<CloudId>().ok();
    by_id
        .and_then(|id| partners.by_cloud(&id))
        .or_else(|| partners.by_name(name))
        .or_else(|| {
            partners.all().into_iter().find(|known| {
                let regions = known.descriptor().map_or(&[][..], |told| &told.regions);
                let mut names = regions.iter().map(|region| &region.id);
                names.any(|id| showing.names.name(&known.partner, id) == name)
            })
        })
}

/// The partner's Keystone, if it names one that may be called.
fn identity_url(host: &Known, urls: &UrlRules) -> Option<String> {
    let services = host.descriptor()?.regions.iter().flat_map(|r| &r.services);
    let identity = services.filter(|service| service.kind == IDENTITY);
    let mut endpoints = identity.flat_map(|service| &service.endpoints);
    let fit = endpoints
        .find(|endpoint| endpoint.interface == PUBLIC && urls.require_fit(&endpoint.url).is_ok());
    fit.map(|endpoint| endpoint.url.clone())
}

#[cfg(test)]
mod tests {
    use alliance_cloud::keystone::Keystone;
    use alliance_core::descriptor::{Endpoint, Region, Service};
    use alliance_core::partner::Role;
    use alliance_core::token::Login;
    use alliance_peer::identity::Identity;
    use alliance_peer::statement;
    use alliance_store::Change;
    use serde_json::{Value, json};

    use super::*;
    use crate::daemon::directory::tests::knows;
    use crate::daemon::host::tests::five_guesses;
    use crate::daemon::metrics::Metrics;
    use crate::daemon::publish::tests::nobodys_keystone;

    fn request(cloud: &str, changes: Value) -> Result<PassportRequest, serde_json::Error> {
        let mut token = json!({
            "user": {"id": "ann", "name": "ann", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "p", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "1", "name": "member"}], "methods": ["password"],
            "audit_ids": ["own"],
            "issued_at": jiff::Timestamp::now(),
            "expires_at": jiff::Timestamp::now() + std::time::Duration::from_secs(3600),
        });
        if let (Some(token), Value::Object(changes)) = (token.as_object_mut(), changes) {
            token.extend(changes);
        }
        let sha256 = "ab".repeat(32);
        serde_json::from_value(json!({"cloud": cloud, "token_sha256": sha256, "token": token}))
    }

    #[tokio::test]
    async fn a_user_gets_a_passport_for_the_cloud_that_is_named()
    -> Result<(), Box<dyn std::error::Error>> {
        let (east, own) = (Identity::ephemeral()?, Arc::new(Identity::ephemeral()?));
        let (directory, store, _folder) = knows(&east, Role::Host).await?;
        let id = east.cloud_id();
        let record = store.partners().by_cloud_id(id).await?.ok_or("no east")?;
        let mut told = record.facts.descriptor.ok_or("no descriptor")?;
        let endpoint = |interface: &str, url: &str| Endpoint {
            interface: interface.into(),
            url: url.into(),
        };
        told.claims.regions = vec![Region {
            id: "One".into(),
            services: vec![Service {
                kind: "identity".into(),
                name: "keystone".into(),
                endpoints: vec![
                    endpoint("internal", "https://inside.east/v3"),
                    endpoint("public", "http://10.0.0.1/v3"),
                    endpoint("public", "https://east/v3"),
                ],
                versions: Vec::new(),
            }],
        }];
        store
            .partners()
            .set_descriptor(&told, Some(&told.jws))
            .await?;
        directory.reload().await?;
        let keystone: Arc<Keystone> = Arc::new(nobodys_keystone()?);
        let home = Home::new(
            Arc::clone(&own),
            Arc::clone(&directory),
            keystone,
            Arc::new(Metrics::new()),
            &five_guesses(),
            64,
        );
        let showing = Showing::default();
        let ask = |request| home.login_passport(request, &showing, RequestId::random());

        for name in ["west", "west:One", id.as_str()] {
            let view = ask(request(name, json!({}))?)?;
            let keys = [own.signing_key().public().to_jwk()];
            let passport: LoginPassport =
                statement::verify(&view.passport, &keys, own.cloud_id(), Some(id))?;
            assert_eq!(passport.exp - passport.iat, LOGIN_LIFETIME);
            assert_eq!(passport.login.origin.as_ref(), Some(own.cloud_id()));
            assert_eq!(view.auth_url.as_deref(), Some("https://east/v3"));
            let project_id = keystone_id::project(own.cloud_id(), "p");
            assert_eq!(view.project_id, Some(project_id));
        }
        let unknown = ask(request("north", json!({}))?);
        assert_eq!(unknown.err(), Some(Reason::UnknownPartner));
        let soon = jiff::Timestamp::now() + std::time::Duration::from_secs(10);
        let view = ask(request("west", json!({"expires_at": soon}))?)?;
        assert_eq!(view.expires_at, soon.as_second());
        for (changes, reason) in [
            (json!({"system": {"all": true}}), Reason::SystemScope),
            (
                json!({"methods": ["application_credential"]}),
                Reason::ApplicationCredential,
            ),
            (
                json!({"expires_at": "2020-01-01T00:00:00Z"}),
                Reason::Expired,
            ),
        ] {
            let refused = ask(request("west", changes)?);
            assert_eq!(refused.err(), Some(reason));
        }
        let odd = PassportRequest {
            jkt: Some("x".into()),
            ..request("west", json!({}))?
        };
        assert_eq!(ask(odd).err(), Some(Reason::Malformed));

        let bearer = Change {
            login: Some(Login::Bearer),
            ..Change::default()
        };
        store.partners().change(id, &bearer).await?;
        directory.reload().await?;
        let refused = ask(request("west", json!({}))?);
        assert_eq!(refused.err(), Some(Reason::BearerOnly));
        Ok(())
    }
}
