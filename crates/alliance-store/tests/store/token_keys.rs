//! The keys of this cloud's Keystone, as they come and go.

use std::collections::BTreeMap;

use alliance_core::descriptor::SignatureFamily;
use alliance_store::Store;

use crate::bed::{Bed, Outcome, on_both};

on_both!(
    a_key_that_goes_is_told_for_a_while,
    a_key_that_comes_back_never_went,
);

const TOLD_FOR: i64 = 100;

fn keys(ids: &[&str]) -> BTreeMap<String, (SignatureFamily, String)> {
    let key = |id: &&str| {
        (
            (*id).to_owned(),
            (SignatureFamily::Jws, format!("der of {id}")),
        )
    };
    ids.iter().map(key).collect()
}

async fn see(
    store: &Store,
    ids: &[&str],
    now: i64,
) -> Result<Vec<(String, Option<i64>)>, Box<dyn std::error::Error>> {
    let seen = store.token_keys().see(&keys(ids), now, TOLD_FOR).await?;
    Ok(seen.into_iter().map(|key| (key.id, key.gone_at)).collect())
}

fn told(keys: &[(&str, Option<i64>)]) -> Vec<(String, Option<i64>)> {
    keys.iter()
        .map(|(id, gone)| ((*id).to_owned(), *gone))
        .collect()
}

async fn a_key_that_goes_is_told_for_a_while(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    assert_eq!(see(&store, &["old"], 10).await?, told(&[("old", None)]));
    let both = told(&[("new", None), ("old", None)]);
    assert_eq!(see(&store, &["old", "new"], 20).await?, both);
    let gone = told(&[("new", None), ("old", Some(30))]);
    assert_eq!(see(&store, &["new"], 30).await?, gone);
    assert_eq!(see(&store, &["new"], 129).await?, gone);
    assert_eq!(see(&store, &["new"], 130).await?, told(&[("new", None)]));
    let seen = store
        .token_keys()
        .see(&keys(&["new"]), 131, TOLD_FOR)
        .await?;
    assert_eq!(seen[0].der, "der of new");
    assert_eq!(seen[0].family, SignatureFamily::Jws);
    Ok(())
}

async fn a_key_that_comes_back_never_went(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    see(&store, &["key"], 10).await?;
    assert_eq!(see(&store, &[], 20).await?, told(&[("key", Some(20))]));
    assert_eq!(see(&store, &["key"], 30).await?, told(&[("key", None)]));
    Ok(())
}
