//! `alliance partner accept`

use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::invitation::{AcceptanceState, Invitation};
use alliance_core::label::{clean, is_alias};
use alliance_core::partner::{Partner, Status};
use anyhow::Context;
use clap::Args;

use super::ask::{self, Interrupt};
use super::invite::{PAUSE, WAIT};
use super::operator::Operator;
use super::socket::{Daemon, SocketError};
use super::when::now;
use super::{Failure, Output, cloud, partner};
use crate::wire::{AcceptRequest, AcceptanceView, InspectAnswer, InspectRequest, PartnerView};

/// Accept another cloud's invitation: show who invites, ask, pair
///
/// It then waits until the inviter's operator has confirmed; read the words of the fingerprint to
/// them meanwhile.
///
/// If the inviter becomes a guest, what Keystone needs for it is made with the OS_* credentials of
/// this shell.
#[derive(Debug, Args)]
pub(super) struct Accept {
    /// The invitation, or - to read it from standard input
    invitation: String,

    /// What the partner is called here [default: what it calls itself]
    #[arg(long, value_name = "ALIAS", value_parser = partner::alias)]
    name: Option<String>,

    /// Accept without a question
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    terms: partner::Terms,
}

/// An acceptance that waits for the inviter.
struct Waiting<'d> {
    daemon: &'d Daemon,
    id: String,
    expires_at: Seconds,
}

impl Accept {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let text = if self.invitation == "-" {
            let line = ask::line().await;
            line.context("reading the invitation from standard input")?
        } else {
            self.invitation.clone()
        };
        let invitation: Invitation = text.parse().map_err(Failure::refused)?;
        let role = invitation.role.seen_from_the_other_side();
        if !self.yes && !ask::is_terminal() {
            return Err(Failure::refused(
                "nobody can be asked here, for standard input is no terminal; nothing was sent. Run it on a \
                 terminal, or with --yes",
            ));
        }
        let operator = Operator::if_guest(role)?;
        let mut interrupt = Interrupt::listen().context("listening to signals")?;

        let inspect = daemon.post(&["acceptances", "inspect"]).patiently();
        let answer: InspectAnswer = inspect
            .json(&InspectRequest {
                invitation: text.clone(),
            })
            .await?;
        let name = self.alias(&answer, daemon).await?;
        out.say(format_args!(
            "You are invited by:\n{}\n{}",
            cloud::describe(&answer.inviter),
            cloud::meaning(&name, answer.role, self.terms.login),
        ));
        if !self.yes {
            match interrupt.or(ask::confirm(out, "Accept?")).await {
                Some(true) => {}
                Some(false) | None => {
                    return Err(Failure::refused("not accepted; nothing was sent"));
                }
            }
        }

        let created = match &operator {
            Some(operator) => {
                let created = operator
                    .ensure(&name, &answer.inviter.cloud_id, out)
                    .await
                    .context("not accepted: Keystone was not prepared for the partner's users")?;
                Some((operator, created))
            }
            None => None,
        };
        let waiting = Waiting {
            daemon,
            id: answer.id.clone(),
            expires_at: answer.expires_at,
        };
        let request = AcceptRequest {
            invitation: text,
            name: name.clone(),
            trust_till: self.terms.trust_till,
            login: self.terms.login,
        };
        let outcome = waiting.pair(&request, &answer, &mut interrupt, out).await;
        if let Err(failure) = outcome {
            if let Some((operator, created)) = &created
                && !matches!(failure, Failure::Unreachable(_))
                && !Self::is_partner(&answer, daemon).await?
            {
                operator.undo(created, out).await;
            }
            return Err(failure);
        }
        partner::announce(&name, answer.role, &answer.inviter.fingerprint, out);
        Ok(())
    }

    /// The alias: given, or the inviter's own name if it is one and free here.
    async fn alias(&self, answer: &InspectAnswer, daemon: &Daemon) -> Result<String, Failure> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None if is_alias(&answer.inviter.name) => answer.inviter.name.clone(),
            None => {
                return Err(Failure::refused(format_args!(
                    "the inviter calls itself {:?}, which cannot be an alias here; nothing was sent. Choose one with --name ALIAS",
                    clean(&answer.inviter.name, 64)
                )));
            }
        };
        let partners: Vec<PartnerView> = daemon.get(&["partners"]).send().await?;
        if let Some(partner) = known(&partners, answer) {
            return Err(Failure::refused(format_args!(
                "that cloud is a partner already, named {}; nothing was sent. To pair anew, remove it first",
                partner.name
            )));
        }
        let taken = partners.iter().map(|view| &view.partner).find(|partner| {
            partner.name == name
                && partner.status != Status::Removed
                && partner.cloud_id != answer.inviter.cloud_id
        });
        match taken {
            Some(partner) => Err(Failure::refused(format_args!(
                "another partner is called {name} here already ({}); nothing was sent. Choose another name with --name ALIAS",
                partner.cloud_id
            ))),
            None => Ok(name),
        }
    }

    /// Whether the inviter has become a partner another way: what Keystone has for it is needed.
    async fn is_partner(answer: &InspectAnswer, daemon: &Daemon) -> Result<bool, Failure> {
        let partners: Vec<PartnerView> = daemon.get(&["partners"]).send().await?;
        Ok(known(&partners, answer).is_some())
    }
}

/// The inviter, if it is a partner.
fn known<'p>(partners: &'p [PartnerView], answer: &InspectAnswer) -> Option<&'p Partner> {
    partners.iter().map(|view| &view.partner).find(|partner| {
        partner.cloud_id == answer.inviter.cloud_id
            && !matches!(partner.status, Status::Draft | Status::Removed)
    })
}

impl Waiting<'_> {
    async fn pair(
        &self,
        request: &AcceptRequest,
        answer: &InspectAnswer,
        interrupt: &mut Interrupt,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let accept = self.daemon.post(&["acceptances"]).patiently();
        let mut view: AcceptanceView = match accept.json(request).await {
            Ok(view) => view,
            // It may have been stored: then it is found below, else the daemon does not know it.
            Err(error) if error.is_unreachable() => self.look(interrupt, out).await?,
            Err(error) => return Err(error.into()),
        };
        out.say(format_args!(
            "Accepted. Read these words to the other operator, who must see the same and confirm:\n\n  {}\n\n\
             Waiting for that; Ctrl-C cancels.",
            answer.inviter.fingerprint
        ));
        loop {
            match view.state.parse::<AcceptanceState>() {
                Ok(AcceptanceState::Waiting) => {
                    tokio::time::sleep(PAUSE).await;
                    view = self.look(interrupt, out).await?;
                }
                Ok(AcceptanceState::Paired) => return Ok(()),
                Ok(AcceptanceState::Rejected) => {
                    return Err(Failure::refused(
                        "the other operator rejected this cloud; nothing is paired. Compare the fingerprint words with \
                         them, then ask for a new invitation",
                    ));
                }
                Ok(AcceptanceState::Expired) => {
                    return Err(Failure::refused(
                        "the other operator did not confirm in time; nothing is paired. Ask for a new invitation",
                    ));
                }
                Ok(AcceptanceState::Cancelled) => {
                    return Err(Failure::refused("cancelled; nothing is paired"));
                }
                Err(error) => return Err(Failure::refused(error)),
            }
        }
    }

    /// The next news, through restarts of the daemon. An interruption cancels.
    async fn look(
        &self,
        interrupt: &mut Interrupt,
        out: &mut Output,
    ) -> Result<AcceptanceView, Failure> {
        let mut told = false;
        loop {
            let question = self.daemon.get(&["acceptances", &self.id]).waiting(WAIT);
            match interrupt.or(question.send()).await {
                None => return Ok(self.cancel().await?),
                Some(Ok(view)) => return Ok(view),
                Some(Err(error)) if error.is_unreachable() && now() <= self.expires_at => {
                    if !told {
                        out.say(format_args!("{error}; trying again"));
                        told = true;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Some(Err(error)) => {
                    return Err(Failure::from(error).context(
                        "nobody knows whether the clouds are paired; see alliance partner list",
                    ));
                }
            }
        }
    }

    async fn cancel(&self) -> Result<AcceptanceView, SocketError> {
        let cancel = self.daemon.post(&["acceptances", &self.id, "cancel"]);
        cancel.send().await
    }
}
