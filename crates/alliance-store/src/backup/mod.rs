//! Backups: all that must survive, in one file that fits either database.
//!
//! A backup is taken from one state of the database, whoever writes meanwhile. It is put into a database
//! that has nothing in it, as a whole or not at all: SQLite does all of it in one transaction; in MariaDB a
//! mark keeps daemons out until everything is there, and the next restore begins anew.
//!
//! What a database of yesterday cannot know is [mended](Restoration::mend): what has ended since stays
//! ended, and no number is given twice.

mod error;
mod file;
mod mending;
mod putting;
mod tables;
mod taking;

pub use self::error::BackupError;
pub use self::file::{About, BackupFile, BackupKeys};
pub use self::mending::{Mended, Mending};
pub use self::putting::Restoration;
pub use self::taking::{Backup, Rows};
