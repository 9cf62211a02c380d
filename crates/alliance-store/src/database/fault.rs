//! Both databases' error numbers, as what they mean to us.

use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

/// What a database error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    ReadOnly,
    Full,
    /// Somebody else holds what we need: the same may work a moment later.
    Busy,
    Unreachable,
    AccessDenied,
    NoDatabase,
    NoTable,
    NoColumn,
    NotADatabase,
    CannotOpen,
    /// A row with this key is there already.
    Unique,
    /// The server has no such setting.
    NoVariable,
    Other,
}

impl Fault {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                if error.is_unique_violation() {
                    return Fault::Unique;
                }
                match error.try_downcast_ref::<MySqlDatabaseError>() {
                    Some(error) => Self::of_mariadb(error.number()),
                    None => Self::of_sqlite(&**error),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Fault::Unreachable,
            _ => Fault::Other,
        }
    }

    /// Whether what a statement names is not there.
    pub(crate) fn is_of_absence(self) -> bool {
        matches!(self, Fault::NoTable | Fault::NoColumn)
    }

    /// <https://mariadb.com/kb/en/mariadb-error-code-reference/>
    fn of_mariadb(number: u16) -> Self {
        match number {
            // DBACCESS_DENIED, ACCESS_DENIED, TABLEACCESS_DENIED, ACCESS_DENIED_NO_PASSWORD
            1044 | 1045 | 1142 | 1698 => Fault::AccessDenied,
            1049 => Fault::NoDatabase,
            // BAD_FIELD
            1054 => Fault::NoColumn,
            // NO_SUCH_TABLE
            1146 => Fault::NoTable,
            // DISK_FULL, RECORD_FILE_FULL
            1021 | 1114 => Fault::Full,
            // CHECKREAD, LOCK_WAIT_TIMEOUT, LOCK_DEADLOCK; Galera reports its conflicts as these.
            1020 | 1205 | 1213 => Fault::Busy,
            // OPTION_PREVENTS_STATEMENT (--read-only), CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
            1290 | 1792 => Fault::ReadOnly,
            // CON_COUNT, SERVER_SHUTDOWN, UNKNOWN_COM (a Galera node without its cluster),
            // CONNECTION_KILLED
            1040 | 1047 | 1053 | 1927 => Fault::Unreachable,
            // UNKNOWN_SYSTEM_VARIABLE
            1193 => Fault::NoVariable,
            _ => Fault::Other,
        }
    }

    /// <https://sqlite.org/rescode.html>; the lowest byte is the primary code.
    fn of_sqlite(error: &dyn DatabaseError) -> Self {
        let code = error.code().and_then(|code| code.parse::<u32>().ok());
        match code.map(|code| code & 0xff) {
            // BUSY, LOCKED
            Some(5 | 6) => Fault::Busy,
            Some(8) => Fault::ReadOnly,
            Some(13) => Fault::Full,
            Some(14) => Fault::CannotOpen,
            // CORRUPT, NOTADB
            Some(11 | 26) => Fault::NotADatabase,
            // ERROR, as for any statement that does not fit.
            Some(1) if error.message().starts_with("no such table") => Fault::NoTable,
            Some(1) if error.message().starts_with("no such column") => Fault::NoColumn,
            _ => Fault::Other,
        }
    }
}
