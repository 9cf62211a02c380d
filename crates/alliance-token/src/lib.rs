//! Tokens as strings: which cloud issued one, whether it is in its one canonical spelling, what
//! it says, whether one of the issuer's keys signed it, and how to speak of it without telling it.
//!
//! Everything here is pure: no I/O, no clock. Whatever is read may come from an attacker: lengths
//! are bounded before anything is decoded, and no key is ever taken from a token.
//!
//! - [`Token`] is a string that has been recognised. There is one spelling of each token, as far
//!   as its format allows (see [`verify`]).
//! - [`verify`] says whether a key of the issuer signed it. Opaque formats ([`TokenFormat::Uuid`],
//!   [`TokenFormat::Fernet`]) can only be judged by asking the issuer.
//! - [`inspect`] explains any string to a human, and validates nothing.
//!
//! [`TokenFormat::Uuid`]: alliance_core::token::TokenFormat::Uuid
//! [`TokenFormat::Fernet`]: alliance_core::token::TokenFormat::Fernet

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod body;
mod cms;
mod inspect;
mod jws;
mod keys;
mod pkiz;
mod signature;
mod spelling;
mod token;
mod verify;

pub use inspect::{Holder, Inspection, Scope, Signer, inspect};
pub use keys::{KeyRejected, KeyRing, SigningKey};
pub use token::{MAX_TOKEN_LEN, Malformed, Token};
pub use verify::{BareToken, Content, Unverified, Verified, verify};
