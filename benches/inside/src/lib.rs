//! What a daemon does with a token between two requests, without sockets, HTTP and clouds. Each
//! program in `src/bin` measures one thing and prints it as JSON; `make bench` makes the table.

mod crowd;
mod spellings;

pub use self::crowd::Crowd;
pub use self::spellings::{Sample, Spellings};
