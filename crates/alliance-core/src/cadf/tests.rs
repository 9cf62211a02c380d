use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::refusal::Reason;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const REFRESH: &str = "ALLIANCE_REFRESH=1 cargo test -p alliance-core each_event_has_a_sample";

const MATTERS: [Matter; 9] = [
    Matter::Token,
    Matter::Login,
    Matter::Guest,
    Matter::Passport,
    Matter::Statement,
    Matter::LoginPassport,
    Matter::Caller,
    Matter::Order,
    Matter::Session,
];

/// What the daemon writes into the audit trail: action, subject, detail.
const RECORDS: &[(&str, &str, &str)] = &[
    ("partner.invited", "west", INVITATION),
    ("partner.paired", "west", ""),
    ("partner.added", "north", "https://north.example/v3"),
    ("partner.changed", "west", "max_users 20"),
    ("partner.suspended", "west", ""),
    ("partner.active", "west", ""),
    ("partner.expired", "west", ""),
    ("partner.removed", "west", ""),
    ("invitation.taken", "west", INVITATION),
    ("invitation.accepted", "west", INVITATION),
    ("invitation.rejected", INVITATION, ""),
    ("invitation.cancelled", INVITATION, ""),
    ("invitation.withdrawn", "west", INVITATION),
    ("invitation.refused", INVITATION, "it was used already"),
    ("agreement.made", "west", AGREEMENT),
    ("agreement.changed", "west", AGREEMENT),
    ("agreement.accepted", "west", AGREEMENT),
    ("agreement.rejected", "west", AGREEMENT),
    ("agreement.ended", "west", AGREEMENT),
    ("session.ended", "Xb2aQw8hTyqk1rGvGzN4Zg", ""),
    ("token.revoked", "k3v9q2xa~#5f2c9a01", ""),
    ("provision.prepare", "west", "science"),
    ("provision.apply", "west", "web of science: 1"),
    ("provision.destroy", "west", "web of science: 2"),
    ("provision.cancel", "west", "web of science: 3"),
    ("retirement.begun", "west/science", "agreement_ended"),
    ("retirement.hold", RETIREMENT, ""),
    ("retirement.resume", RETIREMENT, ""),
    ("retirement.now", RETIREMENT, ""),
    ("retirement.access_ended", RETIREMENT, "agreement_ended"),
    ("retirement.quarantine", RETIREMENT, "agreement_ended"),
    ("retirement.deletion", RETIREMENT, "agreement_ended"),
    ("retirement.restoration", RETIREMENT, "agreement_ended"),
    ("retirement.deleted", RETIREMENT, "agreement_ended"),
    ("retirement.restored", RETIREMENT, "agreement_ended"),
];
const INVITATION: &str = "22cc46eb-b765-4de0-999f-cfc15445deaf";
const AGREEMENT: &str = "a9088af1-a94c-4046-9194-ebde3b638326 version 2";
const RETIREMENT: &str = "0d8a2f6e-6a55-4f0b-9a36-0d2a4d6b8a11";

fn observer() -> Observer {
    Observer {
        cloud_id: CloudId::from_spki(b"east"),
        name: "east".into(),
    }
}

fn west() -> Cloud {
    Cloud {
        id: CloudId::from_spki(b"west"),
        name: "west".into(),
    }
}

fn stamp(number: u128) -> Stamp {
    Stamp {
        id: Uuid::from_u128(number),
        at: Timestamp::from_millisecond(1_795_852_800_042).unwrap_or_default(),
    }
}

fn decision(matter: Matter, reason: Option<Reason>) -> Decision {
    Decision {
        matter,
        partner: Some(west()),
        reason: reason.map(Ground::from),
        person: Person {
            token: Some("k3v9q2xa~#5f2c9a01".into()),
            format: Some("fernet"),
            user_id: Some("e6d7d5fd1988406790d6de6f3f9f9ab7".into()),
            user_name: None,
            project_id: Some("a246b5f124284c49a6d9a78134de9664".into()),
        },
        via: Some("asked"),
        request_id: Some("req-1".into()),
    }
}

fn samples() -> Vec<Event> {
    let observer = observer();
    let mut number = 0;
    let mut stamp = || {
        number += 1;
        stamp(number)
    };
    let mut samples = Vec::new();
    for matter in MATTERS {
        let reasons = match matter {
            Matter::Caller => &[Some(Reason::PartnerSuspended)][..],
            Matter::Order => &[Some(Reason::NoAgreement)],
            Matter::Session => &[None],
            _ => &[None, Some(Reason::NoAgreement), Some(Reason::HomeError)],
        };
        for reason in reasons {
            samples.push(decision(matter, *reason).event(&stamp(), &observer));
        }
    }
    let stranger = Decision {
        partner: None,
        person: Person::default(),
        ..decision(Matter::Token, Some(Reason::UnknownPartner))
    };
    samples.push(stranger.event(&stamp(), &observer));
    let sum = Sum {
        class: stranger.class(),
        count: 4711,
    };
    samples.push(sum.event(&stamp(), &observer));
    samples.push(Event::lost(&stamp(), &observer, 12));
    let west = west();
    for (action, subject, detail) in RECORDS {
        let is_theirs = action.starts_with("provision") || *action == "invitation.accepted";
        let record = Record {
            actor: if is_theirs { "west" } else { "operator" },
            action,
            subject,
            detail,
            by: is_theirs.then_some(&west),
            to: (*subject == "west").then_some(&west),
        };
        samples.push(record.event(&stamp(), &observer));
    }
    samples
}

/// What is validated with pycadf, and what those can be built against who read the events.
#[test]
fn each_event_has_a_sample() -> Outcome {
    let mut lines = String::new();
    for event in samples() {
        lines += &serde_json::to_string(&event)?;
        lines.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/audit/events.jsonl");
    if std::env::var_os("ALLIANCE_REFRESH").is_some() {
        std::fs::write(&path, &lines)?;
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        there, lines,
        "events have changed; if that is meant, run: {REFRESH}"
    );
    Ok(())
}

#[test]
fn a_refused_token_is_an_event_that_says_who_where_and_why() -> Outcome {
    let event = decision(Matter::Token, Some(Reason::NoAgreement)).event(&stamp(7), &observer());
    let event = serde_json::to_value(&event)?;
    let east = CloudId::from_spki(b"east");
    let expected = json!({
        "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
        "id": "00000000-0000-0000-0000-000000000007",
        "name": "alliance.token.refused",
        "eventType": "control",
        "eventTime": "2026-11-28T08:00:00.042+0000",
        "action": "authenticate",
        "outcome": "failure",
        "initiator": {
            "typeURI": "service/security/account/user",
            "id": event["initiator"]["id"],
            "domain": "west",
            "credential": {"type": "fernet", "token": "k3v9q2xa~#5f2c9a01"},
            "cloud_id": CloudId::from_spki(b"west"),
            "home_user_id": "e6d7d5fd1988406790d6de6f3f9f9ab7",
            "home_project_id": "a246b5f124284c49a6d9a78134de9664",
        },
        "target": {
            "typeURI": "service/security", "id": event["observer"]["id"], "name": "east",
            "cloud_id": east,
        },
        "observer": {
            "typeURI": "service/security", "id": event["observer"]["id"], "name": "east",
            "cloud_id": east,
        },
        "reason": {"reasonType": "urn:alliance:reason", "reasonCode": "no_agreement"},
        "tags": ["via?value=asked", "correlation_id?value=req-1"],
    });
    assert_eq!(event, expected);
    Ok(())
}

#[test]
fn a_partner_that_calls_its_user_as_one_of_ours_is_called_has_another() -> Outcome {
    let ours = decision(Matter::Statement, None).event(&stamp(1), &observer());
    let theirs = decision(Matter::Token, None).event(&stamp(2), &observer());
    let (ours, theirs) = (serde_json::to_value(ours)?, serde_json::to_value(theirs)?);
    let id = "e6d7d5fd1988406790d6de6f3f9f9ab7";
    assert_eq!(ours["target"]["id"], id);
    assert_eq!(ours["target"]["user_id"], id);
    assert_ne!(theirs["initiator"]["id"], id);
    assert_eq!(theirs["initiator"]["user_id"], Value::Null);
    Ok(())
}

#[test]
fn ids_that_are_no_uuids_are_as_keystones_own_events_have_them() {
    // keystone.common.utils.resource_uuid("ldap-user")
    assert_eq!(
        keystones_id("ldap-user"),
        "428482b93ab35bcdaa96d63d67145ec7"
    );
}

#[test]
fn the_same_is_said_once_and_counted_afterwards() {
    let mut sieve = Sieve::default();
    let admitted = decision(Matter::Token, None);
    assert!(sieve.lets_through(&admitted, 0.0));
    for second in 1..5 {
        assert!(!sieve.lets_through(&admitted, f64::from(second)));
    }
    let other = Decision {
        person: Person {
            token: Some("k3v9q2xa~#00000000".into()),
            ..admitted.person.clone()
        },
        ..admitted.clone()
    };
    assert!(sieve.lets_through(&other, 5.0));
    assert!(sieve.due(60.0).is_empty());
    let sum = Sum {
        class: admitted.class(),
        count: 4,
    };
    assert_eq!(sieve.due(61.0), [sum]);
    assert!(sieve.due(200.0).is_empty());
    // Somebody who is here for long is said again and again.
    assert!(!sieve.lets_through(&admitted, 301.0));
    assert!(sieve.lets_through(&admitted, 602.0));
}

#[test]
fn what_strangers_send_is_an_event_a_minute() {
    let mut sieve = Sieve::default();
    let mut said = 0;
    let mut counted = 0;
    for millis in (0..120_000).step_by(10) {
        let now = f64::from(millis) / 1000.0;
        let junk = Decision {
            partner: None,
            person: Person {
                token: Some(format!("fernet#{millis:08x}")),
                ..Person::default()
            },
            ..decision(Matter::Token, Some(Reason::UnknownPartner))
        };
        said += u64::from(sieve.lets_through(&junk, now));
        counted += sieve.due(now).iter().map(|sum| sum.count).sum::<u64>();
    }
    counted += sieve.rest().iter().map(|sum| sum.count).sum::<u64>();
    assert!(said <= 3, "{said}");
    assert_eq!(said + counted, 12_000);
}

#[test]
fn a_partner_that_sends_junk_hides_nothing_of_others() {
    let mut sieve = Sieve::default();
    let mut said = 0;
    for number in 0..10_000 {
        let mut junk = decision(Matter::Token, Some(Reason::NotFound));
        junk.person.token = Some(format!("k3v9q2xa~#{number:08x}"));
        said += u64::from(sieve.lets_through(&junk, 1.0));
    }
    assert_eq!(said, 100);
    assert!(sieve.lets_through(&decision(Matter::Token, Some(Reason::NoAgreement)), 1.0));
    assert!(sieve.lets_through(&decision(Matter::Token, None), 1.0));
}
