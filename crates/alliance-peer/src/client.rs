//! Asking a partner.

use std::collections::BTreeSet;
use std::time::Duration;

use alliance_core::cloud::CloudId;
use alliance_core::statement::Project;
use http::header::AUTHORIZATION;
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};
use url::Url;
use uuid::Uuid;

use crate::identity::Identity;
use crate::pairing::{PairingSecret, SCHEME};
use crate::request_id::{self, RequestId};
use crate::service::Report;
use crate::tls;
use crate::wire::{
    AgreementsAnswer, ContractAnswer, ContractReply, DescriptorAnswer, GRANTS, GrantsAnswer,
    GrantsBatch, GrantsBatchAnswer, GrantsQuestion, INTROSPECT, IntrospectQuestion, Introspection,
    MAX_WAIT, NOTICES, NoticeAnswer, NoticePoll, PairingAcceptance, PairingView, PlanAnswer,
    PlanQuestion, Poke, Poll, PollAnswer, ProjectQuery, ProjectsAnswer, ProvisionAnswer,
    ProvisionRequest, RETIREMENTS, REVOCATIONS, ReceiptAnswer, ReceiptPoll, RevocationsAnswer,
    RevocationsQuery, SIGN_OUTS, STANDING, StacksAnswer, StacksQuery, StandingAnswer,
    StandingQuestion, TokenReport, Topic, USAGE, UsageAnswer, UsagePoll, VersionsQuery,
};
use alliance_token::Token;

pub mod breaker;
mod error;
pub mod guard;
mod transport;

pub use error::{NoClient, PeerError};
use guard::Guard;
pub use transport::Contact;
use transport::Tagged;

/// How long a partner may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// To accept a connection, TLS included.
    pub connect: Duration,
    /// For a question that somebody's request in Keystone waits for. Connecting counts.
    pub question: Duration,
    /// For what nobody waits for.
    pub errand: Duration,
    /// Between two pings of a connection.
    pub ping_interval: Duration,
    /// For the answer to a ping; then the connection is given up.
    pub ping: Duration,
}

impl Default for Deadlines {
    /// The plugin gives up after 2 s; the answer has to travel to it too.
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(1500),
            question: Duration::from_millis(1700),
            errand: Duration::from_secs(5),
            ping_interval: Duration::from_secs(3),
            ping: Duration::from_secs(2),
        }
    }
}

/// What a partner answers who is asked for its descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DescriptorNews {
    /// What it answered the last time, its time left aside.
    Same,
    /// Something else.
    Told {
        /// What.
        answer: DescriptorAnswer,
        /// What to name when it is asked again. Older daemons have none.
        etag: Option<String>,
    },
}

/// A partner, over one connection that is kept. Cheap to share behind an `Arc`; one per partner,
/// since the pinned key and the circuit breaker belong to it.
#[derive(Debug)]
pub struct PeerClient {
    partner: CloudId,
    base: Url,
    http: reqwest::Client,
    deadlines: Deadlines,
    guard: Guard,
}

impl PeerClient {
    /// A client for the partner with this id, which answers at `peer_url` (`https://host[:port]`).
    /// Connects when first used.
    ///
    /// # Errors
    /// See [`NoClient`].
    pub fn new(
        identity: &Identity,
        partner: CloudId,
        peer_url: &str,
        deadlines: Deadlines,
    ) -> Result<Self, NoClient> {
        let base = origin(peer_url)?;
        let tls = tls::client_config(identity, partner.clone()).map_err(NoClient::Tls)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .http2_prior_knowledge()
            .http2_keep_alive_interval(deadlines.ping_interval)
            .http2_keep_alive_timeout(deadlines.ping)
            .http2_keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .connect_timeout(deadlines.connect)
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent(concat!("alliance/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(NoClient::Http)?;
        Ok(Self {
            partner,
            base,
            http,
            deadlines,
            guard: Guard::default(),
        })
    }

    /// Who is asked.
    pub fn partner(&self) -> &CloudId {
        &self.partner
    }

    /// Where it answers.
    pub fn peer_url(&self) -> &Url {
        &self.base
    }

    /// Whether the partner answered lately. While it does not, questions fail at once with
    /// [`PeerError::Paused`].
    pub fn is_answering(&self) -> bool {
        self.guard.is_closed()
    }

    /// Its descriptor, and what we are to it, unless that is what the answer with the ETag `known`
    /// said; with what the answer shows of its daemon.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn descriptor(
        &self,
        id: RequestId,
        known: Option<&str>,
    ) -> Result<(DescriptorNews, Contact), PeerError> {
        let request = self.get(id, "/v1/descriptor");
        let request = request.timeout(self.deadlines.errand);
        let sending = transport::send_unless_known(&self.partner, request, known);
        let (told, contact) = self.guard.watch(sending).await?;
        let news = match told {
            Some(Tagged { answer, etag }) => DescriptorNews::Told { answer, etag },
            None => DescriptorNews::Same,
        };
        Ok((news, contact))
    }

    /// What it says of a token that it issued.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn introspect(
        &self,
        id: RequestId,
        token: &Token,
    ) -> Result<Introspection, PeerError> {
        let question = IntrospectQuestion {
            token: token.expose().to_owned(),
        };
        self.question(self.post(id, INTROSPECT).json(&question))
            .await
    }

    /// What a user of its may be in a project of its.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn grants(
        &self,
        id: RequestId,
        question: &GrantsQuestion,
    ) -> Result<GrantsAnswer, PeerError> {
        self.question(self.post(id, GRANTS).json(question)).await
    }

    /// The same, where nobody waits for the answer. The circuit breaker hears nothing of it: what
    /// others wait for is not given up because this is slow.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn grants_unhurried(
        &self,
        id: RequestId,
        question: &GrantsQuestion,
    ) -> Result<GrantsAnswer, PeerError> {
        let request = self.post(id, GRANTS).json(question);
        transport::send(&self.partner, request.timeout(self.deadlines.errand)).await
    }

    /// What several users of its may be, at most [`MAX_QUESTIONS`](crate::wire::MAX_QUESTIONS); an
    /// answer to each, in their order. As with [`Self::grants_unhurried`], nobody waits for it.
    ///
    /// # Errors
    /// See [`PeerError`]. A partner of an older version has no such route.
    pub async fn grants_of_many(
        &self,
        id: RequestId,
        questions: Vec<GrantsQuestion>,
    ) -> Result<Vec<GrantsAnswer>, PeerError> {
        let asked = questions.len();
        let request = self.post(id, "/v1/grants/batch");
        let request = request.json(&GrantsBatch { questions });
        let GrantsBatchAnswer { answers } =
            transport::send(&self.partner, request.timeout(self.deadlines.errand)).await?;
        if answers.len() != asked {
            let found = format!("{} answers to {asked} questions", answers.len());
            return Err(PeerError::Protocol(found));
        }
        Ok(answers)
    }

    /// Its projects of that id or name.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn projects(
        &self,
        id: RequestId,
        query: &ProjectQuery,
    ) -> Result<Vec<Project>, PeerError> {
        let answer: ProjectsAnswer = self
            .errand(self.get(id, "/v1/projects").query(query))
            .await?;
        Ok(answer.projects)
    }

    /// Which of its signed tokens have ended; the list itself only if it is not the one with the
    /// digest `known`.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn revocations(
        &self,
        id: RequestId,
        known: Option<String>,
    ) -> Result<RevocationsAnswer, PeerError> {
        let request = self
            .get(id, REVOCATIONS)
            .query(&RevocationsQuery { known })
            .timeout(self.deadlines.errand);
        self.guard
            .watch(transport::send_for_list(&self.partner, request))
            .await
    }

    /// What has ended there, once something has, or after half a minute. The circuit breaker is not
    /// asked, and hears nothing of it: it would have to wait as long.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn sign_outs(&self, id: RequestId, poll: &Poll) -> Result<PollAnswer, PeerError> {
        let request = self
            .post(id, SIGN_OUTS)
            .json(poll)
            .timeout(MAX_WAIT + self.deadlines.errand);
        transport::send_for_list(&self.partner, request).await
    }

    /// What our projects have used there, after the record with this number: all up to it are
    /// acknowledged.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn usage(&self, id: RequestId, after: u64) -> Result<UsageAnswer, PeerError> {
        let request = self
            .post(id, USAGE)
            .json(&UsagePoll { after })
            .timeout(self.deadlines.errand);
        transport::send_for_list(&self.partner, request).await
    }

    /// What has happened there to our projects, after the notice with this number: all up to it are
    /// acknowledged.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn notices(&self, id: RequestId, after: u64) -> Result<NoticeAnswer, PeerError> {
        let request = self
            .post(id, NOTICES)
            .json(&NoticePoll { after })
            .timeout(self.deadlines.errand);
        transport::send_for_list(&self.partner, request).await
    }

    /// How projects of its are there now.
    ///
    /// # Errors
    /// See [`PeerError`]. Nothing may be concluded then.
    pub async fn standing(
        &self,
        id: RequestId,
        question: &StandingQuestion,
    ) -> Result<StandingAnswer, PeerError> {
        self.errand(self.post(id, STANDING).json(question)).await
    }

    /// The next receipt about projects of ours that were retired there.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn receipts(
        &self,
        id: RequestId,
        poll: &ReceiptPoll,
    ) -> Result<ReceiptAnswer, PeerError> {
        let request = self
            .post(id, RETIREMENTS)
            .json(poll)
            .timeout(self.deadlines.errand);
        transport::send_for_list(&self.partner, request).await
    }

    /// What it grants us.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn agreements(&self, id: RequestId) -> Result<AgreementsAnswer, PeerError> {
        self.errand(self.get(id, "/v1/agreements")).await
    }

    /// The signed versions of an agreement that it gave, from the one after `after` on.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn contract(
        &self,
        id: RequestId,
        agreement: Uuid,
        after: u32,
    ) -> Result<ContractAnswer, PeerError> {
        let path = format!("/v1/agreements/{agreement}");
        self.errand(self.get(id, &path).query(&VersionsQuery { after }))
            .await
    }

    /// Tells it what we have signed about a version of an agreement that it gave.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn reply(
        &self,
        id: RequestId,
        agreement: Uuid,
        reply: String,
    ) -> Result<(), PeerError> {
        let path = format!("/v1/agreements/{agreement}/replies");
        let request = self.post(id, &path).json(&ContractReply { reply });
        self.guard
            .watch(transport::send_for_nothing(
                &self.partner,
                request.timeout(self.deadlines.errand),
            ))
            .await
    }

    /// Orders what a project of ours is to have there.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn provision(
        &self,
        id: RequestId,
        order: String,
    ) -> Result<ProvisionAnswer, PeerError> {
        let request = self.post(id, "/v1/provisions");
        self.errand(request.json(&ProvisionRequest { order })).await
    }

    /// What it would do for a plan.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn provision_plan(
        &self,
        id: RequestId,
        question: &PlanQuestion,
    ) -> Result<PlanAnswer, PeerError> {
        let request = self.post(id, "/v1/provisions/plan");
        self.errand(request.json(question)).await
    }

    /// How the stacks of our projects are there.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn stacks(
        &self,
        id: RequestId,
        query: &StacksQuery,
    ) -> Result<StacksAnswer, PeerError> {
        self.errand(self.get(id, "/v1/provisions").query(query))
            .await
    }

    /// Tells it what has changed here, so that it asks.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn poke(&self, id: RequestId, changed: &[Topic]) -> Result<(), PeerError> {
        let changed: BTreeSet<_> = changed.iter().copied().collect();
        let request = self.post(id, "/v1/poke").json(&Poke { changed });
        self.guard
            .watch(transport::send_for_nothing(
                &self.partner,
                request.timeout(self.deadlines.errand),
            ))
            .await
    }

    /// Tells it that a token of its was seen which has too much power to travel.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn report(&self, id: RequestId, report: &Report) -> Result<(), PeerError> {
        let body = TokenReport {
            token_sha256: report.token.sha256().to_owned(),
            token: report.token.expose().to_owned(),
            reason: report.reason,
        };
        let request = self.post(id, "/v1/reports").json(&body);
        self.guard
            .watch(transport::send_for_nothing(
                &self.partner,
                request.timeout(self.deadlines.errand),
            ))
            .await
    }

    /// Looks at an invitation; with `wait`, answers when its state has changed or the time is
    /// over. An operator waits for this one: the circuit breaker is not asked.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn pairing_look(
        &self,
        id: RequestId,
        invitation: Uuid,
        secret: &PairingSecret,
        wait: Duration,
    ) -> Result<PairingView, PeerError> {
        let wait = wait.min(MAX_WAIT);
        let request = self
            .get(id, &format!("/v1/pairings/{invitation}"))
            .header(AUTHORIZATION, authorization(secret))
            .query(&[("wait", wait.as_secs())])
            .timeout(wait + self.deadlines.errand);
        transport::send(&self.partner, request).await
    }

    /// Accepts an invitation.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn pairing_accept(
        &self,
        id: RequestId,
        invitation: Uuid,
        secret: &PairingSecret,
        descriptor: String,
    ) -> Result<(), PeerError> {
        let request = self
            .post(id, &format!("/v1/pairings/{invitation}/accept"))
            .header(AUTHORIZATION, authorization(secret))
            .json(&PairingAcceptance { descriptor })
            .timeout(self.deadlines.errand);
        transport::send_for_nothing(&self.partner, request).await
    }

    /// Takes back what [`PeerClient::pairing_accept`] said, before it is confirmed.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn pairing_withdraw(
        &self,
        id: RequestId,
        invitation: Uuid,
        secret: &PairingSecret,
    ) -> Result<(), PeerError> {
        let request = self
            .post(id, &format!("/v1/pairings/{invitation}/withdraw"))
            .header(AUTHORIZATION, authorization(secret))
            .timeout(self.deadlines.errand);
        transport::send_for_nothing(&self.partner, request).await
    }

    async fn question<T: serde::de::DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, PeerError> {
        let request = request.timeout(self.deadlines.question);
        self.guard
            .watch(transport::send(&self.partner, request))
            .await
    }

    async fn errand<T: serde::de::DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, PeerError> {
        let request = request.timeout(self.deadlines.errand);
        self.guard
            .watch(transport::send(&self.partner, request))
            .await
    }

    fn get(&self, id: RequestId, path: &str) -> RequestBuilder {
        self.request(Method::GET, id, path)
    }

    fn post(&self, id: RequestId, path: &str) -> RequestBuilder {
        self.request(Method::POST, id, path)
    }

    fn request(&self, method: Method, id: RequestId, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        self.http
            .request(method, url)
            .header(request_id::HEADER, id.to_string())
    }
}

fn authorization(secret: &PairingSecret) -> String {
    format!("{SCHEME} {}", *secret.expose())
}

/// A peer URL is an origin: everything else in it would be ignored or sent to somebody.
pub(crate) fn origin(peer_url: &str) -> Result<Url, NoClient> {
    let bad = |why| NoClient::Url {
        url: alliance_core::label::clean(peer_url, 200),
        why,
    };
    let url = Url::parse(peer_url).map_err(|_| bad("is not a URL"))?;
    if url.scheme() != "https" {
        return Err(bad("does not begin with https://"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad("names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("carries a user name or password"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(bad("has a path; expected https://host:port"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_url_is_https_a_host_and_a_port() {
        for right in [
            "https://west.example",
            "https://[::1]:5443/",
            "https://10.0.0.1:5443",
        ] {
            assert!(origin(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "west.example:5443",
            "http://west.example",
            "https://",
            "https://u:p@west.example",
            "https://west.example/v1",
            "https://west.example?x",
            "https://west.example#x",
            "file:///etc/passwd",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
