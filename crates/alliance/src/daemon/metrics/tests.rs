use std::error::Error;
use std::path::Path;
use std::time::Duration;

use alliance_core::partner::Status;
use alliance_core::skew::Skew;
use http::StatusCode;

use super::*;
use crate::wire::{BorderView, RoundTrips};

const REFRESH: &str = "ALLIANCE_REFRESH=1 cargo test -p alliance what_is_exposed_is_listed";

/// A partner of which nothing is known but its name.
fn silent(partner: &str) -> PartnerMetrics {
    PartnerMetrics {
        partner: partner.into(),
        here: Status::Active,
        there: None,
        last_seen: None,
        trust_till: None,
        list_read: None,
        border: BorderView {
            reachable_since: None,
            unreachable_since: None,
            is_hidden: false,
            round_trips: None,
            skew: None,
            last_change: None,
            descriptor_till: None,
            protocol: None,
            version: None,
        },
        sessions_here: 0,
        sessions_abroad: 0,
        unheard: None,
    }
}

/// A partner of which everything is known.
fn talkative(partner: &str) -> PartnerMetrics {
    let border = BorderView {
        round_trips: Some(RoundTrips {
            last: 0.5,
            least: 0.5,
            most: 0.5,
            count: 1,
        }),
        skew: Some(Skew {
            ahead: 0.25,
            within: 0.5,
        }),
        descriptor_till: Some(2000),
        ..silent(partner).border
    };
    PartnerMetrics {
        there: Some(Status::Suspended),
        last_seen: Some(1000),
        trust_till: Some(3000),
        list_read: Some(900),
        border,
        sessions_here: 2,
        sessions_abroad: 3,
        unheard: Some((4, Some(800))),
        ..silent(partner)
    }
}

fn given() -> AgreementLabels {
    AgreementLabels {
        direction: "given",
        state: "live".into(),
    }
}

#[test]
fn a_partner_that_is_gone_leaves_no_numbers() -> Result<(), Box<dyn Error>> {
    let metrics = Metrics::new();
    let mut west = talkative("west");
    west.trust_till = None;
    west.border.unreachable_since = Some(1030);
    west.border.is_hidden = true;
    let mut readings = Readings {
        partners: vec![west],
        agreements: [(given(), 2)].into(),
        retirements: [(RetirementLabels { state: "remainder" }, 3)].into(),
        stacks: vec![(StackState::Running, 3)],
        database: true,
        keystone_deaf_since: Some(700),
        leads: true,
        board_age: Some(Duration::from_millis(1500)),
        ..Readings::default()
    };
    let text = metrics.text(&readings)?;
    for line in [
        r#"alliance_partner_state{partner="west",here="active",there="suspended"} 1"#,
        r#"alliance_partner_reachable{partner="west"} 0"#,
        r#"alliance_partner_hidden{partner="west"} 1"#,
        r#"alliance_partner_last_seen_seconds{partner="west"} 1000"#,
        r#"alliance_partner_descriptor_till_seconds{partner="west"} 2000"#,
        r#"alliance_revocation_list_read_seconds{partner="west"} 900"#,
        r#"alliance_sessions{partner="west",side="here"} 2"#,
        r#"alliance_sessions{partner="west",side="abroad"} 3"#,
        r#"alliance_sign_outs_unheard{partner="west"} 4"#,
        r#"alliance_sign_outs_unheard_since_seconds{partner="west"} 800"#,
        r#"alliance_agreements{direction="given",state="live"} 2"#,
        "alliance_leads 1",
        "alliance_board_age_seconds 1.5",
        r#"alliance_retirements{state="remainder"} 3"#,
        r#"alliance_stacks{state="running"} 3"#,
        "alliance_database_reachable 1",
        "alliance_keystone_deaf_since_seconds 700",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("partner_trust_till_seconds{"));
    // It is told nothing any more, and its list is not read.
    readings.partners = vec![silent("west")];
    let text = metrics.text(&readings)?;
    assert!(!text.contains("list_read") && !text.contains("unheard"));
    let text = metrics.text(&Readings::default())?;
    assert!(!text.contains("west") && !text.contains("agreements{"));
    assert!(text.contains("alliance_database_reachable 0"));
    assert!(text.contains("alliance_keystone_deaf_since_seconds 0"));
    Ok(())
}

/// What alerts and dashboards may name. They are checked against the list, and the list against this.
#[test]
fn what_is_exposed_is_listed() -> Result<(), Box<dyn Error>> {
    let text = full().text(&full_readings())?;
    let mut lines: Vec<_> = text.lines().map(shape).collect();
    // Samples that differ by labels' values only.
    lines.dedup();
    let shapes = lines.join("\n") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus/metrics.txt");
    if std::env::var_os("ALLIANCE_REFRESH").is_some() {
        std::fs::write(&path, &shapes)?;
    }
    let listed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        listed, shapes,
        "metrics have changed; if that is meant, run: {REFRESH}"
    );
    Ok(())
}

/// In which everything was counted once.
fn full() -> Metrics {
    let metrics = Metrics::new();
    let partner = PartnerLabel {
        partner: "west".into(),
    };
    let verdict = VerdictLabels {
        partner: "west".into(),
        status: "valid",
        reason: "none",
        via: "cache",
    };
    metrics.verdicts.get_or_create(&verdict).inc();
    metrics.questions.get_or_create(&partner).inc();
    metrics.checks.get_or_create(&partner).inc();
    let measured = metrics.question_seconds.get_or_create(&partner);
    measured.observe(0.5);
    drop(measured);
    let answer = AnswerLabels {
        partner: "west".into(),
        result: "active",
    };
    metrics.answers.get_or_create(&answer).inc();
    let rung = RingLabels {
        result: "acknowledged",
    };
    metrics.rings.get_or_create(&rung).inc();
    let told = SpanLabels { result: "sent" };
    metrics.spans.get_or_create(&told).inc();
    let second = Duration::from_secs(1);
    let requests = &metrics.requests;
    requests.count_peer("west", "/v1/poke", StatusCode::OK, second);
    requests.count_delegate("/v1/ping", StatusCode::OK, second);
    metrics.count_ended_sessions("west", 1);
    metrics.measure_sign_out("west", second);
    metrics.count_notice(notice::Kind::ServerFailed);
    metrics.set_waiting(Receiver::Webhook, 1, 10);
    metrics.set_waiting(Receiver::BusUsage, 1, 10);
    metrics.set_waiting(Receiver::BusAudit, 1, 10);
    metrics.audit.works("file");
    metrics
}

fn full_readings() -> Readings {
    Readings {
        partners: vec![talkative("west")],
        agreements: [(given(), 2)].into(),
        retirements: [(RetirementLabels { state: "remainder" }, 3)].into(),
        stacks: vec![(StackState::Running, 3)],
        usage: usage::tests::sample(),
        database: true,
        keystone_deaf_since: None,
        leads: true,
        board_age: None,
    }
}

/// A line without the values of samples, and of labels but those that bound a histogram's buckets.
fn shape(line: &str) -> String {
    let Some((series, _)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) else {
        return line.to_owned();
    };
    let mut shape = String::new();
    let mut is_bound = false;
    for (at, part) in series.split('"').enumerate() {
        if at % 2 == 0 {
            is_bound = part.ends_with("{le=") || part.ends_with(",le=");
            shape.push_str(part);
        } else {
            let value = if is_bound { part } else { "…" };
            shape.extend(["\"", value, "\""]);
        }
    }
    shape + " 0"
}
