//! Absent and `null`, told apart.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[expect(clippy::option_option, reason = "absent and null differ in a PATCH")]
pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[expect(clippy::option_option, reason = "absent and null differ in a PATCH")]
pub(crate) fn serialize<T, S>(value: &Option<Option<T>>, serializer: S) -> Result<S::Ok, S::Error>
where
    T: Serialize,
    S: Serializer,
{
    value
        .as_ref()
        .and_then(Option::as_ref)
        .serialize(serializer)
}
