//! At home: what hosts say that our projects use there, in the order in which it came.

use alliance_core::cloud::CloudId;
use alliance_core::usage::{Fact, Kind, Millis, Numbered, Owner, Part, Record, Resource, Size};
use alliance_store::{Heard, ReceivedRecord, Receiver};

use crate::bed::{Bed, Outcome, cloud, on_both};

on_both!(
    what_arrives_is_said_in_its_order_and_once,
    what_arrived_before_anybody_listened_is_not_said,
    what_there_was_at_a_time_is_found_in_pages,
);

fn server(id: &str) -> Resource {
    Resource {
        kind: Kind::Server,
        id: id.into(),
    }
}

fn owner() -> Owner {
    Owner {
        project_id: "science".into(),
        user_id: None,
    }
}

/// Records as a host numbers them: a server's id, when it began, and when it ended.
fn told(after: u64, records: &[(&str, Millis, Option<Millis>)]) -> Vec<Numbered> {
    let record = |(id, from, to): &(&str, Millis, Option<Millis>)| Record {
        part: Part {
            resource: server(id),
            part: 0,
        },
        owner: owner(),
        region: "RegionOne".into(),
        size: Size::of_server("m1", 2, 64, 1),
        from: *from,
        to: *to,
    };
    let numbers = after + 1..;
    numbers
        .zip(records.iter().map(|one| Some(record(one))))
        .collect()
}

/// What they say: number, host, server, end.
fn seen(arrived: &[ReceivedRecord]) -> Vec<(u64, CloudId, &str, Option<Millis>)> {
    let seen = arrived.iter().map(|one| {
        let record = &one.record;
        let id = record.part.resource.id.as_str();
        (one.number, one.host.clone(), id, record.to)
    });
    seen.collect()
}

async fn what_arrives_is_said_in_its_order_and_once(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (usage, east, north) = (store.usage(), cloud("east"), cloud("north"));
    let of_east = told(0, &[("b", 10, None), ("a", 20, None), ("a", 20, Some(30))]);
    usage.receive(&east, &of_east, 7).await?;
    usage
        .receive(&north, &told(0, &[("c", 5, None)]), 8)
        .await?;
    // What was said before is no news.
    usage.receive(&east, &of_east, 9).await?;
    let arrived = usage.arrivals(0, 10).await?;
    let expected = [
        (1, east.clone(), "b", None),
        (2, east.clone(), "a", Some(30)),
        (3, north.clone(), "c", None),
    ];
    assert_eq!(seen(&arrived), expected);
    assert_eq!(seen(&usage.arrivals(1, 1).await?), expected[1..2]);

    // What changes comes anew.
    usage
        .receive(&east, &told(3, &[("b", 10, Some(40))]), 10)
        .await?;
    let changed = [(4, east, "b", Some(40))];
    assert_eq!(seen(&usage.arrivals(3, 10).await?), changed);
    assert_eq!(usage.arrivals(0, 10).await?.len(), 3);

    // What partners use here is none of it.
    let lease = store.leases().take("work", "one", 60).await?;
    let lease = lease.ok_or("the lease is held")?;
    let here = Heard {
        resource: server("d"),
        owner: Some((cloud("west"), owner())),
        fact: Fact {
            at: 100,
            began: Some(100),
            size: Some(Size::of_server("m1", 2, 64, 1)),
            ..Fact::default()
        },
    };
    usage.learn(&lease, "RegionOne", &[here], 11).await?;
    assert_eq!(usage.outgoing(&cloud("west"), 0, 10).await?.len(), 1);
    assert_eq!(seen(&usage.arrivals(3, 10).await?), changed);
    Ok(())
}

async fn what_arrived_before_anybody_listened_is_not_said(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (usage, deliveries, east) = (store.usage(), store.deliveries(), cloud("east"));
    assert_eq!(deliveries.reached(Receiver::BusUsage).await?, None);
    usage
        .receive(&east, &told(0, &[("a", 10, None)]), 7)
        .await?;
    assert_eq!(deliveries.begin(Receiver::BusUsage, 0).await?, 1);
    let later = told(1, &[("b", 20, None), ("c", 30, None)]);
    usage.receive(&east, &later, 8).await?;
    let state = deliveries.state(Receiver::BusUsage).await?;
    let state = state.unwrap_or_default();
    let waiting = (state.number, state.waiting, state.waits_since);
    assert_eq!(waiting, (1, 2, Some(8)));

    deliveries.delivered(Receiver::BusUsage, 2).await?;
    assert_eq!(deliveries.begin(Receiver::BusUsage, 0).await?, 2);
    assert_eq!(deliveries.reached(Receiver::BusUsage).await?, Some(2));
    // Of the notices and of the hours nothing was said by that.
    assert_eq!(deliveries.begin(Receiver::Bus, 0).await?, 0);
    assert_eq!(deliveries.begin(Receiver::BusHours, 500).await?, 500);
    assert_eq!(deliveries.begin(Receiver::BusHours, 501).await?, 500);
    Ok(())
}

async fn what_there_was_at_a_time_is_found_in_pages(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (usage, east) = (store.usage(), cloud("east"));
    let records = [
        ("over", 10, Some(100)),
        ("just", 100, None),
        ("lasts", 10, None),
        ("later", 101, None),
        ("ends", 10, Some(101)),
    ];
    usage.receive(&east, &told(0, &records), 7).await?;
    let mut found = Vec::new();
    let mut last = 0;
    loop {
        let page = usage.there_at(100, last, 2).await?;
        let Some(end) = page.last() else {
            break;
        };
        last = end.number;
        found.extend(page.into_iter().map(|one| one.record.part.resource.id));
    }
    assert_eq!(found, ["just", "lasts", "ends"]);
    Ok(())
}
