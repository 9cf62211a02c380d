//! Partners that are plain Keystones, and how tokens of partners are validated.

use std::collections::BTreeMap;

use alliance_core::partner::{KeystoneAccess, Kind, Partner, Role, Status};
use alliance_core::token::{Mode, NotOffline, TokenFormat, TokenPolicy};
use alliance_store::{Change, Error, PartnerRecord};

use crate::bed::{Bed, Outcome, invitation, on_both, pair};

on_both!(
    a_plain_keystone_is_a_partner_without_a_descriptor,
    two_partners_that_claim_one_untagged_format_are_both_named,
    a_keystone_that_is_removed_leaves_its_formats_to_others,
    of_two_that_claim_a_format_at_once_one_gets_it,
    a_name_or_a_keystone_is_a_partner_once,
    modes_change_one_by_one,
    an_opaque_format_stays_as_it_is_when_offline_is_asked_for,
);

const UUID: &[TokenFormat] = &[TokenFormat::Uuid];

/// A Keystone of that name with tokens of these formats.
pub(crate) fn keystone(
    name: &str,
    formats: &[TokenFormat],
) -> Result<(Partner, KeystoneAccess), Box<dyn std::error::Error>> {
    let access = KeystoneAccess {
        auth_url: format!("https://{name}.example:5000/v3").parse()?,
        username: "alliance".into(),
        user_domain_name: "Default".into(),
        project_name: "service — Dienste".into(),
        project_domain_name: "Default".into(),
        password_file: "/etc/alliance/north-password".into(),
        ca_file: None,
        formats: formats.iter().copied().collect(),
        signing_keys: Some("/etc/alliance/north-keys".into()),
    };
    let partner = Partner {
        cloud_id: access.auth_url.cloud_id(),
        name: name.to_owned(),
        kind: Kind::Keystone,
        role: Role::Guest,
        status: Status::Active,
        peer_url: access.auth_url.to_string(),
        trust_since: Some(10),
        trust_till: None,
        max_users: Some(7),
        max_projects: None,
        created_at: 10,
    };
    Ok((partner, access))
}

async fn a_plain_keystone_is_a_partner_without_a_descriptor(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let partners = store.partners();
    let (north, access) = keystone("north", &[TokenFormat::Uuid, TokenFormat::Pkiz])?;
    partners.add_keystone(&north, &access).await?;
    let record = partners.by_name("north").await?.ok_or("it is not there")?;
    assert_eq!(record.partner, north);
    assert_eq!(record.access, Some(access));
    assert_eq!(record.facts.descriptor, None);
    assert_eq!(record.policy, TokenPolicy::default());

    pair(&store, "west").await?;
    let west = partners.by_name("west").await?.ok_or("it is not there")?;
    assert_eq!((west.partner.kind, west.access), (Kind::Alliance, None));

    partners.set_failed(&north.cloud_id, "no route").await?;
    partners.set_seen(&north.cloud_id, None, 77).await?;
    let facts = partners.by_tag(&north.cloud_id.tag()).await?;
    let facts = facts.ok_or("it is gone")?.facts;
    assert_eq!((facts.last_seen, facts.last_error), (Some(77), None));
    Ok(())
}

async fn two_partners_that_claim_one_untagged_format_are_both_named(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (north, access) = keystone("north", &[TokenFormat::Uuid, TokenFormat::Pki])?;
    store.partners().add_keystone(&north, &access).await?;
    let (old, access) = keystone("old", &[TokenFormat::Fernet, TokenFormat::Pki])?;
    let refused = store.partners().add_keystone(&old, &access).await;
    let error = refused.err().ok_or("both have it")?;
    assert!(
        matches!(&error, Error::FormatTaken { format: TokenFormat::Pki, holder, name } if holder == "north" && name == "old"),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("partner north") && text.contains("those of old"),
        "{text}"
    );
    // Nothing of it is left: neither the partner nor its other format.
    assert!(store.partners().by_name("old").await?.is_none());
    assert_eq!(bed.count("SELECT COUNT(*) FROM untagged_formats").await?, 2);
    assert_eq!(bed.count("SELECT COUNT(*) FROM aliases").await?, 1);
    Ok(())
}

async fn a_keystone_that_is_removed_leaves_its_formats_to_others(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let partners = store.partners();
    let (north, access) = keystone("north", UUID)?;
    let (old, old_access) = keystone("old", UUID)?;
    partners.add_keystone(&north, &access).await?;
    partners
        .set_status(&north.cloud_id, Status::Suspended, 20)
        .await?;
    let refused = partners.add_keystone(&old, &old_access).await;
    assert!(
        matches!(refused, Err(Error::FormatTaken { .. })),
        "{refused:?}"
    );

    partners.remove(&north.cloud_id, 30).await?;
    partners.add_keystone(&old, &old_access).await?;
    partners
        .set_status(&old.cloud_id, Status::Removed, 40)
        .await?;
    partners.add_keystone(&north, &access).await?;
    Ok(())
}

async fn of_two_that_claim_a_format_at_once_one_gets_it(bed: &Bed) -> Outcome {
    let mut adding = tokio::task::JoinSet::new();
    for name in ["north", "old", "south"] {
        let (store, (partner, access)) = (bed.open().await?, keystone(name, UUID)?);
        adding.spawn(async move { store.partners().add_keystone(&partner, &access).await });
    }
    let mut added = 0;
    for outcome in adding.join_all().await {
        match outcome {
            Ok(()) => added += 1,
            Err(error) => assert!(matches!(error, Error::FormatTaken { .. }), "{error:?}"),
        }
    }
    assert_eq!(added, 1);
    assert_eq!(bed.count("SELECT COUNT(*) FROM partners").await?, 1);
    Ok(())
}

async fn a_name_or_a_keystone_is_a_partner_once(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    store.invitations().create(&invitation("north"), 5).await?;
    let (north, access) = keystone("north", UUID)?;
    let taken = store.partners().add_keystone(&north, &access).await;
    assert!(matches!(taken, Err(Error::NameTaken { .. })), "{taken:?}");

    let other_name = Partner {
        name: "nord".into(),
        ..north.clone()
    };
    store.partners().add_keystone(&other_name, &access).await?;
    let again = Partner {
        name: "norte".into(),
        ..north
    };
    let taken = store.partners().add_keystone(&again, &access).await;
    assert!(
        matches!(&taken, Err(Error::CloudTaken { name }) if name == "nord"),
        "{taken:?}"
    );
    Ok(())
}

async fn modes_change_one_by_one(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let west = pair(&store, "west").await?.cloud_id;
    let mode = |format, mode| Change {
        modes: BTreeMap::from([(format, mode)]),
        ..Change::default()
    };
    let changes = [
        mode(TokenFormat::Fernet, Mode::Hard),
        mode(TokenFormat::Jws, Mode::Soft),
        Change {
            allow_sha1: Some(true),
            ..Change::default()
        },
        Change {
            max_users: Some(Some(3)),
            ..Change::default()
        },
    ];
    for change in &changes {
        store.partners().change(&west, change).await?;
    }
    let PartnerRecord {
        policy, partner, ..
    } = store
        .partners()
        .by_name("west")
        .await?
        .ok_or("it is gone")?;
    assert_eq!(policy.mode(TokenFormat::Fernet), Mode::Hard);
    assert_eq!(policy.mode(TokenFormat::Jws), Mode::Soft);
    assert_eq!(policy.mode(TokenFormat::Pki), Mode::Offline);
    assert!(policy.allow_sha1);
    assert_eq!(partner.max_users, Some(3));
    Ok(())
}

async fn an_opaque_format_stays_as_it_is_when_offline_is_asked_for(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let west = pair(&store, "west").await?.cloud_id;
    let change = Change {
        modes: BTreeMap::from([
            (TokenFormat::Pki, Mode::Hard),
            (TokenFormat::Uuid, Mode::Offline),
        ]),
        ..Change::default()
    };
    let refused = store.partners().change(&west, &change).await;
    assert!(
        matches!(
            &refused,
            Err(Error::NotOffline(NotOffline(TokenFormat::Uuid)))
        ),
        "{refused:?}"
    );
    let record = store
        .partners()
        .by_name("west")
        .await?
        .ok_or("it is gone")?;
    assert_eq!(record.policy, TokenPolicy::default());
    Ok(())
}
