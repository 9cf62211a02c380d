//! A cloud whose daemon answers what a test tells it to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alliance_core::cloud::CloudId;
use alliance_core::descriptor::Descriptor;
use alliance_core::partner::{Role, Status};
use alliance_core::provision::{StackState, changes};
use alliance_core::refusal::Reason;
use alliance_core::revocation::RevocationList;
use alliance_core::statement::{Named, Passport, Project, Statement, TokenFacts};
use alliance_peer::client::{Deadlines, PeerClient};
use alliance_peer::error::ApiError;
use alliance_peer::identity::Identity;
use alliance_peer::pairing::PairingSecret;
use alliance_peer::request_id::RequestId;
use alliance_peer::server::{Limits, serve};
use alliance_peer::service::{Acceptor, Call, PeerService, Report};
use alliance_peer::statement::sign;
use alliance_peer::wire::{
    AgreementsAnswer, ContractAnswer, DescriptorAnswer, GrantsAnswer, GrantsQuestion,
    Introspection, NoticeAnswer, NoticePoll, Offer, PairingState, PairingView, PlanAnswer,
    PlanQuestion, Poll, PollAnswer, ProjectQuery, ProvisionAnswer, ReceiptAnswer, ReceiptPoll,
    RevocationsAnswer, StackReport, StacksAnswer, StacksQuery, StandingAnswer, StandingQuestion,
    Topic, UsageAnswer, UsagePoll,
};
use alliance_token::Token;
use alliance_trace::{Outbox, Share, Tracer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What the daemon does when it is asked about a token.
#[derive(Clone, Default)]
pub(crate) enum Mood {
    #[default]
    Vouch,
    Deny(Reason),
    Undecided(Reason),
    Slow(Duration),
    Hang,
    Panic,
    Break(String),
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<RequestId>,
    pub(crate) pokes: Vec<BTreeSet<Topic>>,
    pub(crate) reports: Vec<(String, Reason)>,
    pub(crate) acceptors: Vec<CloudId>,
    pub(crate) replies: Vec<(Uuid, String)>,
}

pub(crate) struct Daemon {
    pub(crate) identity: Identity,
    pub(crate) partners: Mutex<HashSet<CloudId>>,
    pub(crate) mood: Mutex<Mood>,
    pub(crate) seen: Mutex<Seen>,
    pub(crate) invitations: Mutex<HashMap<Uuid, String>>,
    pub(crate) introspections: AtomicUsize,
    /// What it calls itself.
    pub(crate) name: Mutex<String>,
    /// What it sends in place of its descriptor.
    pub(crate) said: Mutex<Option<String>>,
    /// How many seconds after the first descriptor the next one is signed.
    pub(crate) later: AtomicI64,
    tracer: Tracer,
}

impl Daemon {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(Tracer::off())
    }

    /// One that keeps this share of all traces, and those that partners ask for.
    pub(crate) fn tracing(ratio: f64) -> (Arc<Self>, Outbox) {
        let (tracer, outbox) = Tracer::keeping(Share::new(ratio).unwrap());
        (Self::with(tracer), outbox)
    }

    fn with(tracer: Tracer) -> Arc<Self> {
        Arc::new(Self {
            identity: Identity::ephemeral().unwrap(),
            partners: Mutex::default(),
            mood: Mutex::default(),
            seen: Mutex::default(),
            invitations: Mutex::default(),
            introspections: AtomicUsize::new(0),
            name: Mutex::new("test".into()),
            said: Mutex::default(),
            later: AtomicI64::new(0),
            tracer,
        })
    }

    pub(crate) fn id(&self) -> CloudId {
        self.identity.cloud_id().clone()
    }

    pub(crate) fn trust(&self, cloud: &CloudId) {
        self.partners.lock().unwrap().insert(cloud.clone());
    }

    pub(crate) fn feel(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn descriptor_jws(&self) -> String {
        let descriptor = Descriptor {
            v: 1,
            iss: self.id(),
            iat: 1000 + self.later.load(Ordering::SeqCst),
            exp: 2000 + self.later.load(Ordering::SeqCst),
            name: self.name.lock().unwrap().clone(),
            peer_url: "https://localhost:1".into(),
            identity_key: self.identity.identity_key().public().to_jwk(),
            signing_keys: vec![self.identity.signing_key().public().to_jwk()],
            token_keys: Vec::new(),
            regions: Vec::new(),
            capabilities: Vec::new(),
        };
        sign(&descriptor, self.identity.identity_key()).unwrap()
    }

    pub(crate) fn invite(&self) -> (Uuid, PairingSecret) {
        let (id, secret) = (Uuid::new_v4(), PairingSecret::generate().unwrap());
        self.invitations.lock().unwrap().insert(id, secret.hash());
        (id, secret)
    }

    fn passport(&self, caller: &CloudId, token: &Token) -> String {
        let passport = Passport {
            iss: self.id(),
            aud: caller.clone(),
            iat: 1000,
            jti: Uuid::new_v4().to_string(),
            token_introspection: TokenFacts {
                active: true,
                token_sha256: token.sha256().to_owned(),
                origin: Some(self.id()),
                sub: "u1".into(),
                username: "ann".into(),
                user_domain: default_domain(),
                project: None,
                roles: ["member".to_owned()].into(),
                methods: vec!["password".into()],
                audit_ids: vec!["a".into()],
                issued_at: jiff::Timestamp::UNIX_EPOCH,
                expires_at: jiff::Timestamp::UNIX_EPOCH,
            },
        };
        sign(&passport, self.identity.signing_key()).unwrap()
    }

    fn note(&self, call: &Call) {
        self.seen.lock().unwrap().requests.push(call.request_id);
    }

    fn open(&self, id: Uuid, secret: &PairingSecret) -> Result<(), ApiError> {
        match self.invitations.lock().unwrap().get(&id) {
            Some(hash) if secret.matches(hash) => Ok(()),
            _ => Err(ApiError::no_such_pairing()),
        }
    }
}

pub(crate) fn default_domain() -> Named {
    Named {
        id: "default".into(),
        name: "Default".into(),
    }
}

pub(crate) fn science() -> Project {
    Project {
        id: "p1".into(),
        name: "science; \u{1b}[31m".into(),
        domain: default_domain(),
    }
}

/// How long the news of a cloud take.
pub(crate) const SLOW_NEWS: Duration = Duration::from_secs(2);

impl PeerService for Daemon {
    fn tracer(&self, caller: &CloudId) -> Option<(&Tracer, String)> {
        let is_partner = self.partners.lock().unwrap().contains(caller);
        is_partner.then(|| (&self.tracer, "a partner".to_owned()))
    }

    async fn admit(&self, caller: &CloudId) -> Result<(), ApiError> {
        if self.partners.lock().unwrap().contains(caller) {
            Ok(())
        } else {
            Err(Reason::UnknownPartner.into())
        }
    }

    async fn descriptor(&self, call: &Call) -> Result<DescriptorAnswer, ApiError> {
        self.note(call);
        Ok(DescriptorAnswer {
            descriptor: self
                .said
                .lock()
                .unwrap()
                .clone()
                .unwrap_or_else(|| self.descriptor_jws()),
            status: Status::Active,
        })
    }

    async fn introspect(&self, call: &Call, token: Token) -> Result<Introspection, ApiError> {
        self.introspections.fetch_add(1, Ordering::SeqCst);
        self.note(call);
        let mood = self.mood.lock().unwrap().clone();
        match mood {
            Mood::Vouch => {}
            Mood::Deny(reason) => return Ok(Introspection::Inactive { reason }),
            Mood::Undecided(reason) => return Err(reason.into()),
            Mood::Slow(time) => tokio::time::sleep(time).await,
            Mood::Hang => std::future::pending().await,
            #[expect(clippy::panic, reason = "the point of the test")]
            Mood::Panic => panic!("a bug"),
            Mood::Break(inner) => return Err(ApiError::internal(inner)),
        }
        Ok(Introspection::Active {
            passport: self.passport(&call.caller, &token),
        })
    }

    async fn grants(
        &self,
        call: &Call,
        question: GrantsQuestion,
    ) -> Result<GrantsAnswer, ApiError> {
        self.note(call);
        if question.user_id == "u1" {
            Ok(GrantsAnswer::Active {
                statement: format!("for {:?}", question.project_id),
            })
        } else {
            Ok(GrantsAnswer::Inactive {
                reason: Reason::NotFound,
            })
        }
    }

    async fn grants_of_many(
        &self,
        call: &Call,
        questions: Vec<GrantsQuestion>,
    ) -> Result<Vec<GrantsAnswer>, ApiError> {
        let mut answers = Vec::new();
        // One that leaves out whom it does not know of is not to be understood.
        for question in questions.into_iter().filter(|q| q.user_id != "u0") {
            answers.push(self.grants(call, question).await?);
        }
        Ok(answers)
    }

    async fn projects(&self, call: &Call, query: ProjectQuery) -> Result<Vec<Project>, ApiError> {
        self.note(call);
        let found = query.id.as_deref() == Some("p1")
            || query.name.as_deref() == Some(science().name.as_str());
        Ok(found.then(science).into_iter().collect())
    }

    async fn revocations(
        &self,
        call: &Call,
        known: Option<String>,
    ) -> Result<RevocationsAnswer, ApiError> {
        self.note(call);
        // As long as the longest that a daemon may send.
        let revocations = known.unwrap_or_else(|| "a".repeat(RevocationList::MAX_LEN));
        Ok(RevocationsAnswer { revocations })
    }

    async fn standing(
        &self,
        call: &Call,
        question: StandingQuestion,
    ) -> Result<StandingAnswer, ApiError> {
        self.note(call);
        Ok(StandingAnswer {
            standing: format!("of {}", question.project_ids.join(", ")),
        })
    }

    async fn receipts(&self, call: &Call, poll: ReceiptPoll) -> Result<ReceiptAnswer, ApiError> {
        self.note(call);
        Ok(ReceiptAnswer {
            receipt: format!("after {}, {:?}", poll.after, poll.refusal),
        })
    }

    async fn provision(&self, call: &Call, order: String) -> Result<ProvisionAnswer, ApiError> {
        self.note(call);
        match order.as_str() {
            "busy" => Err(ApiError::order_conflict("another order is carried out")),
            _ => Ok(ProvisionAnswer { stack: None }),
        }
    }

    async fn provision_plan(
        &self,
        call: &Call,
        question: PlanQuestion,
    ) -> Result<PlanAnswer, ApiError> {
        self.note(call);
        let changes = changes(&question.plan, &BTreeMap::new(), question.replace);
        Ok(PlanAnswer {
            changes: changes.unwrap(),
        })
    }

    async fn stacks(&self, call: &Call, query: StacksQuery) -> Result<StacksAnswer, ApiError> {
        self.note(call);
        let stack = StackReport {
            id: "s".into(),
            project_id: query.project.unwrap(),
            name: query.stack.unwrap(),
            state: StackState::Complete,
            action: "apply".into(),
            order_id: "o".into(),
            detail: None,
            changed_at: 5,
            resources: Vec::new(),
        };
        Ok(StacksAnswer {
            stacks: vec![stack],
        })
    }

    async fn notices(&self, call: &Call, poll: NoticePoll) -> Result<NoticeAnswer, ApiError> {
        self.note(call);
        Ok(NoticeAnswer {
            notices: format!("after {}", poll.after),
            more: false,
        })
    }

    async fn usage(&self, call: &Call, poll: UsagePoll) -> Result<UsageAnswer, ApiError> {
        self.note(call);
        Ok(UsageAnswer {
            usage: format!("after {}", poll.after),
            more: false,
        })
    }

    async fn sign_outs(&self, call: &Call, poll: Poll) -> Result<PollAnswer, ApiError> {
        self.note(call);
        if !poll.return_immediately {
            tokio::time::sleep(SLOW_NEWS).await;
        }
        let sets = poll.ack.into_iter().map(|jti| (jti, "set".to_owned()));
        Ok(PollAnswer {
            sets: sets.collect(),
            more_available: poll.max_events == Some(1),
            now: None,
        })
    }

    async fn agreements(&self, call: &Call) -> Result<AgreementsAnswer, ApiError> {
        self.note(call);
        Ok(AgreementsAnswer {
            agreements: vec![Offer {
                id: None,
                version: None,
                project_id: "*".to_owned().into(),
                roles: ["member".to_owned()].into(),
                services: None,
                till: Some(5),
                transitive: false,
            }],
            etag: "1".into(),
            contracts: None,
        })
    }

    async fn contract(
        &self,
        call: &Call,
        id: Uuid,
        after: u32,
    ) -> Result<ContractAnswer, ApiError> {
        self.note(call);
        Ok(ContractAnswer {
            versions: vec![format!("{id} after {after}")],
            ending: None,
        })
    }

    async fn contract_reply(&self, call: &Call, id: Uuid, reply: String) -> Result<(), ApiError> {
        self.note(call);
        self.seen.lock().unwrap().replies.push((id, reply));
        Ok(())
    }

    async fn poke(&self, call: &Call, changed: BTreeSet<Topic>) -> Result<(), ApiError> {
        self.note(call);
        self.seen.lock().unwrap().pokes.push(changed);
        Ok(())
    }

    async fn report(&self, call: &Call, report: Report) -> Result<(), ApiError> {
        self.note(call);
        let seen = (report.token.expose().to_owned(), report.reason);
        self.seen.lock().unwrap().reports.push(seen);
        Ok(())
    }

    async fn pairing_look(
        &self,
        call: &Call,
        id: Uuid,
        secret: PairingSecret,
        wait: Duration,
    ) -> Result<PairingView, ApiError> {
        self.note(call);
        self.open(id, &secret)?;
        tokio::time::sleep(wait).await;
        Ok(PairingView {
            descriptor: self.descriptor_jws(),
            role_offered: Role::Host,
            state: PairingState::Open,
        })
    }

    async fn pairing_accept(
        &self,
        call: &Call,
        id: Uuid,
        secret: PairingSecret,
        acceptor: Acceptor,
    ) -> Result<(), ApiError> {
        self.note(call);
        self.open(id, &secret)?;
        self.seen
            .lock()
            .unwrap()
            .acceptors
            .push(acceptor.descriptor.iss);
        Ok(())
    }

    async fn pairing_withdraw(
        &self,
        call: &Call,
        id: Uuid,
        secret: PairingSecret,
    ) -> Result<(), ApiError> {
        self.note(call);
        self.open(id, &secret)?;
        self.seen
            .lock()
            .unwrap()
            .acceptors
            .retain(|cloud| *cloud != call.caller);
        Ok(())
    }
}

/// A daemon that is being served.
pub(crate) struct Served {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(daemon: &Arc<Daemon>) -> Self {
        Self::start_with(daemon, Limits::default()).await
    }

    pub(crate) async fn start_with(daemon: &Arc<Daemon>, limits: Limits) -> Self {
        Self::start_at(daemon, limits, "127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(daemon: &Arc<Daemon>, limits: Limits, at: SocketAddr) -> Self {
        Self::start_behind(&[], daemon, limits, at).await
    }

    /// Behind balancers at these addresses.
    pub(crate) async fn start_behind(
        balancers: &[&str],
        daemon: &Arc<Daemon>,
        limits: Limits,
        at: SocketAddr,
    ) -> Self {
        let balancers = balancers
            .iter()
            .map(|range| range.parse().unwrap())
            .collect();
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = daemon.clone();
        let task = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            let service = serving.clone();
            serve(
                listener,
                &serving.identity,
                service,
                limits,
                balancers,
                shutdown,
            )
            .await
            .unwrap();
        });
        Self {
            daemon: daemon.clone(),
            address,
            stop: Some(stop),
            task,
        }
    }

    pub(crate) fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    pub(crate) async fn stopped(self) {
        self.task.await.unwrap();
    }

    pub(crate) async fn stop(mut self) {
        self.begin_stop();
        self.stopped().await;
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A client of `who` for this daemon.
    pub(crate) fn client_of(&self, who: &Daemon) -> PeerClient {
        client(who, &self.daemon.id(), &self.url())
    }
}

pub(crate) fn client(who: &Daemon, partner: &CloudId, url: &str) -> PeerClient {
    PeerClient::new(&who.identity, partner.clone(), url, Deadlines::default()).unwrap()
}

/// Two daemons of which the first serves, and knows the second.
pub(crate) async fn west_knows_east() -> (Served, Arc<Daemon>) {
    west_knows_east_within(Limits::default()).await
}

/// The same, the first within these limits.
pub(crate) async fn west_knows_east_within(limits: Limits) -> (Served, Arc<Daemon>) {
    let (west, east) = (Daemon::new(), Daemon::new());
    west.trust(&east.id());
    (Served::start_with(&west, limits).await, east)
}

/// A token that looks like one of `issuer`'s.
pub(crate) fn token_of(issuer: &Daemon) -> Token {
    let mut bytes = vec![0x80, 0, 0, 0, 0];
    bytes.resize(1 + 8 + 16 + 48 + 32, 9);
    let inner = data_encoding::BASE64URL_NOPAD.encode(&bytes);
    Token::parse_tagged(&format!("{}~{inner}", issuer.id().tag())).unwrap()
}

/// A plain HTTP client with the identity of `who`, for what a proper client would not send.
pub(crate) fn raw(who: &Daemon, partner: &CloudId) -> reqwest::Client {
    let tls = alliance_peer::tls::client_config(&who.identity, partner.clone()).unwrap();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap()
}

/// Waits until `done`, at most 10 s.
pub(crate) async fn until(mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("the condition was not met within 10 s");
}
