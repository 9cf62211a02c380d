//! What has waited for too long: sign-outs and usage that a partner does not fetch, services that nobody
//! lists, orders that nobody begins.

use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::provision::StackState;
use alliance_core::usage::Kind;
use alliance_store::{Behind, Flow};

use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::home::told_since;
use crate::work::WORK;

/// How long a partner may leave what has ended here where it is, in seconds: it asks all the time.
const UNTOLD: Seconds = 300;
/// How long a partner may leave usage records where they are, in seconds: it asks each minute or so.
const UNHEARD: Seconds = 3600;
/// How long an order may wait to be begun, in seconds.
const UNBEGUN: Seconds = 600;
/// How long ago `alliance work` may have ended without a word before that is mentioned, in seconds: it is
/// started again after some.
const GONE: Seconds = 60;
/// So many times `[work] poll` ago is too long, and less than this is not.
const POLLS: u32 = 10;
const UNLISTED: Duration = Duration::from_secs(900);

/// What to say of it. Where the database does not answer, nothing: that is found elsewhere.
pub(super) async fn warnings(daemon: &Daemon) -> Vec<String> {
    let usage = daemon.store.usage();
    let flows = usage.flows().await.unwrap_or_default();
    let mut warnings: Vec<String> = flows
        .iter()
        .filter_map(|flow| unheard(&daemon.name_of(&flow.partner), flow, now()))
        .collect();
    warnings.extend(of_hosts(daemon).await.unwrap_or_default());
    let work = &daemon.config.work;
    if work.credential_id.is_some() {
        let listed = usage.listed().await.unwrap_or_default();
        warnings.extend(unlisted(&listed, work.poll, now()));
    }
    let open = daemon.store.provisions().open().await.unwrap_or_default();
    let ordered = open.iter().filter(|one| one.state == StackState::Ordered);
    let ordered: Vec<_> = ordered.map(|one| one.ordered_at).collect();
    warnings.extend(unbegun(&ordered, now()));
    let over = daemon.store.leases().over_for(WORK).await;
    warnings.extend(over.ok().flatten().and_then(gone));
    warnings
}

/// What hosts have not heard of what has ended here. Who may not be told does not ask either.
async fn of_hosts(daemon: &Daemon) -> alliance_store::Result<Vec<String>> {
    let sign_outs = daemon.store.sign_outs();
    let behind = sign_outs.behind().await?;
    let mut said = Vec::new();
    for known in daemon.directory.partners().all() {
        let partner = &known.partner;
        if known.peer().is_none() || partner.require_host(now()).is_err() {
            continue;
        }
        let host = &partner.cloud_id;
        let its = match behind.iter().find(|one| one.host == *host) {
            Some(its) => its.clone(),
            None => sign_outs.untold(host, told_since(partner)).await?,
        };
        said.extend(untold(&partner.name, &its, now()));
    }
    Ok(said)
}

/// Of a process that was stopped in order, nothing: its operator knows.
fn gone(over: Seconds) -> Option<String> {
    (over >= GONE).then(|| {
        format!(
            "`alliance work` does not run: it ended without a word {} minutes ago, and what partners use is not counted, nor what they order made, until it runs again; run: systemctl start alliance-work",
            over / 60
        )
    })
}

/// Of orders, by when they came; also where the process was stopped in order.
fn unbegun(ordered: &[Seconds], at: Seconds) -> Option<String> {
    let waited = at.saturating_sub(*ordered.iter().min()?);
    (waited >= UNBEGUN).then(|| {
        format!(
            "{} orders of partners' projects have not been begun for up to {} minutes: does `alliance work` run, with [work] password_file? Run: systemctl status alliance-work; journalctl -u alliance-work -n 50",
            ordered.len(),
            waited / 60
        )
    })
}

fn untold(partner: &str, behind: &Behind, at: Seconds) -> Option<String> {
    let waited = at - behind.unheard_since?;
    (waited >= UNTOLD).then(|| {
        format!(
            "{} things that have ended here have waited for partner {partner} for up to {} minutes: until it fetches them, who has logged out here may be let in there; if it answers (alliance partner show {partner}), have its operator see whether its daemon reaches this one (alliance doctor there; journalctl -u alliance | grep 'what has ended there')",
            behind.unheard,
            waited / 60
        )
    })
}

fn unheard(partner: &str, flow: &Flow, at: Seconds) -> Option<String> {
    let minutes = (at - flow.unheard_since?) / 60;
    (minutes * 60 >= UNHEARD).then(|| {
        format!(
            "{} usage records have waited for partner {partner} for up to {minutes} minutes: its daemon does not fetch them; if it answers (alliance partner show {partner}), ask its operator for its log",
            flow.unheard
        )
    })
}

fn unlisted(listed: &[(Kind, Seconds)], poll: Duration, at: Seconds) -> Option<String> {
    let patience = (poll * POLLS).max(UNLISTED).as_secs();
    let patience = Seconds::try_from(patience).unwrap_or(Seconds::MAX);
    let late: Vec<_> = listed
        .iter()
        .filter(|(_, last)| at.saturating_sub(*last) >= patience)
        .map(|(kind, _)| kind.as_str())
        .collect();
    (!late.is_empty()).then(|| {
        format!(
            "`alliance work` has not listed these for more than {} minutes: {}. What has ended unannounced is counted on meanwhile; does it run (systemctl status alliance-work), and what does its log say?",
            patience / 60,
            late.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use alliance_core::cloud::CloudId;

    use super::*;

    #[test]
    fn what_has_ended_and_a_partner_does_not_hear_is_named_after_five_minutes() {
        let behind = |since| Behind {
            host: CloudId::from_spki(b"west"),
            unheard: 2,
            unheard_since: since,
        };
        assert_eq!(untold("west", &behind(None), 10_000), None);
        assert_eq!(untold("west", &behind(Some(9_701)), 10_000), None);
        let said = untold("west", &behind(Some(9_700)), 10_000).unwrap_or_default();
        assert!(
            said.starts_with("2 things") && said.contains("for up to 5 minutes"),
            "{said}"
        );
    }

    #[test]
    fn a_process_that_has_ended_without_a_word_is_named_unless_it_may_be_starting() {
        assert_eq!(gone(GONE - 1), None);
        let said = gone(130).unwrap_or_default();
        assert!(
            said.contains("2 minutes ago") && said.ends_with("systemctl start alliance-work"),
            "{said}"
        );
    }

    #[test]
    fn orders_that_nobody_begins_are_named_after_ten_minutes() {
        assert_eq!(unbegun(&[], 10_000), None);
        assert_eq!(unbegun(&[9_401, 9_990], 10_000), None);
        let said = unbegun(&[9_990, 9_400], 10_000).unwrap_or_default();
        assert!(
            said.starts_with("2 orders") && said.contains("for up to 10 minutes"),
            "{said}"
        );
    }

    #[test]
    fn records_that_nobody_fetches_are_named_after_an_hour() {
        let flow = |since| Flow {
            partner: CloudId::from_spki(b"west"),
            unheard: 3,
            unheard_since: since,
            counted: 0,
        };
        assert_eq!(unheard("west", &flow(None), 10_000), None);
        assert_eq!(
            unheard("west", &flow(Some(10_000 - UNHEARD + 60)), 10_000),
            None
        );
        let said = unheard("west", &flow(Some(10_000 - UNHEARD)), 10_000).unwrap_or_default();
        assert!(
            said.contains("3 usage records") && said.contains("60 minutes"),
            "{said}"
        );
    }

    #[test]
    fn services_that_are_listed_no_more_are_named_and_those_that_never_were_are_not() {
        let minute = Duration::from_secs(60);
        assert_eq!(unlisted(&[], minute, 10_000), None);
        let listed = [(Kind::Server, 9_101), (Kind::Volume, 9_100)];
        let said = unlisted(&listed, minute, 10_000).unwrap_or_default();
        assert!(said.contains("15 minutes: volume."), "{said}");
        assert_eq!(
            unlisted(&listed, minute * 10, 10_000),
            None,
            "it is rarely asked for"
        );
    }
}
