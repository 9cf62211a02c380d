//! What partners say once their signatures were checked, and what is on the services' message bus.

use alliance_core::notice::NoticeBatch;
use alliance_core::provision::{Parameters, Plan, read};
use alliance_core::retirement::Receipts;
use alliance_core::usage::{Message, UsageBatch};
use serde_json::Value;

/// The claims of a statement that carries usage, notices or a receipt.
pub fn claims(data: &[u8]) {
    for known in [0, 7, u64::MAX] {
        if let Ok(batch) = serde_json::from_slice::<UsageBatch>(data)
            && let Ok(new) = batch.after(known)
        {
            assert!(new.iter().all(|(number, _)| *number > known));
            assert!(new.len() <= batch.events.len());
        }
        if let Ok(batch) = serde_json::from_slice::<NoticeBatch>(data)
            && let Ok(arrived) = batch.arrived(known)
        {
            for one in arrived {
                assert!(one.seq <= batch.last);
                assert!(one.seq > known || batch.is_set_back(known));
                assert!(
                    one.notice
                        .is_none_or(|notice| notice.require_sound().is_ok())
                );
            }
        }
        if let Ok(receipts) = serde_json::from_slice::<Receipts>(data)
            && let Ok(Some((_, receipt))) = receipts.after(known)
        {
            assert!((1..=receipt.pages).contains(&receipt.page));
        }
    }
}

/// A notification.
pub fn message(data: &[u8]) {
    if let Ok(message) = Message::read(data)
        && let Ok(Some(notice)) = message.notice()
    {
        assert!(!notice.resource.id.is_empty());
    }
}

/// A plan: as a template, or as an order carries it.
pub fn plan(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let read = read(&value, &Parameters::new());
    let carried = serde_json::from_value::<Plan>(value);
    for plan in [read.ok(), carried.ok()].into_iter().flatten() {
        let again = serde_json::to_value(&plan).and_then(serde_json::from_value::<Plan>);
        assert_eq!(again.ok(), Some(plan));
    }
}
