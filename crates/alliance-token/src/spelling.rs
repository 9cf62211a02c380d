//! Recognising a token's format. Recognition never guesses: what fits no format is refused, and
//! so is every spelling but the canonical one. No string fits two formats.

use alliance_core::token::TokenFormat;
use data_encoding::{BASE64URL, BASE64URL_NOPAD, Encoding};
use data_encoding_macro::new_encoding;
use serde::Deserialize;
use zeroize::Zeroizing;

/// How every PKI token starts: a DER sequence with two bytes of length (`30 82`), in base64.
const PKI_START: &str = "MII";
/// How every PKIZ token starts; no base64 of the rest.
const PKIZ_START: &str = "PKIZ_";
/// How every JWS starts: `{"`, in base64.
const JWS_START: &str = "eyJ";
/// How every Fernet token of this age starts: its version, 0x80, and zeros, in base64.
const FERNET_START: &str = "gAAAA";

/// Standard base64 with `-` in place of `/`: `cms_to_token` of `keystoneclient.common.cms`.
const PKI_BASE64: Encoding = new_encoding! {
    symbols: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-",
    padding: '=',
};

/// Version byte, timestamp, IV and MAC.
const FERNET_FRAME: usize = 1 + 8 + 16 + 32;
const FERNET_BLOCK: usize = 16;
const FERNET_VERSION: u8 = 0x80;

/// A token without its tag, decoded as far as its spelling goes.
#[derive(Clone)]
pub(crate) enum Form {
    Uuid,
    Fernet {
        /// When it was made, seconds since the Unix epoch: its one readable field.
        made_at: i64,
    },
    /// DER, unread.
    Pki(Zeroizing<Vec<u8>>),
    /// A zlib stream, unread.
    Pkiz(Zeroizing<Vec<u8>>),
    Jws(Jws),
}

/// The three parts of a JWS in compact serialisation (RFC 7515 §7.1).
#[derive(Clone)]
pub(crate) struct Jws {
    pub(crate) header: Vec<u8>,
    pub(crate) claims: Vec<u8>,
    pub(crate) signature: Zeroizing<Vec<u8>>,
}

impl Form {
    /// Reads `inner`, a token without its tag. `None` if it fits no format, or not in its
    /// canonical spelling.
    pub(crate) fn recognise(inner: &str) -> Option<Self> {
        if is_uuid(inner) {
            Some(Form::Uuid)
        } else if inner.starts_with(PKI_START) {
            padded(&PKI_BASE64, inner.as_bytes()).map(Form::Pki)
        } else if let Some(encoded) = inner.strip_prefix(PKIZ_START) {
            let stream = padded(&BASE64URL, encoded.as_bytes())?;
            (!stream.is_empty()).then_some(Form::Pkiz(stream))
        } else if inner.starts_with(JWS_START) {
            Jws::recognise(inner).map(Form::Jws)
        } else {
            fernet_timestamp(inner).map(|made_at| Form::Fernet { made_at })
        }
    }

    /// The only format that `inner` can be of, by how it starts.
    pub(crate) fn looks_like(inner: &str) -> Option<TokenFormat> {
        let starts = [
            (PKI_START, TokenFormat::Pki),
            (PKIZ_START, TokenFormat::Pkiz),
            (JWS_START, TokenFormat::Jws),
            (FERNET_START, TokenFormat::Fernet),
        ];
        starts
            .into_iter()
            .find_map(|(start, format)| inner.starts_with(start).then_some(format))
    }

    pub(crate) fn format(&self) -> TokenFormat {
        match self {
            Form::Uuid => TokenFormat::Uuid,
            Form::Fernet { .. } => TokenFormat::Fernet,
            Form::Pki(_) => TokenFormat::Pki,
            Form::Pkiz(_) => TokenFormat::Pkiz,
            Form::Jws(_) => TokenFormat::Jws,
        }
    }
}

impl Jws {
    fn recognise(inner: &str) -> Option<Self> {
        let mut parts = inner.split('.');
        let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || claims.is_empty() || signature.is_empty() {
            return None;
        }
        let [header, claims, signature] = [header, claims, signature].map(canonical_base64url);
        let jws = Self {
            header: header?,
            claims: claims?,
            signature: Zeroizing::new(signature?),
        };
        let algorithm: Algorithm = serde_json::from_slice(&jws.header).ok()?;
        (algorithm.alg == "ES256").then_some(jws)
    }
}

#[derive(Deserialize)]
struct Algorithm {
    alg: String,
}

fn is_uuid(inner: &str) -> bool {
    inner.len() == 32
        && inner
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Decodes base64 with padding, at the end and nowhere else: `data_encoding` takes several encoded
/// strings one after another for one.
pub(crate) fn padded(encoding: &Encoding, text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if text[..text.len().saturating_sub(2)].contains(&b'=') {
        return None;
    }
    encoding.decode(text).ok().map(Zeroizing::new)
}

/// When a canonical Fernet token was made, in seconds. `None` if `inner` is no canonical Fernet
/// token.
fn fernet_timestamp(inner: &str) -> Option<i64> {
    let bytes = canonical_base64url(inner)?;
    let encrypted = bytes.len().checked_sub(FERNET_FRAME)?;
    if encrypted == 0 || encrypted % FERNET_BLOCK != 0 || bytes[0] != FERNET_VERSION {
        return None;
    }
    let timestamp: [u8; 8] = bytes[1..9].try_into().ok()?;
    i64::try_from(u64::from_be_bytes(timestamp)).ok()
}

/// `data_encoding` refuses padding, foreign characters and non-zero trailing bits.
fn canonical_base64url(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "0123456789abcdef0123456789abcdef";
    // {"alg":"ES256"}, {"sub":"u"}
    const JWS: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1In0.AAAA";

    fn fernet(blocks: usize) -> String {
        let mut bytes = vec![0x80];
        bytes.extend_from_slice(&1_700_000_000u64.to_be_bytes());
        bytes.resize(1 + 8 + 16 + 16 * blocks + 32, 7);
        BASE64URL_NOPAD.encode(&bytes)
    }

    fn pki(len: usize) -> String {
        let mut der = vec![0x30, 0x82, 0x00, 0xff, 0xfe];
        der.resize(len, 0xfb);
        PKI_BASE64.encode(&der)
    }

    fn format(inner: &str) -> Option<TokenFormat> {
        Form::recognise(inner).map(|form| form.format())
    }

    #[test]
    fn a_fernet_token_tells_when_it_was_made() {
        assert_eq!(fernet_timestamp(&fernet(3)), Some(1_700_000_000));
        assert_eq!(format(&fernet(3)), Some(TokenFormat::Fernet));
        assert!(fernet(3).starts_with("gAAAA"));
    }

    #[test]
    fn each_format_is_told_by_its_spelling() {
        assert_eq!(format(UUID), Some(TokenFormat::Uuid));
        assert_eq!(format(JWS), Some(TokenFormat::Jws));
        for len in [300, 301, 302] {
            assert_eq!(format(&pki(len)), Some(TokenFormat::Pki));
            let pkiz = format!("PKIZ_{}", BASE64URL.encode(&vec![0xfb; len]));
            assert_eq!(format(&pkiz), Some(TokenFormat::Pkiz));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let fernet = fernet(3);
        let pki = pki(301);
        assert!(pki.ends_with('=') && pki.contains('-'));
        let pkiz = format!("PKIZ_{}", BASE64URL.encode(&[0xff; 31]));
        for wrong in [
            format!("{fernet}="),
            format!("{fernet}=="),
            fernet.replace('A', "+"),
            format!(" {fernet}"),
            format!("{fernet}\n"),
            fernet[..fernet.len() - 1].to_owned(),
            String::new(),
            UUID.to_uppercase(),
            "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
            UUID[1..].to_owned(),
            format!("{JWS}."),
            format!("{JWS}="),
            JWS.replace("AAAA", ""),
            JWS.replace("eyJh", "AAAA"),
            // {"alg":"none"}, {"alg":"HS256"}
            JWS.replace("eyJhbGciOiJFUzI1NiJ9", "eyJhbGciOiJub25lIn0"),
            JWS.replace("eyJhbGciOiJFUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9"),
            pki.replace('-', "/"),
            pki.replace('-', "_"),
            pki.trim_end_matches('=').to_owned(),
            format!("{pki}="),
            format!("{pki}\n"),
            pki.replacen("MII", "mii", 1),
            pkiz.replace("PKIZ_", "pkiz_"),
            pkiz.replace("PKIZ_", ""),
            pkiz.replace('_', "/"),
            pkiz.trim_end_matches('=').to_owned(),
            "PKIZ_".to_owned(),
            // Padding in between.
            "MII=AAAAAA==".to_owned(),
            "MII=AAAA".to_owned(),
            "PKIZ_AA==AAA=".to_owned(),
            "PKIZ_AAA=AAAA".to_owned(),
        ] {
            assert_eq!(format(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn bits_that_decoders_ignore_are_refused() {
        let pki = pki(301);
        let pkiz = format!("PKIZ_{}", BASE64URL.encode(&[7; 31]));
        for (whole, alphabet) in [
            (fernet(4), BASE64URL_NOPAD),
            (pki, PKI_BASE64),
            (pkiz, BASE64URL),
        ] {
            let end = whole.trim_end_matches('=').len() - 1;
            let last = alphabet.specification().symbols.find(&whole[end..=end]);
            let next = last.and_then(|at| alphabet.specification().symbols.chars().nth(at + 1));
            let mut other = whole.clone();
            other.replace_range(end..=end, &next.unwrap_or('?').to_string());
            assert_eq!(
                (format(&whole).is_some(), format(&other)),
                (true, None),
                "{other}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn what_is_recognised_is_its_only_spelling(text in "(MII|PKIZ_|eyJhbGciOiJFUzI1NiJ9\\.|gAAAAA)?[A-Za-z0-9_+.=-]{0,120}") {
            let again = match Form::recognise(&text) {
                None => None,
                Some(Form::Pki(der)) => Some(PKI_BASE64.encode(&der)),
                Some(Form::Pkiz(stream)) => Some(format!("PKIZ_{}", BASE64URL.encode(&stream))),
                Some(Form::Jws(jws)) => Some(
                    [&jws.header, &jws.claims, &*jws.signature]
                        .map(|part| BASE64URL_NOPAD.encode(part))
                        .join("."),
                ),
                Some(Form::Uuid | Form::Fernet { .. }) => Some(text.clone()),
            };
            prop_assert!(again.is_none_or(|again| again == text));
        }

        #[test]
        fn no_input_panics(text in "\\PC{0,300}", start in "(|MII|PKIZ_|eyJ|gA)") {
            let _ = Form::recognise(&text);
            let _ = Form::recognise(&format!("{start}{text}"));
        }
    }
}
