//! What homes are told, once, and taken in once.

use alliance_core::cloud::CloudId;
use alliance_core::notice::{Arrived, Condition, Kind, Notice, State};
use alliance_core::usage::{self, Fact, Owner, Resource, Size};
use alliance_store::{Error, Filter, Heard, Lease, Receiver, Store, TakenIn};

use crate::bed::{Bed, Outcome, cloud, on_both};

on_both!(
    a_server_is_noticed_once_however_often_the_bus_says_it,
    a_listing_that_lacks_a_server_is_its_end_and_the_late_notification_none,
    a_condition_is_noticed_when_it_begins_to_hold,
    two_who_watch_one_condition_notice_it_once,
    who_has_lost_the_lease_notices_nothing,
    what_is_old_or_one_of_too_many_is_not_kept,
    a_home_that_has_heard_more_than_was_said_is_told_everything,
    what_is_told_twice_is_taken_in_once,
    what_is_not_believed_is_counted_and_not_kept,
    what_was_there_before_is_not_delivered,
    how_a_delivery_fails_is_remembered_until_it_succeeds,
);

async fn lease(store: &Store) -> Result<Lease, Box<dyn std::error::Error>> {
    let lease = store.leases().take("work", "one", 60).await?;
    Ok(lease.ok_or("the lease is held")?)
}

fn server(id: &str, fact: Fact) -> Heard {
    Heard {
        resource: Resource {
            kind: usage::Kind::Server,
            id: id.into(),
        },
        owner: Some((
            cloud("west"),
            Owner {
                project_id: "science".into(),
                user_id: Some("ann".into()),
            },
        )),
        fact,
    }
}

fn began(at: i64) -> Fact {
    Fact {
        at,
        began: Some(at),
        size: Some(Size::of_server("m1", 1, 64, 1)),
        ..Fact::default()
    }
}

fn ended(at: i64) -> Fact {
    Fact {
        at,
        ended: Some(at),
        ..Fact::default()
    }
}

/// Kind and time of each notice for west, and its numbers.
async fn told(store: &Store) -> Result<Vec<(u64, Kind, i64)>, Error> {
    let outgoing = store.notices().outgoing(&cloud("west"), 0, 1000).await?;
    let told = outgoing.notices.into_iter();
    Ok(told.map(|(seq, one)| (seq, one.kind, one.at)).collect())
}

async fn a_server_is_noticed_once_however_often_the_bus_says_it(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lease = lease(&store).await?;
    let heard = [server("a", ended(500)), server("a", began(100))];
    for _ in 0..5 {
        store.usage().learn(&lease, "RegionOne", &heard, 1).await?;
    }
    let expected = [(1, Kind::ServerCreated, 100), (2, Kind::ServerDeleted, 500)];
    assert_eq!(told(&store).await?, expected);
    let outgoing = store.notices().outgoing(&cloud("west"), 1, 10).await?;
    assert_eq!((outgoing.after, outgoing.last), (1, 2));
    let [(2, notice)] = &outgoing.notices[..] else {
        return Err(format!("{outgoing:?}").into());
    };
    assert_eq!(notice.project_id.as_deref(), Some("science"));
    Ok(())
}

async fn a_listing_that_lacks_a_server_is_its_end_and_the_late_notification_none(
    bed: &Bed,
) -> Outcome {
    let store = bed.open().await?;
    let lease = lease(&store).await?;
    let usage = store.usage();
    usage
        .learn(&lease, "RegionOne", &[server("a", began(100))], 1)
        .await?;
    for at in [400, 700] {
        let kind = (usage::Kind::Server, at);
        usage.list(&lease, "RegionOne", kind, &[], 2).await?;
    }
    usage
        .learn(&lease, "RegionOne", &[server("a", ended(300))], 3)
        .await?;
    let expected = [(1, Kind::ServerCreated, 100), (2, Kind::ServerDeleted, 400)];
    assert_eq!(told(&store).await?, expected);
    Ok(())
}

fn near(project: &str, state: State, at: i64) -> Condition {
    let mut notice = Notice::new(Kind::QuotaNear, "cores", at);
    notice.project_id = Some(project.into());
    Condition::new(cloud("west"), "", state, at, notice)
}

async fn a_condition_is_noticed_when_it_begins_to_hold(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let notices = store.notices();
    let news = [
        (State::Holds, 1, 1),
        (State::Holds, 2, 0),
        (State::AsBefore, 3, 0),
        (State::Ceased, 4, 0),
        (State::Holds, 3, 0),
        (State::Holds, 5, 1),
    ];
    for (state, at, expected) in news {
        let seen = [near("science", state, at), near("art", State::Ceased, at)];
        assert_eq!(notices.watch(None, &seen, at).await?, expected, "at {at}");
    }
    // Also if all of it comes at once.
    let seen = news.map(|(state, at, _)| near("physics", state, at));
    assert_eq!(notices.watch(None, &seen, 6).await?, 2);
    Ok(())
}

async fn two_who_watch_one_condition_notice_it_once(bed: &Bed) -> Outcome {
    let (one, other) = (bed.open().await?, bed.open().await?);
    // The partner's row is there: it is the lock.
    one.notices()
        .watch(None, &[near("first", State::Holds, 1)], 1)
        .await?;
    for round in 0..20 {
        let seen = [near(&format!("p{round}"), State::Holds, 1)];
        let (a, b) = tokio::join!(
            one.notices().watch(None, &seen, 1),
            other.notices().watch(None, &seen, 1)
        );
        assert_eq!(a? + b?, 1, "round {round}");
    }
    let numbers: Vec<_> = told(&one).await?.iter().map(|one| one.0).collect();
    assert_eq!(numbers, (1..=21).collect::<Vec<_>>());
    Ok(())
}

async fn who_has_lost_the_lease_notices_nothing(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lost = lease(&store).await?;
    store.leases().take("work", "one", 0).await?;
    let taken = store.leases().take("work", "two", 60).await?;
    assert!(taken.is_some());
    let seen = [near("science", State::Holds, 1)];
    let refused = store.notices().watch(Some(&lost), &seen, 1).await;
    assert!(matches!(refused, Err(Error::LeaseLost(_))), "{refused:?}");
    assert_eq!(told(&store).await?, []);
    Ok(())
}

async fn what_is_old_or_one_of_too_many_is_not_kept(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let notices = store.notices();
    let all: Vec<_> = (0..10_003)
        .map(|number| near(&format!("p{number}"), State::Holds, number))
        .collect();
    notices.watch(None, &all, 7).await?;
    let outgoing = notices.outgoing(&cloud("west"), 1, 1).await?;
    assert_eq!((outgoing.after, outgoing.last), (3, 10_003));
    assert_eq!(outgoing.notices.first().map(|one| one.0), Some(4));
    notices.forget_before(8).await?;
    let outgoing = notices.outgoing(&cloud("west"), 1, 1).await?;
    assert_eq!((outgoing.after, outgoing.last), (10_003, 10_003));
    notices.acknowledge(&cloud("west"), 10_000).await?;
    notices.acknowledge(&cloud("west"), 20_000).await?;
    let positions = notices.positions().await?;
    assert_eq!(positions.first().map(|one| one.unheard), Some(3));
    Ok(())
}

async fn a_home_that_has_heard_more_than_was_said_is_told_everything(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let notices = store.notices();
    let none = notices.outgoing(&cloud("west"), 70, 10).await?;
    assert_eq!((none.after, none.last), (0, 0));
    notices
        .watch(None, &[near("science", State::Holds, 1)], 1)
        .await?;
    let outgoing = notices.outgoing(&cloud("west"), 70, 10).await?;
    assert_eq!((outgoing.after, outgoing.last), (0, 1));
    assert_eq!(outgoing.notices.len(), 1);
    Ok(())
}

fn arrived(seq: u64, id: &str, host: &CloudId) -> Arrived {
    let mut notice = Notice::new(Kind::ServerCreated, id, 5);
    notice.project_id = Some("science".into());
    Arrived {
        seq,
        id: notice.id(host, &crate::bed::this_cloud()),
        notice: Some(notice),
    }
}

fn taken_in(known: u64, ids: &[&str]) -> TakenIn {
    let east = cloud("east");
    let arrived: Vec<_> = ids
        .iter()
        .zip(known + 1..)
        .map(|(id, seq)| arrived(seq, id, &east))
        .collect();
    TakenIn {
        known,
        reaches: known + arrived.len() as u64,
        missed: 0,
        arrived,
    }
}

async fn what_is_told_twice_is_taken_in_once(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (notices, east) = (store.notices(), cloud("east"));
    let told = taken_in(0, &["a", "b"]);
    assert_eq!(notices.receive(&east, &told, 10).await?, Some(2));
    // Somebody else was faster.
    assert_eq!(notices.receive(&east, &told, 10).await?, None);
    // The host has lost its database, and numbers anew.
    let again = TakenIn {
        known: 2,
        reaches: 1,
        ..taken_in(0, &["b", "c"])
    };
    assert_eq!(notices.receive(&east, &again, 20).await?, Some(1));
    assert_eq!(notices.received(&east).await?, 1);
    let here = notices.list(&Filter::default(), 10).await?;
    let here: Vec<_> = here
        .iter()
        .map(|one| (one.number, one.notice.subject.as_str(), one.received_at))
        .collect();
    assert_eq!(here, [(1, "a", 10), (2, "b", 10), (3, "c", 20)]);
    let wanted = Filter {
        host: Some(east.clone()),
        project_id: Some("science".into()),
        since: Some(15),
        after: 0,
    };
    assert_eq!(notices.list(&wanted, 10).await?.len(), 1);
    for other in [
        Filter {
            host: Some(cloud("north")),
            ..Filter::default()
        },
        Filter {
            project_id: Some("art".into()),
            ..Filter::default()
        },
        Filter {
            after: 3,
            ..Filter::default()
        },
    ] {
        assert_eq!(notices.list(&other, 10).await?, [], "{other:?}");
    }
    notices.forget_before(15).await?;
    assert_eq!(notices.list(&Filter::default(), 10).await?.len(), 1);
    // Numbers are not given again.
    notices.forget_before(100).await?;
    notices.receive(&east, &taken_in(1, &["d"]), 30).await?;
    let here = notices.list(&Filter::default(), 10).await?;
    assert_eq!(here.first().map(|one| one.number), Some(4));
    Ok(())
}

async fn what_is_not_believed_is_counted_and_not_kept(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (notices, east) = (store.notices(), cloud("east"));
    let mut told = taken_in(0, &["a", "b"]);
    told.arrived[0].notice = None;
    told.missed = 7;
    assert_eq!(notices.receive(&east, &told, 10).await?, Some(1));
    let positions = notices.positions().await?;
    let counts: Vec<_> = positions
        .iter()
        .map(|one| (&one.partner, one.missed, one.refused))
        .collect();
    assert_eq!(counts, [(&east, 7, 1)]);
    Ok(())
}

async fn what_was_there_before_is_not_delivered(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (notices, deliveries, east) = (store.notices(), store.deliveries(), cloud("east"));
    assert_eq!(deliveries.state(Receiver::Webhook).await?, None);
    notices.receive(&east, &taken_in(0, &["a"]), 10).await?;
    deliveries.begin(Receiver::Webhook, 0).await?;
    notices
        .receive(&east, &taken_in(1, &["b", "c"]), 20)
        .await?;
    let stands = |delivery: alliance_store::Delivery| {
        (delivery.number, delivery.waiting, delivery.waits_since)
    };
    let delivery = deliveries.state(Receiver::Webhook).await?;
    assert_eq!(delivery.map(stands), Some((1, 2, Some(20))));
    deliveries.delivered(Receiver::Webhook, 3).await?;
    // It goes on where it was.
    deliveries.begin(Receiver::Webhook, 0).await?;
    let delivery = deliveries.state(Receiver::Webhook).await?;
    assert_eq!(delivery.map(stands), Some((3, 0, None)));
    // Somebody was halted when it had told the first.
    deliveries.delivered(Receiver::Webhook, 1).await?;
    assert_eq!(deliveries.reached(Receiver::Webhook).await?, Some(3));
    Ok(())
}

async fn how_a_delivery_fails_is_remembered_until_it_succeeds(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let deliveries = store.deliveries();
    deliveries.begin(Receiver::Webhook, 0).await?;
    deliveries
        .not_delivered(Receiver::Webhook, "503", false, 10)
        .await?;
    deliveries
        .not_delivered(Receiver::Webhook, "410", true, 20)
        .await?;
    let delivery = deliveries
        .state(Receiver::Webhook)
        .await?
        .unwrap_or_default();
    let seen = (
        delivery.failing_since,
        delivery.problem.as_deref(),
        delivery.is_over,
    );
    assert_eq!(seen, (Some(10), Some("410"), true));
    deliveries.begin(Receiver::Webhook, 0).await?;
    deliveries.delivered(Receiver::Webhook, 0).await?;
    let delivery = deliveries
        .state(Receiver::Webhook)
        .await?
        .unwrap_or_default();
    assert_eq!(
        (delivery.failing_since, delivery.problem, delivery.is_over),
        (None, None, false)
    );
    Ok(())
}
