//! Certificates of this cloud that end, do not count yet, or have another key.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use alliance_core::Seconds;
use anyhow::Context;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{Fault, State, when, with_causes};
use crate::config::Config;
use crate::daemon::console::Door;
use crate::daemon::key_files;

/// How long before its end one is mentioned, in seconds.
const SOON: Seconds = 14 * 86_400;

/// What to say of those that end soon, have ended, do not count yet, or cannot be read or used.
pub(super) fn faults(config: &Config, now: Seconds) -> Vec<Fault> {
    let console = config.console.certificate.as_deref();
    let signing = config.signing.pki_certificates.as_deref();
    let console = console.map(|path| {
        let after = "browsers refuse the console";
        fault(
            "[console] certificate",
            path,
            ends_of_chain(path),
            after,
            now,
        )
    });
    let signing = signing.map(|path| {
        let after =
            "partners ask about each PKI token of this cloud, as long as Keystone issues them";
        fault(
            "[signing] pki_certificates",
            path,
            ends_of_keys(path),
            after,
            now,
        )
    });
    let all = console.into_iter().chain(signing).flatten();
    all.chain(not_yet(config, now))
        .chain(pair(config))
        .collect()
}

/// What to say if browsers do not believe the console's certificate yet.
fn not_yet(config: &Config, now: Seconds) -> Option<Fault> {
    let path = config.console.certificate.as_deref()?;
    let from = chain(path).ok()?.into_iter().map(|each| each.from).max()?;
    (from > now).then(|| {
        let detail = format!(
            "{} counts from {} on: browsers refuse the console until then; set this machine's clock, or make a new one ([console] certificate)",
            path.display(),
            when::rfc3339(from)
        );
        (State::Fail, detail)
    })
}

/// What to say if the console cannot be served with its certificate and key. Where only the daemon may
/// read the key, nothing.
fn pair(config: &Config) -> Option<Fault> {
    let console = &config.console;
    console.listen?;
    let (certificate, key) = (console.certificate.as_deref()?, console.key.as_deref()?);
    // What cannot be read is named already.
    chain(certificate).ok()?;
    if File::open(key).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        return None;
    }
    let error = Door::check(certificate, key).err()?;
    let detail = format!(
        "{}: the daemon does not start; name the key with which the certificate was made ([console] key)",
        with_causes(error)
    );
    Some((State::Fail, detail))
}

fn fault(
    option: &str,
    path: &Path,
    ends: anyhow::Result<Vec<Seconds>>,
    after: &str,
    now: Seconds,
) -> Option<Fault> {
    let shown = path.display();
    let end = match ends {
        Ok(ends) => ends.into_iter().min()?,
        Err(error) => return Some((State::Fail, format!("{option}: {}", with_causes(error)))),
    };
    match end - now {
        left if left > SOON => None,
        left if left > 0 => Some((
            State::Warn,
            format!(
                "{shown} ends in {}, and then {after}: make a new one ({option})",
                when::span(left)
            ),
        )),
        over => Some((
            State::Fail,
            format!(
                "{shown} ended {} ago: {after}; make a new one ({option})",
                when::span(-over)
            ),
        )),
    }
}

/// From when on and until when a certificate counts.
struct Span {
    from: Seconds,
    until: Seconds,
}

/// When each certificate of a chain ends.
fn ends_of_chain(path: &Path) -> anyhow::Result<Vec<Seconds>> {
    Ok(chain(path)?.into_iter().map(|each| each.until).collect())
}

/// When each certificate of a chain counts.
fn chain(path: &Path) -> anyhow::Result<Vec<Span>> {
    let reading = || format!("reading {}", path.display());
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(reading)?;
    anyhow::ensure!(
        !chain.is_empty(),
        "there is no certificate in {}",
        path.display()
    );
    let spans = chain.iter().map(|der| {
        let (_, certificate) = X509Certificate::from_der(der).with_context(reading)?;
        let validity = certificate.validity();
        Ok(Span {
            from: validity.not_before.timestamp(),
            until: validity.not_after.timestamp(),
        })
    });
    spans.collect()
}

/// When each certificate ends with which Keystone signs; it may have kept those before.
fn ends_of_keys(path: &Path) -> anyhow::Result<Vec<Seconds>> {
    let keys = key_files::read(path)?;
    let newest = keys.iter().filter_map(|key| key.not_after()).max();
    Ok(newest.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::cli::doctor::tests::config_in;

    const DAY: Seconds = 86_400;

    #[test]
    fn a_certificate_that_ends_soon_or_has_ended_is_named() -> Result<(), Box<dyn std::error::Error>>
    {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("console.pem");
        let mut made = CertificateParams::new(vec!["console.example".into()])?;
        made.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let end: Seconds = 1_893_456_000;
        fs::write(&file, made.self_signed(&KeyPair::generate()?)?.pem())?;
        let mut config = config_in(folder.path())?;
        assert_eq!(faults(&config, end), [], "there is none");
        config.console.certificate = Some(file.clone());
        assert_eq!(faults(&config, end - 15 * DAY), []);
        let said = faults(&config, end - 3 * DAY);
        assert!(
            matches!(&said[..], [(State::Warn, text)] if text.contains("ends in 3 d")),
            "{said:?}"
        );
        let said = faults(&config, end + DAY);
        assert!(
            matches!(&said[..], [(State::Fail, text)] if text.contains("ended 24 h ago")),
            "{said:?}"
        );
        fs::write(&file, "no certificate")?;
        let said = faults(&config, end);
        assert!(
            matches!(&said[..], [(State::Fail, text)] if text.contains("no certificate in")),
            "{said:?}"
        );
        config.console.certificate = None;
        config.signing.pki_certificates = Some("/nowhere/cert.pem".into());
        let said = faults(&config, end);
        assert!(
            matches!(&said[..], [(State::Fail, text)] if text.contains("/nowhere/cert.pem")),
            "{said:?}"
        );
        Ok(())
    }

    #[test]
    fn a_certificate_that_does_not_count_yet_is_named() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("console.pem");
        let mut made = CertificateParams::new(vec!["console.example".into()])?;
        made.not_before = rcgen::date_time_ymd(2030, 1, 1);
        made.not_after = rcgen::date_time_ymd(2031, 1, 1);
        let begin: Seconds = 1_893_456_000;
        fs::write(&file, made.self_signed(&KeyPair::generate()?)?.pem())?;
        let mut config = config_in(folder.path())?;
        config.console.certificate = Some(file);
        assert_eq!(faults(&config, begin), []);
        let said = faults(&config, begin - 1);
        assert!(
            matches!(&said[..], [(State::Fail, text)] if text.contains("from 2030-01-01T00:00:00Z on")),
            "{said:?}"
        );
        Ok(())
    }

    #[test]
    fn a_key_that_is_another_certificates_is_named() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let [file, key] = ["console.pem", "console.key"].map(|name| folder.path().join(name));
        let made = CertificateParams::new(vec!["console.example".into()])?;
        let (own, another) = (KeyPair::generate()?, KeyPair::generate()?);
        fs::write(&file, made.self_signed(&own)?.pem())?;
        fs::write(&key, own.serialize_pem())?;
        let mut config = config_in(folder.path())?;
        config.console.certificate = Some(file);
        config.console.key = Some(key.clone());
        config.console.listen = Some("127.0.0.1:8453".parse()?);
        assert_eq!(faults(&config, 1_893_456_000), []);
        fs::write(&key, another.serialize_pem())?;
        let said = faults(&config, 1_893_456_000);
        assert!(
            matches!(&said[..], [(State::Fail, text)] if text.contains("do not belong together")),
            "{said:?}"
        );
        fs::remove_file(&key)?;
        let said = faults(&config, 1_893_456_000);
        assert!(
            matches!(&said[..], [(State::Fail, text)] if text.contains("[console] key")),
            "{said:?}"
        );
        config.console.listen = None;
        assert_eq!(faults(&config, 1_893_456_000), [], "there is no console");
        Ok(())
    }
}
