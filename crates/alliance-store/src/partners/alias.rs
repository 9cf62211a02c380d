//! Aliases: one name, one holder, whether it is a partner or a pairing under way.

use sqlx::{AnyConnection, Row};

use crate::database::fault::Fault;
use crate::error::{Error, Holder, Result};

impl Holder {
    fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some(("invitation", id)) => Holder::Invitation { id: id.to_owned() },
            Some(("acceptance", id)) => Holder::Acceptance { id: id.to_owned() },
            _ => Holder::Partner,
        }
    }
}

pub(crate) fn invitation(id: &str) -> String {
    format!("invitation:{id}")
}

pub(crate) fn acceptance(id: &str) -> String {
    format!("acceptance:{id}")
}

pub(crate) fn partner(row_id: &str) -> String {
    format!("partner:{row_id}")
}

/// Gives `name` to `holder`.
pub(crate) async fn take(connection: &mut AnyConnection, name: &str, holder: &str) -> Result<()> {
    let taken = sqlx::query("INSERT INTO aliases (alias, holder) VALUES (?, ?)")
        .bind(key(name))
        .bind(holder)
        .execute(&mut *connection)
        .await;
    match taken {
        Ok(_) => Ok(()),
        Err(error) if Fault::of(&error) == Fault::Unique => {
            let row = sqlx::query("SELECT holder FROM aliases WHERE alias = ?")
                .bind(key(name))
                .fetch_optional(connection)
                .await?;
            let holder: Option<String> = row.map(|row| row.try_get("holder")).transpose()?;
            Err(Error::NameTaken {
                name: name.to_owned(),
                holder: holder.map_or(Holder::Partner, |text| Holder::parse(&text)),
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Whatever `holder` held becomes free.
pub(crate) async fn free(connection: &mut AnyConnection, holder: &str) -> Result<()> {
    sqlx::query("DELETE FROM aliases WHERE holder = ?")
        .bind(holder)
        .execute(connection)
        .await?;
    Ok(())
}

fn key(name: &str) -> String {
    name.to_lowercase()
}
