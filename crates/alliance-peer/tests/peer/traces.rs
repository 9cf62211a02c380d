use alliance_peer::request_id::RequestId;
use alliance_trace::{Context, Ended, Kind, Outbox, Share, Tracer, Value, within};
use http::HeaderMap;

use crate::cloud::{Daemon, Served, client, token_of};

/// What somebody sends who wants a trace to be kept.
fn asked_for() -> Option<Context> {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", parent.parse().unwrap());
    Context::from_headers(&headers)
}

fn all(outbox: &mut Outbox) -> Vec<Ended> {
    let mut ended = Vec::new();
    outbox.more(&mut ended, usize::MAX);
    ended
}

/// Work for a request to east whose sender wants its trace to be kept.
async fn for_a_request<F: Future>(work: F) -> (F::Output, Vec<Ended>) {
    let (tracer, mut outbox) = Tracer::keeping(Share::new(0.0).unwrap());
    let id = RequestId::random().uuid();
    let span = tracer.receive("own Keystone", asked_for(), id, || "GET /x".to_owned());
    let output = within(span, work).await;
    (output, all(&mut outbox))
}

#[tokio::test]
async fn a_question_to_a_partner_is_in_one_trace_with_its_answer() {
    let (west, mut outbox) = Daemon::tracing(0.0);
    let east = Daemon::new();
    west.trust(&east.id());
    let served = Served::start(&west).await;
    let client = client(&east, &west.id(), &served.url());
    let (id, token) = (RequestId::random(), token_of(&west));
    let (answer, sent) = for_a_request(client.introspect(id, &token)).await;
    assert!(answer.is_ok());
    let [question, request] = sent.try_into().unwrap();
    let [answer] = all(&mut outbox).try_into().unwrap();
    assert_eq!(answer.context.trace, request.context.trace);
    assert_eq!(question.parent, Some(request.context.span));
    assert_eq!(answer.parent, Some(question.context.span));
    assert_eq!((question.kind, answer.kind), (Kind::Client, Kind::Server));
    let ok = ("http.response.status_code", Value::Number(200));
    for span in [&question, &answer] {
        assert_eq!(span.name, "POST /v1/introspect");
        assert!(span.notes.contains(&ok), "{:?}", span.notes);
        assert_eq!(span.failure, None);
    }
    let tag = Value::from(west.id().tag().to_string());
    assert!(question.notes.contains(&("alliance.partner.tag", tag)));
    let request_id = Value::from(id.to_string());
    assert!(answer.notes.contains(&("openstack.request_id", request_id)));
}

#[tokio::test]
async fn a_strangers_trace_is_not_read() {
    let (west, mut outbox) = Daemon::tracing(1.0);
    let east = Daemon::new();
    let served = Served::start(&west).await;
    let client = client(&east, &west.id(), &served.url());
    let (id, token) = (RequestId::random(), token_of(&west));
    let (answer, sent) = for_a_request(client.introspect(id, &token)).await;
    assert!(answer.is_err());
    let failures = sent.iter().map(|span| span.failure.as_deref());
    assert_eq!(
        failures.collect::<Vec<_>>(),
        [Some("unknown_partner"), None]
    );
    assert!(all(&mut outbox).is_empty());
}

#[tokio::test]
async fn what_nobody_waits_for_is_traced_only_as_a_part_of_a_trace() {
    let (west, mut outbox) = Daemon::tracing(1.0);
    let east = Daemon::new();
    west.trust(&east.id());
    let served = Served::start(&west).await;
    let client = client(&east, &west.id(), &served.url());
    let id = RequestId::random();
    client.poke(id, &[]).await.unwrap();
    assert!(all(&mut outbox).is_empty());
    client.introspect(id, &token_of(&west)).await.unwrap();
    let [answer] = all(&mut outbox).try_into().unwrap();
    assert_eq!(
        answer.context.trace.to_string(),
        id.uuid().simple().to_string()
    );
    assert_eq!(answer.parent, None);
    let (poked, _) = for_a_request(client.poke(id, &[])).await;
    poked.unwrap();
    let [poke] = all(&mut outbox).try_into().unwrap();
    assert_eq!(poke.name, "POST /v1/poke");
}
