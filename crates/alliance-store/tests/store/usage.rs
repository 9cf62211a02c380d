//! What is used, counted once at either side.

use alliance_core::usage::{Fact, Kind, Millis, Month, Numbered, Owner, Resource, Size};
use alliance_store::{Error, Flow, Heard, Lease, Notifications, Span, Store};

use crate::bed::{Bed, Outcome, cloud, on_both};

on_both!(
    a_life_is_counted_once_at_either_side_however_often_it_is_said,
    what_a_listing_lacks_has_ended,
    a_listing_of_one_region_ends_nothing_in_another,
    what_nobody_owns_is_left,
    who_made_it_may_be_heard_later,
    numbers_of_each_home_have_no_gap,
    what_would_leave_a_gap_is_not_taken_in,
    months_share_what_runs_over_their_ends_and_lose_nothing,
    who_watches_sees_what_was_read_and_when_was_listed,
    who_has_lost_the_lease_counts_nothing,
    a_lease_is_taken_over_when_its_time_is_over,
);

const MONTH: Span = Span {
    from: 0,
    to: 1_000_000,
};

fn server(id: &str) -> Resource {
    Resource {
        kind: Kind::Server,
        id: id.into(),
    }
}

fn created(id: &str, at: Millis) -> Heard {
    Heard {
        resource: server(id),
        owner: Some((
            cloud("west"),
            Owner {
                project_id: "science".into(),
                user_id: Some("ann".into()),
            },
        )),
        fact: Fact {
            at,
            began: Some(at),
            size: Some(Size::of_server("m1", 2, 64, 1)),
            ..Fact::default()
        },
    }
}

fn deleted(id: &str, at: Millis) -> Heard {
    Heard {
        resource: server(id),
        owner: None,
        fact: Fact {
            at,
            ended: Some(at),
            ..Fact::default()
        },
    }
}

async fn lease(store: &Store) -> Result<Lease, Box<dyn std::error::Error>> {
    let lease = store.leases().take("metering", "one", 60).await?;
    Ok(lease.ok_or("the lease is held")?)
}

async fn numbered(store: &Store, home: &str, after: u64) -> Result<Vec<Numbered>, Error> {
    let outgoing = store.usage().outgoing(&cloud(home), after, 1000).await?;
    let numbered = outgoing.into_iter().map(|one| (one.seq, Some(one.record)));
    Ok(numbered.collect())
}

async fn a_life_is_counted_once_at_either_side_however_often_it_is_said(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lease = lease(&store).await?;
    let usage = store.usage();
    let heard = [
        created("a", 100),
        deleted("a", 500),
        created("a", 100),
        deleted("a", 500),
    ];
    for _ in 0..5 {
        usage.learn(&lease, "RegionOne", &heard, 1).await?;
    }
    // Whoever takes the lease at another node of a cluster must meet that.
    let held = "SELECT held FROM leases WHERE name = 'metering'";
    assert!(bed.count(held).await? >= 5);
    let sent = numbered(&store, "west", 0).await?;
    assert_eq!(sent.len(), 1, "said once more changes nothing");
    let sums = usage.sums(MONTH).await?;
    assert_eq!(
        sums.iter()
            .map(|sum| (sum.resources, sum.millis))
            .collect::<Vec<_>>(),
        [(1, 400)]
    );

    // The same store as its own partner's home: both sides count the same rows.
    for _ in 0..5 {
        usage.receive(&cloud("east"), &sent, 7).await?;
    }
    let sums = usage.sums(MONTH).await?;
    let of_east = sums.iter().find(|sum| sum.host == cloud("east"));
    assert_eq!(
        of_east.map(|sum| (sum.resources, sum.millis)),
        Some((1, 400))
    );
    assert_eq!(usage.received(&cloud("east")).await?, 1);
    Ok(())
}

async fn what_a_listing_lacks_has_ended(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lease = lease(&store).await?;
    let usage = store.usage();
    usage
        .learn(
            &lease,
            "RegionOne",
            &[created("a", 100), created("b", 100)],
            1,
        )
        .await?;
    let shown = [created("b", 100), created("c", 300)];
    for began in [400, 700] {
        usage
            .list(&lease, "RegionOne", (Kind::Server, began), &shown, 2)
            .await?;
    }
    let here = store
        .usage()
        .records(&crate::bed::this_cloud(), &cloud("west"), MONTH)
        .await?;
    let ends: Vec<_> = here
        .iter()
        .map(|one| (one.part.resource.id.as_str(), one.to))
        .collect();
    assert_eq!(ends, [("a", Some(400)), ("b", None), ("c", None)]);
    // What still lasts is counted until the end of the span, and so by all of it.
    let sums = usage.sums(Span { from: 0, to: 1000 }).await?;
    assert_eq!(
        sums.first().map(|sum| (sum.resources, sum.millis)),
        Some((3, 300 + 900 + 700))
    );
    Ok(())
}

async fn a_listing_of_one_region_ends_nothing_in_another(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lease = lease(&store).await?;
    let usage = store.usage();
    usage
        .learn(&lease, "RegionTwo", &[created("a", 100)], 1)
        .await?;
    assert_eq!(
        usage
            .list(&lease, "RegionOne", (Kind::Server, 400), &[], 2)
            .await?,
        0
    );
    assert_eq!(
        usage
            .list(&lease, "RegionTwo", (Kind::Volume, 400), &[], 2)
            .await?,
        0
    );
    assert_eq!(
        usage
            .list(&lease, "RegionTwo", (Kind::Server, 400), &[], 2)
            .await?,
        1
    );
    Ok(())
}

async fn what_nobody_owns_is_left(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lease = lease(&store).await?;
    assert_eq!(
        store
            .usage()
            .learn(&lease, "RegionOne", &[deleted("a", 100)], 1)
            .await?,
        0
    );
    assert!(store.usage().sums(MONTH).await?.is_empty());
    Ok(())
}

async fn who_made_it_may_be_heard_later(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lease = lease(&store).await?;
    let mut first = created("a", 100);
    if let Some((_, owner)) = &mut first.owner {
        owner.user_id = None;
    }
    let usage = store.usage();
    for heard in [&first, &created("a", 100), &first] {
        usage
            .learn(&lease, "RegionOne", std::slice::from_ref(heard), 1)
            .await?;
    }
    let users: Vec<_> = numbered(&store, "west", 0)
        .await?
        .into_iter()
        .filter_map(|(_, record)| record.map(|record| record.owner.user_id))
        .collect();
    assert_eq!(users, [None, Some("ann".to_owned())]);
    Ok(())
}

async fn numbers_of_each_home_have_no_gap(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lease = lease(&store).await?;
    let usage = store.usage();
    for number in 0..250 {
        let mut heard = created(&format!("s{number}"), 100);
        if number % 5 == 0 {
            heard.owner = heard.owner.map(|(_, owner)| (cloud("north"), owner));
        }
        usage.learn(&lease, "RegionOne", &[heard], 1).await?;
    }
    for (home, count) in [("west", 200), ("north", 50)] {
        let numbers: Vec<_> = numbered(&store, home, 0)
            .await?
            .iter()
            .map(|one| one.0)
            .collect();
        assert_eq!(numbers, (1..=count).collect::<Vec<u64>>(), "{home}");
    }
    usage.acknowledge(&cloud("west"), 150).await?;
    usage.acknowledge(&cloud("west"), 1000).await?;
    let mut flows = usage.flows().await?;
    flows.sort();
    let flow = |partner, unheard, unheard_since, counted| Flow {
        partner: cloud(partner),
        unheard,
        unheard_since,
        counted,
    };
    let mut expected = [flow("west", 50, Some(1), 0), flow("north", 50, Some(1), 0)];
    expected.sort();
    assert_eq!(flows, expected);
    usage.acknowledge(&cloud("west"), 200).await?;
    let sent = numbered(&store, "north", 0).await?;
    usage.receive(&cloud("north"), &sent, 7).await?;
    let mut flows = usage.flows().await?;
    flows.sort();
    let mut expected = [flow("west", 0, None, 0), flow("north", 50, Some(1), 50)];
    expected.sort();
    assert_eq!(flows, expected);
    Ok(())
}

async fn months_share_what_runs_over_their_ends_and_lose_nothing(bed: &Bed) -> Outcome {
    const DAY: Millis = 86_400_000;
    let store = bed.open().await?;
    let lease = lease(&store).await?;
    let usage = store.usage();
    let months: Vec<Month> = ["2028-01", "2028-02", "2028-03", "2028-04"]
        .iter()
        .map(|month| month.parse())
        .collect::<Result<_, _>>()?;
    let [january, february, march, april] = &months[..] else {
        return Err("four months".into());
    };
    // Over a leap day, and over the Sunday on which Europe's clocks change.
    let (began, ended) = (february.from() - 400, march.to() + 600);
    let heard = [
        created("a", began),
        deleted("a", ended),
        // To the millisecond in which a month ends, and from the one in which it begins.
        created("b", february.from()),
        deleted("b", february.to()),
        created("c", april.from()),
        deleted("c", april.from() + 400),
    ];
    usage.learn(&lease, "RegionOne", &heard, 1).await?;
    let mut used: Vec<Vec<(u64, u64)>> = Vec::new();
    for month in &months {
        let span = Span {
            from: month.from(),
            to: month.to(),
        };
        let sums = usage.sums(span).await?;
        used.push(sums.iter().map(|sum| (sum.resources, sum.millis)).collect());
        let records = usage.records(store.cloud(), &cloud("west"), span).await?;
        let millis: Millis = records
            .iter()
            .map(|one| one.within(span.from, span.to))
            .sum();
        let sum: u64 = sums.iter().map(|sum| sum.millis).sum();
        assert_eq!(millis.unsigned_abs(), sum, "{month}");
    }
    let days = |count: Millis| (count * DAY).unsigned_abs();
    let expected: [Vec<(u64, u64)>; 4] = [
        vec![(1, 400)],
        vec![(2, 2 * days(29))],
        vec![(1, days(31))],
        vec![(2, 600 + 400)],
    ];
    assert_eq!(used, expected);
    assert_eq!(january.to(), february.from());
    let all: u64 = used.iter().flatten().map(|(_, millis)| millis).sum();
    assert_eq!(all, (ended - began).unsigned_abs() + days(29) + 400);
    Ok(())
}

async fn who_watches_sees_what_was_read_and_when_was_listed(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lease = lease(&store).await?;
    let usage = store.usage();
    assert_eq!(usage.notifications().await?, Notifications::default());
    assert!(usage.listed().await?.is_empty());
    let some = Notifications {
        read: 500,
        malformed: 1,
        too_large: 0,
    };
    usage.count(&lease, some).await?;
    usage.count(&lease, some).await?;
    let twice = Notifications {
        read: 1000,
        malformed: 2,
        too_large: 0,
    };
    assert_eq!(usage.notifications().await?, twice);
    for at in [7, 9] {
        let of = (Kind::FloatingIp, 0);
        usage.list(&lease, "RegionOne", of, &[], at).await?;
    }
    assert_eq!(usage.listed().await?, [(Kind::FloatingIp, 9)]);
    Ok(())
}

async fn what_would_leave_a_gap_is_not_taken_in(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lease = lease(&store).await?;
    let usage = store.usage();
    let heard: Vec<_> = ["a", "b", "c", "d"].map(|id| created(id, 100)).into();
    usage.learn(&lease, "RegionOne", &heard, 1).await?;
    let mut sent = numbered(&store, "west", 0).await?;
    let lost = sent.remove(1);
    let received = usage.receive(&cloud("east"), &sent, 7).await?;
    assert_eq!((received.new, received.last), (1, 1));
    // Asked for again from there on.
    let received = usage.receive(&cloud("east"), &[lost], 7).await?;
    assert_eq!((received.new, received.last), (1, 2));
    let again = numbered(&store, "west", received.last).await?;
    assert_eq!(usage.receive(&cloud("east"), &again, 7).await?.last, 4);
    Ok(())
}

async fn who_has_lost_the_lease_counts_nothing(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lost = lease(&store).await?;
    assert_eq!(store.leases().take("metering", "two", 60).await?, None);
    store.leases().take("metering", "one", 0).await?;
    assert!(store.leases().take("metering", "two", 60).await?.is_some());
    let refused = store
        .usage()
        .learn(&lost, "RegionOne", &[created("a", 100)], 1)
        .await;
    assert!(matches!(refused, Err(Error::LeaseLost(_))), "{refused:?}");
    assert!(store.usage().sums(MONTH).await?.is_empty());
    Ok(())
}

async fn a_lease_is_taken_over_when_its_time_is_over(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (one, leases) = (lease(&store).await?, store.leases());
    assert_eq!(leases.holder("metering").await?.as_deref(), Some("one"));
    assert_eq!(leases.over_for("metering").await?, None);
    // Its holder goes on, also when its time is over.
    assert_eq!(
        leases.take("metering", "one", 0).await?.as_ref(),
        Some(&one)
    );
    assert_eq!(leases.holder("metering").await?, None);
    assert!(leases.over_for("metering").await?.is_some());
    assert_eq!(
        leases.take("metering", "one", 60).await?.as_ref(),
        Some(&one)
    );
    assert_eq!(leases.take("metering", "two", 60).await?, None);
    leases.give_back(&one).await?;
    assert_eq!(leases.over_for("metering").await?, None);
    let two = leases.take("metering", "two/1", 60).await?;
    assert!(two.is_some());
    // Started anew.
    assert!(leases.take("metering", "two/2", 60).await?.is_some());
    assert_eq!(leases.holder("metering").await?.as_deref(), Some("two/2"));
    assert_eq!(leases.take("metering", "one", 60).await?, None);
    Ok(())
}
