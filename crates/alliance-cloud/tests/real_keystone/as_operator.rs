//! What the operator's command line makes and removes.

use alliance_cloud::operator::{Created, Object, OperatorError};
use alliance_core::cloud::CloudId;
use alliance_core::keystone_id;
use serde_json::json;

use crate::admin::{Admin, operator, unique};

/// A partner that nobody else has.
struct Partner {
    alias: String,
    cloud_id: CloudId,
}

impl Partner {
    fn new() -> Self {
        let name = unique("p");
        Self {
            alias: name[..name.len().min(32)].to_owned(),
            cloud_id: CloudId::from_spki(name.as_bytes()),
        }
    }

    fn domain_id(&self) -> String {
        keystone_id::domain(&self.cloud_id)
    }

    fn provider(&self) -> String {
        format!("/OS-FEDERATION/identity_providers/{}", self.alias)
    }

    fn mapping(&self) -> String {
        format!("/OS-FEDERATION/mappings/alliance-{}", self.cloud_id.tag())
    }

    async fn ensure(&self) -> Result<Created, OperatorError> {
        operator()
            .ensure_partner_objects(&self.alias, &self.cloud_id)
            .await
    }

    /// Which of the four there are.
    async fn there(&self, admin: &Admin) -> [bool; 4] {
        [
            admin
                .get(&format!("/domains/{}", self.domain_id()))
                .await
                .is_some(),
            admin.get(&self.mapping()).await.is_some(),
            admin.get(&self.provider()).await.is_some(),
            admin
                .get(&format!("{}/protocols/alliance", self.provider()))
                .await
                .is_some(),
        ]
    }
}

#[tokio::test]
async fn what_one_call_made_is_what_its_undo_removes() {
    let admin = Admin::new().await;
    let partner = Partner::new();
    let created = partner.ensure().await.unwrap();
    assert_eq!((created.made.len(), created.disabled.len()), (4, 0));
    assert_eq!(partner.there(&admin).await, [true; 4]);
    let provider = admin.get(&partner.provider()).await.unwrap();
    let description = format!("Alliance partner {}", partner.cloud_id);
    assert_eq!(
        provider["identity_provider"]["domain_id"],
        partner.domain_id()
    );
    assert_eq!(provider["identity_provider"]["description"], description);
    let domain = admin
        .get(&format!("/domains/{}", partner.domain_id()))
        .await
        .unwrap();
    assert_eq!(
        (&domain["domain"]["name"], &domain["domain"]["description"]),
        (&json!(partner.alias), &json!(description))
    );

    let again = partner.ensure().await.unwrap();
    assert_eq!(again, Created::default());
    operator().undo(&again).await.unwrap();
    assert_eq!(partner.there(&admin).await, [true; 4]);
    operator().undo(&created).await.unwrap();
    assert_eq!(partner.there(&admin).await, [false; 4]);
    operator().undo(&created).await.unwrap();
}

#[tokio::test]
async fn after_a_crash_at_any_step_the_next_call_goes_on() {
    let admin = Admin::new().await;
    let partner = Partner::new();
    for done in 0..=4 {
        let all = partner.ensure().await.unwrap();
        let (first, later) = all.made.split_at(done);
        let later = Created {
            made: later.to_vec(),
            ..Created::default()
        };
        operator().undo(&later).await.unwrap();
        let rest = partner.ensure().await.unwrap();
        assert_eq!(rest.made, later.made, "after {done}");
        operator().undo(&rest).await.unwrap();
        let there = partner.there(&admin).await;
        assert_eq!(there.iter().filter(|there| **there).count(), done);
        operator()
            .undo(&Created {
                made: first.to_vec(),
                ..Created::default()
            })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn two_operators_at_once_make_each_object_once() {
    let admin = Admin::new().await;
    let partner = Partner::new();
    let (one, two) = tokio::join!(partner.ensure(), partner.ensure());
    let mut made: Vec<String> = [one, two]
        .iter()
        .flat_map(|created| created.as_ref().unwrap().made.iter().map(Object::to_string))
        .collect();
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 4);
    assert_eq!(partner.there(&admin).await, [true; 4]);
    operator()
        .purge(&partner.alias, &partner.cloud_id)
        .await
        .unwrap();
    assert_eq!(partner.there(&admin).await, [false; 4]);
}

#[tokio::test]
async fn what_is_somebody_elses_is_named_and_left_alone() {
    let admin = Admin::new().await;
    let refused = async |partner: &Partner, named: &str| {
        let before = partner.there(&admin).await;
        let error = partner.ensure().await.unwrap_err();
        assert!(matches!(error, OperatorError::NotOurs { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
        let repaired = operator().repair(&partner.alias, &partner.cloud_id).await;
        assert_eq!(repaired.unwrap_err(), error);
        assert_eq!(partner.there(&admin).await, before);
    };

    let partner = Partner::new();
    let domain = admin.make("domain", json!({"name": partner.alias})).await;
    refused(&partner, &format!("domain {} ({domain})", partner.alias)).await;
    let purged = operator()
        .purge(&partner.alias, &partner.cloud_id)
        .await
        .unwrap();
    assert_eq!((purged.deleted.len(), purged.left.len()), (0, 1));
    assert!(admin.get(&format!("/domains/{domain}")).await.is_some());

    let partner = Partner::new();
    let body = json!({"domain": {"name": unique("x"), "explicit_domain_id": partner.domain_id()}});
    admin.ask(reqwest::Method::POST, "/domains", body).await;
    refused(&partner, &partner.domain_id()).await;

    let partner = Partner::new();
    admin
        .put(
            &partner.provider(),
            json!({"identity_provider": {"enabled": true}}),
        )
        .await;
    refused(&partner, &format!("identity provider {}", partner.alias)).await;
    let purged = operator()
        .purge(&partner.alias, &partner.cloud_id)
        .await
        .unwrap();
    assert_eq!((purged.deleted.len(), purged.left.len()), (0, 1));
    assert_eq!(partner.there(&admin).await, [false, false, true, false]);

    let partner = Partner::new();
    let rules =
        json!([{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "REMOTE_USER"}]}]);
    admin
        .put(&partner.mapping(), json!({"mapping": {"rules": rules}}))
        .await;
    refused(&partner, "mapping alliance-").await;

    let (owner, partner) = (Partner::new(), Partner::new());
    owner.ensure().await.unwrap();
    partner.ensure().await.unwrap();
    let protocol = format!("{}/protocols/alliance", partner.provider());
    let other = format!("alliance-{}", owner.cloud_id.tag());
    admin
        .patch(&protocol, json!({"protocol": {"mapping_id": other}}))
        .await;
    refused(&partner, "protocol alliance").await;
    operator()
        .purge(&partner.alias, &partner.cloud_id)
        .await
        .unwrap();
    operator()
        .purge(&owner.alias, &owner.cloud_id)
        .await
        .unwrap();
}

#[tokio::test]
async fn only_repair_enables_what_somebody_disabled() {
    let admin = Admin::new().await;
    let partner = Partner::new();
    partner.ensure().await.unwrap();
    let domain = format!("/domains/{}", partner.domain_id());
    admin
        .patch(&domain, json!({"domain": {"enabled": false}}))
        .await;
    admin
        .patch(
            &partner.provider(),
            json!({"identity_provider": {"enabled": false}}),
        )
        .await;
    admin
        .delete(&format!("{}/protocols/alliance", partner.provider()))
        .await;
    let created = partner.ensure().await.unwrap();
    assert_eq!((created.made.len(), created.disabled.len()), (1, 2));
    let enabled = async || {
        let domain = admin.get(&domain).await.unwrap();
        let provider = admin.get(&partner.provider()).await.unwrap();
        (
            domain["domain"]["enabled"].clone(),
            provider["identity_provider"]["enabled"].clone(),
        )
    };
    assert_eq!(enabled().await, (json!(false), json!(false)));
    operator().undo(&created).await.unwrap();
    let done = operator()
        .repair(&partner.alias, &partner.cloud_id)
        .await
        .unwrap();
    assert_eq!(done.len(), 3, "{done:?}");
    assert_eq!(enabled().await, (json!(true), json!(true)));
    assert!(
        operator()
            .repair(&partner.alias, &partner.cloud_id)
            .await
            .unwrap()
            .is_empty()
    );
    operator()
        .purge(&partner.alias, &partner.cloud_id)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_purge_takes_the_guests_with_it_and_may_be_repeated() {
    let admin = Admin::new().await;
    let partner = Partner::new();
    partner.ensure().await.unwrap();
    let domain_id = partner.domain_id();
    let project = admin
        .make("project", json!({"name": "shadow", "domain_id": domain_id}))
        .await;
    let user = admin
        .make(
            "user",
            json!({"name": "shadow", "domain_id": domain_id, "federated": [
        {"idp_id": partner.alias, "protocols": [{"protocol_id": "alliance", "unique_id": "x"}]}]}),
        )
        .await;
    admin
        .grant(&format!("projects/{project}"), &user, "member")
        .await;
    // The operator has renamed the domain since; it is still the partner's.
    admin
        .patch(
            &format!("/domains/{domain_id}"),
            json!({"domain": {"name": unique("renamed")}}),
        )
        .await;
    let purged = operator()
        .purge(&partner.alias, &partner.cloud_id)
        .await
        .unwrap();
    assert_eq!((purged.deleted.len(), purged.left), (3, Vec::new()));
    assert_eq!(partner.there(&admin).await, [false; 4]);
    assert!(admin.get(&format!("/projects/{project}")).await.is_none());
    assert!(admin.get(&format!("/users/{user}")).await.is_none());
    let again = operator()
        .purge(&partner.alias, &partner.cloud_id)
        .await
        .unwrap();
    assert!(again.deleted.is_empty() && again.left.is_empty());
}

#[tokio::test]
async fn an_operator_without_the_right_is_told_which() {
    let admin = Admin::new().await;
    let (user, settings) = admin.daemon().await;
    let token = admin
        .token(
            &user,
            json!({"project": {"name": settings.project_name, "domain": {"id": "default"}}}),
        )
        .await;
    let variables = [
        ("OS_AUTH_URL", settings.auth_url.as_str()),
        ("OS_TOKEN", &token),
    ];
    let weak = alliance_cloud::operator::Operator::from_env(
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let partner = Partner::new();
    let error = weak
        .unwrap()
        .ensure_partner_objects(&partner.alias, &partner.cloud_id)
        .await
        .unwrap_err();
    assert!(matches!(error, OperatorError::Forbidden { .. }), "{error}");
}
