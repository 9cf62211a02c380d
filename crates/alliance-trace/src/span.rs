//! Spans under way, and those that have ended.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use alliance_core::budget::Budget;
use http::{HeaderMap, Response};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::context::{Context, SpanId};
use crate::share::Share;

/// How many spans wait for a collector at most, about 1 KB each. What comes then is lost.
const WAITING: usize = 2048;
/// How many traces a second, and at once, are kept because one and the same caller asks for it.
const FOLLOWED: f64 = 10.0;
const FOLLOWED_AT_ONCE: f64 = 100.0;
/// How many things are said about one span at most.
const MAX_NOTES: usize = 32;

const STATUS: &str = "http.response.status_code";

tokio::task_local! {
    static CURRENT: Current;
}

/// What is found in the task.
#[derive(Debug, Clone)]
struct Current {
    /// Seen from the span that is under way, or from the caller's where nothing is kept here.
    context: Context,
    open: Option<Open>,
}

/// A span under way that will be kept.
#[derive(Debug, Clone)]
struct Open {
    sink: Arc<Sink>,
    said: Arc<Mutex<Said>>,
}

#[derive(Debug, Default)]
struct Said {
    notes: Vec<(&'static str, Value)>,
    failure: Option<String>,
}

impl Open {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, name: &'static str, value: Value) {
        let mut said = self.said();
        if said.notes.len() < MAX_NOTES {
            said.notes.push((name, value));
        }
    }
}

/// What is said about a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

/// On which side of a request a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was answered here.
    Server,
    /// It was sent from here.
    Client,
}

/// A span that is over.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its trace and itself.
    pub context: Context,
    /// From which span it came.
    pub parent: Option<SpanId>,
    /// Whether that one is another daemon's, or a client's.
    pub is_parent_remote: bool,
    /// Which side.
    pub kind: Kind,
    /// A method and a route, without what is data.
    pub name: String,
    /// By the wall clock.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What was said about it.
    pub notes: Vec<(&'static str, Value)>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Begins traces, or goes on with those of others.
#[derive(Debug, Default)]
pub struct Tracer {
    sink: Option<Arc<Sink>>,
}

#[derive(Debug)]
struct Sink {
    share: Share,
    ended: mpsc::Sender<Ended>,
    lost: AtomicU64,
    started: Instant,
    followed: Mutex<HashMap<String, Budget>>,
}

impl Sink {
    /// Whether a trace is kept because `caller` asks for it.
    fn follows(&self, caller: &str) -> bool {
        let now = self.started.elapsed().as_secs_f64();
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let full = || Budget::full(FOLLOWED, FOLLOWED_AT_ONCE, now);
        let budget = followed.entry(caller.to_owned()).or_insert_with(full);
        let is_left = budget.has_any(now);
        if is_left {
            budget.take(now);
        }
        is_left
    }

    /// Never waits.
    fn take(&self, ended: Ended) {
        if self.ended.try_send(ended).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Tracer {
    /// Keeps nothing: what others send is handed on as it came.
    pub fn off() -> Self {
        Self::default()
    }

    /// Keeps this share of all traces, and those that callers ask for, as far as the budget of each
    /// goes. What is kept comes out of the second.
    pub fn keeping(share: Share) -> (Self, Outbox) {
        let (ended, waiting) = mpsc::channel(WAITING);
        let sink = Arc::new(Sink {
            share,
            ended,
            lost: AtomicU64::new(0),
            started: Instant::now(),
            followed: Mutex::default(),
        });
        let outbox = Outbox {
            waiting,
            sink: Arc::clone(&sink),
        };
        (Self { sink: Some(sink) }, outbox)
    }

    /// A request has come in from `caller` (one of few), with this context if it had one, and with this
    /// id. `None` if it is in no trace that matters here.
    pub fn receive(
        &self,
        caller: &str,
        upstream: Option<Context>,
        request_id: Uuid,
        name: impl FnOnce() -> String,
    ) -> Option<Span> {
        let Some(sink) = &self.sink else {
            return upstream.map(Span::handing_on);
        };
        let own = SpanId::random();
        let (context, parent) = match upstream {
            Some(upstream) => {
                let asked = upstream.sampled;
                let kept = sink.share.takes(upstream.trace) || asked && sink.follows(caller);
                if !kept {
                    // Who did not get what it asked for does not get it further on either.
                    let span = if asked { own } else { upstream.span };
                    return Some(Span::handing_on(upstream.at(span, false)));
                }
                (upstream.at(own, true), Some(upstream.span))
            }
            None => {
                let context = Context::of_request(request_id, own)?;
                if !sink.share.takes(context.trace) {
                    return None;
                }
                (context, None)
            }
        };
        let is_parent_remote = parent.is_some();
        let begun = Begun::now(Kind::Server, name(), parent, is_parent_remote);
        Some(Span::kept(context, Arc::clone(sink), begun))
    }
}

/// What has ended and is not told yet.
#[derive(Debug)]
pub struct Outbox {
    waiting: mpsc::Receiver<Ended>,
    sink: Arc<Sink>,
}

impl Outbox {
    /// Waits until something has ended. Up to `most` are in `ended` then. Nothing is lost if it is not
    /// waited for to the end.
    pub async fn wait(&mut self, ended: &mut Vec<Ended>, most: usize) {
        self.waiting.recv_many(ended, most).await;
    }

    /// Adds what has ended meanwhile, until there are `most`.
    pub fn more(&mut self, ended: &mut Vec<Ended>, most: usize) {
        while ended.len() < most {
            match self.waiting.try_recv() {
                Ok(one) => ended.push(one),
                Err(_) => break,
            }
        }
    }

    /// How many were lost since this was last asked, since too many were waiting.
    pub fn lost(&self) -> u64 {
        self.sink.lost.swap(0, Ordering::Relaxed)
    }
}

/// A span that has begun. It is under way in [`within`], and ends there.
#[derive(Debug)]
pub struct Span {
    current: Current,
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    kind: Kind,
    name: String,
    parent: Option<SpanId>,
    is_parent_remote: bool,
    at: SystemTime,
    since: Instant,
}

impl Begun {
    fn now(kind: Kind, name: String, parent: Option<SpanId>, is_parent_remote: bool) -> Self {
        Self {
            kind,
            name,
            parent,
            is_parent_remote,
            at: SystemTime::now(),
            since: Instant::now(),
        }
    }
}

impl Span {
    fn kept(context: Context, sink: Arc<Sink>, begun: Begun) -> Self {
        let said = Arc::default();
        Self {
            current: Current {
                context,
                open: Some(Open { sink, said }),
            },
            begun: Some(begun),
        }
    }

    fn handing_on(context: Context) -> Self {
        Self {
            current: Current {
                context,
                open: None,
            },
            begun: None,
        }
    }

    /// Says something about it.
    pub fn note(&self, name: &'static str, value: impl Into<Value>) {
        if let Some(open) = &self.current.open {
            open.note(name, value.into());
        }
    }

    /// Puts it into the headers of the request that is sent within it.
    pub fn write(&self, headers: &mut HeaderMap) {
        self.current.context.write(headers);
    }
}

/// Ends the span when it is dropped, so that also those end whose work is given up.
struct Ending {
    context: Context,
    open: Open,
    begun: Begun,
    is_done: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let said = std::mem::take(&mut *self.open.said());
        let given_up = || (!self.is_done).then(|| "given_up".to_owned());
        self.open.sink.take(Ended {
            context: self.context.clone(),
            parent: self.begun.parent,
            is_parent_remote: self.begun.is_parent_remote,
            kind: self.begun.kind,
            name: std::mem::take(&mut self.begun.name),
            began: self.begun.at,
            took: self.begun.since.elapsed(),
            notes: said.notes,
            failure: said.failure.or_else(given_up),
        });
    }
}

/// Works within a span, if there is one. It ends with the work.
pub async fn within<F: Future>(span: Option<Span>, work: F) -> F::Output {
    let Some(Span { current, begun }) = span else {
        return work.await;
    };
    let ending = match (&current.open, begun) {
        (Some(open), Some(begun)) => Some(Ending {
            context: current.context.clone(),
            open: open.clone(),
            begun,
            is_done: false,
        }),
        _ => None,
    };
    let output = CURRENT.scope(current, work).await;
    if let Some(mut ending) = ending {
        ending.is_done = true;
    }
    output
}

/// The same for work that answers a request: the span says with which status.
pub async fn answer<B, F>(span: Option<Span>, work: F) -> Response<B>
where
    F: Future<Output = Response<B>>,
{
    let noting = async {
        let response = work.await;
        let status = response.status();
        note(STATUS, status.as_u16());
        if status.is_server_error() {
            fail(status.as_str());
        }
        response
    };
    within(span, noting).await
}

/// A question to somebody else, which is part of what is under way; `None` where nothing is.
pub fn call(name: impl FnOnce() -> String) -> Option<Span> {
    let begin = |current: &Current| match &current.open {
        Some(open) => {
            let parent = current.context.span;
            let context = current.context.at(SpanId::random(), true);
            let begun = Begun::now(Kind::Client, name(), Some(parent), false);
            Span::kept(context, Arc::clone(&open.sink), begun)
        }
        None => Span::handing_on(current.context.clone()),
    };
    CURRENT.try_with(begin).ok()
}

/// Says something about the span that is under way.
pub fn note(name: &'static str, value: impl Into<Value>) {
    open(|open| open.note(name, value.into()));
}

/// Says that it failed, and by which word.
pub fn fail(why: &str) {
    open(|open| open.said().failure = Some(why.to_owned()));
}

fn open(act: impl FnOnce(&Open)) {
    // An error means that nothing is under way.
    let _ = CURRENT.try_with(|current| current.open.as_ref().map(act));
}

/// For work that goes on in a task of its own: what is under way here, is there too.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let current = CURRENT.try_with(Clone::clone).ok();
    async move {
        match current {
            Some(current) => CURRENT.scope(current, work).await,
            None => work.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    const ASKED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const NOT_ASKED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn keeping(ratio: f64) -> (Tracer, Outbox) {
        Tracer::keeping(Share::new(ratio).unwrap())
    }

    fn sent(parent: &str) -> Option<Context> {
        let headers = [("traceparent", parent)];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Context::from_headers(&headers.into_iter().collect())
    }

    fn receive(tracer: &Tracer, upstream: Option<Context>) -> Option<Span> {
        tracer.receive("west", upstream, Uuid::new_v4(), || "GET /x".to_owned())
    }

    /// The `traceparent` of a question that is sent now.
    fn written() -> Option<String> {
        let mut headers = HeaderMap::new();
        call(String::new)?.write(&mut headers);
        Some(headers.get("traceparent")?.to_str().unwrap().to_owned())
    }

    /// The same from within a request.
    async fn handed_on(tracer: &Tracer, upstream: &str) -> String {
        let span = receive(tracer, sent(upstream));
        within(span, async { written() }).await.unwrap()
    }

    fn all(outbox: &mut Outbox) -> Vec<Ended> {
        let mut ended = Vec::new();
        outbox.more(&mut ended, usize::MAX);
        ended
    }

    #[tokio::test]
    async fn a_question_is_a_child_of_the_request_that_it_is_asked_for() {
        let (tracer, mut outbox) = keeping(0.0);
        let span = receive(&tracer, sent(ASKED));
        answer(span, async {
            note("alliance.via", "asked");
            let asking = carried(async {
                let asked = call(|| "POST /y".to_owned());
                within(asked, async { note(STATUS, 503) }).await;
            });
            tokio::spawn(asking).await.unwrap();
            let response = Response::builder().status(StatusCode::BAD_GATEWAY);
            response.body(()).unwrap()
        })
        .await;
        let [question, request] = all(&mut outbox).try_into().unwrap();
        let client = sent(ASKED).unwrap();
        assert_eq!(request.parent, Some(client.span));
        assert!(request.is_parent_remote);
        assert_eq!(question.parent, Some(request.context.span));
        assert!(!question.is_parent_remote);
        for span in [&question, &request] {
            assert_eq!(span.context.trace, client.trace);
        }
        assert_eq!((question.kind, request.kind), (Kind::Client, Kind::Server));
        assert_eq!((&*question.name, &*request.name), ("POST /y", "GET /x"));
        assert_eq!(question.notes, [(STATUS, Value::Number(503))]);
        let said = [("alliance.via", "asked".into()), (STATUS, 502.into())];
        assert_eq!(request.notes, said);
        assert_eq!(question.failure, None);
        assert_eq!(request.failure.as_deref(), Some("502"));
    }

    #[tokio::test]
    async fn where_nothing_is_kept_a_trace_is_handed_on_as_it_came() {
        let off = Tracer::off();
        assert_eq!(handed_on(&off, ASKED).await, ASKED);
        assert!(receive(&off, None).is_none());
        let (none, mut outbox) = keeping(0.0);
        assert_eq!(handed_on(&none, NOT_ASKED).await, NOT_ASKED);
        assert!(receive(&none, None).is_none());
        assert!(all(&mut outbox).is_empty());
    }

    #[tokio::test]
    async fn a_request_without_a_trace_has_that_of_its_id() {
        let (tracer, mut outbox) = keeping(1.0);
        let id = Uuid::new_v4();
        let span = tracer.receive("west", None, id, String::new);
        within(span, async {}).await;
        let [request] = all(&mut outbox).try_into().unwrap();
        assert_eq!(request.context.trace.to_string(), id.simple().to_string());
        assert_eq!(request.parent, None);
    }

    #[tokio::test]
    async fn who_keeps_more_than_the_caller_keeps_what_it_did_not_ask_for() {
        let (tracer, mut outbox) = keeping(1.0);
        assert!(handed_on(&tracer, NOT_ASKED).await.ends_with("-01"));
        assert_eq!(all(&mut outbox).len(), 1);
    }

    #[tokio::test]
    async fn who_asks_too_often_is_not_followed_and_others_are() {
        let (tracer, mut outbox) = keeping(0.0);
        let mut last = String::new();
        for _ in 0..200 {
            last = handed_on(&tracer, ASKED).await;
        }
        let kept = all(&mut outbox).len();
        assert!((100..200).contains(&kept), "{kept}");
        let (asked, handed) = (sent(ASKED).unwrap(), sent(&last).unwrap());
        assert_eq!(handed.trace, asked.trace);
        assert!(!handed.sampled);
        assert_ne!(handed.span, asked.span);
        let other = tracer.receive("north", sent(ASKED), Uuid::new_v4(), String::new);
        within(other, async {}).await;
        assert_eq!(all(&mut outbox).len(), 1);
    }

    #[tokio::test]
    async fn what_nobody_takes_away_is_lost_and_counted_and_nobody_waits() {
        let (tracer, mut outbox) = keeping(1.0);
        for _ in 0..WAITING + 3 {
            within(receive(&tracer, None), async {}).await;
        }
        assert_eq!((outbox.lost(), outbox.lost()), (3, 0));
        assert_eq!(all(&mut outbox).len(), WAITING);
    }

    #[tokio::test]
    async fn work_that_is_given_up_ends_its_span() {
        let (tracer, mut outbox) = keeping(1.0);
        let work = within(receive(&tracer, None), std::future::pending::<()>());
        let mut work = Box::pin(work);
        let mut moment = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(work.as_mut().poll(&mut moment).is_pending());
        drop(work);
        let [request] = all(&mut outbox).try_into().unwrap();
        assert_eq!(request.failure.as_deref(), Some("given_up"));
    }

    #[tokio::test]
    async fn without_a_request_there_is_nothing() {
        assert_eq!(written(), None);
        note("alliance.via", "asked");
        fail("unreachable");
        assert_eq!(carried(async { written() }).await, None);
    }

    #[tokio::test]
    async fn not_more_is_said_about_a_span_than_fits() {
        let (tracer, mut outbox) = keeping(1.0);
        within(receive(&tracer, None), async {
            for _ in 0..2 * MAX_NOTES {
                note("alliance.via", "asked");
            }
        })
        .await;
        let [request] = all(&mut outbox).try_into().unwrap();
        assert_eq!(request.notes.len(), MAX_NOTES);
    }
}
