//! Names of what is told or kept, made of what it says.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Digits of an id.
const DIGITS: usize = 32;

/// One name of several parts, whatever is in them.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    HEXLOWER.encode(&hash.finalize())
}

/// The beginning of it, as an id: 128 bits of SHA-256, in hexadecimal digits.
pub fn id(parts: &[&str]) -> String {
    let mut id = digest(parts);
    id.truncate(DIGITS);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_between_parts_is_another_name() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }
}
