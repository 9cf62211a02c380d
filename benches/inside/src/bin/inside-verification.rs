//! How fast signed tokens are verified, against the bare operation on their signature by the same
//! library, in turns.

use std::fs;
use std::hint::black_box;
use std::io::{Write, stdin, stdout};
use std::time::{Duration, Instant};

use alliance_core::Seconds;
use alliance_token::{KeyRing, SigningKey, Token, verify};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    VerificationAlgorithm,
};
use clap::Parser;
use data_encoding::BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Operations between two looks at the clock.
const BATCH: u32 = 16;

#[derive(Parser)]
#[command(about = "Verifies the tokens that standard input lists")]
struct Options {
    #[arg(long)]
    rounds: usize,
    /// Of each measurement
    #[arg(long)]
    seconds: f64,
}

/// A token, and what in it is signed. Bytes are in base64.
#[derive(Deserialize)]
struct Case {
    token: String,
    /// PEM of the keys of its issuer.
    keys: String,
    algorithm: Algorithm,
    /// The key that signed it, a `SubjectPublicKeyInfo`.
    public: String,
    message: String,
    signature: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Algorithm {
    Rsa,
    EcdsaAsn1,
    EcdsaFixed,
}

/// Operations in a second of processor time, by round.
#[derive(Default, Serialize)]
struct Measured {
    /// The signature alone.
    raw: Vec<f64>,
    /// A token that has been recognised.
    verified: Vec<f64>,
    /// From the string to the verified content.
    whole: Vec<f64>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let length = Duration::from_secs_f64(options.seconds);
    let cases: Vec<Case> = serde_json::from_reader(stdin().lock())?;
    let ready = cases
        .iter()
        .map(Ready::new)
        .collect::<Result<Vec<_>, _>>()?;
    let mut measured: Vec<Measured> = ready.iter().map(|_| Measured::default()).collect();
    for _ in 0..options.rounds {
        for (case, measured) in ready.iter().zip(&mut measured) {
            measured.raw.push(per_second(length, || case.raw())?);
            measured
                .verified
                .push(per_second(length, || case.verified())?);
            measured.whole.push(per_second(length, || case.whole())?);
        }
    }
    stdout().write_all(&serde_json::to_vec(&measured)?)?;
    Ok(())
}

/// A case with its keys parsed, as a daemon has them.
struct Ready<'a> {
    text: &'a str,
    token: Token,
    ring: KeyRing,
    public: ParsedPublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
    now: Seconds,
}

impl<'a> Ready<'a> {
    fn new(case: &'a Case) -> anyhow::Result<Self> {
        let bytes = |text: &str| BASE64.decode(text.as_bytes());
        let algorithm: &'static dyn VerificationAlgorithm = match case.algorithm {
            Algorithm::Rsa => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::EcdsaAsn1 => &ECDSA_P256_SHA256_ASN1,
            Algorithm::EcdsaFixed => &ECDSA_P256_SHA256_FIXED,
        };
        Ok(Self {
            text: &case.token,
            token: Token::parse(&case.token)?,
            ring: KeyRing::new(SigningKey::all_from_pem(case.keys.as_bytes())?)?,
            public: ParsedPublicKey::new(algorithm, bytes(&case.public)?)?,
            message: bytes(&case.message)?,
            signature: bytes(&case.signature)?,
            now: Timestamp::now().as_second(),
        })
    }

    fn raw(&self) -> bool {
        self.public
            .verify_sig(black_box(&self.message), &self.signature)
            .is_ok()
    }

    fn verified(&self) -> bool {
        verify(black_box(&self.token), &self.ring, false, self.now).is_ok()
    }

    fn whole(&self) -> bool {
        Token::parse(black_box(self.text))
            .is_ok_and(|token| verify(&token, &self.ring, false, self.now).is_ok())
    }
}

/// Operations in a second of processor time: what else the machine does is left out.
fn per_second(length: Duration, operation: impl Fn() -> bool) -> anyhow::Result<f64> {
    anyhow::ensure!(operation(), "a signature does not verify");
    let (began, worked, mut done) = (Instant::now(), worked()?, 0_u32);
    while began.elapsed() < length {
        for _ in 0..BATCH {
            black_box(operation());
        }
        done += BATCH;
    }
    Ok(f64::from(done) / (self::worked()? - worked).as_secs_f64())
}

/// How long this thread has run so far.
fn worked() -> anyhow::Result<Duration> {
    let told = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = told.split(' ').next().unwrap_or_default();
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}
