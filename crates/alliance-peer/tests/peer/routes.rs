use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alliance_core::refusal::Reason;
use alliance_core::revocation::RevocationList;
use alliance_core::statement::{Passport, Statement};
use alliance_peer::client::{DescriptorNews, PeerError};
use alliance_peer::request_id::RequestId;
use alliance_peer::service::Report;
use alliance_peer::statement::{verify, verify_descriptor};
use alliance_peer::wire::{
    GrantsAnswer, GrantsQuestion, Introspection, MAX_QUESTIONS, PairingState, PlanQuestion, Poll,
    ProjectQuery, ReceiptPoll, StacksQuery, StandingQuestion, Topic,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{Daemon, Mood, Served, raw, science, token_of, west_knows_east};

#[tokio::test]
async fn a_descriptor_that_says_the_same_is_not_sent_again() {
    let (served, east) = west_knows_east().await;
    let client = served.client_of(&east);
    let ask = async |known: Option<&str>| {
        let answer = client.descriptor(RequestId::random(), known).await;
        answer.map(|(news, _)| news)
    };
    let told = async |known: Option<&str>| match ask(known).await {
        Ok(DescriptorNews::Told { etag, .. }) => etag.unwrap(),
        other => unreachable!("{other:?}"),
    };
    let first = told(None).await;
    // Signed anew, later.
    served.daemon.later.fetch_add(1, Ordering::SeqCst);
    assert_eq!(ask(Some(&first)).await, Ok(DescriptorNews::Same));
    let either = format!("\"other\", {first}");
    assert_eq!(ask(Some(&either)).await, Ok(DescriptorNews::Same));
    assert_eq!(told(Some("\"other\"")).await, first);
    *served.daemon.name.lock().unwrap() = "another".into();
    assert_ne!(told(Some(&first)).await, first);
}

#[tokio::test]
async fn a_descriptor_of_10_mb_is_not_read_to_its_end() {
    let (served, east) = west_knows_east().await;
    let client = served.client_of(&east);
    *served.daemon.said.lock().unwrap() = Some(format!("{}.e30.", "A".repeat(10 << 20)));
    let answer = client.descriptor(RequestId::random(), None).await;
    let Err(PeerError::Protocol(why)) = answer else {
        unreachable!("{answer:?}")
    };
    assert!(why.contains("more than"), "{why}");
}

#[tokio::test]
async fn every_route_answers_a_partner() {
    let (served, east) = west_knows_east().await;
    let west = &served.daemon;
    let client = served.client_of(&east);
    let id = RequestId::random();

    let (news, contact) = client.descriptor(id, None).await.unwrap();
    let DescriptorNews::Told { answer, etag } = news else {
        unreachable!("nothing was known")
    };
    let descriptor = verify_descriptor(&answer.descriptor, &west.id()).unwrap();
    assert_eq!(answer.status.as_str(), "active");
    let again = client.descriptor(id, etag.as_deref()).await.unwrap();
    assert_eq!(again.0, DescriptorNews::Same);
    for contact in [contact, again.1] {
        assert_eq!(contact.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
        let skew = contact.skew.unwrap();
        assert!(skew.ahead.abs() <= skew.within, "{skew:?}: it is one clock");
    }

    let Ok(Introspection::Active { passport }) = client.introspect(id, &token_of(west)).await
    else {
        unreachable!("expected a passport")
    };
    let keys = &descriptor.signing_keys;
    let passport = verify::<Passport>(&passport, keys, &west.id(), Some(&east.id())).unwrap();
    assert_eq!(
        passport.token_introspection.token_sha256,
        token_of(west).sha256()
    );

    let mut question = GrantsQuestion {
        user_id: "u1".into(),
        project_id: Some("p1".into()),
    };
    let granted = client.grants(id, &question).await.unwrap();
    assert_eq!(
        granted,
        GrantsAnswer::Active {
            statement: r#"for Some("p1")"#.into()
        }
    );
    question.user_id = "u2".into();
    let refused = client.grants(id, &question).await.unwrap();
    assert_eq!(
        refused,
        GrantsAnswer::Inactive {
            reason: Reason::NotFound
        }
    );

    let about = |user: &str| GrantsQuestion {
        user_id: user.into(),
        project_id: Some("p1".into()),
    };
    let both = client.grants_of_many(id, vec![about("u2"), about("u1")]);
    assert_eq!(both.await.unwrap(), [refused, granted]);
    let short = client.grants_of_many(id, vec![about("u0"), about("u1")]);
    let error = short.await.unwrap_err();
    assert!(
        matches!(&error, PeerError::Protocol(said) if said == "1 answers to 2 questions"),
        "{error}"
    );
    let most = client.grants_of_many(id, vec![about("u1"); MAX_QUESTIONS]);
    assert_eq!(most.await.unwrap().len(), MAX_QUESTIONS);
    let more = client.grants_of_many(id, vec![about("u1"); MAX_QUESTIONS + 1]);
    let error = more.await.unwrap_err();
    assert!(
        matches!(&error, PeerError::Refused(p) if p.status == 400),
        "{error}"
    );

    for query in [
        ProjectQuery {
            id: Some("p1".into()),
            ..Default::default()
        },
        ProjectQuery {
            name: Some(science().name),
            domain: Some("Default".into()),
            ..Default::default()
        },
    ] {
        assert_eq!(client.projects(id, &query).await.unwrap(), [science()]);
    }
    let error = client
        .projects(id, &ProjectQuery::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, PeerError::Refused(p) if p.status == 400),
        "{error}"
    );

    for (known, length) in [(None, RevocationList::MAX_LEN), (Some("d".to_owned()), 1)] {
        let answer = client.revocations(id, known).await.unwrap();
        assert_eq!(answer.revocations.len(), length);
    }

    let poll = Poll {
        max_events: Some(1),
        return_immediately: true,
        ack: vec!["7".into()],
        ..Poll::default()
    };
    assert_eq!(client.usage(id, 7).await.unwrap().usage, "after 7");
    assert_eq!(client.notices(id, 8).await.unwrap().notices, "after 8");
    let question = StandingQuestion {
        project_ids: vec!["p".into(), "q".into()],
    };
    let answer = client.standing(id, &question).await.unwrap();
    assert_eq!(answer.standing, "of p, q");
    let poll_of_receipts = ReceiptPoll {
        after: 7,
        refusal: Some("no".into()),
    };
    let answer = client.receipts(id, &poll_of_receipts).await.unwrap();
    assert_eq!(answer.receipt, "after 7, Some(\"no\")");
    let ordered = client.provision(id, "order".into()).await.unwrap();
    assert_eq!(ordered.stack, None);
    let busy = client.provision(id, "busy".into()).await.unwrap_err();
    assert!(
        matches!(&busy, PeerError::Refused(p) if p.status == 409 && p.code() == "order_conflict"),
        "{busy}"
    );
    let plan = json!({"resources": {"net": {"type": "OS::Neutron::Net"}}});
    let question = PlanQuestion {
        project_id: "p1".into(),
        stack: "web".into(),
        plan: serde_json::from_value(plan).unwrap(),
        replace: false,
    };
    let planned = client.provision_plan(id, &question).await.unwrap();
    assert_eq!(planned.changes[0].resource, "net");
    let query = StacksQuery {
        project: Some("p1".into()),
        stack: Some("web".into()),
    };
    let stacks = client.stacks(id, &query).await.unwrap().stacks;
    assert_eq!((&*stacks[0].project_id, &*stacks[0].name), ("p1", "web"));
    let answer = client.sign_outs(id, &poll).await.unwrap();
    assert!(answer.more_available);
    assert_eq!(answer.sets.get("7").map(String::as_str), Some("set"));

    let agreements = client.agreements(id).await.unwrap();
    assert_eq!(agreements.agreements[0].project_id.to_string(), "*");
    let agreement = Uuid::new_v4();
    let contract = client.contract(id, agreement, 3).await.unwrap();
    assert_eq!(contract.versions, [format!("{agreement} after 3")]);
    client.reply(id, agreement, "yes".into()).await.unwrap();

    client
        .poke(id, &[Topic::Status, Topic::Agreements])
        .await
        .unwrap();
    let report = Report {
        token: token_of(west),
        reason: Reason::AdminRole,
    };
    client.report(id, &report).await.unwrap();
    let seen = west.seen.lock().unwrap();
    assert_eq!(seen.replies, [(agreement, "yes".to_owned())]);
    assert_eq!(seen.pokes, [[Topic::Agreements, Topic::Status].into()]);
    assert_eq!(
        seen.reports,
        [(token_of(west).expose().to_owned(), Reason::AdminRole)]
    );
    assert!(
        seen.requests.iter().all(|seen| *seen == id),
        "one id throughout"
    );
}

#[tokio::test]
async fn two_clouds_that_do_not_know_each_other_can_pair_and_nothing_else() {
    let (west, east) = (Daemon::new(), Daemon::new());
    let served = Served::start(&west).await;
    let client = served.client_of(&east);
    let id = RequestId::random();
    let (invitation, secret) = west.invite();

    let view = client
        .pairing_look(id, invitation, &secret, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(view.state, PairingState::Open);
    assert!(verify_descriptor(&view.descriptor, &west.id()).is_ok());
    client
        .pairing_accept(id, invitation, &secret, east.descriptor_jws())
        .await
        .unwrap();
    assert_eq!(west.seen.lock().unwrap().acceptors, [east.id()]);
    client
        .pairing_withdraw(id, invitation, &secret)
        .await
        .unwrap();
    assert!(west.seen.lock().unwrap().acceptors.is_empty());

    let question = GrantsQuestion {
        user_id: "u1".into(),
        project_id: None,
    };
    let refusals = [
        client.descriptor(id, None).await.map(|_| ()),
        client.introspect(id, &token_of(&west)).await.map(|_| ()),
        client.grants(id, &question).await.map(|_| ()),
        client
            .projects(id, &ProjectQuery::default())
            .await
            .map(|_| ()),
        client.revocations(id, None).await.map(|_| ()),
        client.sign_outs(id, &Poll::default()).await.map(|_| ()),
        client.usage(id, 0).await.map(|_| ()),
        client.notices(id, 0).await.map(|_| ()),
        client
            .standing(
                id,
                &StandingQuestion {
                    project_ids: Vec::new(),
                },
            )
            .await
            .map(|_| ()),
        client
            .receipts(id, &ReceiptPoll::default())
            .await
            .map(|_| ()),
        client.agreements(id).await.map(|_| ()),
        client.contract(id, Uuid::new_v4(), 0).await.map(|_| ()),
        client.reply(id, Uuid::new_v4(), String::new()).await,
        client.poke(id, &[Topic::Status]).await,
        client
            .report(
                id,
                &Report {
                    token: token_of(&west),
                    reason: Reason::AdminRole,
                },
            )
            .await,
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert_eq!(error.reason(), Reason::UnknownPartner, "{error}");
        assert!(matches!(error, PeerError::Refused(p) if p.status == 403));
    }
    assert_eq!(
        west.seen.lock().unwrap().requests.len(),
        3,
        "only pairing got through"
    );
}

#[tokio::test]
async fn a_pairing_needs_its_secret_and_the_acceptors_own_descriptor() {
    let (west, east, north) = (Daemon::new(), Daemon::new(), Daemon::new());
    let served = Served::start(&west).await;
    let client = served.client_of(&east);
    let id = RequestId::random();
    let (invitation, secret) = west.invite();
    let (other, other_secret) = west.invite();

    let mut answers = Vec::new();
    for (invitation, secret) in [
        (invitation, &other_secret),
        (other, &secret),
        (uuid::Uuid::new_v4(), &secret),
    ] {
        let error = client
            .pairing_look(id, invitation, secret, Duration::ZERO)
            .await
            .unwrap_err();
        answers.push(error.to_string());
        assert!(
            client
                .pairing_accept(id, invitation, secret, east.descriptor_jws())
                .await
                .is_err()
        );
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "an id cannot be guessed: {answers:?}");

    let borrowed = client
        .pairing_accept(id, invitation, &secret, north.descriptor_jws())
        .await;
    let error = borrowed.unwrap_err().to_string();
    assert!(
        error.contains(east.id().as_str()) && error.contains(north.id().as_str()),
        "{error}"
    );
    assert!(west.seen.lock().unwrap().acceptors.is_empty());
}

#[tokio::test]
async fn a_long_poll_waits_for_as_long_as_it_was_told() {
    let (served, east) = west_knows_east().await;
    let (invitation, secret) = served.daemon.invite();
    let began = Instant::now();
    let client = served.client_of(&east);
    let wait = Duration::from_secs(1);
    client
        .pairing_look(RequestId::random(), invitation, &secret, wait)
        .await
        .unwrap();
    assert!(began.elapsed() >= wait);
}

#[tokio::test]
async fn a_definite_no_an_open_question_and_a_spent_budget_are_told_apart() {
    let (served, east) = west_knows_east().await;
    let (west, client) = (&served.daemon, served.client_of(&east));
    let id = RequestId::random();
    let token = token_of(west);

    west.feel(Mood::Deny(Reason::Expired));
    let answer = client.introspect(id, &token).await;
    assert_eq!(
        answer,
        Ok(Introspection::Inactive {
            reason: Reason::Expired
        })
    );
    for (reason, status) in [
        (Reason::HomeError, 503),
        (Reason::Budget, 429),
        (Reason::Overloaded, 503),
    ] {
        west.feel(Mood::Undecided(reason));
        let error = client.introspect(id, &token).await.unwrap_err();
        assert!(
            matches!(&error, PeerError::Refused(p) if p.status == status),
            "{error}"
        );
        assert_eq!(error.reason(), reason);
    }
    assert!(client.is_answering(), "a partner that answers no is there");
}

#[tokio::test]
async fn what_is_no_token_is_answered_without_asking_the_daemon() {
    let (served, east) = west_knows_east().await;
    let http = raw(&east, &served.daemon.id());
    for token in ["", "~", "abc", "k3v7q2xa~k3v7q2xa~gAAAA", "k3v7q2xa~\u{0}"] {
        let answer: Value = http
            .post(format!("{}/v1/introspect", served.url()))
            .json(&json!({"token": token}))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(answer, json!({"active": false, "reason": "malformed"}));
    }
    let introspections = &served.daemon.introspections;
    assert_eq!(introspections.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn errors_are_problem_details_and_tell_nothing_from_inside() {
    let (served, east) = west_knows_east().await;
    let (west, http) = (&served.daemon, raw(&east, &served.daemon.id()));
    let secret = token_of(west).expose().to_owned();
    let url = |path: &str| format!("{}{path}", served.url());
    west.feel(Mood::Break("the database password is hunter2".into()));
    let asked = json!({"token": secret});
    let report = json!({"token": secret, "token_sha256": "0", "reason": "admin_role"});
    let cases = [
        (
            http.post(url("/v1/introspect")).json(&asked),
            500,
            "internal",
        ),
        (
            http.post(url("/v1/introspect"))
                .json(&json!({"tokem": secret})),
            400,
            "malformed_request",
        ),
        (
            http.post(url("/v1/introspect"))
                .json(&json!({"token": [secret]})),
            400,
            "malformed_request",
        ),
        (
            http.post(url("/v1/introspect"))
                .header("content-type", "application/json")
                .body(format!("{{{secret}")),
            400,
            "malformed_request",
        ),
        (
            http.post(url("/v1/introspect")).body(secret.clone()),
            415,
            "malformed_request",
        ),
        (
            http.post(url("/v1/reports")).json(&report),
            400,
            "malformed_request",
        ),
        (http.get(url("/v1/introspect")), 405, "method_not_allowed"),
        (http.get(url("/v2/introspect")), 404, "no_such_route"),
        (
            http.get(url("/v1/pairings/not-a-uuid")),
            401,
            "pairing_refused",
        ),
        (
            http.get(url("/v1/pairings/1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b")),
            401,
            "pairing_refused",
        ),
        (
            http.get(url("/v1/projects?id=1&name=2")),
            400,
            "malformed_request",
        ),
    ];
    for (request, status, code) in cases {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{code}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert!(response.headers().contains_key("x-openstack-request-id"));
        let text = response.text().await.unwrap();
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["type"], format!("urn:alliance:problem:{code}"));
        assert_eq!(problem["status"], status);
        assert!(
            !text.contains("hunter2") && !text.contains(&secret),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_request_id_is_carried_on_if_it_is_one() {
    let (served, east) = west_knows_east().await;
    let http = raw(&east, &served.daemon.id());
    let good = RequestId::random().to_string();
    for (sent, kept) in [
        (good.as_str(), true),
        ("req-1", false),
        ("req-\u{7f}", false),
        ("x", false),
    ] {
        let request = http.get(format!("{}/v1/agreements", served.url()));
        let Ok(response) = request.header("x-openstack-request-id", sent).send().await else {
            continue;
        };
        let got = response.headers()["x-openstack-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(got.parse::<RequestId>().is_ok());
        assert_eq!(got == sent, kept, "{sent:?}");
    }
}

#[tokio::test]
async fn a_newer_partner_may_say_more() {
    let (served, east) = west_knows_east().await;
    let http = raw(&east, &served.daemon.id());
    let status = http
        .post(format!("{}/v1/poke", served.url()))
        .json(&json!({"changed": ["status", "moon"], "why": "full"}))
        .send()
        .await
        .unwrap()
        .status();
    assert_eq!(status, 204);
    assert_eq!(
        served.daemon.seen.lock().unwrap().pokes,
        [[Topic::Status].into()]
    );
}
