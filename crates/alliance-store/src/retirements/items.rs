//! What was done to each resource of a project that is being retired.

use std::fmt;
use std::str::FromStr;

use sqlx::AnyConnection;

use super::Retirements;
use crate::database::retrying;
use crate::database::row::Columns;
use crate::error::Result;
use crate::leases::{self, Lease};

/// What became of a resource so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState {
    /// It is there, and nothing was done to it.
    Found,
    /// This program has shut it off, or is about to.
    Stopped,
    /// It was started again, or given back what it had.
    Restored,
    /// It is being deleted.
    Deleting,
    /// It is gone.
    Deleted,
    /// A service refused.
    Left,
}

const STATES: [(ItemState, &str); 6] = [
    (ItemState::Found, "found"),
    (ItemState::Stopped, "stopped"),
    (ItemState::Restored, "restored"),
    (ItemState::Deleting, "deleting"),
    (ItemState::Deleted, "deleted"),
    (ItemState::Left, "left"),
];

impl ItemState {
    /// Its name in tables and on the screen.
    pub fn as_str(self) -> &'static str {
        STATES
            .iter()
            .find(|(state, _)| *state == self)
            .map_or("", |(_, word)| word)
    }
}

/// No state of a resource.
#[derive(Debug)]
pub struct UnknownState(String);

impl fmt::Display for UnknownState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no state of a resource", self.0)
    }
}

impl FromStr for ItemState {
    type Err = UnknownState;

    fn from_str(text: &str) -> std::result::Result<Self, UnknownState> {
        let found = STATES.iter().find(|(_, word)| *word == text);
        found
            .map(|(state, _)| *state)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetirementItem {
    /// What it is: `server`, `volume`, `network`, ….
    pub kind: String,
    /// Its id here.
    pub id: String,
    /// Its name here.
    pub name: Option<String>,
    /// What became of it.
    pub state: ItemState,
    /// Why it is still there, or what is needed to undo what was done.
    pub detail: Option<String>,
}

impl Retirements<'_> {
    /// Notes what is done to resources, in place of what was noted of them.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::Error::LeaseLost) if another process works.
    pub async fn note(self, lease: &Lease, id: &str, items: &[RetirementItem]) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            leases::hold(&mut transaction, lease).await?;
            for item in items {
                write(&mut transaction, id, item).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// All resources of one.
    ///
    /// # Errors
    /// The database's.
    pub async fn items(self, id: &str) -> Result<Vec<RetirementItem>> {
        let rows =
            sqlx::query("SELECT * FROM retirement_items WHERE retirement_id = ? ORDER BY kind, id")
                .bind(id)
                .fetch_all(self.0.pool())
                .await?;
        rows.iter()
            .map(|row| {
                Ok(RetirementItem {
                    kind: row.text("kind")?,
                    id: row.text("id")?,
                    name: row.maybe_text("name")?,
                    state: row.word("state")?,
                    detail: row.maybe_text("detail")?,
                })
            })
            .collect()
    }
}

async fn write(transaction: &mut AnyConnection, id: &str, item: &RetirementItem) -> Result<()> {
    sqlx::query(
        "REPLACE INTO retirement_items (retirement_id, kind, id, name, state, detail)
            VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(id)
    .bind(&item.kind)
    .bind(&item.id)
    .bind(&item.name)
    .bind(item.state.as_str())
    .bind(&item.detail)
    .execute(transaction)
    .await?;
    Ok(())
}
