//! What `alliance work` reads from the services' message bus.

use alliance_cloud::bus::{BusError, QueueState, Settings};

use super::{Fault, State, with_causes};
use crate::config::Config;
use crate::work::bus_settings;

/// So many messages wait only where nobody reads, or where more comes than is read.
const MANY: u32 = 1000;

/// How the queue is; none if no bus is named.
pub(super) async fn faults(config: &Config) -> Option<Result<Vec<Fault>, String>> {
    let settings = match bus_settings(config) {
        Ok(Some(settings)) => settings,
        Ok(None) => return None,
        Err(error) => return Some(Err(format!("{error:#}"))),
    };
    let found = settings.look().await;
    let found = found.map(|found| judge(&config.work.queue, &found));
    Some(found.map_err(|error| unheard(error, &settings)))
}

/// Why the bus does not answer, and where it is. The URL's password is not shown.
fn unheard(error: BusError, settings: &Settings) -> String {
    format!(
        "{} ({}); until it answers, what partners use is counted at the next listing only: start it (systemctl start rabbitmq-server), or mend the URL in [work] amqp_url_file",
        with_causes(error),
        settings.hosts,
    )
}

fn judge(name: &str, found: &QueueState) -> Vec<Fault> {
    let mut faults = Vec::new();
    match (&found.unlike, found.queue) {
        (Some(why), _) => {
            let detail = format!(
                "the queue {name} was made in another way than [work] quorum_queue says, so that nobody reads it, and what partners use is seen at the next listing only; stop `alliance work`, delete the queue (rabbitmqctl delete_queue {name}, with -p where it has a virtual host of its own) and start it again, or change quorum_queue: {why}"
            );
            faults.push((State::Fail, detail));
        }
        (None, None) => {
            let detail = format!(
                "there is no queue {name}: what the services say is lost, and what partners use is seen at the next listing only; start `alliance work`, which makes it"
            );
            faults.push((State::Fail, detail));
        }
        (None, Some((waiting, 0))) => {
            let detail = format!(
                "nobody reads the queue {name}, where {waiting} notifications wait; start `alliance work` (systemctl start alliance-work)"
            );
            faults.push((State::Fail, detail));
        }
        (None, Some((waiting, _))) if waiting >= MANY => {
            let detail = format!(
                "{waiting} notifications wait in the queue {name}: `alliance work` does not keep up, and beyond 1,000,000 the oldest are dropped; its log says what holds it up"
            );
            faults.push((State::Warn, detail));
        }
        (None, Some(_)) => {}
    }
    if !found.away.is_empty() {
        let detail = format!(
            "hosts of [work] amqp_url_file do not let us in, and when the others are gone too, nobody hears the services: {}; start them, or mend the URL",
            found.away.join("; ")
        );
        faults.push((State::Warn, detail));
    }
    if !found.absent.is_empty() {
        let absent = found.absent.join(", ");
        let detail = format!(
            "nobody has made the exchanges {absent}: those services have said nothing yet; set [oslo_messaging_notifications] driver = messagingv2 in theirs, or take those that this cloud does not have out of [work] exchanges"
        );
        faults.push((State::Warn, detail));
    }
    faults
}

#[cfg(test)]
mod tests {
    use alliance_cloud::bus::Hosts;

    use super::*;

    #[test]
    fn a_queue_that_nobody_reads_or_made_or_that_grows_is_named() {
        let with = |queue| QueueState {
            queue,
            unlike: None,
            absent: Vec::new(),
            away: Vec::new(),
        };
        let said = |queue, state, words: &str| {
            let found = judge("alliance-usage", &with(queue));
            matches!(&found[..], [(found, text)] if *found == state && text.contains(words))
        };
        assert!(said(None, State::Fail, "there is no queue"));
        assert!(said(Some((7, 0)), State::Fail, "7 notifications wait"));
        assert!(said(Some((MANY, 1)), State::Warn, "does not keep up"));
        assert_eq!(judge("q", &with(Some((MANY - 1, 1)))), []);
        let silent = QueueState {
            absent: vec!["nova".into(), "cinder".into()],
            ..with(Some((0, 1)))
        };
        let found = judge("q", &silent);
        assert!(matches!(&found[..], [(State::Warn, text)] if text.contains("nova, cinder")));
        let unlike = QueueState {
            unlike: Some("inequivalent arg 'x-queue-type'".into()),
            ..with(Some((7, 0)))
        };
        let found = judge("q", &unlike);
        assert!(matches!(&found[..], [(State::Fail, text)] if text.contains("delete_queue q")));
        let halved = QueueState {
            away: vec!["one:5672: refused".into()],
            ..with(Some((0, 1)))
        };
        let found = judge("q", &halved);
        assert!(matches!(&found[..], [(State::Warn, text)] if text.contains("one:5672: refused")));
    }

    #[tokio::test]
    async fn a_bus_that_does_not_answer_is_named_with_its_place_and_without_its_password()
    -> Result<(), Box<dyn std::error::Error>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        drop(listener);
        let settings = Settings {
            hosts: Hosts::of(&format!("amqp://openstack:secret@{at}/east"))?,
            queue: "q".into(),
            is_quorum: false,
            exchanges: Vec::new(),
            keys: Vec::new(),
        };
        let error = settings.look().await.err().ok_or("nobody listens")?;
        let said = unheard(error, &settings);
        assert!(
            said.contains(&format!("{at}, virtual host east"))
                && said.contains("refused")
                && said.contains("systemctl start rabbitmq-server")
                && !said.contains("secret"),
            "{said}"
        );
        Ok(())
    }
}
