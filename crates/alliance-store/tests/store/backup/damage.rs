//! Files that are no backup, or not the whole of one.

use alliance_store::{BackupError, BackupFile, Restoration};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{restore, take};
use crate::bed::{Bed, Outcome, pair, this_cloud};

/// These lines, and the end that belongs to them.
fn sealed(lines: &[&str]) -> Vec<u8> {
    let mut file = Vec::new();
    for line in lines {
        file.extend(line.as_bytes());
        file.push(b'\n');
    }
    let sha256 = HEXLOWER.encode(&Sha256::digest(&file));
    file.extend(format!("{{\"sha256\":\"{sha256}\"}}\n").into_bytes());
    file
}

fn first(form: u32, schema: i64) -> String {
    let us = this_cloud();
    format!(
        r#"{{"alliance-backup":{form},"cloud_id":"{us}","schema":{schema},"made_at":5,"made_by":"a test"}}"#
    )
}

const KEYS: &str = r#"{"identity.key":"one","signing.key":"other"}"#;

/// What is said of these tables.
async fn refused(schema: i64, tables: &[&str]) -> Result<BackupError, Box<dyn std::error::Error>> {
    let first = first(1, schema);
    let lines: Vec<_> = [&*first, KEYS]
        .into_iter()
        .chain(tables.iter().copied())
        .collect();
    let bed = Bed::sqlite()?;
    match restore(&bed, &sealed(&lines), false).await {
        Ok(_) => Err("it was restored".into()),
        Err(error) => Ok(error),
    }
}

#[tokio::test]
async fn what_was_written_is_read_or_nothing() -> Outcome {
    let bed = Bed::sqlite()?;
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let backup = take(&bed).await?;
    // A bit anywhere, and an end anywhere.
    let step = backup.len() / 40;
    for at in (0..backup.len()).step_by(step) {
        let mut damaged = backup.clone();
        damaged[at] ^= 1;
        let outcome = restore(&Bed::sqlite()?, &damaged, false).await;
        assert!(outcome.is_err(), "byte {at}");
        let outcome = restore(&Bed::sqlite()?, &backup[..at], false).await;
        assert!(
            matches!(
                outcome,
                Err(BackupError::Truncated { .. } | BackupError::NotABackup)
            ),
            "{at} bytes: {outcome:?}"
        );
    }
    // A row that is left out, with what is left as it was.
    let text = String::from_utf8(backup.clone())?;
    let mut lines: Vec<_> = text.lines().collect();
    let row = lines.iter().position(|line| line.contains("generation"));
    lines.remove(row.ok_or("no such row")?);
    let outcome = restore(&Bed::sqlite()?, lines.join("\n").as_bytes(), false).await;
    assert!(outcome.is_err());
    let without = format!("{}\n", lines.join("\n"));
    let outcome = restore(&Bed::sqlite()?, without.as_bytes(), false).await;
    let said = outcome
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(said.contains("not those that were written"), "{said}");
    // Two of them, one behind the other.
    let twice = [backup.clone(), backup].concat();
    let outcome = restore(&Bed::sqlite()?, &twice, false).await;
    let said = outcome
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(said.contains("something follows the end"), "{said}");
    Ok(())
}

#[test]
fn what_is_no_backup_is_said_to_be_none() {
    let junk: [&[u8]; 7] = [
        b"",
        b"\n",
        b"age-encryption.org/v1\n-> X25519 abc\n",
        b"{\"cloud_id\":\"x\"}\n",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\n",
        &[b'x'; 100_000],
        &[0; 100_000],
    ];
    for junk in junk {
        let read = BackupFile::open(junk);
        assert!(matches!(read, Err(BackupError::NotABackup)), "{read:?}");
    }
}

/// A line that never ends, of 70 MB that nobody has in memory.
#[test]
fn a_line_without_an_end_does_not_fill_the_memory() {
    use std::io::{BufReader, Read};
    let begin = format!("{}\n{KEYS}\n[\"", first(1, 1));
    let endless = begin.as_bytes().chain(std::io::repeat(b'x'));
    let opened = BackupFile::open(BufReader::new(endless));
    assert!(opened.is_ok());
    let first = std::io::repeat(b'{');
    let opened = BackupFile::open(BufReader::new(first));
    assert!(matches!(opened, Err(BackupError::NotABackup)));
}

#[tokio::test]
async fn a_row_longer_than_any_is_refused() -> Outcome {
    use std::io::{BufReader, Read};
    let begin = format!("{}\n{KEYS}\n[\"", first(1, 1));
    let endless = begin.as_bytes().chain(std::io::repeat(b'x'));
    let mut file = BackupFile::open(BufReader::new(endless))?;
    let bed = Bed::sqlite()?;
    let about = file.about().clone();
    let mut restoration = Restoration::begin(bed.url(), &about).await?;
    let refused = restoration.load(&mut file, |_, _| ()).await;
    let said = refused
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(said.contains("longer than any"), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_is_newer_is_left_to_the_newer_version() -> Outcome {
    let bed = Bed::sqlite()?;
    let newer = restore(&bed, &sealed(&[&first(2, 1), KEYS]), false).await;
    assert!(
        matches!(newer, Err(BackupError::NewerForm { found: 2, known: 1 })),
        "{newer:?}"
    );
    let newer = refused(1000, &[]).await?;
    assert!(
        matches!(newer, BackupError::NewerSchema { found: 1000, .. }),
        "{newer:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_in_a_backup_is_named() -> Outcome {
    let names: [(&[&str], &str); 9] = [
        (&[r#"["a"]"#], "a row without a table"),
        (
            &[r#"{"table":"meta","columns":["name","value"]}"#],
            "is no table of a backup",
        ),
        (
            &[
                r#"{"table":"counters` (name) VALUES (1); DROP TABLE partners; --","columns":["name"]}"#,
            ],
            "is no table of a backup",
        ),
        (
            &[r#"{"table":"counters","columns":["name","worth"]}"#],
            "is no column of counters",
        ),
        (
            &[
                r#"{"table":"counters","columns":["name","value"]}"#,
                r#"["a"]"#,
            ],
            "more or fewer values",
        ),
        (
            &[
                r#"{"table":"counters","columns":["name","value"]}"#,
                r#"["a",1.5]"#,
            ],
            "no whole number",
        ),
        (
            &[
                r#"{"table":"counters","columns":["name","value"]}"#,
                r#"["a",[]]"#,
            ],
            "neither a number",
        ),
        (
            &[
                r#"{"table":"counters","columns":["name","value"]}"#,
                r#"["a",1]"#,
                r#"["a",2]"#,
            ],
            "there twice",
        ),
        (
            &[
                r#"{"table":"counters","columns":["name","value"]}"#,
                r#"{"table":"counters","columns":["name","value"]}"#,
            ],
            "was there before",
        ),
    ];
    for (lines, expected) in names {
        let said = refused(1, lines).await?.to_string();
        assert!(said.contains(expected), "{said}");
    }
    Ok(())
}

/// Before migration 5 tokens had no sessions.
#[tokio::test]
async fn a_backup_of_an_older_schema_is_brought_to_this_one() -> Outcome {
    let first = first(1, 4);
    let west = crate::bed::cloud("west");
    let token = format!(r#"["{:064x}","{west}","ann",null,2000000000]"#, 1);
    let backup = sealed(&[
        &first,
        KEYS,
        r#"{"table":"counters","columns":["name","value"]}"#,
        r#"["generation",7]"#,
        r#"{"table":"seen_tokens","columns":["token_sha256","cloud_id","user_id","project_id","expires_at"]}"#,
        &token,
    ]);
    let bed = Bed::sqlite()?;
    restore(&bed, &backup, false).await?;
    let store = bed.open().await?;
    assert_eq!(store.seen_tokens().of_partner(&west, 5).await?.len(), 1);
    assert!(
        store
            .usage()
            .sums(alliance_store::Span { from: 0, to: 1 })
            .await?
            .is_empty()
    );
    assert!(store.meta().next_generation().await? > 8);
    // What this schema does not have yet.
    let unknown = r#"{"table":"ended_sessions","columns":["session"]}"#;
    let said = refused(4, &[unknown]).await?.to_string();
    assert!(said.contains("is no column of ended_sessions"), "{said}");
    Ok(())
}
