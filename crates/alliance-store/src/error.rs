//! What can go wrong, and what to do next.

use std::fmt;
use std::io;
use std::path::PathBuf;

use alliance_core::agreement::Agreement;
use alliance_core::cloud::{CloudId, Tag};
use alliance_core::invitation::{AcceptanceState, InvitationState};
use alliance_core::partner::IllegalChange;
use alliance_core::token::{NotOffline, TokenFormat};

use crate::database::fault::Fault;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither of the two forms.
    #[error(
        "expected sqlite:///absolute/path.db or mysql://user:password@host/database, found {found}"
    )]
    Url {
        /// What is wrong with it; holds no password.
        found: String,
    },
    /// The file's directory is not there.
    #[error("{} does not exist; create it, owned by the daemon's user", directory.display())]
    DirectoryMissing {
        /// Which.
        directory: PathBuf,
    },
    /// The file cannot be made or opened.
    #[error("cannot open {}; the daemon's user must be able to write it and its directory", file.display())]
    NotWritable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database cannot be written.
    #[error("{database} is read-only; make it and its directory writable for the daemon's user")]
    ReadOnly {
        /// Which.
        database: String,
    },
    /// No space left.
    #[error("no space left for {database}; free some and start again, nothing is lost")]
    Full {
        /// Which.
        database: String,
    },
    /// A file of another kind.
    #[error(
        "{database} is not a database, or is damaged; move it away and restore a backup, or name another file"
    )]
    NotADatabase {
        /// Which.
        database: String,
    },
    /// Wrong user or password.
    #[error("{database} refuses this user; check user, password and grants in [database] url")]
    AccessDenied {
        /// Which.
        database: String,
        /// The server's words.
        source: sqlx::Error,
    },
    /// The server has no such database.
    #[error("{database} does not exist; create it and grant this user all rights on it")]
    NoDatabase {
        /// Which.
        database: String,
    },
    /// Nobody answers.
    #[error(
        "{database} does not answer; check that the server runs (systemctl status mariadb) and can be reached"
    )]
    Unreachable {
        /// Which.
        database: String,
        /// Why.
        source: sqlx::Error,
    },
    /// Another process holds it for too long.
    #[error(
        "{database} is held by another process (for a file: fuser -v names it); end that one or try again"
    )]
    Busy {
        /// Which.
        database: String,
    },
    /// The database of another cloud.
    #[error(
        "{database} belongs to cloud {found}, this daemon's key is that of cloud {expected}; \
         give it the right key or the right database"
    )]
    ForeignCloud {
        /// Which.
        database: String,
        /// Whose it is.
        found: String,
        /// Who we are.
        expected: CloudId,
    },
    /// No daemon has made it.
    #[error("{database} is no database of Alliance yet; start `alliance serve` first")]
    NobodysYet {
        /// Which.
        database: String,
    },
    /// Something that a daemon has made there is gone.
    #[error(
        "{database} lacks {}, which a daemon made there: somebody has taken it away; stop the daemon, and restore a backup (alliance restore)",
        missing.join(", ")
    )]
    Incomplete {
        /// Which.
        database: String,
        /// Tables, and columns as `table.column`.
        missing: Vec<String>,
    },
    /// A restore died in it.
    #[error("a restore into {database} did not come to its end; run `alliance restore` again")]
    HalfRestored {
        /// Which.
        database: String,
    },
    /// Written by a later version.
    #[error(
        "{database} has schema {found}, this version knows schemas up to {known}; \
         install the newer version again or restore a backup"
    )]
    NewerSchema {
        /// Which.
        database: String,
        /// Its schema.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// Anything else.
    #[error("{database} cannot be used")]
    Other {
        /// Which.
        database: String,
        /// Why.
        source: sqlx::Error,
    },
}

/// What a method of the store answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be read or stored. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such partner, or it was removed.
    #[error("there is no partner {0}; `alliance partner list` shows those that there are")]
    NoSuchPartner(String),
    /// Another process does what this one did.
    #[error("another process has taken over {0}; end one of the two")]
    LeaseLost(String),
    /// The alias is in use.
    #[error("the name {name} is taken by {holder}; choose another one or remove that first")]
    NameTaken {
        /// The alias.
        name: String,
        /// By what.
        holder: Holder,
    },
    /// The cloud is a partner already.
    #[error("that cloud is a partner already, named {name}; remove it first to pair anew")]
    CloudTaken {
        /// Its alias here.
        name: String,
    },
    /// The two clouds invited each other, and one pairing is under way.
    #[error(
        "a pairing with that cloud is under way already, named {name}; let it end, or end it with \
         `alliance partner remove {name}`"
    )]
    PairingUnderWay {
        /// Its alias on that side.
        name: String,
    },
    /// Another cloud whose id begins alike: their tokens could not be told apart.
    #[error(
        "the ids of that cloud and of partner {name} both begin with {tag}; \
         one of the two must get a new key before both can be partners"
    )]
    TagCollision {
        /// The alias of the cloud that is a partner already.
        name: String,
        /// What both begin with.
        tag: Tag,
    },
    /// Another partner has the untagged tokens of that format.
    #[error(
        "untagged {format} tokens are those of partner {holder}, so they cannot be those of {name} too: \
         nobody could tell whose one is; remove {holder} first, or leave {format} out"
    )]
    FormatTaken {
        /// The format.
        format: TokenFormat,
        /// The alias of who has it.
        holder: String,
        /// The alias of who wants it.
        name: String,
    },
    /// A mode that this format cannot have.
    #[error(transparent)]
    NotOffline(#[from] NotOffline),
    /// Not allowed by the rule of trust.
    #[error(transparent)]
    IllegalChange(#[from] IllegalChange),
    /// A partner whose time is over cannot be active.
    #[error(
        "the trust in {name} has ended; give it a later end first: \
         `alliance partner set {name} --trust-till DATE`"
    )]
    TrustIsOver {
        /// Its alias here.
        name: String,
    },
    /// No such invitation on this side.
    #[error("there is no invitation {0}")]
    NoSuchInvitation(String),
    /// Somebody else was first.
    #[error("the invitation was already used by another cloud")]
    AlreadyUsed,
    /// Not the cloud that the invitation is for.
    #[error("the invitation is for cloud {expected}, not for {found}")]
    NotExpected {
        /// For whom.
        expected: CloudId,
        /// Who came.
        found: CloudId,
    },
    /// Not in a state in which that can be done.
    #[error("the invitation is {0}; make a new one")]
    InvitationIs(InvitationState),
    /// Not in a state in which that can be done.
    #[error("this pairing is {0}; ask the partner for a new invitation")]
    AcceptanceIs(AcceptanceState),
    /// There is a live agreement with that partner about that project.
    #[error("there is an agreement about this project already ({}); end it first", .0.id)]
    AgreementExists(Box<Agreement>),
    /// No such agreement, or it ended.
    #[error("there is no live agreement {0}; `alliance agreement list` shows those that there are")]
    NoSuchAgreement(String),
    /// Somebody else changed the agreement meanwhile.
    #[error("agreement {0} was changed meanwhile; look at it again: `alliance agreement show {0}`")]
    AgreementChanged(String),
    /// Something in the database is not what this version writes there.
    #[error("the database holds a damaged {column}: {why}")]
    Damaged {
        /// Where.
        column: String,
        /// What is wrong with it.
        why: String,
    },
    /// The database cannot be written.
    #[error("the database is read-only; make it writable for the daemon's user")]
    ReadOnly(#[source] sqlx::Error),
    /// No space left.
    #[error("no space left for the database; free some, nothing is lost")]
    Full(#[source] sqlx::Error),
    /// Somebody else is writing; tried again in vain.
    #[error("the database is busy; try again")]
    Busy(#[source] sqlx::Error),
    /// Nobody answers.
    #[error("the database does not answer")]
    Unreachable(#[source] sqlx::Error),
    /// Anything else.
    #[error("the database failed")]
    Other(#[source] sqlx::Error),
}

/// What an alias names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A partner.
    Partner,
    /// An invitation of ours that is not decided yet.
    Invitation {
        /// Its id.
        id: String,
    },
    /// An invitation that we accepted, not decided yet.
    Acceptance {
        /// Its id.
        id: String,
    },
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Partner => f.write_str("a partner"),
            Holder::Invitation { id } => write!(f, "the open invitation {id}"),
            Holder::Acceptance { id } => write!(f, "the pairing under way {id}"),
        }
    }
}

impl Error {
    /// What the database's driver said, or what this says itself.
    pub(crate) fn into_cause(self) -> sqlx::Error {
        match self {
            Error::ReadOnly(cause)
            | Error::Full(cause)
            | Error::Busy(cause)
            | Error::Unreachable(cause)
            | Error::Other(cause) => cause,
            other => sqlx::Error::Protocol(other.to_string()),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match Fault::of(&error) {
            Fault::ReadOnly => Error::ReadOnly(error),
            Fault::Full => Error::Full(error),
            Fault::Busy => Error::Busy(error),
            Fault::Unreachable => Error::Unreachable(error),
            Fault::AccessDenied
            | Fault::NoDatabase
            | Fault::NotADatabase
            | Fault::CannotOpen
            | Fault::Unique
            | Fault::NoTable
            | Fault::NoColumn
            | Fault::NoVariable
            | Fault::Other => Error::Other(error),
        }
    }
}
