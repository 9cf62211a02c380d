//! What the daemon meets while it runs.

use sqlx::{AnyConnection, Connection, Executor};

use crate::bed::{Bed, Outcome, cloud, invitation, on_both, pair};

on_both!(a_damaged_row_is_named_by_its_column);

async fn a_damaged_row_is_named_by_its_column(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    bed.execute("UPDATE partners SET status = 'lost'").await?;
    let error = store.partners().list().await.err().ok_or("it was read")?;
    assert_eq!(
        error.to_string(),
        "the database holds a damaged status: expected one of draft, active, suspended, expired, \
         removed, found \"lost\""
    );
    Ok(())
}

#[tokio::test]
async fn a_write_that_waits_for_another_process_goes_through_when_that_is_done() -> Outcome {
    let bed = Bed::sqlite()?;
    let store = bed.open().await?;
    let mut other = AnyConnection::connect(bed.url()).await?;
    other.execute("BEGIN IMMEDIATE").await?;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.invitations().create(&invitation("west"), 1).await }
    });
    // Readers are not held up.
    assert!(store.drafts(1).await?.is_empty());
    assert!(!waiting.is_finished());
    other.execute("COMMIT").await?;
    waiting.await??;
    assert_eq!(store.drafts(1).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn connections_that_mariadb_ended_are_replaced() -> Outcome {
    let Some(bed) = Bed::mariadb().await? else {
        return Ok(());
    };
    bed.run(async |bed| {
        let store = bed.open().await?;
        pair(&store, "west").await?;
        let others =
            "SELECT CAST(COALESCE(MAX(id), 0) AS SIGNED) FROM information_schema.processlist
            WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        let mut killed = 0;
        while let id @ 1.. = bed.count(others).await? {
            // One that goes by itself just then is gone too.
            let _ = bed.execute(&format!("KILL HARD CONNECTION {id}")).await;
            killed += 1;
        }
        assert_ne!(killed, 0);
        store.partners().remove(&cloud("west"), 20).await?;
        Ok(())
    })
    .await
}
