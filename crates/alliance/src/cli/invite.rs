//! `alliance partner invite`

use std::time::Duration;

use alliance_cloud::operator::Created;
use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::invitation::InvitationState;
use alliance_core::partner::Role;
use anyhow::{Context, anyhow};
use clap::Args;

use super::ask::{self, Interrupt};
use super::operator::Operator;
use super::socket::{Daemon, SocketError};
use super::when::now;
use super::{Failure, Output, cloud, partner, when};
use crate::wire::{CloudView, InvitationView, InviteAnswer, InviteRequest};

/// How long one question for news stays open.
pub(super) const WAIT: Duration = Duration::from_secs(25);
/// Between two such questions, so that no daemon can make this a busy loop.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// How long an answer of the daemon that got lost is looked for.
const SECOND_LOOK: Duration = Duration::from_secs(10);

/// Invite another cloud: print an invitation, wait, show who accepts, ask, pair
///
/// The invitation stands alone on standard output, everything else on standard error. An
/// invitation alone is worth nothing to a thief: you are shown who accepted, and pair only if the
/// words of the fingerprint are those that the other operator sees. Without a terminal nobody can
/// be asked: give --expect.
///
/// If the partner becomes a guest, what Keystone needs for it is made with the OS_* credentials of
/// this shell.
#[derive(Debug, Args)]
pub(super) struct Invite {
    /// What the partner is called here
    #[arg(value_parser = partner::alias)]
    name: String,

    /// What the partner becomes: guest (its users come here), host (our users go there), or both
    #[arg(long)]
    role: Role,

    /// Pair with this cloud only, and without a question: its `alliance id`
    #[arg(long, value_name = "CLOUD_ID")]
    expect: Option<CloudId>,

    /// Pair with whoever accepts first, unseen: only where nobody else can see the invitation
    #[arg(long, conflicts_with = "expect")]
    yes: bool,

    #[command(flatten)]
    terms: partner::Terms,
}

/// An invitation that is open until it is confirmed or rejected.
struct Open<'d> {
    daemon: &'d Daemon,
    id: String,
    expires_at: Seconds,
}

impl Invite {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let operator = Operator::if_guest(self.role)?;
        let mut interrupt = Interrupt::listen().context("listening to signals")?;
        let request = InviteRequest {
            name: self.name.clone(),
            role: self.role,
            expect: self.expect.clone(),
            trust_till: self.terms.trust_till,
            login: self.terms.login,
        };
        let answer: InviteAnswer = daemon.post(&["invitations"]).json(&request).await?;
        let open = Open {
            daemon,
            id: answer.id.clone(),
            expires_at: answer.expires_at,
        };
        out.line(&answer.invitation);
        self.explain(&answer, out);

        let Some(acceptor) = interrupt.or(open.acceptor(out)).await else {
            return Err(open
                .take_back(anyhow!("interrupted: the invitation is taken back"), out)
                .await);
        };
        let acceptor = acceptor?;
        out.say(format_args!(
            "\nSomebody accepted:\n{}",
            cloud::describe(&acceptor)
        ));
        match interrupt.or(self.consent(&acceptor, out)).await {
            Some(Ok(())) => {}
            Some(Err(reason)) => return Err(open.take_back(anyhow!(reason), out).await),
            None => return Err(open.take_back(anyhow!("interrupted: rejected"), out).await),
        }
        let created = match &operator {
            Some(operator) => match operator.ensure(&self.name, &acceptor.cloud_id, out).await {
                Ok(created) => Some((operator, created)),
                Err(error) => {
                    let reason = "rejected: Keystone was not prepared for the partner's users";
                    return Err(open.take_back(error.context(reason), out).await);
                }
            },
            None => None,
        };
        open.confirm(created, out).await?;
        partner::announce(&self.name, self.role, &acceptor.fingerprint, out);
        Ok(())
    }

    fn explain(&self, answer: &InviteAnswer, out: &mut Output) {
        let lasts = when::span(answer.expires_at - now());
        out.say(format_args!(
            "Give this line to the other operator, who runs: alliance partner accept INVITATION\n\
             It works once, until {} ({lasts}).\n{}",
            when::rfc3339(answer.expires_at),
            cloud::meaning(&self.name, self.role, self.terms.login),
        ));
        if self.yes {
            out.say("--yes: whoever accepts first is paired, unseen.");
        } else if self.expect.is_none() && !ask::is_terminal() {
            out.say(
                "Nobody can be asked here: whoever accepts will be rejected. Run this on a terminal, \
                 or with --expect CLOUD_ID.",
            );
        }
        out.say("Waiting for somebody to accept; Ctrl-C takes the invitation back.");
    }

    /// Whether the operator wants this acceptor; the error is why not.
    async fn consent(&self, acceptor: &CloudView, out: &mut Output) -> Result<(), String> {
        if let Some(expected) = &self.expect {
            return if *expected == acceptor.cloud_id {
                Ok(())
            } else {
                Err(format!(
                    "rejected: {} accepted, {expected} was expected",
                    acceptor.cloud_id
                ))
            };
        }
        if self.yes {
            return Ok(());
        }
        if !ask::is_terminal() {
            return Err(
                "rejected: nobody could be asked whether the fingerprint is right, for standard input is \
                 no terminal; run it on a terminal, or with --expect CLOUD_ID"
                    .to_owned(),
            );
        }
        if ask::confirm(out, "Do the words match what the other operator sees?").await {
            Ok(())
        } else {
            Err("rejected: the other side is not paired, and the invitation is used up".to_owned())
        }
    }
}

impl Open<'_> {
    /// Who accepted, as soon as somebody did.
    async fn acceptor(&self, out: &mut Output) -> Result<CloudView, Failure> {
        let mut told = false;
        loop {
            let view = match self.look(WAIT).await {
                Ok(view) => view,
                // A daemon that restarts knows the invitation still.
                Err(error) if error.is_unreachable() && now() <= self.expires_at => {
                    if !told {
                        out.say(format_args!("{error}; trying again"));
                        told = true;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            told = false;
            match view.state.parse::<InvitationState>() {
                Ok(InvitationState::Open) => tokio::time::sleep(PAUSE).await,
                Ok(InvitationState::Accepted) => {
                    return view
                        .acceptor
                        .ok_or_else(|| Failure::refused("the daemon does not say who accepted"));
                }
                Ok(InvitationState::Expired) => {
                    return Err(Failure::refused(
                        "the invitation has expired, nobody is paired; run the command again for a new one",
                    ));
                }
                Ok(state @ (InvitationState::Confirmed | InvitationState::Rejected)) => {
                    return Err(Failure::refused(format_args!(
                        "the invitation was {state} by another command; see alliance partner list"
                    )));
                }
                Err(error) => return Err(Failure::refused(error)),
            }
        }
    }

    async fn look(&self, wait: Duration) -> Result<InvitationView, SocketError> {
        let question = self.daemon.get(&["invitations", &self.id]);
        question.waiting(wait).send().await
    }

    /// Rejects the invitation; the failure to end with.
    async fn take_back(&self, why: anyhow::Error, out: &mut Output) -> Failure {
        let reject = self.daemon.post(&["invitations", &self.id, "reject"]);
        if let Err(error) = reject.send::<InvitationView>().await {
            out.say(format_args!(
                "warning: the invitation could not be taken back and stays open until it expires: {error}"
            ));
        }
        Failure::Refused(why)
    }

    /// Pairs. If that fails for certain, what was made in Keystone goes again.
    async fn confirm(
        &self,
        created: Option<(&Operator, Created)>,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let confirm = self.daemon.post(&["invitations", &self.id, "confirm"]);
        let outcome = match confirm.patiently().send::<InvitationView>().await {
            Ok(view) => Ok(view),
            Err(error) if error.is_unreachable() => self.second_look(error).await,
            Err(error) => Err(error),
        };
        let failure: Failure = match outcome {
            Ok(view) if view.state.parse() == Ok(InvitationState::Confirmed) => return Ok(()),
            Ok(view) => Failure::refused(format_args!(
                "the pairing was not confirmed: the invitation is {}",
                view.state
            )),
            Err(error) if error.is_unreachable() => {
                return Err(Failure::from(error).context(
                    "nobody knows whether the pairing was confirmed; see alliance partner list when the daemon \
                     is back. What was made in Keystone is still there",
                ));
            }
            Err(error) => Failure::from(error).context("the pairing was not confirmed"),
        };
        if let Some((operator, created)) = created {
            operator.undo(&created, out).await;
        }
        Err(failure)
    }

    /// The answer got lost; the daemon knows what it did.
    async fn second_look(&self, lost: SocketError) -> Result<InvitationView, SocketError> {
        let look = async {
            loop {
                match self.look(Duration::ZERO).await {
                    Err(error) if error.is_unreachable() => {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                    outcome => return outcome,
                }
            }
        };
        tokio::time::timeout(SECOND_LOOK, look)
            .await
            .unwrap_or(Err(lost))
    }
}
