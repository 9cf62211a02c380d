//! Reads columns of either database.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::any::{AnyRow, AnyValueRef};
use sqlx::{Any, Decode, Row, ValueRef};

use crate::error::{Error, Result};

/// Columns by name, as what they stand for.
pub(crate) trait Columns {
    fn maybe_text(&self, column: &str) -> Result<Option<String>>;
    fn maybe_int(&self, column: &str) -> Result<Option<i64>>;

    fn text(&self, column: &str) -> Result<String> {
        self.maybe_text(column)?
            .ok_or_else(|| damaged(column, "nothing there"))
    }

    fn int(&self, column: &str) -> Result<i64> {
        self.maybe_int(column)?
            .ok_or_else(|| damaged(column, "nothing there"))
    }

    fn maybe_count(&self, column: &str) -> Result<Option<u32>> {
        self.maybe_int(column)?
            .map(|count| u32::try_from(count).map_err(|error| damaged(column, error)))
            .transpose()
    }

    fn maybe_word<T: FromStr<Err: Display>>(&self, column: &str) -> Result<Option<T>> {
        self.maybe_text(column)?
            .map(|text| text.parse().map_err(|error| damaged(column, error)))
            .transpose()
    }

    fn word<T: FromStr<Err: Display>>(&self, column: &str) -> Result<T> {
        self.maybe_word(column)?
            .ok_or_else(|| damaged(column, "nothing there"))
    }

    fn maybe_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        self.maybe_text(column)?
            .map(|text| serde_json::from_str(&text).map_err(|error| damaged(column, error)))
            .transpose()
    }

    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        self.maybe_json(column)?
            .ok_or_else(|| damaged(column, "nothing there"))
    }
}

impl Columns for AnyRow {
    fn maybe_text(&self, column: &str) -> Result<Option<String>> {
        let value = self.try_get_raw(column)?;
        if value.is_null() {
            return Ok(None);
        }
        text(value, column).map(Some)
    }

    fn maybe_int(&self, column: &str) -> Result<Option<i64>> {
        Ok(self.try_get(column)?)
    }
}

/// A text that is not null. MariaDB's driver hands `TEXT` over as bytes.
pub(crate) fn text(value: AnyValueRef<'_>, column: &str) -> Result<String> {
    if let Ok(text) = <String as Decode<Any>>::decode(value.clone()) {
        return Ok(text);
    }
    let bytes = <Vec<u8> as Decode<Any>>::decode(value).map_err(|error| damaged(column, error))?;
    String::from_utf8(bytes).map_err(|error| damaged(column, error))
}

/// A value for a column that holds JSON.
pub(crate) fn to_json<T: Serialize + ?Sized>(column: &str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| damaged(column, error))
}

fn damaged(column: &str, why: impl Display) -> Error {
    Error::Damaged {
        column: column.to_owned(),
        why: why.to_string(),
    }
}
