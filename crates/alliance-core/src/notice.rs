//! What a home is told of its projects' resources abroad, as it happens: a server came, failed or went,
//! a limit is nearly reached, an agreement is about to end, a project is being retired.
//!
//! A [`Notice`] is made where it happened, at the host, once: the bus may say it five times and a listing
//! find it again. What has no end of its own, as a server in error, is a [`Condition`], noticed when it
//! begins to hold and again only after it has ceased.

mod batch;
mod condition;
mod server;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Seconds;
use crate::cloud::CloudId;
use crate::usage::Millis;
use crate::word::words;

pub use batch::{Arrived, BATCH, NotABatch, NoticeBatch, event};
pub use condition::{Condition, Mark, State, near};
pub use server::{Trouble, of_server};

/// Longest id, name or reason, in bytes.
const LONGEST: usize = 512;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A server was launched.
    #[serde(rename = "server.created")]
    ServerCreated,
    /// A server is in error.
    #[serde(rename = "server.failed")]
    ServerFailed,
    /// A server is gone.
    #[serde(rename = "server.deleted")]
    ServerDeleted,
    /// Most of what an agreement allows of something is used.
    #[serde(rename = "quota.near")]
    QuotaNear,
    /// An agreement ends soon.
    #[serde(rename = "agreement.ending")]
    AgreementEnding,
    /// A project is being retired: access to it has ended.
    #[serde(rename = "retirement.began")]
    RetirementBegan,
    /// The host's operator has stopped the clock of a retirement.
    #[serde(rename = "retirement.held")]
    RetirementHeld,
    /// The project's servers are shut off.
    #[serde(rename = "retirement.quarantined")]
    RetirementQuarantined,
    /// What the project had is gone; the receipt says what.
    #[serde(rename = "retirement.deleted")]
    RetirementDeleted,
    /// The retirement was called off.
    #[serde(rename = "retirement.restored")]
    RetirementRestored,
    /// A stack is as its plan says.
    #[serde(rename = "stack.complete")]
    StackComplete,
    /// A stack could not be made, changed or removed.
    #[serde(rename = "stack.failed")]
    StackFailed,
}

words!(Kind {
    Kind::ServerCreated = "server.created",
    Kind::ServerFailed = "server.failed",
    Kind::ServerDeleted = "server.deleted",
    Kind::QuotaNear = "quota.near",
    Kind::AgreementEnding = "agreement.ending",
    Kind::RetirementBegan = "retirement.began",
    Kind::RetirementHeld = "retirement.held",
    Kind::RetirementQuarantined = "retirement.quarantined",
    Kind::RetirementDeleted = "retirement.deleted",
    Kind::RetirementRestored = "retirement.restored",
    Kind::StackComplete = "stack.complete",
    Kind::StackFailed = "stack.failed",
});

/// How much somebody should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As things go.
    Info,
    /// Something will not go on as it does.
    Warn,
    /// Something does not work.
    Error,
}

words!(Severity {
    Severity::Info = "info",
    Severity::Warn = "warn",
    Severity::Error = "error",
});

impl Kind {
    /// See [`Severity`].
    pub fn severity(self) -> Severity {
        match self {
            Self::ServerFailed | Self::StackFailed => Severity::Error,
            Self::QuotaNear
            | Self::AgreementEnding
            | Self::RetirementBegan
            | Self::RetirementHeld
            | Self::RetirementQuarantined
            | Self::RetirementDeleted => Severity::Warn,
            Self::ServerCreated
            | Self::ServerDeleted
            | Self::RetirementRestored
            | Self::StackComplete => Severity::Info,
        }
    }

    /// What it is about: the part before the dot.
    pub fn thing(self) -> &'static str {
        let word = self.as_str();
        word.split_once('.').map_or(word, |(thing, _)| thing)
    }
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What.
    pub kind: Kind,
    /// When, as far as the host knows.
    pub at: Millis,
    /// The project's id at home. `None`: of all projects, as an agreement about all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The user's id at home, where somebody did it and is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// To what: the id of the server, agreement, retirement or stack; a quota's resource.
    pub subject: String,
    /// The host's region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A stack's name, a server's flavor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How much is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// How much may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<u64>,
    /// When the agreement ends, or everything is deleted, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub till: Option<Seconds>,
}

/// Why a notice is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsound(&'static str);

impl Notice {
    /// One that says no more than what happened to what, and when.
    pub fn new(kind: Kind, subject: impl Into<String>, at: Millis) -> Self {
        Self {
            kind,
            at,
            project_id: None,
            user_id: None,
            subject: subject.into(),
            region: None,
            name: None,
            reason: None,
            used: None,
            allowed: None,
            till: None,
        }
    }

    /// The same notice has the same id, and no other has it.
    pub fn id(&self, host: &CloudId, home: &CloudId) -> String {
        let at = self.at.to_string();
        let project = self.project_id.as_deref().unwrap_or_default();
        let region = self.region.as_deref().unwrap_or_default();
        let parts = [
            host.as_str(),
            home.as_str(),
            self.kind.as_str(),
            project,
            region,
            &self.subject,
            &at,
        ];
        let mut id = digest(&parts);
        id.truncate(32);
        id
    }

    /// All that it says but what and when, which stand beside it wherever it is told.
    pub fn details(&self) -> Value {
        let mut details = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = details.as_object_mut() {
            members.remove("kind");
            members.remove("at");
        }
        details
    }

    /// What a host says must at least be possible: it goes into this cloud's database, log and message bus.
    ///
    /// # Errors
    /// Why not.
    pub fn require_sound(&self) -> Result<(), Unsound> {
        let texts = [
            Some(&self.subject),
            self.project_id.as_ref(),
            self.user_id.as_ref(),
            self.region.as_ref(),
            self.name.as_ref(),
            self.reason.as_ref(),
        ];
        let printable = |text: &String| {
            (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control)
        };
        if !texts.into_iter().flatten().all(printable) {
            return Err(Unsound(
                "an id, a name or a reason is empty, too long or not printable",
            ));
        }
        if self.at < 0 || self.till.is_some_and(|till| till < 0) {
            return Err(Unsound("it is of a time before all clocks"));
        }
        Ok(())
    }
}

/// One name of several parts, whatever is in them.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    HEXLOWER.encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_has_one_id_and_another_one_another() {
        let (east, west) = (CloudId::from_spki(b"east"), CloudId::from_spki(b"west"));
        let one = Notice::new(Kind::ServerCreated, "s", 7);
        let id = one.id(&east, &west);
        assert_eq!(id, one.clone().id(&east, &west));
        assert_eq!(id.len(), 32);
        let others = [
            Notice::new(Kind::ServerDeleted, "s", 7),
            Notice::new(Kind::ServerCreated, "s", 8),
            Notice::new(Kind::ServerCreated, "t", 7),
        ];
        for other in others {
            assert_ne!(id, other.id(&east, &west), "{other:?}");
        }
        assert_ne!(id, one.id(&west, &east));
    }

    #[test]
    fn what_moves_between_parts_is_another_name() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }

    #[test]
    fn what_cannot_be_is_unsound() {
        let good = Notice::new(Kind::StackFailed, "s", 0);
        assert_eq!(good.require_sound(), Ok(()));
        let wrong: [fn(&mut Notice); 4] = [
            |one| one.subject.clear(),
            |one| one.at = -1,
            |one| one.reason = Some("\u{1b}[2J".into()),
            |one| one.name = Some("x".repeat(LONGEST + 1)),
        ];
        for change in wrong {
            let mut one = good.clone();
            change(&mut one);
            assert!(one.require_sound().is_err(), "{one:?}");
        }
    }
}
