use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use alliance_core::partner::Kind;
use alliance_core::token::{TokenFormat, TokenPolicy};
use alliance_store::{Look, OpenError, Store};

use crate::agreements::{agreement, terms};
use crate::bed::{Bed, Outcome, cloud, descriptor, on_both, pair, this_cloud};
use crate::keystones::keystone;

on_both!(
    what_was_stored_is_there_after_a_restart,
    the_database_of_another_cloud_is_refused_and_both_are_named,
    a_newer_schema_is_refused,
    a_newer_schema_that_works_with_this_version_is_not,
    a_look_changes_nothing,
    what_somebody_has_taken_away_is_named,
    of_many_daemons_that_start_at_once_one_migrates,
    a_database_of_the_first_schema_keeps_what_it_holds,
);

async fn what_was_stored_is_there_after_a_restart(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let partner = pair(&store, "west").await?;
    store.close().await;

    let store = bed.open().await?;
    store.ping().await?;
    let found = store.partners().by_name("west").await?;
    assert_eq!(found.map(|record| record.partner), Some(partner));
    Ok(())
}

async fn the_database_of_another_cloud_is_refused_and_both_are_named(bed: &Bed) -> Outcome {
    bed.open().await?.close().await;
    let error = refusal(bed.url(), "north").await?;
    assert!(matches!(error, OpenError::ForeignCloud { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(this_cloud().as_str()), "{text}");
    assert!(text.contains(cloud("north").as_str()), "{text}");
    bed.open().await?;
    Ok(())
}

async fn a_newer_schema_is_refused(bed: &Bed) -> Outcome {
    bed.open().await?.close().await;
    bed.execute("UPDATE meta SET value = '21' WHERE name IN ('schema', 'least')")
        .await?;
    let error = match bed.open().await {
        Ok(_) => return Err("it was opened".into()),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("has schema 21"), "{error}");
    assert_eq!(bed.count("SELECT COUNT(*) FROM partners").await?, 0);
    Ok(())
}

async fn a_newer_schema_that_works_with_this_version_is_not(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    store.close().await;
    bed.execute("ALTER TABLE partners ADD COLUMN moon TEXT")
        .await?;
    bed.execute("UPDATE meta SET value = '21' WHERE name = 'schema'")
        .await?;
    bed.execute("UPDATE meta SET value = '20' WHERE name = 'least'")
        .await?;
    let look = Store::look(bed.url(), &this_cloud()).await?;
    assert_eq!(
        look,
        Look::Schema {
            found: 21,
            known: 20
        }
    );
    let store = bed.open().await?;
    pair(&store, "east").await?;
    assert_eq!(store.partners().list().await?.len(), 2);
    store.close().await;
    // It stays as the later version left it.
    let schema = "SELECT COUNT(*) FROM meta WHERE name = 'schema' AND value = '21'";
    assert_eq!(bed.count(schema).await?, 1);
    Ok(())
}

async fn a_look_changes_nothing(bed: &Bed) -> Outcome {
    let look = async || Store::look(bed.url(), &this_cloud()).await;
    assert_eq!(look().await?, Look::Absent);
    assert_eq!(look().await?, Look::Absent, "the first look made nothing");
    bed.open().await?.close().await;
    let Look::Schema { found, known } = look().await? else {
        return Err("it is there".into());
    };
    assert_eq!(found, known);
    bed.execute("UPDATE meta SET value = '3' WHERE name = 'schema'")
        .await?;
    assert_eq!(look().await?, Look::Schema { found: 3, known });
    assert_eq!(look().await?, Look::Schema { found: 3, known });
    bed.execute("UPDATE meta SET value = '99' WHERE name IN ('schema', 'least')")
        .await?;
    let error = look().await.err().ok_or("it is newer")?;
    assert!(matches!(error, OpenError::NewerSchema { .. }), "{error}");
    let other = Store::look(bed.url(), &cloud("north")).await;
    let error = other.err().ok_or("it is another cloud's")?;
    assert!(matches!(error, OpenError::ForeignCloud { .. }), "{error}");
    Ok(())
}

async fn what_somebody_has_taken_away_is_named(bed: &Bed) -> Outcome {
    bed.open().await?.close().await;
    bed.execute("ALTER TABLE counters RENAME COLUMN value TO amount")
        .await?;
    bed.execute("DROP TABLE leases").await?;
    let look = Store::look(bed.url(), &this_cloud()).await;
    let error = look.err().ok_or("it is as it was")?;
    assert!(matches!(error, OpenError::Incomplete { .. }), "{error}");
    let error = error.to_string();
    assert!(
        error.contains(" lacks counters.value, leases, which"),
        "{error}"
    );
    Ok(())
}

async fn of_many_daemons_that_start_at_once_one_migrates(bed: &Bed) -> Outcome {
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let url = bed.url().to_owned();
        starts.spawn(async move { Store::open(&url, &this_cloud()).await.map(drop) });
    }
    for started in starts.join_all().await {
        started?;
    }
    assert_eq!(bed.count("SELECT COUNT(*) FROM meta").await?, 3);
    Ok(())
}

#[tokio::test]
async fn who_changes_mariadbs_tables_keeps_others_out_until_it_has_died_for_long() -> Outcome {
    let Some(bed) = Bed::mariadb().await? else {
        return Ok(());
    };
    bed.run(async |bed| {
        bed.open().await?.close().await;
        let left = "SELECT COUNT(*) FROM leases WHERE name = 'schema'";
        assert_eq!(bed.count(left).await?, 0, "it was given back");
        bed.execute(
            "INSERT INTO leases (name, holder, till) VALUES ('schema', 'another', UNIX_TIMESTAMP() + 2)",
        )
        .await?;
        let till = bed.count("SELECT till FROM leases WHERE name = 'schema'").await?;
        bed.open().await?.close().await;
        let now = bed.count("SELECT CAST(UNIX_TIMESTAMP() AS SIGNED)").await?;
        assert!(now >= till, "{now} < {till}");
        Ok(())
    })
    .await
}

/// The database as the first release left it, with a partner in it.
async fn first_schema(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    store
        .agreements()
        .create(&agreement("west", "p"), 20)
        .await?;
    store.close().await;
    for table in [
        "untagged_formats",
        "token_keys",
        "ended_sessions",
        "sign_outs",
        "heard_sign_outs",
        "used_passports",
        "guest_projects",
        "agreement_versions",
        "received_agreements",
        "leases",
    ] {
        bed.execute(&format!("DROP TABLE {table}")).await?;
    }
    for column in ["kind", "policy", "keystone", "changed_at"] {
        bed.execute(&format!("ALTER TABLE partners DROP COLUMN {column}"))
            .await?;
    }
    for table in ["invitations", "acceptances"] {
        bed.execute(&format!("ALTER TABLE {table} DROP COLUMN login"))
            .await?;
    }
    for index in ["seen_tokens_of_session", "seen_tokens_by_note"] {
        let drop = format!("DROP INDEX /*! IF EXISTS */ {index} /*! ON seen_tokens */");
        bed.execute(&drop).await?;
    }
    for column in ["session", "origin", "noted_at"] {
        bed.execute(&format!("ALTER TABLE seen_tokens DROP COLUMN {column}"))
            .await?;
    }
    for column in [
        "allowed",
        "version",
        "regions",
        "flavors",
        "quota",
        "prices",
        "retirement",
        "ended_by",
        "ending",
    ] {
        bed.execute(&format!("ALTER TABLE agreements DROP COLUMN {column}"))
            .await?;
    }
    bed.execute("DROP INDEX /*! IF EXISTS */ usage_records_by_arrival /*! ON usage_records */")
        .await?;
    for column in ["arrival", "arrived_at"] {
        bed.execute(&format!("ALTER TABLE usage_records DROP COLUMN {column}"))
            .await?;
    }
    bed.execute("UPDATE meta SET value = '1' WHERE name = 'schema'")
        .await
}

async fn a_database_of_the_first_schema_keeps_what_it_holds(bed: &Bed) -> Outcome {
    first_schema(bed).await?;
    let store = bed.open().await?;
    let record = store.partners().by_name("west").await?;
    let record = record.ok_or("west is gone")?;
    assert_eq!(record.partner.kind, Kind::Alliance);
    assert_eq!(record.facts.descriptor, Some(descriptor("west")));
    assert_eq!(
        (record.policy, record.access),
        (TokenPolicy::default(), None)
    );
    let live = store.agreements().live(&cloud("west"), 30).await?;
    let kept: Vec<_> = live
        .into_iter()
        .map(|one| (one.version, one.terms))
        .collect();
    assert_eq!(kept, [(Some(1), terms())]);
    let (north, access) = keystone("north", &[TokenFormat::Uuid])?;
    store.partners().add_keystone(&north, &access).await?;
    let newest = "SELECT COUNT(*) FROM meta WHERE name = 'schema' AND value = '20'";
    assert_eq!(bed.count(newest).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_mariadb_was_killed_in_is_finished_by_the_next_start() -> Outcome {
    let Some(bed) = Bed::mariadb().await? else {
        return Ok(());
    };
    bed.run(async |bed| {
        bed.open().await?.close().await;
        bed.execute("DROP TABLE agreements").await?;
        bed.execute("DROP TABLE audit").await?;
        bed.execute("DROP TABLE untagged_formats").await?;
        bed.execute("ALTER TABLE partners DROP COLUMN keystone")
            .await?;
        bed.execute("ALTER TABLE seen_tokens DROP COLUMN origin")
            .await?;
        bed.execute("DELETE FROM meta").await?;

        let store = bed.open().await?;
        pair(&store, "west").await?;
        assert!(store.agreements().list(None).await?.is_empty());
        let (north, access) = keystone("north", &[TokenFormat::Uuid])?;
        store.partners().add_keystone(&north, &access).await?;
        Ok(())
    })
    .await
}

/// SQLite takes back what was not finished, and so what fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_leaves_a_sqlite_file_as_it_was() -> Outcome {
    Bed::sqlite()?
        .run(async |bed| {
            first_schema(bed).await?;
            bed.execute("ALTER TABLE partners ADD COLUMN keystone TEXT")
                .await?;
            assert!(bed.open().await.is_err());
            bed.execute("ALTER TABLE partners DROP COLUMN keystone")
                .await?;
            let store = bed.open().await?;
            assert!(store.partners().by_name("west").await?.is_some());
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_new_file_is_for_its_owner_alone() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("alliance.db");
    let store = Store::open(&format!("sqlite://{}", file.display()), &this_cloud()).await?;
    pair(&store, "west").await?;
    for name in ["alliance.db", "alliance.db-wal", "alliance.db-shm"] {
        let mode = fs::metadata(folder.path().join(name))?.permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_made_or_written_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let here = folder.path().display();

    let error = refusal(&format!("sqlite://{here}/missing/alliance.db"), "west").await?;
    assert!(
        matches!(error, OpenError::DirectoryMissing { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("/missing does not exist"));

    let error = refusal("sqlite:///proc/alliance.db", "west").await?;
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");

    let file = folder.path().join("read-only.db");
    let url = format!("sqlite://{}", file.display());
    Store::open(&url, &cloud("west")).await?.close().await;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400))?;
    let error = refusal(&url, "west").await?;
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().contains("read-only.db is read-only"));

    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let error = refusal(&format!("{url}?mode=ro"), "west").await?;
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("notes.txt");
    let notes = "buy milk\n".repeat(1000);
    fs::write(&file, &notes)?;
    let error = refusal(&format!("sqlite://{}", file.display()), "west").await?;
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&file)?, notes);
    Ok(())
}

#[tokio::test]
async fn a_url_of_another_form_is_refused_without_its_password() -> Outcome {
    for url in [
        "postgres://user:hunter2@host/alliance",
        "mysql://user:hunter2@host",
        "mysql://user:hunter2@host:port/alliance",
        "sqlite://relative.db",
        "sqlite::memory:",
        "/var/lib/alliance.db",
    ] {
        let error = refusal(url, "west").await?;
        assert!(matches!(error, OpenError::Url { .. }), "{url}: {error:?}");
        assert!(!told(&error).contains("hunter2"), "{url}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_named_without_the_password() -> Outcome {
    // Nobody listens on the port of a socket that is bound only.
    let bound = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let port = bound.local_addr()?.port();
    let url = format!("mysql://alliance:hunter2@127.0.0.1:{port}/alliance");
    let error = refusal(&url, "west").await?;
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")));
    assert!(!told(&error).contains("hunter2"));
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database_are_told_apart() -> Outcome {
    let Some(bed) = Bed::mariadb().await? else {
        return Ok(());
    };
    bed.run(async |bed| {
        let missing = format!("{}_missing", bed.url());
        let error = refusal(&missing, "west").await?;
        assert!(matches!(error, OpenError::NoDatabase { .. }), "{error:?}");

        let (user, rest) = bed.url().rsplit_once('@').ok_or("no user in the URL")?;
        let (user, _) = user.rsplit_once(':').ok_or("no password in the URL")?;
        let error = refusal(&format!("{user}:hunter2@{rest}"), "west").await?;
        assert!(matches!(error, OpenError::AccessDenied { .. }), "{error:?}");
        assert!(!told(&error).contains("hunter2"));
        Ok(())
    })
    .await
}

async fn refusal(url: &str, name: &str) -> Result<OpenError, Box<dyn Error>> {
    match Store::open(url, &cloud(name)).await {
        Ok(_) => Err(format!("{url} was opened").into()),
        Err(error) => Ok(error),
    }
}

/// Everything that a log could show of an error.
fn told(error: &OpenError) -> String {
    let mut told = format!("{error:?}");
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        told.push_str(&error.to_string());
        next = error.source();
    }
    told
}
