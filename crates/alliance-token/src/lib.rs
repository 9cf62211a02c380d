//! Tokens as strings: which cloud issued one, whether it is in its one canonical spelling, and
//! how to speak of it without telling it.
//!
//! Nothing here validates a token: that is for its issuer to say.

mod format;
mod tagged;

pub use format::Format;
pub use tagged::{MAX_TOKEN_LEN, Malformed, TaggedToken};
