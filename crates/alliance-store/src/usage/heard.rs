//! At the host: lives from what is heard, and records from lives.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::notice::{self, Notice};
use alliance_core::usage::{Kind, Life, Millis, Owner, Record, Resource, parts};
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, QueryBuilder};

use super::{Heard, Usage, outbox, watched, write_records};
use crate::database::ROWS;
use crate::database::retrying;
use crate::database::row::{Columns, to_json};
use crate::error::Result;
use crate::leases::{Lease, hold};
use crate::notices;

/// A resource and what is known of it.
#[derive(Debug, Clone)]
struct Known {
    home: CloudId,
    owner: Owner,
    region: String,
    life: Life,
    parts: usize,
}

impl Known {
    fn records(&self, resource: &Resource) -> Vec<Record> {
        parts(resource, &self.owner, &self.region, &self.life, self.parts)
    }

    /// What its home is told, now that more is known than `before`.
    fn news(&self, resource: &Resource, before: Option<&Self>) -> Vec<Notice> {
        if resource.kind != Kind::Server {
            return Vec::new();
        }
        let before = before.map(|before| &before.life);
        notice::of_server(&resource.id, &self.owner, &self.region, before, &self.life)
    }
}

impl Usage<'_> {
    /// Takes in what was heard in `region`, in any order and however often. Returns how many records
    /// are new or others than before. Only for who holds `lease`.
    ///
    /// # Errors
    /// The database's, or that the lease is lost; nothing is stored then.
    pub async fn learn(
        self,
        lease: &Lease,
        region: &str,
        heard: &[Heard],
        at: Seconds,
    ) -> Result<usize> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            hold(&mut transaction, lease).await?;
            let resources = heard.iter().map(|heard| &heard.resource).collect();
            let before = select(&mut transaction, resources).await?;
            let mut after = before.clone();
            for heard in heard {
                if let Some(known) = entry(&mut after, region, heard) {
                    known.life.learn(&heard.fact);
                }
            }
            let changed = self.write(&mut transaction, &before, after, at).await?;
            transaction.commit().await?;
            Ok(changed)
        })
        .await
    }

    /// Takes in a complete listing of all resources of `kind`, which began at `began`: those that are
    /// not in it have ended. The rest as [`Usage::learn`].
    ///
    /// # Errors
    /// As there.
    pub async fn list(
        self,
        lease: &Lease,
        region: &str,
        (kind, began): (Kind, Millis),
        listed: &[Heard],
        at: Seconds,
    ) -> Result<usize> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            hold(&mut transaction, lease).await?;
            let resources = listed.iter().map(|heard| &heard.resource).collect();
            let mut before = select(&mut transaction, resources).await?;
            let shown: BTreeSet<_> = listed.iter().map(|heard| &heard.resource).collect();
            let missed = open(&mut transaction, kind, region).await?;
            before.extend(missed.into_iter().filter(|(one, _)| !shown.contains(one)));
            let mut after = before.clone();
            for (resource, known) in &mut after {
                if !shown.contains(resource) {
                    known.life.is_missed(began);
                }
            }
            for heard in listed {
                if let Some(known) = entry(&mut after, region, heard) {
                    known.life.is_listed(&heard.fact);
                }
            }
            let changed = self.write(&mut transaction, &before, after, at).await?;
            watched::note_listing(&mut transaction, kind, at).await?;
            transaction.commit().await?;
            Ok(changed)
        })
        .await
    }

    /// Writes what is another than before, and numbers its records.
    async fn write(
        self,
        transaction: &mut AnyConnection,
        before: &BTreeMap<Resource, Known>,
        after: BTreeMap<Resource, Known>,
        at: Seconds,
    ) -> Result<usize> {
        let mut changed: BTreeMap<CloudId, Vec<Record>> = BTreeMap::new();
        let mut news: BTreeMap<CloudId, Vec<Notice>> = BTreeMap::new();
        let mut lives = Vec::new();
        for (resource, mut known) in after {
            let last = before.get(&resource);
            if last.is_some_and(|last| last.life == known.life && last.owner == known.owner) {
                continue;
            }
            let new = known.news(&resource, last);
            news.entry(known.home.clone()).or_default().extend(new);
            let old = last.map(|last| last.records(&resource)).unwrap_or_default();
            let new = known.records(&resource);
            known.parts = new.len();
            let other = new.into_iter().filter(|record| !old.contains(record));
            changed.entry(known.home.clone()).or_default().extend(other);
            lives.push((resource, known));
        }
        write_lives(transaction, &lives).await?;
        for (home, news) in &news {
            notices::append(transaction, home, news, at).await?;
        }
        let mut count = 0;
        for (home, records) in &changed {
            write_records(transaction, self.0.cloud(), home, records, None).await?;
            outbox::append(transaction, home, records, at).await?;
            count += records.len();
        }
        Ok(count)
    }
}

/// What is known of the resource that was heard of, made if need be. `None` if nobody knows whose it is.
fn entry<'k>(
    known: &'k mut BTreeMap<Resource, Known>,
    region: &str,
    heard: &Heard,
) -> Option<&'k mut Known> {
    if !known.contains_key(&heard.resource) {
        let (home, owner) = heard.owner.clone()?;
        let new = Known {
            home,
            owner,
            region: region.to_owned(),
            life: Life::default(),
            parts: 0,
        };
        known.insert(heard.resource.clone(), new);
    }
    let known = known.get_mut(&heard.resource)?;
    if let Some((_, owner)) = &heard.owner
        && known.owner.user_id.is_none()
    {
        known.owner.user_id.clone_from(&owner.user_id);
    }
    Some(known)
}

async fn select(
    transaction: &mut AnyConnection,
    resources: BTreeSet<&Resource>,
) -> Result<BTreeMap<Resource, Known>> {
    let resources: Vec<_> = resources.into_iter().collect();
    let mut known = BTreeMap::new();
    for some in resources.chunks(ROWS) {
        let mut select = QueryBuilder::<Any>::new(
            "SELECT kind, id, cloud_id, project_id, user_id, region, life, parts FROM metered_resources WHERE ",
        );
        let mut conditions = select.separated(" OR ");
        for resource in some {
            conditions.push("(kind = ");
            conditions.push_bind_unseparated(resource.kind.as_str());
            conditions.push_unseparated(" AND id = ");
            conditions.push_bind_unseparated(resource.id.as_str());
            conditions.push_unseparated(")");
        }
        for row in select.build().fetch_all(&mut *transaction).await? {
            known.extend([read(&row)?]);
        }
    }
    Ok(known)
}

async fn open(
    transaction: &mut AnyConnection,
    kind: Kind,
    region: &str,
) -> Result<BTreeMap<Resource, Known>> {
    let rows = sqlx::query(
        "SELECT kind, id, cloud_id, project_id, user_id, region, life, parts FROM metered_resources WHERE kind = ? AND is_open = 1 AND region = ?",
    )
    .bind(kind.as_str())
    .bind(region)
    .fetch_all(transaction)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<(Resource, Known)> {
    let resource = Resource {
        kind: row.word("kind")?,
        id: row.text("id")?,
    };
    let known = Known {
        home: row.word("cloud_id")?,
        owner: Owner {
            project_id: row.text("project_id")?,
            user_id: row.maybe_text("user_id")?,
        },
        region: row.text("region")?,
        life: row.json("life")?,
        parts: row.maybe_count("parts")?.unwrap_or_default() as usize,
    };
    Ok((resource, known))
}

async fn write_lives(transaction: &mut AnyConnection, lives: &[(Resource, Known)]) -> Result<()> {
    for some in lives.chunks(ROWS) {
        let mut rows = Vec::with_capacity(some.len());
        for (resource, known) in some {
            rows.push((
                resource,
                known,
                to_json("metered_resources.life", &known.life)?,
                i64::try_from(known.parts).unwrap_or(i64::MAX),
            ));
        }
        let mut insert = QueryBuilder::<Any>::new(
            "REPLACE INTO metered_resources (kind, id, cloud_id, project_id, user_id, region, life, is_open, parts) ",
        );
        insert.push_values(rows, |mut row, (resource, known, life, parts)| {
            row.push_bind(resource.kind.as_str())
                .push_bind(resource.id.as_str())
                .push_bind(known.home.as_str())
                .push_bind(known.owner.project_id.as_str())
                .push_bind(known.owner.user_id.as_deref())
                .push_bind(known.region.as_str())
                .push_bind(life)
                .push_bind(i64::from(known.life.is_open()))
                .push_bind(parts);
        });
        insert.build().execute(&mut *transaction).await?;
    }
    Ok(())
}
