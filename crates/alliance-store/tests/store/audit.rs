use alliance_store::AuditEntry;

use crate::bed::{Bed, Outcome, on_both};

on_both!(the_newest_lines_come_first_in_the_order_of_writing);

async fn the_newest_lines_come_first_in_the_order_of_writing(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let entry = |number: i64| AuditEntry {
        at: 5,
        actor: "operator".into(),
        action: "partner.suspended".into(),
        subject: "west 🜁".into(),
        detail: format!("line {number}"),
    };
    for number in 0..5 {
        store.audit().append(&entry(number)).await?;
    }
    assert_eq!(store.audit().list(2).await?, [entry(4), entry(3)]);
    assert_eq!(store.audit().list(100).await?.len(), 5);
    Ok(())
}
