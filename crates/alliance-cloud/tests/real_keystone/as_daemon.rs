//! What the daemon asks, with role `service` on a project and role `reader` on the system.

use std::collections::BTreeSet;

use alliance_cloud::keystone::{
    Keystone, KeystoneError, ProjectQuery, Settings, UserGrants, Validation,
};
use alliance_core::refusal::Reason;
use alliance_core::revocation::{Revocable, Revocations, Revoked};
use alliance_core::statement::Grants;
use alliance_token::body::TokenView;
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::{Admin, User, unique};

const R: &str = "req-00000000-0000-0000-0000-000000000000";

async fn member(admin: &Admin) -> (User, String, String) {
    let name = unique("science");
    let project = admin.project(&name).await;
    let user = admin.user().await;
    admin
        .grant(&format!("projects/{project}"), &user.id, "member")
        .await;
    (user, project, name)
}

/// A token of the user for the project, and what Keystone says of it.
async fn valid(
    admin: &Admin,
    keystone: &Keystone,
    user: &User,
    project: &str,
) -> (String, Box<TokenView>) {
    let token = admin.token(user, json!({"project": {"id": project}})).await;
    let Validation::Valid(view) = keystone.validate(&token, R).await.unwrap() else {
        unreachable!("{token}");
    };
    (token, view)
}

async fn granted(keystone: &Keystone, user: &str, project: Option<&str>) -> Option<Grants> {
    let alone = keystone.grants(user, project, R).await.unwrap();
    let among = keystone.grants_of_many(&[(user, project)], R).await;
    assert_eq!(among.as_deref(), Ok(std::slice::from_ref(&alone)));
    match alone {
        UserGrants::Some(grants) => Some(grants),
        UserGrants::None => None,
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn tokens_are_validated_and_revoke_themselves() {
    let admin = Admin::new().await;
    let keystone = admin.keystone().await;
    let (user, project, _) = member(&admin).await;
    let (token, view) = valid(&admin, &keystone, &user, &project).await;
    assert_eq!(view.user.id, user.id);
    assert_eq!(view.project.as_ref().unwrap().id, project);
    assert_eq!(view.roles, set(&["member", "reader"]));
    assert_eq!(
        alliance_core::admission::may_leave(&view.home_view()),
        Ok(())
    );

    keystone.revoke_with_itself(&token, R).await.unwrap();
    assert_eq!(
        keystone.validate(&token, R).await.unwrap(),
        Validation::Unknown
    );
    keystone.revoke_with_itself(&token, R).await.unwrap();
    for nonsense in ["gAAAAABnonsense", "a b", "a\nb", ""] {
        assert_eq!(
            keystone.validate(nonsense, R).await.unwrap(),
            Validation::Unknown,
            "{nonsense:?}"
        );
    }
    keystone.ring("ring~nobodyknowsthis", R).await.unwrap();
}

#[tokio::test]
async fn what_has_ended_is_listed() {
    let admin = Admin::new().await;
    let keystone = admin.keystone().await;
    let (user, project, _) = member(&admin).await;
    let (token, view) = valid(&admin, &keystone, &user, &project).await;
    let ended = async || {
        let revocations = Revocations::from(Revoked {
            events: keystone.revocation_events(R).await.unwrap(),
            ..Revoked::default()
        });
        revocations.ends(&Revocable {
            user_id: &view.user.id,
            user_domain_id: Some(&view.user.domain.id),
            project_id: Some(&project),
            project_domain_id: None,
            role_ids: &view.role_ids,
            audit_ids: &view.audit_ids,
            issued_at: view.issued_at,
            expires_at: view.expires_at,
        })
    };
    assert!(!ended().await);
    keystone.revoke_with_itself(&token, R).await.unwrap();
    assert!(ended().await);

    let (projects, domains) = keystone.disabled(R).await.unwrap();
    assert!(!projects.contains(&project) && !domains.contains("default"));
    admin
        .patch(
            &format!("/projects/{project}"),
            json!({"project": {"enabled": false}}),
        )
        .await;
    let (projects, domains) = keystone.disabled(R).await.unwrap();
    assert!(projects.contains(&project) && !domains.contains("default"));
}

#[tokio::test]
async fn a_trust_that_no_longer_holds_ends_its_token_without_an_error() {
    let admin = Admin::new().await;
    let keystone = admin.keystone().await;
    let (ann, project, _) = member(&admin).await;
    let bob = admin.user().await;
    let scope = json!({"project": {"id": project}});
    let own = admin.token(&ann, scope).await;
    let trust = json!({"trust": {"trustor_user_id": ann.id, "trustee_user_id": bob.id,
        "project_id": project, "impersonation": true, "roles": [{"name": "member"}]}});
    let url = std::env::var("OS_AUTH_URL").unwrap() + "/OS-TRUST/trusts";
    let made: Value = reqwest::Client::new()
        .post(url)
        .header("X-Auth-Token", own)
        .json(&trust)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let token = admin
        .token(&bob, json!({"OS-TRUST:trust": {"id": made["trust"]["id"]}}))
        .await;
    let Validation::Valid(view) = keystone.validate(&token, R).await.unwrap() else {
        unreachable!("{token}");
    };
    let verdict = alliance_core::admission::may_leave(&view.home_view());
    assert_eq!(verdict, Err(Reason::Trust));
    let role = admin.role_id("member").await;
    admin
        .delete(&format!(
            "/projects/{project}/users/{}/roles/{role}",
            ann.id
        ))
        .await;
    assert_eq!(
        keystone.validate(&token, R).await.unwrap(),
        Validation::Unknown
    );
}

#[tokio::test]
async fn grants_follow_every_change_at_once() {
    let admin = Admin::new().await;
    let keystone = admin.keystone().await;
    let (user, project, name) = member(&admin).await;
    let both = granted(&keystone, &user.id, Some(&project)).await.unwrap();
    assert_eq!(
        (both.user.name, both.user.domain.name),
        (user.name.clone(), "Default".to_owned())
    );
    assert_eq!(both.project.unwrap().name, name);
    assert_eq!(both.roles, set(&["member", "reader"]));
    let only = granted(&keystone, &user.id, None).await.unwrap();
    assert_eq!((only.project, only.roles.len()), (None, 0));

    let other = admin.project(&unique("other")).await;
    assert!(
        granted(&keystone, &user.id, Some(&other)).await.is_none(),
        "no role"
    );
    let group = admin
        .make(
            "group",
            json!({"name": unique("group"), "domain_id": "default"}),
        )
        .await;
    admin
        .put(&format!("/groups/{group}/users/{}", user.id), Value::Null)
        .await;
    // Which roles there are, and what they imply, differs between releases.
    let lead = unique("lead");
    let leads = admin.make("role", json!({"name": lead})).await;
    let member = admin.role_id("member").await;
    admin
        .put(&format!("/roles/{leads}/implies/{member}"), Value::Null)
        .await;
    admin
        .put(
            &format!("/projects/{other}/groups/{group}/roles/{leads}"),
            Value::Null,
        )
        .await;
    let by_group = granted(&keystone, &user.id, Some(&other)).await.unwrap();
    assert_eq!(by_group.roles, set(&[&lead, "member", "reader"]));

    for missing in ["nobody", "../users", "default"] {
        assert!(granted(&keystone, missing, None).await.is_none());
        assert!(
            granted(&keystone, &user.id, Some(missing)).await.is_none(),
            "{missing}"
        );
    }
    let enable = |on: bool| json!({"project": {"enabled": on}});
    admin
        .patch(&format!("/projects/{project}"), enable(false))
        .await;
    assert!(
        granted(&keystone, &user.id, Some(&project)).await.is_none(),
        "project disabled"
    );
    admin
        .patch(&format!("/projects/{project}"), enable(true))
        .await;
    assert!(granted(&keystone, &user.id, Some(&project)).await.is_some());
    admin
        .patch(
            &format!("/users/{}", user.id),
            json!({"user": {"enabled": false}}),
        )
        .await;
    assert!(
        granted(&keystone, &user.id, Some(&project)).await.is_none(),
        "user disabled"
    );
    assert!(
        granted(&keystone, &user.id, None).await.is_none(),
        "user disabled"
    );
}

#[tokio::test]
async fn of_many_users_in_one_project_each_has_its_own_roles() {
    let admin = Admin::new().await;
    let keystone = admin.keystone().await;
    let (first, project, _) = member(&admin).await;
    let (project, elsewhere) = (project.as_str(), "nowhere");
    let mut users = vec![
        (first.id.clone(), elsewhere, None),
        (first.id, project, Some(set(&["member", "reader"]))),
        (admin.user().await.id, project, None),
        ("nobody".to_owned(), project, None),
    ];
    for role in ["reader", "manager", "reader"] {
        let user = admin.user().await;
        let target = format!("projects/{project}");
        admin.grant(&target, &user.id, role).await;
        let roles = keystone.grants(&user.id, Some(project), R).await.unwrap();
        let UserGrants::Some(grants) = roles else {
            unreachable!("{role}");
        };
        users.push((user.id, project, Some(grants.roles)));
    }
    let asked = users.iter().map(|(user, at, _)| (user.as_str(), Some(*at)));
    let asked: Vec<_> = asked.collect();
    let found = keystone.grants_of_many(&asked, R).await.unwrap();
    assert_eq!(found.len(), users.len());
    for ((user, _, expected), found) in users.iter().zip(found) {
        let roles = match found {
            UserGrants::Some(grants) => {
                assert_eq!(&grants.user.id, user);
                Some(grants.roles)
            }
            UserGrants::None => None,
        };
        assert_eq!(&roles, expected);
    }
}

#[tokio::test]
async fn a_disabled_domain_takes_its_users_and_projects_with_it() {
    let admin = Admin::new().await;
    let keystone = admin.keystone().await;
    let (native, native_project, _) = member(&admin).await;
    let domain_name = unique("domain");
    let domain = admin.make("domain", json!({"name": domain_name})).await;
    let name = unique("p");
    let project = admin
        .make("project", json!({"name": name, "domain_id": domain}))
        .await;
    let user = admin
        .make("user", json!({"name": unique("u"), "domain_id": domain}))
        .await;
    admin
        .grant(&format!("projects/{project}"), &native.id, "member")
        .await;
    admin
        .grant(&format!("projects/{native_project}"), &user, "member")
        .await;
    let named = |domain| ProjectQuery::Name {
        name: &name,
        domain,
    };
    for query in [
        named(None),
        named(Some(&domain)),
        named(Some(&domain_name)),
        ProjectQuery::Id(&project),
    ] {
        let found = keystone.projects(query, R).await.unwrap();
        assert_eq!(
            (found.len(), found[0].domain.name.as_str()),
            (1, domain_name.as_str()),
            "{query:?}"
        );
    }
    for query in [
        named(Some("Default")),
        ProjectQuery::Id("nobody"),
        ProjectQuery::Id(&domain),
    ] {
        assert!(
            keystone.projects(query, R).await.unwrap().is_empty(),
            "{query:?}"
        );
    }
    let upper = name.to_uppercase();
    let other_case = ProjectQuery::Name {
        name: &upper,
        domain: None,
    };
    assert!(keystone.projects(other_case, R).await.unwrap().is_empty());
    assert!(
        granted(&keystone, &native.id, Some(&project))
            .await
            .is_some()
    );
    assert!(
        granted(&keystone, &user, Some(&native_project))
            .await
            .is_some()
    );
    assert!(keystone.domain(&domain, R).await.unwrap().unwrap().enabled);

    admin
        .patch(
            &format!("/domains/{domain}"),
            json!({"domain": {"enabled": false}}),
        )
        .await;
    assert!(
        granted(&keystone, &native.id, Some(&project))
            .await
            .is_none()
    );
    assert!(
        granted(&keystone, &user, Some(&native_project))
            .await
            .is_none()
    );
    assert!(granted(&keystone, &user, None).await.is_none());
    assert!(keystone.projects(named(None), R).await.unwrap().is_empty());
    assert!(
        keystone
            .projects(ProjectQuery::Id(&project), R)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(!keystone.domain(&domain, R).await.unwrap().unwrap().enabled);
    admin.delete(&format!("/domains/{domain}")).await;
    assert_eq!(keystone.domain(&domain, R).await, Ok(None));
}

#[tokio::test]
async fn the_catalog_and_the_roles_are_read() {
    let admin = Admin::new().await;
    let (_, settings) = admin.daemon().await;
    let keystone = Keystone::new(settings.clone()).unwrap();
    let found = keystone.catalog(R, &[]).await.unwrap();
    assert!(found.service_types.contains("identity"));
    assert!(
        found
            .regions
            .iter()
            .any(|r| r.services.iter().any(|s| s.kind == "identity"))
    );
    let elsewhere = Keystone::new(Settings {
        region: Some("nowhere".to_owned()),
        ..settings
    })
    .unwrap();
    let nowhere = elsewhere.catalog(R, &[]).await.unwrap();
    assert_eq!(nowhere.regions, []);
    assert_eq!(nowhere.service_types, found.service_types);
    assert_eq!(nowhere.region_ids, found.region_ids);
    let missing = keystone
        .roles_missing(&set(&["member", "Member", "nonsense & more"]), R)
        .await;
    assert_eq!(missing, Ok(set(&["Member", "nonsense & more"])));
}

#[tokio::test]
async fn service_and_system_reader_are_all_that_is_needed_and_each_is_missed_by_name() {
    let admin = Admin::new().await;
    let (user, settings) = admin.daemon().await;
    let keystone = Keystone::new(settings.clone()).unwrap();
    let own = keystone.own_roles(R).await.unwrap();
    let own: Vec<_> = own
        .iter()
        .map(|r| format!("{} {}", r.name, r.scope))
        .collect();
    assert_eq!(
        own,
        [
            "reader system".to_owned(),
            format!("service project {}", settings.project_name)
        ]
    );

    let reader = admin.role_id("reader").await;
    admin
        .delete(&format!("/system/users/{}/roles/{reader}", user.id))
        .await;
    // The daemon holds a token that has lost its role, then one that cannot be had any more.
    for keystone in [&keystone, &Keystone::new(settings.clone()).unwrap()] {
        let error = keystone.catalog(R, &[]).await.unwrap_err();
        assert!(
            matches!(error, KeystoneError::MissingRole { role: "reader", .. }),
            "{error}"
        );
        assert!(error.to_string().contains("--system all reader"), "{error}");
    }
    keystone.ring("ring~x", R).await.unwrap();
    let wrong = Keystone::new(Settings {
        password: "wrong".into(),
        ..settings
    })
    .unwrap();
    for _ in 0..2 {
        let error = wrong.ring("ring~x", R).await.unwrap_err();
        assert!(
            matches!(error, KeystoneError::WrongCredentials { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_federated_user_has_no_grants_to_give_away() {
    let admin = Admin::new().await;
    let keystone = admin.keystone().await;
    let idp = unique("idp");
    let path = format!("/OS-FEDERATION/identity_providers/{idp}");
    admin
        .put(&path, json!({"identity_provider": {"enabled": true}}))
        .await;
    let domain = keystone
        .identity_provider(&idp, R)
        .await
        .unwrap()
        .unwrap()
        .domain_id;
    assert_eq!(keystone.identity_provider("nobody", R).await, Ok(None));
    let rules =
        json!([{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "REMOTE_USER"}]}]);
    admin
        .put(
            &format!("/OS-FEDERATION/mappings/{idp}"),
            json!({"mapping": {"rules": rules}}),
        )
        .await;
    admin
        .put(
            &format!("{path}/protocols/p"),
            json!({"protocol": {"mapping_id": idp}}),
        )
        .await;
    let federated = json!([{"idp_id": idp, "protocols": [{"protocol_id": "p", "unique_id": "u"}]}]);
    let user = admin
        .make(
            "user",
            json!({"name": "u", "domain_id": domain, "federated": federated}),
        )
        .await;
    assert!(granted(&keystone, &user, None).await.is_none());
    admin.ask(Method::DELETE, &path, Value::Null).await;
}
