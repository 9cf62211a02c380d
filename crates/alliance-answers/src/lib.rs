//! What partners answered lately, and what our Keystone is told of it.
//!
//! A host remembers one answer for each foreign token that is in use, so that what is kept beside
//! the signed statement is small: see `make bench`.

mod answers;
mod memory;

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

pub use self::answers::{Answers, Kept, Key, Outcome, Several, Via};
pub use self::memory::Memory;

/// A signed statement (JWS) as it came. Copies share it: one is in every answer from memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Signed(Arc<str>);

impl From<String> for Signed {
    fn from(jws: String) -> Self {
        Self(jws.into())
    }
}

impl Deref for Signed {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Serialize for Signed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

/// Who signed what our Keystone is told.
#[derive(Debug, Clone)]
pub enum Word {
    /// The partner: its passport or grant statement, as it came.
    Theirs(Signed),
    /// We, about a partner that signs none, or about a token whose own signature is enough.
    Ours(Signed),
}
