//! What partners are told has numbers. Either side of a pair may be restored to an older state: nothing is
//! lost, counted twice or stuck.

use alliance_core::notice::{Condition, Kind as NoticeKind, Notice, NoticeBatch, State, event};
use alliance_core::retirement::{Cause, Phase, Plan, Receipt, Receipts};
use alliance_core::sign_out::{Change, LookAgain};
use alliance_core::terms;
use alliance_core::usage::{Fact, Kind, Numbered, Owner, Resource, Size};
use alliance_store::{Heard, Lease, NewSignOut, Span, Store, Sum};

use super::{restore, store_of, take, taken};
use crate::bed::{Bed, Outcome, cloud, on_both, this_cloud};

on_both!(
    usage_is_counted_once_though_the_host_was_restored,
    usage_is_counted_once_though_home_was_restored,
    a_home_that_is_paired_after_the_restore_misses_nothing,
    notices_arrive_though_the_host_was_restored,
    receipts_arrive_though_the_host_was_restored,
    sign_outs_are_heard_though_home_was_restored,
    the_same_backup_twice_gives_no_number_twice,
);

const ALL: Span = Span {
    from: 0,
    to: 10_000,
};

async fn lease(store: &Store) -> Result<Lease, Box<dyn std::error::Error>> {
    let lease = store.leases().take("work", "one", 60).await?;
    Ok(lease.ok_or("the lease is held")?)
}

fn server(id: &str, at: i64, cores: u64) -> Heard {
    Heard {
        resource: Resource {
            kind: Kind::Server,
            id: id.into(),
        },
        owner: Some((
            cloud("west"),
            Owner {
                project_id: "science".into(),
                user_id: None,
            },
        )),
        fact: Fact {
            at,
            began: Some(100),
            size: Some(Size::of_server("m1", cores, 64, 1)),
            ..Fact::default()
        },
    }
}

/// Has servers heard of at the host.
async fn learn(host: &Store, heard: &[Heard]) -> Outcome {
    let lease = lease(host).await?;
    host.usage().learn(&lease, "RegionOne", heard, 1).await?;
    Ok(())
}

/// One question of home's, as the daemons ask and answer it.
async fn count(home: &Store, host: &Store) -> Result<usize, Box<dyn std::error::Error>> {
    let usage = home.usage();
    let mut count = 0;
    loop {
        let last = usage.received(&this_cloud()).await?;
        let outgoing = host.usage();
        outgoing.acknowledge(&cloud("west"), last).await?;
        let sent = outgoing.outgoing(&cloud("west"), last, 2).await?;
        let sent: Vec<Numbered> = sent
            .into_iter()
            .map(|one| (one.seq, Some(one.record)))
            .collect();
        if sent.is_empty() {
            return Ok(count);
        }
        let received = usage.receive(&this_cloud(), &sent, 5).await?;
        if received.last == last {
            return Err(format!("stuck at {last}: {sent:?}").into());
        }
        count += received.new;
    }
}

/// For how long west's projects used what here. A part that was taken back is one of no time.
async fn sums(store: &Store) -> Result<Vec<(Size, u64)>, alliance_store::Error> {
    let sums = store.usage().sums(ALL).await?.into_iter();
    let of_west = |sum: &Sum| sum.host == this_cloud() && sum.millis > 0;
    let mut sums: Vec<_> = sums
        .filter(of_west)
        .map(|sum| (sum.size, sum.millis))
        .collect();
    sums.sort();
    Ok(sums)
}

async fn usage_is_counted_once_though_the_host_was_restored(bed: &Bed) -> Outcome {
    let (restored, home) = (Bed::sqlite()?, Bed::sqlite()?);
    let (host, home) = (bed.open().await?, store_of(&home, "west").await?);
    learn(&host, &[server("a", 100, 1), server("b", 100, 1)]).await?;
    assert_eq!(count(&home, &host).await?, 2);
    let backup = take(bed).await?;
    // What the restored host does not know: a new one, which is resized twice, and another that is.
    learn(
        &host,
        &[
            server("c", 100, 1),
            server("c", 2000, 2),
            server("c", 3000, 4),
        ],
    )
    .await?;
    learn(&host, &[server("b", 2500, 2)]).await?;
    assert_eq!(count(&home, &host).await?, 5);

    restore(&restored, &backup, false).await?;
    let host = restored.open().await?;
    // Before home asks, there is more to tell than it ever was told.
    let many: Vec<_> = (0..9)
        .map(|number| server(&format!("n{number}"), 100, 1))
        .collect();
    learn(&host, &many).await?;
    // What is still there is found, as it is now.
    learn(&host, &[server("b", 5000, 2), server("c", 5000, 4)]).await?;
    count(&home, &host).await?;
    assert_eq!(sums(&home).await?, sums(&host).await?);
    assert_eq!(count(&home, &host).await?, 0);
    learn(&host, &[server("d", 6000, 1)]).await?;
    assert_eq!(count(&home, &host).await?, 1);
    assert_eq!(sums(&home).await?, sums(&host).await?);
    let flows = host.usage().flows().await?;
    assert_eq!(flows.first().map(|flow| flow.unheard), Some(0));
    // Home begins to compare at the beginning: of all there are, none is unheard that has a number.
    host.usage().acknowledge(&cloud("west"), 0).await?;
    let [told, here] = [host.usage().flows().await?, home.usage().flows().await?];
    assert_eq!(
        told.first().map(|flow| flow.unheard),
        here.first().map(|flow| flow.counted)
    );
    Ok(())
}

async fn usage_is_counted_once_though_home_was_restored(bed: &Bed) -> Outcome {
    let (host, restored) = (Bed::sqlite()?, Bed::sqlite()?);
    let (host, home) = (host.open().await?, store_of(bed, "west").await?);
    learn(&host, &[server("a", 100, 1), server("b", 100, 1)]).await?;
    count(&home, &host).await?;
    let backup = taken(bed, &cloud("west")).await?;
    learn(&host, &[server("c", 100, 1), server("b", 2000, 2)]).await?;
    count(&home, &host).await?;
    let before = sums(&home).await?;
    restore(&restored, &backup, false).await?;
    let home = store_of(&restored, "west").await?;
    assert_eq!(count(&home, &host).await?, 3);
    assert_eq!(sums(&home).await?, before);
    assert_eq!(sums(&home).await?, sums(&host).await?);
    Ok(())
}

async fn a_home_that_is_paired_after_the_restore_misses_nothing(bed: &Bed) -> Outcome {
    let (restored, home) = (Bed::sqlite()?, Bed::sqlite()?);
    let (host, home) = (bed.open().await?, store_of(&home, "west").await?);
    let backup = take(bed).await?;
    learn(&host, &[server("a", 100, 1), server("b", 100, 1)]).await?;
    count(&home, &host).await?;
    restore(&restored, &backup, false).await?;
    let host = restored.open().await?;
    learn(&host, &[server("c", 100, 1)]).await?;
    assert_eq!(count(&home, &host).await?, 1);
    Ok(())
}

fn near(project: &str) -> Condition {
    let mut notice = Notice::new(NoticeKind::QuotaNear, "cores", 5);
    notice.project_id = Some(project.into());
    Condition::new(cloud("west"), "", State::Holds, 5, notice)
}

/// Has quotas noticed at the host.
async fn notice(host: &Store, projects: &[&str]) -> Outcome {
    let seen: Vec<_> = projects.iter().map(|project| near(project)).collect();
    host.notices().watch(None, &seen, 5).await?;
    Ok(())
}

/// What home takes in, and the number that it reaches.
async fn hear(
    host: &Store,
    known: u64,
) -> Result<(Vec<Option<String>>, u64, u64), Box<dyn std::error::Error>> {
    let (notices, west) = (host.notices(), cloud("west"));
    notices.acknowledge(&west, known).await?;
    let outgoing = notices.outgoing(&west, known, 100).await?;
    let events = outgoing.notices.iter();
    let batch = NoticeBatch {
        iss: this_cloud(),
        aud: west.clone(),
        iat: 5,
        after: outgoing.after,
        last: outgoing.last,
        events: events
            .map(|(seq, notice)| event(notice, *seq, &this_cloud(), &west))
            .collect(),
    };
    let arrived = batch.arrived(known)?.into_iter();
    let projects = arrived.map(|one| one.notice.and_then(|notice| notice.project_id));
    let reaches = batch.after + batch.events.len() as u64;
    Ok((projects.collect(), reaches, batch.missed(known)))
}

async fn notices_arrive_though_the_host_was_restored(bed: &Bed) -> Outcome {
    let host = bed.open().await?;
    notice(&host, &["a"]).await?;
    let backup = take(bed).await?;
    notice(&host, &["b", "c"]).await?;
    let (heard, reached, _) = hear(&host, 0).await?;
    assert_eq!((heard.len(), reached), (3, 3));
    let restored = Bed::sqlite()?;
    restore(&restored, &backup, false).await?;
    let host = restored.open().await?;
    // Before home asks there are as many as it has heard of.
    notice(&host, &["d", "e", "f"]).await?;
    let (heard, reached, missed) = hear(&host, reached).await?;
    let expected = ["a", "d", "e", "f"].map(|project| Some(project.to_owned()));
    assert_eq!((heard, missed), (expected.to_vec(), 0));
    let positions = host.notices().positions().await?;
    assert_eq!(positions.first().map(|one| one.unheard), Some(4));
    assert_eq!(hear(&host, reached).await?, (Vec::new(), reached, 0));
    notice(&host, &["g"]).await?;
    let (heard, _, missed) = hear(&host, reached).await?;
    assert_eq!((heard, missed), (vec![Some("g".to_owned())], 0));
    Ok(())
}

fn receipt(retirement: &str) -> Receipt {
    Receipt {
        retirement: retirement.into(),
        revision: 1,
        page: 1,
        pages: 1,
        project_id: "p".into(),
        cause: Cause::AgreementEnded,
        began: 10,
        at: 30,
        items: Vec::new(),
    }
}

/// Has a project retired at the host, and its receipt numbered.
async fn retire(host: &Store, id: &str) -> Outcome {
    let policy = terms::Retirement {
        quarantine_after: 0,
        delete_after: 0,
    };
    let plan = Plan {
        phase: Phase::Deletion,
        ..Plan::begin(Cause::AgreementEnded, policy, 10)
    };
    let (retirements, lease) = (host.retirements(), lease(host).await?);
    retirements.begin(id, &cloud("west"), id, &plan, 10).await?;
    let order = retirements.by_id(id).await?.ok_or("it is gone")?;
    retirements
        .advance(&lease, &order, Some(0), true, 30, 30)
        .await?;
    let done = retirements.by_id(id).await?.ok_or("it is gone")?;
    assert!(retirements.report(&done, &[receipt(id)]).await?);
    Ok(())
}

/// What home takes in until there is no more.
async fn receive(home: &Store, host: &Store) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let retirements = home.retirements();
    let mut received = Vec::new();
    loop {
        let known = retirements.received(&this_cloud()).await?;
        host.retirements()
            .acknowledge(&cloud("west"), known, None)
            .await?;
        let next = host.retirements().outgoing(&cloud("west"), known).await?;
        let (after, receipt) = match next {
            Some((number, receipt)) => (number - 1, Some(receipt)),
            None => (known, None),
        };
        let said = Receipts {
            iss: this_cloud(),
            aud: cloud("west"),
            iat: 5,
            after,
            receipt,
        };
        let Some((number, receipt)) = said.after(known)? else {
            return Ok(received);
        };
        let host = this_cloud();
        let taken = retirements.receive(&host, number, &receipt, "jws");
        assert!(taken.await?);
        received.push(receipt.retirement);
    }
}

async fn receipts_arrive_though_the_host_was_restored(bed: &Bed) -> Outcome {
    let (restored, home) = (Bed::sqlite()?, Bed::sqlite()?);
    let (host, home) = (bed.open().await?, store_of(&home, "west").await?);
    let backup = take(bed).await?;
    retire(&host, "a").await?;
    retire(&host, "b").await?;
    assert_eq!(receive(&home, &host).await?, ["a", "b"]);
    restore(&restored, &backup, false).await?;
    let host = restored.open().await?;
    // As far as it knows, this is its first.
    retire(&host, "c").await?;
    assert_eq!(receive(&home, &host).await?, ["c"]);
    retire(&host, "d").await?;
    assert_eq!(receive(&home, &host).await?, ["d"]);
    let (acknowledged, _) = host.retirements().acknowledged(&cloud("west")).await?;
    let last = home.retirements().received(&this_cloud()).await?;
    assert_eq!(acknowledged, last);
    Ok(())
}

fn ended(count: usize) -> Vec<NewSignOut> {
    let change = |number: usize| LookAgain {
        user_id: Some(number.to_string()),
        ..LookAgain::default()
    };
    (0..count)
        .map(|number| NewSignOut {
            digest: None,
            change: Change::LookAgain(change(number)),
        })
        .collect()
}

async fn sign_outs_are_heard_though_home_was_restored(bed: &Bed) -> Outcome {
    let (east, home) = (cloud("east"), bed.open().await?);
    home.sign_outs().append(&ended(2), 5).await?;
    home.sign_outs().hears(&east, 1).await?;
    let backup = take(bed).await?;
    home.sign_outs().append(&ended(3), 5).await?;
    home.sign_outs().hears(&east, 5).await?;
    let restored = Bed::sqlite()?;
    restore(&restored, &backup, false).await?;
    let home = restored.open().await?;
    home.sign_outs().append(&ended(4), 5).await?;
    // The host acknowledges what it had heard before, of which home knows nothing.
    home.sign_outs().hears(&east, 5).await?;
    let told = home.sign_outs().unheard(&east, 0, 100).await?;
    let everybody = told.first().map(|first| &first.change);
    assert_eq!(everybody, Some(&Change::LookAgain(LookAgain::default())));
    assert_eq!(told.len(), 5);
    Ok(())
}

async fn the_same_backup_twice_gives_no_number_twice(bed: &Bed) -> Outcome {
    bed.open().await?.close().await;
    let backup = take(bed).await?;
    let mut numbers = Vec::new();
    for later in [0, 60] {
        let restored = Bed::sqlite()?;
        let mut file = alliance_store::BackupFile::open(&*backup)?;
        let about = file.about().clone();
        let mut restoration = alliance_store::Restoration::begin(restored.url(), &about).await?;
        restoration.load(&mut file, |_, _| ()).await?;
        let mut mending = super::mending(false);
        mending.now += later;
        restoration.mend(&mending).await?;
        restoration.commit().await?;
        let store = restored.open().await?;
        learn(&store, &[server("a", 100, 1)]).await?;
        let sent = store.usage().outgoing(&cloud("west"), 0, 1).await?;
        let sign_outs = store.sign_outs().unheard(&cloud("west"), 0, 1).await?;
        let generation = store.meta().next_generation().await?;
        numbers.push([
            sent.first().map_or(0, |one| one.seq),
            sign_outs.first().map_or(0, |one| one.seq),
            generation,
        ]);
    }
    for index in 0..3 {
        assert!(numbers[0][index] + 50 < numbers[1][index], "{numbers:?}");
        assert!(numbers[0][index] > 1000, "{numbers:?}");
    }
    Ok(())
}
