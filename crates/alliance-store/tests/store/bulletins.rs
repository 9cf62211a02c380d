//! What instances of a daemon tell each other.

use std::time::Duration;

use alliance_core::agreement::Agreement;
use alliance_core::partner::Status;
use alliance_core::sign_out::{Change, LookAgain};
use alliance_core::terms::Terms;
use alliance_store::{Bulletin, EndedSession, NewSignOut, Posted, Store};

use crate::bed::{Bed, Outcome, cloud, on_both, pair};

on_both!(
    what_one_changes_the_others_are_told,
    numbers_become_visible_in_their_order,
    no_host_misses_what_two_instances_note_at_once,
    what_is_old_is_forgotten_and_leaves_a_gap,
    what_partners_have_said_is_kept_for_longer,
    what_a_later_version_says_is_something_unknown,
);

/// Two instances on one database.
async fn instances(bed: &Bed) -> Result<(Store, Store), Box<dyn std::error::Error>> {
    let one = bed.open().await?.shared_by("one/1");
    Ok((one, bed.open().await?.shared_by("two/1")))
}

fn doubt(user: &str) -> NewSignOut {
    NewSignOut {
        digest: None,
        change: Change::LookAgain(LookAgain {
            user_id: Some(user.to_owned()),
            ..LookAgain::default()
        }),
    }
}

fn ended(session: &str) -> EndedSession {
    EndedSession {
        session: session.into(),
        cloud_id: cloud("west"),
        user_id: "ann".into(),
        expires_at: 1000,
    }
}

async fn what_one_changes_the_others_are_told(bed: &Bed) -> Outcome {
    let (one, two) = instances(bed).await?;
    let west = pair(&one, "west").await?.cloud_id;
    one.partners()
        .set_status(&west, Status::Suspended, 20)
        .await?;
    let agreement = Agreement {
        id: "a".into(),
        partner: west.clone(),
        projects: "science".to_owned().into(),
        project_name: None,
        project_domain: None,
        version: None,
        terms: Terms::granting(["member".to_owned()], 0),
        ended_at: None,
    };
    two.agreements().create(&agreement, 20).await?;
    two.agreements().end("a", 30).await?;
    one.ended_sessions().add(&[ended("s")]).await?;
    one.ended_sessions().add(&[ended("s")]).await?;
    two.sign_outs().append(&[doubt("ann")], 30).await?;
    let heard = Bulletin::Heard {
        partner: west.clone(),
        changes: vec![doubt("bob").change],
    };
    one.bulletins().post(std::slice::from_ref(&heard)).await?;
    one.partners().remove(&west, 40).await?;
    let posted = two.bulletins().after(0).await?;
    if !one.is_shared() {
        assert_eq!(posted, []);
        return Ok(());
    }
    let told: Vec<_> = posted
        .iter()
        .map(|one| (one.author.as_str(), &one.what))
        .collect();
    let sessions = vec![ended("s")];
    assert_eq!(
        told,
        [
            ("one/1", &Bulletin::Pairings),
            ("one/1", &Bulletin::Trust),
            ("one/1", &Bulletin::Trust),
            ("two/1", &Bulletin::Trust),
            ("two/1", &Bulletin::Trust),
            ("one/1", &Bulletin::Ended { sessions }),
            ("two/1", &Bulletin::SignOuts),
            ("one/1", &heard),
            ("one/1", &Bulletin::Trust),
        ]
    );
    let numbers: Vec<_> = posted.iter().map(|one| one.number).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    assert_eq!(one.bulletins().beginning(60).await?, 0);
    assert_eq!(one.bulletins().after(7).await?, posted[7..]);
    Ok(())
}

async fn numbers_become_visible_in_their_order(bed: &Bed) -> Outcome {
    const EACH: u64 = 25;
    let (one, two) = instances(bed).await?;
    if !one.is_shared() {
        return Ok(());
    }
    let writers: Vec<_> = [&one, &one, &two, &two]
        .map(Store::clone)
        .into_iter()
        .map(|store| {
            tokio::spawn(async move {
                for _ in 0..EACH {
                    store.bulletins().post(&[Bulletin::Look]).await?;
                }
                Ok::<_, alliance_store::Error>(())
            })
        })
        .collect();
    let reader = bed.open().await?;
    let mut last = 0;
    while last < 4 * EACH {
        for Posted { number, .. } in reader.bulletins().after(last).await? {
            assert_eq!(number, last + 1);
            last = number;
        }
    }
    for writer in writers {
        writer.await??;
    }
    Ok(())
}

async fn no_host_misses_what_two_instances_note_at_once(bed: &Bed) -> Outcome {
    const EACH: usize = 25;
    let (one, two) = instances(bed).await?;
    let writers: Vec<_> = [&one, &one, &two, &two]
        .map(Store::clone)
        .into_iter()
        .enumerate()
        .map(|(writer, store)| {
            tokio::spawn(async move {
                for number in 0..EACH {
                    let new = [doubt(&format!("{writer}-{number}"))];
                    store.sign_outs().append(&new, 5).await?;
                }
                Ok::<_, alliance_store::Error>(())
            })
        })
        .collect();
    let (reader, east) = (bed.open().await?, cloud("east"));
    let (mut heard, mut turns) = (0, 0);
    while heard < 4 * EACH && turns < 2000 {
        let found = reader.sign_outs().unheard(&east, 0, 10).await?;
        if let Some(last) = found.last() {
            reader.sign_outs().hears(&east, last.seq).await?;
        }
        heard += found.len();
        turns += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for writer in writers {
        writer.await??;
    }
    assert_eq!(heard, 4 * EACH);
    Ok(())
}

async fn what_is_old_is_forgotten_and_leaves_a_gap(bed: &Bed) -> Outcome {
    let (one, two) = instances(bed).await?;
    let three = [Bulletin::Look, Bulletin::Catalog, Bulletin::Joined];
    one.bulletins().post(&three).await?;
    assert_eq!(one.bulletins().forget_older(60, 120).await?, 0);
    if !one.is_shared() {
        return Ok(());
    }
    bed.execute("UPDATE bulletins SET at = at - 61 WHERE seq < 3")
        .await?;
    assert_eq!(one.bulletins().forget_older(60, 120).await?, 2);
    let left = two.bulletins().after(0).await?;
    assert_eq!(left.first().map(|one| one.number), Some(3));
    assert_eq!(two.bulletins().beginning(60).await?, 2);
    assert_eq!(two.bulletins().heard_after(0).await?, []);
    bed.execute("DELETE FROM bulletins").await?;
    assert_eq!(two.bulletins().beginning(60).await?, 3);
    Ok(())
}

async fn what_partners_have_said_is_kept_for_longer(bed: &Bed) -> Outcome {
    let (one, two) = instances(bed).await?;
    if !one.is_shared() {
        return Ok(());
    }
    let heard = Bulletin::Heard {
        partner: cloud("west"),
        changes: vec![doubt("ann").change],
    };
    let told = [Bulletin::Look, heard.clone(), Bulletin::Catalog, heard];
    one.bulletins().post(&told).await?;
    bed.execute("UPDATE bulletins SET at = at - 61 WHERE seq < 4")
        .await?;
    assert_eq!(one.bulletins().forget_older(60, 120).await?, 2);
    let numbers = |posted: Vec<Posted>| posted.iter().map(|one| one.number).collect::<Vec<_>>();
    assert_eq!(numbers(two.bulletins().after(0).await?), [2, 4]);
    assert_eq!(numbers(two.bulletins().heard_after(0).await?), [2, 4]);
    assert_eq!(numbers(two.bulletins().heard_after(2).await?), [4]);
    assert_eq!(two.bulletins().beginning(60).await?, 3, "not the kept one");
    bed.execute("UPDATE bulletins SET at = at - 61").await?;
    assert_eq!(one.bulletins().forget_older(60, 120).await?, 1);
    assert_eq!(numbers(two.bulletins().after(0).await?), [4]);
    Ok(())
}

async fn what_a_later_version_says_is_something_unknown(bed: &Bed) -> Outcome {
    let (_, two) = instances(bed).await?;
    bed.execute(
        r#"INSERT INTO bulletins (seq, at, author, what) VALUES (1, 1, 'three/1', '{"kind":"moon","phase":1}')"#,
    )
    .await?;
    // Of a kind that is known, about something that is not.
    bed.execute(
        r#"INSERT INTO bulletins (seq, at, author, what) VALUES (2, 1, 'three/1', '{"kind":"heard","partner":"west","changes":[{"moon":1}]}')"#,
    )
    .await?;
    let found = two.bulletins().after(0).await?;
    let found: Vec<_> = found.into_iter().map(|one| one.what).collect();
    assert_eq!(found, [Bulletin::Unknown, Bulletin::Unknown]);
    Ok(())
}
