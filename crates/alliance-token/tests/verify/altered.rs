//! A token that was changed anywhere is another one, and nobody signed that.

use std::sync::LazyLock;

use alliance_token::{KeyRing, Token, Verified, verify};

use crate::data::{NOW, parse, partner, token};

const SIGNED: [&str; 7] = [
    "pki-rsa",
    "pki-ec",
    "pki-rsa-attributes",
    "pki-ec-attributes",
    "pkiz-rsa",
    "pkiz-ec",
    "jws",
];

/// What else stands in any of the formats.
const CHARACTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-_=/. ~";

static PARTNER: LazyLock<KeyRing> = LazyLock::new(partner);

/// What `text` says if it counts.
fn judge(text: &str) -> Option<Verified> {
    let token = Token::parse(text).ok()?;
    verify(&token, &PARTNER, true, NOW).ok()
}

/// The tokens of one changed byte, one for each place. At every other place it is the neighbour in
/// the alphabet, which changes the lowest bits.
fn changes(text: &str) -> impl Iterator<Item = String> {
    (0..text.len()).map(move |at| {
        let was = CHARACTERS
            .iter()
            .position(|c| *c == text.as_bytes()[at])
            .expect("a character of tokens");
        let distance = if at % 2 == 0 { 1 } else { 2 + at % 67 };
        let mut changed = text.as_bytes().to_vec();
        changed[at] = CHARACTERS[(was + distance) % CHARACTERS.len()];
        String::from_utf8(changed).expect("ASCII")
    })
}

#[test]
fn any_changed_byte_is_refused() {
    for name in SIGNED {
        let text = token(name);
        let genuine = judge(&text);
        assert!(genuine.is_some(), "{name}");
        let mut respelled = 0;
        for changed in changes(&text) {
            let Some(said) = judge(&changed) else {
                continue;
            };
            // One way to compress was changed into another: it says what was signed, all of it.
            assert!(changed.starts_with("PKIZ_"), "{name}: {changed}");
            assert_eq!(Some(said), genuine, "{name}: {changed}");
            respelled += 1;
        }
        assert!(respelled * 100 <= text.len(), "{name}: {respelled}");
    }
}

#[test]
fn any_truncation_is_refused() {
    for name in SIGNED {
        let text = token(name);
        for end in 0..text.len() {
            assert_eq!(judge(&text[..end]), None, "{name} to {end}");
        }
        for start in 1..100 {
            assert_eq!(judge(&text[start..]), None, "{name} from {start}");
        }
        for more in ["A", "=", "\0", ".", "~"] {
            assert_eq!(judge(&format!("{text}{more}")), None, "{name}{more}");
            assert_eq!(judge(&format!("{more}{text}")), None, "{more}{name}");
        }
    }
}

#[test]
fn a_tag_is_no_part_of_what_is_signed() {
    for name in SIGNED {
        let text = token(name);
        let tagged = format!("k3v7q2xa~{text}");
        assert_ne!(parse(&tagged), parse(&text));
        assert_eq!(judge(&tagged), judge(&text), "{name}");
        assert!(judge(&tagged).is_some(), "{name}");
    }
}
