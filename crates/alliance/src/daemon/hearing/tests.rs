use std::future::Future;

use alliance_core::Seconds;
use alliance_core::hearing::LIST_SHARED;
use alliance_core::partner::Role;
use alliance_core::revocation::RevocationEvent;
use alliance_peer::identity::Identity;
use alliance_peer::statement::sign;
use jiff::Timestamp;

use super::*;
use crate::daemon::bed::fake_home::{FakeHome, sign_out};
use crate::daemon::bed::{Bed, Failure, Served, descriptor};
use crate::daemon::publish::tests::to_be_told;

type Outcome = Result<(), Failure>;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// East, a host, and a home whose users come there.
struct Stage {
    east: Bed,
    west: Arc<FakeHome>,
    course: Course,
    _served: Served,
}

impl Stage {
    async fn new() -> Result<Self, Failure> {
        let (east, west, served) = Bed::with_home().await?;
        Ok(Self {
            east,
            west,
            course: Course::default(),
            _served: served,
        })
    }

    /// Users of west are here, each with a token whose audit ids are named so.
    async fn are_here(&self, own: impl IntoIterator<Item = String>) -> Outcome {
        self.east.receives(self.west.identity.cloud_id(), own).await
    }

    fn happened(&self, changes: impl IntoIterator<Item = Change>) {
        self.west.does(|script| script.log.extend(changes));
    }

    async fn poll(&mut self) -> anyhow::Result<Progress> {
        let daemon = &self.east.daemon;
        let partners = daemon.directory.partners();
        let known = partners.by_cloud(self.west.identity.cloud_id());
        let known = known.context("west is no partner")?;
        let client = known.peer().context("west has no daemon")?;
        daemon.poll(known, client, &mut self.course).await
    }

    /// What west heard with the last poll: acknowledged, not understood.
    fn said(&self) -> (Vec<String>, Vec<String>) {
        self.west.does(|script| {
            let poll = script.polls.last().cloned().unwrap_or_default();
            (poll.ack, poll.set_errs.into_keys().collect())
        })
    }

    fn ended(&self) -> Vec<String> {
        self.east.ended()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn logout(own: &str) -> Change {
    Change::Revoked(event_at(own, now()))
}

fn event_at(own: &str, at: Seconds) -> RevocationEvent {
    RevocationEvent {
        audit_id: Some(own.to_owned()),
        issued_before: Timestamp::from_second(at).unwrap_or_default(),
        ..RevocationEvent::default()
    }
}

async fn until<F: Future<Output = Result<bool, Failure>>>(mut done: impl FnMut() -> F) -> Outcome {
    let waiting = async {
        while !done().await? {
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting).await?
}

#[tokio::test]
async fn what_was_signed_by_a_key_that_is_not_known_yet_is_heard_once_it_is() -> Outcome {
    let mut stage = Stage::new().await?;
    stage.are_here(names(&["one", "two"])).await?;
    let new = Arc::new(Identity::ephemeral()?);
    stage.west.does(|script| {
        script.signer = Arc::clone(&new);
        script.announced = new;
    });
    stage.happened([logout("one")]);
    assert_eq!(stage.poll().await?, Progress::Misunderstood);
    assert!(stage.ended().is_empty());
    // Its descriptor is on its way.
    let began = Instant::now();
    while stage.poll().await? != Progress::News {
        assert!(began.elapsed() < PATIENCE);
        let (acknowledged, refused) = stage.said();
        assert!(acknowledged.is_empty());
        assert_eq!(refused, ["1"]);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stage.ended(), ["here-one"]);
    assert_eq!(stage.poll().await?, Progress::Nothing);
    assert_eq!(stage.said(), (names(&["1"]), Vec::new()));
    Ok(())
}

#[tokio::test]
async fn what_stays_garbled_holds_nothing_back_and_is_not_lost() -> Outcome {
    let mut stage = Stage::new().await?;
    stage
        .are_here(names(&["one", "two", "three", "four"]))
        .await?;
    stage.happened(["one", "two", "three"].map(logout));
    let garble = |number, set| if number == 2 { "a.b.c".to_owned() } else { set };
    stage.west.does(|script| script.alter = Box::new(garble));
    assert_eq!(stage.poll().await?, Progress::Misunderstood);
    assert_eq!(stage.ended(), ["here-one", "here-three"]);
    let told = to_be_told(&stage.east.daemon.publisher);

    // Nobody says what it was: it is asked for again, and what has happened after it is not undone.
    let since = Instant::now();
    while since.elapsed() <= 2 * LIST_SHARED {
        assert_eq!(stage.poll().await?, Progress::Misunderstood);
        assert_eq!(stage.said(), (names(&["1"]), names(&["2"])));
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stage.ended(), ["here-one", "here-three"]);
    assert_eq!(to_be_told(&stage.east.daemon.publisher), told);

    // Its revocation list does.
    stage
        .west
        .does(|script| script.listed = Some(vec![event_at("two", now())]));
    assert_eq!(stage.poll().await?, Progress::Nothing);
    assert_eq!(stage.ended(), ["here-one", "here-three", "here-two"]);
    assert_eq!(stage.course.refused(), None);
    stage.happened([logout("four")]);
    assert_eq!(stage.poll().await?, Progress::News);
    assert_eq!(stage.said(), (names(&["3"]), Vec::new()));
    assert_eq!(stage.ended().len(), 4);
    Ok(())
}

#[tokio::test]
async fn clocks_that_differ_lose_no_sign_out() -> Outcome {
    for ahead in [-3600, -60, 60, 3600] {
        let mut stage = Stage::new().await?;
        stage.are_here(names(&["one"])).await?;
        stage.west.does(|script| script.ahead = ahead);
        stage.happened([logout("one")]);
        assert_eq!(stage.poll().await?, Progress::News, "{ahead} s");
        assert_eq!(stage.ended(), ["here-one"]);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_told_twice_or_in_another_order_ends_nobody_twice() -> Outcome {
    let mut stage = Stage::new().await?;
    stage.are_here(names(&["one", "two", "three"])).await?;
    stage.happened(["two", "one", "two", "one"].map(logout));
    assert_eq!(stage.poll().await?, Progress::News);
    let told = to_be_told(&stage.east.daemon.publisher);
    assert_eq!(told, (names(&["here-one", "here-two"]), 1));
    // A home that has lost its memory of what was acknowledged, or a second poll of ours.
    stage.course = Course::default();
    assert_eq!(stage.poll().await?, Progress::News);
    stage.happened([Change::LookAgain(LookAgain {
        user_id: Some("user-one".into()),
        ..LookAgain::default()
    })]);
    assert_eq!(stage.poll().await?, Progress::News);
    assert_eq!(to_be_told(&stage.east.daemon.publisher), told);
    assert_eq!(stage.ended(), ["here-one", "here-two"]);
    Ok(())
}

#[tokio::test]
async fn a_partner_ends_no_session_of_another_ones_users() -> Outcome {
    let mut stage = Stage::new().await?;
    let north = FakeHome::new()?;
    let served = north.serve().await?;
    let told = descriptor(&north.identity, &north.identity, &served.url)?;
    stage.east.knows("north", told, Role::Guest).await?;
    let north_id = north.identity.cloud_id().clone();
    stage.east.receives(&north_id, names(&["northern"])).await?;
    stage.are_here(names(&["western"])).await?;

    // By its own word, by the other's, or by its own in the other's name.
    let everybody = Change::Revoked(RevocationEvent {
        audit_id: None,
        ..event_at("", now() + 86400)
    });
    let (west, east) = (Arc::clone(&stage.west.identity), stage.east.id().clone());
    let northern = Arc::clone(&north.identity);
    stage.happened([logout("northern")]);
    assert_eq!(stage.poll().await?, Progress::News);
    stage.west.does(|script| {
        script.log.clear();
        script.heard = 0;
        script.alter = Box::new(move |number, set| {
            let forged = match number {
                1 => sign_out(&northern, &east, 1, &everybody, now(), &northern),
                2 => sign_out(&northern, &east, 2, &everybody, now(), &west),
                _ => sign_out(&west, &north_id, 3, &everybody, now(), &west),
            };
            forged.unwrap_or(set)
        });
    });
    stage.happened(["nobody", "nobody", "nobody"].map(logout));
    assert_eq!(stage.poll().await?, Progress::Misunderstood);
    assert!(stage.ended().is_empty());
    assert_eq!(to_be_told(&stage.east.daemon.publisher), (Vec::new(), 0));
    Ok(())
}

#[tokio::test]
async fn an_event_from_the_future_ends_no_more_than_it_names() -> Outcome {
    let mut stage = Stage::new().await?;
    stage.are_here(names(&["one", "two"])).await?;
    stage.happened([Change::Revoked(RevocationEvent {
        audit_id: None,
        user_id: Some("user-one".into()),
        ..event_at("", now() + 86400)
    })]);
    assert_eq!(stage.poll().await?, Progress::News);
    assert_eq!(stage.ended(), ["here-one"]);
    Ok(())
}

#[tokio::test]
async fn what_only_a_newer_version_understands_is_acknowledged() -> Outcome {
    let mut stage = Stage::new().await?;
    stage.are_here(names(&["one"])).await?;
    let (west, east) = (Arc::clone(&stage.west.identity), stage.east.id().clone());
    stage.west.does(|script| {
        script.alter = Box::new(move |number, set| {
            let said = SignOut {
                iss: west.cloud_id().clone(),
                aud: east.clone(),
                iat: now(),
                jti: number.to_string(),
                events: [("urn:alliance:event:newer".to_owned(), 7.into())].into(),
            };
            sign(&said, west.signing_key()).unwrap_or(set)
        });
    });
    stage.happened([logout("one")]);
    assert_eq!(stage.poll().await?, Progress::News);
    assert_eq!(stage.course.applied(), Some(1));
    assert!(stage.ended().is_empty());
    Ok(())
}

#[tokio::test]
async fn of_ten_thousand_the_hundred_that_match_end_and_nobody_hears_of_the_others() -> Outcome {
    let mut stage = Stage::new().await?;
    stage
        .are_here((0..200).map(|number| number.to_string()))
        .await?;
    stage.happened((0..10_000).map(|number| match number % 100 {
        0 => logout(&(number / 100).to_string()),
        _ => logout(&format!("elsewhere-{number}")),
    }));
    while stage.course.applied() != Some(10_000) {
        assert_eq!(stage.poll().await?, Progress::News);
    }
    assert_eq!(stage.ended().len(), 100);
    let (sessions, flushes) = to_be_told(&stage.east.daemon.publisher);
    assert_eq!(sessions, stage.ended());
    assert_eq!(flushes, 20, "one for each answer, which are told at once");
    Ok(())
}

#[tokio::test]
async fn a_flood_that_is_about_nobody_here_reaches_neither_disk_nor_keystone() -> Outcome {
    let stage = Stage::new().await?;
    stage.are_here(names(&["one"])).await?;
    let daemon = &stage.east.daemon;
    let partners = daemon.directory.partners();
    let known = partners.by_name("west").ok_or("west is gone")?;
    for part in 0..200 {
        let flood = (0..500).map(|number| logout(&format!("{part}-{number}")));
        daemon.apply_sign_outs(known, flood.collect()).await?;
    }
    assert_eq!(to_be_told(&daemon.publisher), (Vec::new(), 0));
    assert!(daemon.store.ended_sessions().list(now()).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_home_that_says_the_same_for_ever_is_not_asked_without_end() -> Outcome {
    let stage = Stage::new().await?;
    stage.happened([logout("one")]);
    stage.west.does(|script| script.is_deaf = true);
    let polls = || stage.west.does(|script| script.polls.len());
    let cloud_id = stage.west.identity.cloud_id().clone();
    let began = Instant::now();
    let follows = tokio::spawn(Arc::clone(&stage.east.daemon).follow_sign_outs_of(cloud_id));
    until(|| async { Ok(polls() >= 4) }).await?;
    assert!(began.elapsed() >= NO_NEWS);
    follows.abort();
    Ok(())
}
