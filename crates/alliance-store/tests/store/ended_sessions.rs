//! Sessions that have ended before their time.

use std::collections::BTreeSet;

use alliance_core::session::Origin;
use alliance_store::{EndedSession, SeenToken, Store};
use futures_util::future::try_join_all;
use jiff::Timestamp;

use crate::bed::{Bed, Outcome, cloud, on_both};

on_both!(
    what_has_ended_is_known_until_it_would_have_expired,
    a_sessions_tokens_are_known_with_what_was_made_from_them,
    more_than_are_handed_over_at_a_time_are_all_handed_over,
);

fn ended(session: &str, expires_at: i64) -> EndedSession {
    EndedSession {
        session: session.into(),
        cloud_id: cloud("west"),
        user_id: "ann".into(),
        expires_at,
    }
}

async fn what_has_ended_is_known_until_it_would_have_expired(bed: &Bed) -> Outcome {
    let many: Vec<_> = (0..250)
        .map(|number| ended(&format!("s{number}"), 200))
        .collect();
    let store = bed.open().await?;
    store.ended_sessions().add(&many).await?;
    store.ended_sessions().add(&[ended("early", 100)]).await?;
    store
        .ended_sessions()
        .told(&["s7".into(), "s8".into(), "nobody".into()])
        .await?;
    store.close().await;

    let store = bed.open().await?;
    let sessions = store.ended_sessions();
    let told = |found: &[(EndedSession, bool)]| found.iter().filter(|(_, told)| *told).count();
    let found = sessions.list(99).await?;
    assert_eq!((found.len(), told(&found)), (251, 2));
    assert!(found.contains(&(ended("s7", 200), true)));
    assert!(found.contains(&(ended("s9", 200), false)));
    assert_eq!(sessions.list(100).await?.len(), 250);
    // Of what was known already nobody is told again.
    let both = [ended("s7", 200), ended("another", 200)];
    assert_eq!(sessions.add(&both).await?, [ended("another", 200)]);
    assert_eq!(told(&sessions.list(100).await?), 2);
    assert_eq!(sessions.forget_expired(100).await?, 1);
    assert_eq!(sessions.forget_expired(200).await?, 251);
    Ok(())
}

/// By hash.
async fn origins(store: &Store, now: i64) -> Outcome<Vec<SeenToken>> {
    let mut all = Vec::new();
    let take = |mut some| all.append(&mut some);
    store.seen_tokens().each_origin(now, take).await?;
    all.sort_by(|one, other| one.token_sha256.cmp(&other.token_sha256));
    Ok(all)
}

async fn more_than_are_handed_over_at_a_time_are_all_handed_over(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let tokens = (0..2001).map(|number| SeenToken {
        token_sha256: format!("{number:064}"),
        cloud_id: cloud("west"),
        user_id: "u".into(),
        project_id: None,
        expires_at: 100,
        session: None,
        origin: Some(Origin {
            session: number.to_string().into(),
            audit_ids: [].into(),
            user_domain_id: "people".into(),
            project_domain_id: None,
            issued_at: Timestamp::UNIX_EPOCH,
        }),
    });
    let tokens: Vec<_> = tokens.collect();
    let notes = tokens.iter().cloned();
    try_join_all(notes.map(|token| store.seen_tokens().note(token))).await?;
    assert_eq!(origins(&store, 99).await?, tokens);
    Ok(())
}

async fn a_sessions_tokens_are_known_with_what_was_made_from_them(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let origin = Origin {
        session: "one".into(),
        audit_ids: ["own".into(), "root".into()].into(),
        user_domain_id: "people".into(),
        project_domain_id: None,
        issued_at: Timestamp::from_microsecond(1_700_000_000_123_456)?,
    };
    let token = |hash: &str, session: Option<&str>, origin: Option<&Origin>| SeenToken {
        token_sha256: hash.into(),
        cloud_id: cloud("west"),
        user_id: "u".into(),
        project_id: None,
        expires_at: 100,
        session: session.map(str::to_owned),
        origin: origin.cloned(),
    };
    let first = token("a", Some("one"), Some(&origin));
    let last = token("e", Some("one"), Some(&origin));
    for seen in [
        last.clone(),
        first.clone(),
        token("b", Some("one"), None),
        token("c", Some("two"), None),
        token("d", None, None),
    ] {
        store.seen_tokens().note(seen).await?;
    }
    let tokens = store.seen_tokens();
    assert_eq!(origins(&store, 99).await?, [first, last]);
    assert!(origins(&store, 100).await?.is_empty());
    let counted = tokens.count_by_session(99).await?;
    assert_eq!(
        counted,
        [("one".to_owned(), 3), ("two".to_owned(), 1)].into()
    );
    assert!(tokens.count_by_session(100).await?.is_empty());
    let of = |ids: &[&str]| {
        ids.iter()
            .map(|id| (*id).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        tokens.of_sessions(&of(&["one", "nobody"])).await?,
        ["a", "b", "e"]
    );
    assert_eq!(tokens.of_sessions(&of(&["one", "two"])).await?.len(), 4);
    assert!(tokens.of_sessions(&of(&[])).await?.is_empty());
    Ok(())
}
