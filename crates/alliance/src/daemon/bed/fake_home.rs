//! A home that says what a test tells it to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::descriptor::Descriptor;
use alliance_core::partner::Status;
use alliance_core::refusal::Reason;
use alliance_core::retirement::{ProjectStandings, Standing};
use alliance_core::revocation::{RevocationEvent, RevocationList, Revoked};
use alliance_core::sign_out::{Change, SignOut};
use alliance_core::statement::{GrantStatement, Grants, HomeUser, Named, Project};
use alliance_peer::error::ApiError;
use alliance_peer::identity::Identity;
use alliance_peer::pairing::PairingSecret;
use alliance_peer::service::{Acceptor, Call, PeerService, Report};
use alliance_peer::statement::sign;
use alliance_peer::wire::{
    AgreementsAnswer, ContractAnswer, DescriptorAnswer, GrantsAnswer, GrantsQuestion,
    Introspection, MAX_SIGN_OUTS, NoticeAnswer, NoticePoll, PairingView, PlanAnswer, PlanQuestion,
    Poll, PollAnswer, ProjectQuery, ProvisionAnswer, ReceiptAnswer, ReceiptPoll, RevocationsAnswer,
    StacksAnswer, StacksQuery, StandingAnswer, StandingQuestion, Topic, UsageAnswer, UsagePoll,
};
use alliance_token::Token;
use futures_util::future::try_join_all;
use uuid::Uuid;

use crate::daemon::bed::{self, Failure, Served};
use crate::daemon::clock::now;

/// Makes of a sign-out what the test wants.
pub(crate) type Alter = Box<dyn Fn(u64, String) -> String + Send>;

/// Makes of a descriptor what the test wants.
pub(crate) type Describe = Box<dyn Fn(&mut Descriptor) + Send>;

pub(crate) struct FakeHome {
    pub(crate) identity: Arc<Identity>,
    script: Mutex<Script>,
}

pub(crate) struct Script {
    pub(crate) url: String,
    /// By whose key everything is signed.
    pub(crate) signer: Arc<Identity>,
    /// As the descriptor says it.
    pub(crate) announced: Arc<Identity>,
    /// What else its descriptor says.
    pub(crate) describe: Describe,
    /// What has changed, from number 1 on.
    pub(crate) log: Vec<Change>,
    pub(crate) heard: u64,
    /// Whether it heeds no acknowledgement.
    pub(crate) is_deaf: bool,
    /// How far its clock is ahead.
    pub(crate) ahead: Seconds,
    pub(crate) alter: Alter,
    /// Its revocation list, if it tells one.
    pub(crate) listed: Option<Vec<RevocationEvent>>,
    pub(crate) polls: Vec<Poll>,
    /// What it says of its users, all the same, if it says anything.
    pub(crate) grants: Option<Option<BTreeSet<String>>>,
    /// The users that were asked about.
    pub(crate) questions: Vec<String>,
    /// About how many users it was asked at once.
    pub(crate) batches: Vec<usize>,
    /// Whether it is of a version that can be asked about one at a time.
    pub(crate) is_old: bool,
    /// How its projects are, if it says.
    pub(crate) standings: Option<BTreeMap<String, Standing>>,
    /// What it grants, as a host, if it says anything.
    pub(crate) grants_us: Option<AgreementsAnswer>,
    /// What it shows of each agreement that it granted.
    pub(crate) contract: ContractAnswer,
    /// What it was told about those.
    pub(crate) replies: Vec<String>,
}

impl FakeHome {
    pub(crate) fn new() -> Result<Arc<Self>, Failure> {
        let identity = Arc::new(Identity::ephemeral()?);
        let script = Script {
            url: String::new(),
            signer: Arc::clone(&identity),
            announced: Arc::clone(&identity),
            describe: Box::new(|_| ()),
            log: Vec::new(),
            heard: 0,
            is_deaf: false,
            ahead: 0,
            alter: Box::new(|_, set| set),
            listed: None,
            polls: Vec::new(),
            grants: None,
            questions: Vec::new(),
            batches: Vec::new(),
            is_old: false,
            standings: None,
            grants_us: None,
            contract: ContractAnswer::default(),
            replies: Vec::new(),
        };
        Ok(Arc::new(Self {
            identity,
            script: Mutex::new(script),
        }))
    }

    pub(crate) async fn serve(self: &Arc<Self>) -> Result<Served, Failure> {
        let served = Served::new(Arc::clone(&self.identity), Arc::clone(self)).await?;
        self.does(|script| script.url.clone_from(&served.url));
        Ok(served)
    }

    pub(crate) fn does<R>(&self, act: impl FnOnce(&mut Script) -> R) -> R {
        act(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A sign-out of `home` for `host`.
pub(crate) fn sign_out(
    home: &Identity,
    host: &CloudId,
    jti: u64,
    change: &Change,
    iat: Seconds,
    signer: &Identity,
) -> Result<String, ApiError> {
    let said = SignOut {
        iss: home.cloud_id().clone(),
        aud: host.clone(),
        iat,
        jti: jti.to_string(),
        events: change.to_events().map_err(ApiError::internal)?,
    };
    sign(&said, signer.signing_key()).map_err(ApiError::internal)
}

fn not_played() -> ApiError {
    ApiError::internal("not in this test")
}

impl PeerService for FakeHome {
    async fn admit(&self, _: &CloudId) -> Result<(), ApiError> {
        Ok(())
    }

    async fn descriptor(&self, _: &Call) -> Result<DescriptorAnswer, ApiError> {
        let (announced, url) =
            self.does(|script| (Arc::clone(&script.announced), script.url.clone()));
        let descriptor = bed::descriptor(&self.identity, &announced, &url);
        let mut claims = descriptor.map_err(ApiError::internal)?.claims;
        self.does(|script| (script.describe)(&mut claims));
        let descriptor = sign(&claims, self.identity.identity_key());
        Ok(DescriptorAnswer {
            descriptor: descriptor.map_err(ApiError::internal)?,
            status: Status::Active,
        })
    }

    async fn introspect(&self, _: &Call, _: Token) -> Result<Introspection, ApiError> {
        Err(not_played())
    }

    async fn grants(
        &self,
        call: &Call,
        question: GrantsQuestion,
    ) -> Result<GrantsAnswer, ApiError> {
        let (answer, signer) = self.does(|script| {
            script.questions.push(question.user_id.clone());
            (script.grants.clone(), Arc::clone(&script.signer))
        });
        let Some(roles) = answer.ok_or_else(not_played)? else {
            return Ok(GrantsAnswer::Inactive {
                reason: Reason::NotFound,
            });
        };
        let domain = Named {
            id: "people".into(),
            name: "people".into(),
        };
        let statement = GrantStatement {
            iss: self.identity.cloud_id().clone(),
            aud: call.caller.clone(),
            iat: now(),
            jti: Uuid::new_v4().to_string(),
            grants: Grants {
                user: HomeUser {
                    id: question.user_id,
                    name: "somebody".into(),
                    domain: domain.clone(),
                },
                project: question.project_id.map(|id| Project {
                    id,
                    name: "project".into(),
                    domain,
                }),
                roles,
            },
        };
        let statement = sign(&statement, signer.signing_key()).map_err(ApiError::internal)?;
        Ok(GrantsAnswer::Active { statement })
    }

    async fn grants_of_many(
        &self,
        call: &Call,
        questions: Vec<GrantsQuestion>,
    ) -> Result<Vec<GrantsAnswer>, ApiError> {
        let is_old = self.does(|script| {
            script.batches.push(questions.len());
            script.is_old
        });
        if is_old {
            return Err(ApiError::no_such_route());
        }
        try_join_all(questions.into_iter().map(|asked| self.grants(call, asked))).await
    }

    async fn projects(&self, _: &Call, _: ProjectQuery) -> Result<Vec<Project>, ApiError> {
        Err(not_played())
    }

    async fn revocations(
        &self,
        call: &Call,
        _: Option<String>,
    ) -> Result<RevocationsAnswer, ApiError> {
        let (listed, signer) =
            self.does(|script| (script.listed.clone(), Arc::clone(&script.signer)));
        let list = RevocationList {
            iss: self.identity.cloud_id().clone(),
            aud: call.caller.clone(),
            iat: now(),
            digest: String::new(),
            listed: Some(Revoked {
                events: listed.ok_or_else(not_played)?,
                ..Revoked::default()
            }),
        };
        let revocations = sign(&list, signer.signing_key()).map_err(ApiError::internal)?;
        Ok(RevocationsAnswer { revocations })
    }

    async fn standing(
        &self,
        call: &Call,
        question: StandingQuestion,
    ) -> Result<StandingAnswer, ApiError> {
        self.does(|script| {
            let told = script.standings.clone();
            let mut projects = told.ok_or_else(|| ApiError::unavailable(Reason::HomeError))?;
            projects.retain(|id, _| question.project_ids.contains(id));
            let said = ProjectStandings {
                iss: self.identity.cloud_id().clone(),
                aud: call.caller.clone(),
                iat: now() + script.ahead,
                projects,
            };
            let standing = sign(&said, script.signer.signing_key());
            Ok(StandingAnswer {
                standing: standing.map_err(ApiError::internal)?,
            })
        })
    }

    async fn receipts(&self, _: &Call, _: ReceiptPoll) -> Result<ReceiptAnswer, ApiError> {
        Err(ApiError::internal("no receipts here"))
    }

    async fn provision(&self, _: &Call, _: String) -> Result<ProvisionAnswer, ApiError> {
        Err(ApiError::internal("no orders here"))
    }

    async fn provision_plan(&self, _: &Call, _: PlanQuestion) -> Result<PlanAnswer, ApiError> {
        Err(ApiError::internal("no orders here"))
    }

    async fn stacks(&self, _: &Call, _: StacksQuery) -> Result<StacksAnswer, ApiError> {
        Err(ApiError::internal("no orders here"))
    }

    async fn notices(&self, _: &Call, _: NoticePoll) -> Result<NoticeAnswer, ApiError> {
        Err(ApiError::internal("no notices here"))
    }

    async fn usage(&self, _: &Call, _: UsagePoll) -> Result<UsageAnswer, ApiError> {
        Err(ApiError::internal("no usage here"))
    }

    async fn sign_outs(&self, call: &Call, poll: Poll) -> Result<PollAnswer, ApiError> {
        self.does(|script| {
            let acks = poll.ack.iter().filter_map(|jti| jti.parse().ok());
            if !script.is_deaf {
                script.heard = acks.chain([script.heard]).max().unwrap_or_default();
            }
            script.polls.push(poll);
            let from = usize::try_from(script.heard).unwrap_or(usize::MAX);
            let unheard = (script.heard + 1..).zip(script.log.iter().skip(from));
            let sets = unheard.take(MAX_SIGN_OUTS).map(|(number, change)| {
                let iat = now() + script.ahead;
                let set = sign_out(
                    &self.identity,
                    &call.caller,
                    number,
                    change,
                    iat,
                    &script.signer,
                )?;
                Ok((number.to_string(), (script.alter)(number, set)))
            });
            Ok(PollAnswer {
                sets: sets.collect::<Result<_, ApiError>>()?,
                more_available: false,
                now: Some(now()),
            })
        })
    }

    async fn agreements(&self, _: &Call) -> Result<AgreementsAnswer, ApiError> {
        let said = self.does(|script| script.grants_us.clone());
        said.ok_or_else(not_played)
    }

    async fn contract(&self, _: &Call, _: Uuid, after: u32) -> Result<ContractAnswer, ApiError> {
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        let mut said = self.does(|script| script.contract.clone());
        said.versions = said.versions.into_iter().skip(after).collect();
        Ok(said)
    }

    async fn contract_reply(&self, _: &Call, _: Uuid, reply: String) -> Result<(), ApiError> {
        self.does(|script| script.replies.push(reply));
        Ok(())
    }

    async fn poke(&self, _: &Call, _: BTreeSet<Topic>) -> Result<(), ApiError> {
        Ok(())
    }

    async fn report(&self, _: &Call, _: Report) -> Result<(), ApiError> {
        Ok(())
    }

    async fn pairing_look(
        &self,
        _: &Call,
        _: Uuid,
        _: PairingSecret,
        _: Duration,
    ) -> Result<PairingView, ApiError> {
        Err(not_played())
    }

    async fn pairing_accept(
        &self,
        _: &Call,
        _: Uuid,
        _: PairingSecret,
        _: Acceptor,
    ) -> Result<(), ApiError> {
        Err(not_played())
    }

    async fn pairing_withdraw(&self, _: &Call, _: Uuid, _: PairingSecret) -> Result<(), ApiError> {
        Err(not_played())
    }
}
