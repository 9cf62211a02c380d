//! Two instances on one MariaDB, if `ALLIANCE_TEST_MYSQL_URL` names a server (scripts/with-mariadb).

use std::sync::Arc;
use std::time::Duration;

use alliance_core::partner::{Role, Status};
use alliance_core::sign_out::{Change, LookAgain};
use alliance_core::terms::Terms;
use alliance_peer::identity::Identity;
use alliance_peer::request_id::RequestId;
use alliance_peer::wire::Poll;
use alliance_store::{Bulletin, NewSignOut};
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::Daemon;
use super::super::bed::{Bed, Failure, Shared, descriptor, logout, token_facts};
use super::super::clock::now;
use super::super::trust::OPERATOR;

type Outcome = Result<(), Failure>;

/// How long anything may take that an instance does by itself.
const LONG: Duration = Duration::from_secs(30);

/// What instances do because of each other, until dropped.
struct Running(Vec<JoinHandle<()>>);

impl Running {
    fn of(daemon: &Arc<Daemon>) -> Self {
        Self(vec![
            tokio::spawn(Arc::clone(daemon).follow_board()),
            tokio::spawn(Arc::clone(daemon).tell_instances()),
            tokio::spawn(Arc::clone(daemon).follow_lease()),
            tokio::spawn(Arc::clone(daemon).follow_instances()),
        ])
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn until(mut what: impl AsyncFnMut() -> bool) -> Outcome {
    let wait = async {
        while !what().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, wait)
        .await
        .map_err(|_| "it never was so".into())
}

/// Two instances of `east`, which has a partner `west`.
async fn two() -> Result<Option<(Shared, Bed, Bed, Identity)>, Failure> {
    let Some(shared) = Shared::new().await? else {
        return Ok(None);
    };
    let (one, other) = (
        shared.instance("one").await?,
        shared.instance("other").await?,
    );
    let west = Identity::ephemeral()?;
    one.knows(
        "west",
        descriptor(&west, &west, "https://127.0.0.1:1")?,
        Role::Both,
    )
    .await?;
    Ok(Some((shared, one, other, west)))
}

fn status(bed: &Bed, west: &Identity) -> Option<Status> {
    let partners = bed.daemon.directory.partners();
    let known = partners.by_cloud(west.cloud_id());
    known.map(|known| known.partner.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_does_at_one_counts_at_the_other() -> Outcome {
    let Some((shared, one, other, west)) = two().await? else {
        return Ok(());
    };
    let _running = [Running::of(&one.daemon), Running::of(&other.daemon)];
    until(async || status(&other, &west) == Some(Status::Active)).await?;
    let partners = one.daemon.directory.partners();
    let known = partners.by_cloud(west.cloud_id()).ok_or("no west")?;
    one.daemon
        .set_status(known, Status::Suspended, OPERATOR)
        .await?;
    until(async || status(&other, &west) == Some(Status::Suspended)).await?;
    other
        .grants(west.cloud_id(), Terms::granting(["member".to_owned()], 0))
        .await?;
    until(async || {
        let partners = one.daemon.directory.partners();
        let known = partners.by_cloud(west.cloud_id());
        known.is_some_and(|known| known.given.len() == 1)
    })
    .await?;
    shared.drop_database().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_at_home_ends_at_each_instance_and_is_told_once() -> Outcome {
    let Some((shared, one, other, west)) = two().await? else {
        return Ok(());
    };
    one.receives(west.cloud_id(), ["a", "b", "c"].map(str::to_owned))
        .await?;
    other.daemon.directory.reload().await?;
    let partners = other.daemon.directory.partners();
    let known = Arc::clone(partners.by_cloud(west.cloud_id()).ok_or("no west")?);
    let _running = [Running::of(&one.daemon), Running::of(&other.daemon)];
    // The other one has let in nobody, and learns of them by the database.
    until(async || other.daemon.host.sessions().len() == 3).await?;
    other
        .daemon
        .apply_sign_outs(&known, vec![logout("a")])
        .await?;
    for bed in [&one, &other] {
        until(async || bed.ended() == ["here-a"]).await?;
    }
    // An operator ends one where it is known already.
    one.daemon.end_session("here-b", OPERATOR).await?;
    for bed in [&one, &other] {
        until(async || bed.ended() == ["here-a", "here-b"]).await?;
    }
    let ended = one.store().ended_sessions().list(now()).await?;
    assert_eq!(ended.len(), 2);
    // An instance that comes now knows what ended, and whose tokens are here.
    let third = shared.instance("third").await?;
    assert_eq!(third.ended(), ["here-a", "here-b"]);
    assert_eq!(third.daemon.host.sessions().len(), 3);
    shared.drop_database().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_waits_at_one_hears_what_the_other_notes() -> Outcome {
    let Some((shared, one, other, west)) = two().await? else {
        return Ok(());
    };
    let _running = [Running::of(&one.daemon), Running::of(&other.daemon)];
    until(async || status(&other, &west).is_some()).await?;
    let partners = other.daemon.directory.partners();
    let known = Arc::clone(partners.by_cloud(west.cloud_id()).ok_or("no west")?);
    let (waits, host) = (Arc::clone(&other.daemon), Arc::clone(&known));
    let poll = tokio::spawn(async move {
        let poll = Poll::default();
        waits
            .tell_sign_outs(&host, &poll, RequestId::random())
            .await
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!poll.is_finished());
    let new = NewSignOut {
        digest: None,
        change: Change::LookAgain(LookAgain::default()),
    };
    // The other one has vouched for somebody to west.
    let abroad = other.daemon.home.abroad();
    let before = Timestamp::now() - Duration::from_secs(60);
    let facts = token_facts(0xab, "a", before);
    abroad.begin(west.cloud_id(), other.id(), &facts, now());
    assert_eq!(abroad.list().len(), 1);
    let gone = NewSignOut {
        digest: None,
        change: logout("a"),
    };
    one.store().sign_outs().append(&[new, gone], now()).await?;
    // A poll waits for 25 s if nobody wakes it.
    let answer = timeout(Duration::from_secs(15), poll).await??;
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    assert_eq!(answer.sets.len(), 2);
    until(async || abroad.list().is_empty()).await?;
    let last = Poll {
        ack: answer.sets.into_keys().collect(),
        return_immediately: true,
        ..Poll::default()
    };
    let answer = other
        .daemon
        .tell_sign_outs(&known, &last, RequestId::random());
    answer.await.map_err(|error| format!("{error:?}"))?;
    let reached = other.daemon.chronicle.reached();
    assert!(
        reached.len() == 2 && reached.values().all(|hosts| hosts.len() == 1),
        "{reached:?}"
    );
    shared.drop_database().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_them_leads_and_another_when_that_one_ends_or_is_silent() -> Outcome {
    let Some((shared, one, other, _west)) = two().await? else {
        return Ok(());
    };
    let leads = |bed: &Bed| bed.daemon.board.leads();
    let running = Running::of(&one.daemon);
    until(async || leads(&one)).await?;
    let others = Running::of(&other.daemon);
    until(async || one.daemon.instances().await.len() == 2).await?;
    assert!(leads(&one) && !leads(&other));
    let seen = other.daemon.instances().await;
    let seen: Vec<_> = seen
        .iter()
        .map(|view| (view.name.as_str(), view.leads, view.here))
        .collect();
    assert_eq!(seen, [("one", true, false), ("other", false, true)]);
    // It is paused.
    drop(running);
    until(async || leads(&other)).await?;
    assert!(!one.daemon.board.is_current());
    one.daemon.be_current().await;
    assert!(one.daemon.board.is_current());
    // It wakes up.
    let _running = Running::of(&one.daemon);
    until(async || !leads(&one)).await?;
    assert!(leads(&other));
    // The other one ends.
    drop(others);
    other.daemon.say_goodbye().await;
    until(async || leads(&one)).await?;
    shared.drop_database().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_hear_the_others_uses_no_answer_that_it_has() -> Outcome {
    let Some((shared, one, _, _)) = two().await? else {
        return Ok(());
    };
    let host = &one.daemon.host;
    let running = Running::of(&one.daemon);
    until(async || host.max_age(55.0) == Duration::from_secs(55)).await?;
    drop(running);
    until(async || host.max_age(55.0) == Duration::ZERO).await?;
    one.daemon.be_current().await;
    assert_eq!(host.max_age(55.0), Duration::from_secs(55));
    shared.drop_database().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_away_for_too_long_starts_from_the_database() -> Outcome {
    let Some((shared, one, other, west)) = two().await? else {
        return Ok(());
    };
    other.daemon.directory.reload().await?;
    assert_eq!(status(&other, &west), Some(Status::Active));
    let partners = one.daemon.directory.partners();
    let known = partners.by_cloud(west.cloud_id()).ok_or("no west")?;
    one.daemon
        .set_status(known, Status::Suspended, OPERATOR)
        .await?;
    one.receives(west.cloud_id(), ["a".to_owned()]).await?;
    one.daemon.end_session("here-a", OPERATOR).await?;
    shared.execute("DELETE FROM bulletins").await?;
    one.daemon.tell_and_wait().await?;
    let _running = Running::of(&other.daemon);
    until(async || status(&other, &west) == Some(Status::Suspended)).await?;
    until(async || other.ended() == ["here-a"]).await?;
    shared.drop_database().await
}

/// An instance that reaches homes and not its database lets somebody in whom it notes later.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_noted_late_is_not_kept_though_home_said_long_ago_that_it_ended() -> Outcome {
    let Some((shared, one, other, west)) = two().await? else {
        return Ok(());
    };
    other.daemon.directory.reload().await?;
    let partners = one.daemon.directory.partners();
    let known = partners.by_cloud(west.cloud_id()).ok_or("no west")?;
    one.daemon
        .apply_sign_outs(known, vec![logout("late")])
        .await?;
    let count = one.store().bulletins().heard_after(0).await?.len();
    assert_eq!(count, 1);
    one.daemon.tell_and_wait().await?;
    shared.execute("UPDATE bulletins SET at = at - 601").await?;
    one.store().bulletins().forget_older(600, 86_400).await?;
    one.daemon.tell_and_wait().await?;
    other.receives(west.cloud_id(), ["late".to_owned()]).await?;
    assert_eq!(other.ended(), [""; 0], "a positive control");
    let _running = Running::of(&other.daemon);
    until(async || other.ended() == ["here-late"]).await?;
    shared.drop_database().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_partners_say_counts_while_sessions_are_still_being_read() -> Outcome {
    let Some((shared, one, other, west)) = two().await? else {
        return Ok(());
    };
    for bed in [&one, &other] {
        bed.daemon.directory.reload().await?;
        bed.receives(west.cloud_id(), ["a".to_owned()]).await?;
    }
    other.daemon.host.has_yet_to_read();
    let _running = Running::of(&other.daemon);
    let partners = one.daemon.directory.partners();
    let known = partners.by_cloud(west.cloud_id()).ok_or("no west")?;
    one.daemon.apply_sign_outs(known, vec![logout("a")]).await?;
    until(async || other.ended() == ["here-a"]).await?;
    // What is told after that is not held up.
    one.daemon
        .set_status(known, Status::Suspended, OPERATOR)
        .await?;
    until(async || status(&other, &west) == Some(Status::Suspended)).await?;
    assert!(other.daemon.board.is_current());
    shared.drop_database().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_while_nobody_led_is_told_who_is_listened_to() -> Outcome {
    let Some((shared, one, other, west)) = two().await? else {
        return Ok(());
    };
    let listens = |bed: &Bed| bed.daemon.host.listening().len();
    one.daemon.host.listens_since(west.cloud_id(), now());
    let _running = Running::of(&other.daemon);
    until(async || other.daemon.board.leads()).await?;
    let reads = tokio::spawn(Arc::clone(&one.daemon).follow_board());
    other.store().bulletins().post(&[Bulletin::Joined]).await?;
    let last = one.store().bulletins().last().await?;
    until(async || *one.daemon.board.position.lock().await >= last).await?;
    assert_eq!(listens(&other), 0, "who leads does not know either");
    one.daemon.board.set_leads(true);
    let leads = tokio::spawn(Arc::clone(&one.daemon).lead());
    let tells = tokio::spawn(Arc::clone(&one.daemon).tell_instances());
    until(async || listens(&other) == 1).await?;
    [leads, tells, reads].iter().for_each(JoinHandle::abort);
    shared.drop_database().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_was_set_back_is_read_from_its_beginning() -> Outcome {
    let Some((shared, one, _other, _west)) = two().await? else {
        return Ok(());
    };
    let position = async || *one.daemon.board.position.lock().await;
    for _ in 0..5 {
        one.daemon.tell_and_wait().await?;
    }
    let _running = Running::of(&one.daemon);
    until(async || position().await >= 5).await?;
    shared.execute("DELETE FROM bulletins").await?;
    shared
        .execute("UPDATE counters SET value = 2 WHERE name = 'bulletins'")
        .await?;
    // It tells then that it has come.
    until(async || (2..5).contains(&position().await)).await?;
    shared.drop_database().await
}

impl Daemon {
    /// Something that all instances are told.
    async fn tell_and_wait(&self) -> Outcome {
        let told = [Bulletin::Catalog];
        Ok(self.store.bulletins().post(&told).await?)
    }
}
