//! Backups: the same rows in either database, all or none of them, and nothing that has ended since.

mod damage;
mod numbers;

use std::collections::BTreeMap;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::partner::Status;
use alliance_core::retirement::{Cause, Plan};
use alliance_core::terms;
use alliance_store::{
    Backup, BackupError, BackupFile, BackupKeys, EndedSession, GuestStanding, Mended, Mending,
    NewSignOut, OpenError, Restoration, SeenToken, Store, TakenOrder,
};
use sqlx::{AnyConnection, Connection, Row};
use tokio::runtime::Handle;

use crate::bed::{
    Bed, Outcome, acceptance, cloud, invitation, on_both, pair, pair_until, this_cloud,
};

on_both!(
    every_row_is_there_again_in_either_database,
    a_backup_is_of_one_moment_whoever_writes,
    a_pairing_under_way_is_not_kept,
    sessions_end_and_keystone_is_told_of_all,
    partners_retirements_and_orders_wait_for_an_operator,
    what_goes_on_goes_on_where_it_is_said_that_nothing_has_happened,
    a_restore_that_dies_leaves_nothing_and_is_done_again,
    nothing_is_put_beside_what_is_there,
);

/// When backups are made here, and when they are restored.
const MADE_AT: Seconds = 1_764_400_000;
const NOW: Seconds = MADE_AT + 3600;

fn keys() -> BackupKeys {
    BackupKeys {
        identity: "the identity".to_owned().into(),
        signing: "the signature".to_owned().into(),
    }
}

async fn taken(bed: &Bed, cloud: &CloudId) -> Result<Vec<u8>, BackupError> {
    let mut file = Vec::new();
    let keys = keys();
    let backup = Backup {
        url: bed.url(),
        cloud,
        keys: &keys,
        made_at: MADE_AT,
        made_by: "a test",
    };
    backup.write(&mut file, |_, _| ()).await?;
    Ok(file)
}

async fn take(bed: &Bed) -> Result<Vec<u8>, BackupError> {
    taken(bed, &this_cloud()).await
}

fn mending(resume: bool) -> Mending {
    Mending {
        now: NOW,
        resume,
        by: "operator".into(),
    }
}

async fn restore(bed: &Bed, backup: &[u8], resume: bool) -> Result<Mended, BackupError> {
    let mut file = BackupFile::open(backup)?;
    let about = file.about().clone();
    let mut restoration = Restoration::begin(bed.url(), &about).await?;
    restoration.load(&mut file, |_, _| ()).await?;
    let mended = restoration.mend(&mending(resume)).await?;
    restoration.commit().await?;
    Ok(mended)
}

/// The lines of each table.
fn tables(backup: &[u8]) -> Result<BTreeMap<String, Vec<String>>, Box<dyn std::error::Error>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in std::str::from_utf8(backup)?.lines().skip(2) {
        if line.starts_with('[') {
            tables
                .entry(name.clone())
                .or_default()
                .push(line.to_owned());
        } else {
            let heading: serde_json::Value = serde_json::from_str(line)?;
            name = heading["table"].as_str().unwrap_or_default().to_owned();
        }
    }
    Ok(tables)
}

/// Puts rows into each table of an SQLite database, with something in each column.
async fn fill(bed: &Bed) -> Outcome {
    let mut connection = AnyConnection::connect(bed.url()).await?;
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'
        AND name NOT IN ('meta', 'leases') ORDER BY name <> 'partners'";
    for table in sqlx::query(tables).fetch_all(&mut connection).await? {
        let table: String = table.try_get("name")?;
        let columns = "SELECT name, type, \"notnull\" AS needed FROM pragma_table_info(?)";
        let columns = sqlx::query(columns)
            .bind(&table)
            .fetch_all(&mut connection)
            .await?;
        for number in 0..3_i64 {
            let mut values = Vec::new();
            for column in &columns {
                let (name, kind): (String, String) =
                    (column.try_get("name")?, column.try_get("type")?);
                let needed: i64 = column.try_get("needed")?;
                values.push(match (&*table, &*name, &*kind) {
                    _ if needed == 0 && number == 1 => "NULL".to_owned(),
                    (_, _, "BIGINT") => ((1_i64 << 53) + number).to_string(),
                    (_, _, "INTEGER") => (7 + number).to_string(),
                    (_, "partner_id", _) | ("partners", "id", _) => format!("'p{number}'"),
                    ("aliases", "holder", _) => format!("'partner:{number}'"),
                    ("acceptances" | "invitations", "state", _) => "'over'".to_owned(),
                    // What both databases could spell differently.
                    (_, _, "TEXT" | "MEDIUMTEXT") => format!("'a''\"\\\n\té 𝄞 {number} '"),
                    _ => format!("'é{number} '"),
                });
            }
            let values = values.join(", ");
            let insert = format!("REPLACE INTO {table} VALUES ({values})");
            sqlx::query(&insert).execute(&mut connection).await?;
        }
    }
    Ok(connection.close().await?)
}

async fn every_row_is_there_again_in_either_database(bed: &Bed) -> Outcome {
    let (first, last) = (Bed::sqlite()?, Bed::sqlite()?);
    first.open().await?.close().await;
    fill(&first).await?;
    let before = take(&first).await?;
    restore(bed, &before, true).await?;
    let between = take(bed).await?;
    restore(&last, &between, true).await?;
    let after = take(&last).await?;

    let [before, between, after] = [tables(&before)?, tables(&between)?, tables(&after)?];
    let names: Vec<_> = before.keys().collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let rows = [&before[name], &between[name], &after[name]];
        assert!(before[name].len() >= 3, "{name} {rows:?}");
        let expected = match &**name {
            // What has numbers that change, or is noted.
            "counters" | "usage_outbox" | "usage_positions" | "notice_outbox"
            | "notice_positions" => continue,
            "sign_outs" | "audit" => {
                let grown: Vec<_> = rows.iter().map(|rows| rows.len()).collect();
                assert_eq!(grown, [3, 4, 5], "{name}");
                assert!(rows[1].starts_with(rows[0]) && rows[2].starts_with(rows[1]));
                continue;
            }
            "ended_sessions" => {
                let untold = |row: &String| row.ends_with(",0]");
                assert!(rows[1].iter().all(untold), "{rows:?}");
                rows[1]
            }
            _ => rows[0],
        };
        assert_eq!((rows[1], rows[2]), (expected, expected), "{name}");
    }
    for name in ["usage_outbox", "notice_outbox"] {
        let [a, b, c] = [&before, &between, &after].map(|tables| unnumbered(&tables[name]));
        let a = a?;
        assert_eq!((&a, &a), (&b?, &c?), "{name}");
    }
    Ok(())
}

type Values = Vec<serde_json::Value>;

/// The rows of an outbox, without their numbers.
fn unnumbered(rows: &[String]) -> Result<Vec<Values>, serde_json::Error> {
    let rows = rows.iter().map(|row| {
        let mut row: Values = serde_json::from_str(row)?;
        row.remove(1);
        Ok(row)
    });
    rows.collect()
}

async fn a_backup_is_of_one_moment_whoever_writes(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let (mut file, keys, us) = (Vec::new(), keys(), this_cloud());
    let backup = Backup {
        url: bed.url(),
        cloud: &us,
        keys: &keys,
        made_at: MADE_AT,
        made_by: "a test",
    };
    let mut wrote = false;
    let written = backup.write(&mut file, |_, _| {
        // Nobody is kept from writing meanwhile.
        if !std::mem::replace(&mut wrote, true) {
            let paired =
                tokio::task::block_in_place(|| Handle::current().block_on(pair(&store, "north")));
            assert!(paired.is_ok(), "{paired:?}");
        }
    });
    written.await?;
    let tables = tables(&file)?;
    assert_eq!((tables["partners"].len(), tables["aliases"].len()), (1, 1));
    assert_eq!(store.partners().list().await?.len(), 2);
    Ok(())
}

async fn a_pairing_under_way_is_not_kept(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    store.invitations().create(&invitation("north"), 10).await?;
    store.acceptances().create(&acceptance("south"), 10).await?;
    let backup = take(bed).await?;
    assert!(!String::from_utf8_lossy(&backup).contains("c2VjcmV0"));
    let other = Bed::sqlite()?;
    restore(&other, &backup, true).await?;
    let store = other.open().await?;
    let partners = store.partners().list().await?;
    assert_eq!(partners.len(), 1);
    assert_eq!(partners[0].partner.status, Status::Active);
    assert!(store.drafts(10).await?.is_empty());
    // Their names are free.
    pair(&store, "north").await?;
    pair(&store, "south").await?;
    Ok(())
}

fn seen(number: u32, session: &str, expires_at: Seconds) -> SeenToken {
    SeenToken {
        token_sha256: format!("{number:064x}"),
        cloud_id: cloud("west"),
        user_id: "ann".into(),
        project_id: None,
        expires_at,
        session: Some(session.into()),
        origin: None,
    }
}

async fn sessions_end_and_keystone_is_told_of_all(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    for token in [
        seen(1, "lives", NOW + 10),
        seen(2, "lives", NOW + 20),
        seen(3, "expired", NOW),
        seen(4, "ended", NOW + 30),
    ] {
        store.seen_tokens().note(token).await?;
    }
    let ended = |session: &str, expires_at| EndedSession {
        session: session.into(),
        cloud_id: cloud("west"),
        user_id: "ann".into(),
        expires_at,
    };
    let sessions = store.ended_sessions();
    sessions.add(&[ended("ended", NOW + 30)]).await?;
    sessions.told(&["ended".into()]).await?;
    let backup = take(bed).await?;
    let other = Bed::sqlite()?;
    let mended = restore(&other, &backup, true).await?;
    assert_eq!(mended.sessions_ended, 1);
    let store = other.open().await?;
    let mut found = store.ended_sessions().list(NOW).await?;
    found.sort_by(|a, b| a.0.session.cmp(&b.0.session));
    let expected = [
        (ended("ended", NOW + 30), false),
        (ended("lives", NOW + 20), false),
    ];
    assert_eq!(found, expected);
    // So that they are taken out of caches.
    let lives = ["lives".to_owned()].into();
    let of_sessions = store.seen_tokens().of_sessions(&lives);
    assert_eq!(of_sessions.await?.len(), 2);
    Ok(())
}

/// A cloud with everything that could begin again.
async fn busy(bed: &Bed) -> Result<Store, Box<dyn std::error::Error>> {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    pair(&store, "north").await?;
    pair_until(&store, "south", Some(20)).await?;
    let partners = store.partners();
    partners
        .set_status(&cloud("north"), Status::Suspended, 15)
        .await?;
    partners.expire_due(30).await?;
    let policy = terms::Retirement {
        quarantine_after: 0,
        delete_after: 100,
    };
    let plan = Plan::begin(Cause::AgreementEnded, policy, 10);
    let retirements = store.retirements();
    retirements
        .begin("r", &cloud("west"), "p", &plan, 10)
        .await?;
    let standing = GuestStanding {
        cloud_id: cloud("west"),
        project_id: "science".into(),
        is_kept: true,
        policy,
        word: None,
    };
    store.guest_standings().note(&[standing]).await?;
    let order = TakenOrder {
        stack_id: "stack".into(),
        home: cloud("west"),
        project_id: "science".into(),
        name: "web".into(),
        id: "order".into(),
        number: 1,
        action: "apply".into(),
        signed: "signed".into(),
    };
    store.provisions().take_in(&order, 10).await?;
    Ok(store)
}

async fn partners_retirements_and_orders_wait_for_an_operator(bed: &Bed) -> Outcome {
    busy(bed).await?;
    let backup = take(bed).await?;
    let other = Bed::sqlite()?;
    let mended = restore(&other, &backup, false).await?;
    let expected = Mended {
        sessions_ended: 0,
        suspended: vec!["west".into()],
        held: vec!["r".into()],
        given_up: vec!["stack".into()],
    };
    assert_eq!(mended, expected);
    let store = other.open().await?;
    let mut statuses: Vec<_> = store
        .partners()
        .list()
        .await?
        .into_iter()
        .map(|record| (record.partner.name, record.partner.status))
        .collect();
    statuses.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("north".to_owned(), Status::Suspended),
        ("south".to_owned(), Status::Expired),
        ("west".to_owned(), Status::Suspended),
    ];
    assert_eq!(statuses, expected);
    let retirement = store.retirements().by_id("r").await?;
    assert!(retirement.is_some_and(|one| one.plan.is_held));
    // No retirement begins by itself, whatever has become of agreements since.
    let standings = store.guest_standings().list().await?;
    assert!(standings.iter().all(|standing| !standing.is_kept));
    assert!(store.provisions().open().await?.is_empty());
    let stack = store.provisions().stack("stack").await?;
    let why = stack.and_then(|stack| stack.detail).unwrap_or_default();
    assert!(why.contains("restored from a backup"), "{why}");
    let audit = store.audit().list(1).await?;
    let last = audit.first().map(|entry| (&*entry.action, entry.at));
    assert_eq!(last, Some(("database.restored", NOW)));
    Ok(())
}

async fn what_goes_on_goes_on_where_it_is_said_that_nothing_has_happened(bed: &Bed) -> Outcome {
    busy(bed).await?;
    let backup = take(bed).await?;
    let other = Bed::sqlite()?;
    assert_eq!(restore(&other, &backup, true).await?, Mended::default());
    let store = other.open().await?;
    let west = store.partners().list().await?;
    let west = west.iter().find(|record| record.partner.name == "west");
    assert_eq!(
        west.map(|record| record.partner.status),
        Some(Status::Active)
    );
    let retirement = store.retirements().by_id("r").await?;
    assert!(retirement.is_some_and(|one| !one.plan.is_held));
    assert_eq!(store.provisions().open().await?.len(), 1);
    let standings = store.guest_standings().list().await?;
    assert!(standings.iter().all(|standing| standing.is_kept));
    Ok(())
}

async fn a_restore_that_dies_leaves_nothing_and_is_done_again(bed: &Bed) -> Outcome {
    let source = Bed::sqlite()?;
    let store = source.open().await?;
    pair(&store, "west").await?;
    let many: Vec<_> = (0..12_000)
        .map(|number| NewSignOut {
            digest: Some(format!("{number:064x}")),
            change: alliance_core::sign_out::Change::LookAgain(Default::default()),
        })
        .collect();
    store.sign_outs().append(&many, NOW).await?;
    let backup = take(&source).await?;
    // It dies after so much of the file.
    for part in [backup.len() / 2, backup.len() - 10] {
        let cut = restore(bed, &backup[..part], true).await;
        assert!(matches!(cut, Err(BackupError::Truncated { .. })), "{cut:?}");
    }
    if bed.url().starts_with("mysql") {
        let refused = Store::open(bed.url(), &this_cloud()).await;
        assert!(
            matches!(refused, Err(OpenError::HalfRestored { .. })),
            "{refused:?}"
        );
        let refused = Store::attach(bed.url()).await;
        assert!(refused.is_err(), "{refused:?}");
    } else {
        let tables = bed.count("SELECT COUNT(*) FROM sqlite_master").await?;
        assert_eq!(tables, 0);
    }
    // And before it says that it is done.
    let mut file = BackupFile::open(&*backup)?;
    let about = file.about().clone();
    let mut restoration = Restoration::begin(bed.url(), &about).await?;
    restoration.load(&mut file, |_, _| ()).await?;
    restoration.mend(&mending(true)).await?;
    drop(restoration);
    restore(bed, &backup, true).await?;
    let store = bed.open().await?;
    assert_eq!(store.partners().list().await?.len(), 1);
    let told = store
        .sign_outs()
        .unheard(&cloud("north"), 0, 20_000)
        .await?;
    assert_eq!(told.len(), 12_001);
    Ok(())
}

async fn nothing_is_put_beside_what_is_there(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let backup = take(bed).await?;
    let refused = restore(bed, &backup, false).await;
    assert!(
        matches!(refused, Err(BackupError::NotEmpty { .. })),
        "{refused:?}"
    );
    let partners = store.partners().list().await?;
    assert_eq!(partners[0].partner.status, Status::Active);
    // Nor beside somebody else's.
    let other = Bed::sqlite()?;
    std::fs::File::create(other.url().trim_start_matches("sqlite://"))?;
    other.execute("CREATE TABLE theirs (id INTEGER)").await?;
    let refused = restore(&other, &backup, false).await;
    assert!(
        matches!(refused, Err(BackupError::NotEmpty { .. })),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn nothing_is_taken_where_nothing_is_or_of_another_cloud() -> Outcome {
    let bed = Bed::sqlite()?;
    let nothing = take(&bed).await;
    assert!(
        matches!(
            nothing,
            Err(BackupError::Open(OpenError::NobodysYet { .. }))
        ),
        "{nothing:?}"
    );
    bed.open().await?.close().await;
    let foreign = taken(&bed, &cloud("west")).await;
    assert!(
        matches!(
            foreign,
            Err(BackupError::Open(OpenError::ForeignCloud { .. }))
        ),
        "{foreign:?}"
    );
    Ok(())
}

/// A store of the cloud of that name.
async fn store_of(bed: &Bed, name: &str) -> Result<Store, OpenError> {
    Store::open(bed.url(), &cloud(name)).await
}
