//! PKIZ tokens: a zlib stream of PEM of CMS, since `keystoneclient.common.cms` compresses what
//! `openssl cms` wrote as it is.

use data_encoding::BASE64;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_COMPUTE_ADLER32, TINFL_FLAG_PARSE_ZLIB_HEADER,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use zeroize::Zeroizing;

use crate::spelling::padded;

/// Longest PEM in a PKIZ token, in bytes. The ids in a catalog do not compress: of those that fit
/// into a header compressed, none is much longer than half of this.
const MAX_INFLATED: usize = 128 << 10;
/// How much longer than compressed it is first taken to be; enough for most.
const USUAL_RATIO: usize = 4;

const BEGIN: &[u8] = b"-----BEGIN CMS-----\n";
const END: &[u8] = b"\n-----END CMS-----\n";
/// Characters of base64 in a full line, and the bytes that they stand for.
const LINE: usize = 64;
const LINE_BYTES: usize = 48;

const FLAGS: u32 = TINFL_FLAG_PARSE_ZLIB_HEADER
    | TINFL_FLAG_COMPUTE_ADLER32
    | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;

/// The CMS in `stream`, DER, unread.
pub(crate) fn open(stream: &[u8]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    from_pem(&inflate(stream)?).ok_or("what it inflates to is not PEM of CMS as openssl writes it")
}

/// Reads PEM in the one way in which openssl writes it: full lines, then the rest.
fn from_pem(pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let lines = pem.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let full = lines.len().saturating_sub(1) / (LINE + 1);
    let (full_lines, rest) = lines.split_at(full * (LINE + 1));
    let rest = padded(&BASE64, rest)?;
    let mut der = Zeroizing::new(vec![0; full * LINE_BYTES + rest.len()]);
    let (start, end) = der.split_at_mut(full * LINE_BYTES);
    for (line, bytes) in full_lines
        .chunks_exact(LINE + 1)
        .zip(start.chunks_exact_mut(LINE_BYTES))
    {
        let line = line.strip_suffix(b"\n")?;
        if line.contains(&b'=') {
            return None;
        }
        BASE64.decode_mut(line, bytes).ok()?;
    }
    end.copy_from_slice(&rest);
    Some(der)
}

/// Inflates a zlib stream (RFC 1950) that is the whole of `stream`. Nothing is inflated beyond
/// [`MAX_INFLATED`].
fn inflate(stream: &[u8]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut state = Box::<DecompressorOxide>::default();
    let mut inflated = Zeroizing::new(vec![0; MAX_INFLATED.min(stream.len() * USUAL_RATIO)]);
    let (mut read, mut written) = (0, 0);
    loop {
        let (status, more_read, more_written) =
            decompress(&mut state, &stream[read..], &mut inflated, written, FLAGS);
        read += more_read;
        written += more_written;
        match status {
            TINFLStatus::Done if read == stream.len() => {
                inflated.truncate(written);
                return Ok(inflated);
            }
            TINFLStatus::Done => return Err("there is something after its zlib stream"),
            TINFLStatus::HasMoreOutput if written < MAX_INFLATED => {
                // A new buffer, since growing would leave the old one's content behind.
                let mut larger = Zeroizing::new(vec![0; MAX_INFLATED]);
                larger[..written].copy_from_slice(&inflated[..written]);
                inflated = larger;
            }
            TINFLStatus::HasMoreOutput => return Err("it inflates to more than 128 KiB"),
            _ => return Err("it is no zlib stream, or truncated"),
        }
    }
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        for len in [0, 1, 1000, 20_000, MAX_INFLATED] {
            let plain: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let inflated = inflate(&compress_to_vec_zlib(&plain, 6));
            assert_eq!(inflated.as_deref(), Ok(&plain), "{len}");
        }
    }

    #[test]
    fn pem_has_one_spelling() {
        let pem = |lines: &[&str]| {
            let lines = lines.join("\n");
            let text = format!("-----BEGIN CMS-----\n{lines}\n-----END CMS-----\n");
            from_pem(text.as_bytes()).map(|der| der.len())
        };
        let line = "A".repeat(64);
        assert_eq!(pem(&[&line]), Some(48));
        assert_eq!(pem(&[&line, "AA=="]), Some(49));
        assert_eq!(pem(&[&line, &line]), Some(96));
        for wrong in [
            &["AAAA", "AAAA"][..],
            &[&line, ""],
            &[&line[1..], "AAAA"],
            &[&format!("{line}AAAA")],
            &[&line, &line, "AAAA", "AAAA"],
            &[&line, "AA"],
            &[&line, "AB=="],
            &[&line, " AAA"],
            &[&line, "AA==AAA="],
            &[&line, "AAA=AAAA"],
            &["AAAA\r"],
            &[&format!("{}=", &line[1..]), "AAAA"],
            &[&format!("{}==", &line[2..]), "AAAA"],
        ] {
            assert_eq!(pem(wrong), None, "{wrong:?}");
        }
        assert_eq!(from_pem(b"AAAA"), None);
        assert_eq!(
            from_pem(b"-----BEGIN CMS-----\nAAAA\n-----END CMS-----"),
            None
        );
        assert_eq!(from_pem(b"-----BEGIN CMS-----\n-----END CMS-----\n"), None);
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let most = compress_to_vec_zlib(&[0; 128 << 10], 9);
        assert_eq!(inflate(&most).map(|inflated| inflated.len()), Ok(128 << 10));
        let stream = compress_to_vec_zlib(&[0; (128 << 10) + 1], 9);
        assert_eq!(
            inflate(&stream).err(),
            Some("it inflates to more than 128 KiB")
        );
        // As much as fits into a token: 6 MB.
        let bomb = compress_to_vec_zlib(&vec![0; 6_000_000], 9);
        assert!(bomb.len() < 6 << 10);
        assert_eq!(
            inflate(&bomb).err(),
            Some("it inflates to more than 128 KiB")
        );
    }

    #[test]
    fn the_stream_is_all_there_is() {
        let stream = compress_to_vec_zlib(b"token", 6);
        let longer = [&stream[..], b"\0"].concat();
        assert_eq!(
            inflate(&longer).err(),
            Some("there is something after its zlib stream")
        );
        for len in 0..stream.len() {
            assert!(inflate(&stream[..len]).is_err(), "{len}");
        }
        let mut wrong_sum = stream.clone();
        *wrong_sum.last_mut().unwrap() ^= 1;
        assert!(inflate(&wrong_sum).is_err());
        // Raw deflate, gzip.
        assert!(inflate(&stream[2..]).is_err());
        assert!(inflate(b"\x1f\x8b\x08\0\0\0\0\0\0\x03").is_err());
    }
}
