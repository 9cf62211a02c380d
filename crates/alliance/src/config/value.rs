//! Parsers of single options. Each says what it expected and what it found; a secret's value is
//! never repeated.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use alliance_core::endpoint_url::{AddressRange, NotARange};
use alliance_core::label::is_alias;
use alliance_core::region_name::RegionNaming;
use alliance_trace::Share;
use secrecy::SecretString;
use toml::de::{DeFloat, DeInteger, DeValue};
use url::Url;

use super::section::nearest;
use super::{InvalidBudget, LogFormat};

/// The longest path that `sockaddr_un` holds, with its final NUL left out.
const MAX_SOCKET_PATH: usize = 107;
/// A partner that misses a pull or two is not hidden.
const LEAST_HIDING: Duration = Duration::from_secs(60);
/// No machine remembers more.
const MOST: usize = 100_000_000;
const LONGEST_DURATION: f64 = 86_400.0 * 366.0;

pub(super) fn word(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    if text.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{text:?} holds control characters"));
    }
    Ok(text.to_owned())
}

pub(super) fn words(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    list(value, "texts", word)
}

pub(super) fn alias(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    if is_alias(text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no name: expected 1 to 32 letters, digits, '-', '_' or '.', a letter or digit first"
        ))
    }
}

pub(super) fn secret(value: &DeValue<'_>) -> Result<SecretString, String> {
    text(value).map(|text| SecretString::from(text.to_owned()))
}

pub(super) fn truth(value: &DeValue<'_>) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| expected("true or false", value))
}

pub(super) fn absolute_path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    let path = PathBuf::from(text(value)?);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!(
            "{} is no absolute path: expected one that begins with /",
            path.display()
        ))
    }
}

pub(super) fn socket_path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    let path = absolute_path(value)?;
    match path.as_os_str().len() {
        0..=MAX_SOCKET_PATH => Ok(path),
        len => Err(format!(
            "is {len} bytes long; the system takes at most {MAX_SOCKET_PATH} for a socket's path"
        )),
    }
}

pub(super) fn uids(value: &DeValue<'_>) -> Result<Vec<u32>, String> {
    list(value, "user ids (numbers)", |value| {
        let id = value.as_integer().and_then(integer);
        id.and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| expected("a user id (a number from 0 to 4294967295)", value))
    })
}

pub(super) fn count(value: &DeValue<'_>) -> Result<usize, String> {
    let number = value.as_integer().and_then(integer);
    number
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| (1..=MOST).contains(number))
        .ok_or_else(|| expected("a number from 1 to 100000000", value))
}

pub(super) fn listen(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let text = text(value)?;
    text.parse().map_err(|_| {
        format!(
            "{text:?} is no address to listen on: expected address:port, as 0.0.0.0:5443 or [::]:5443"
        )
    })
}

pub(super) fn hosts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    list(value, "texts", |value| {
        let text = text(value)?;
        let port = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .and_then(|(_, port)| port.parse::<u16>().ok());
        match port {
            Some(1..) => Ok(text.to_owned()),
            _ => Err(format!(
                "{text:?} is no server: expected host:port, as 127.0.0.1:11211"
            )),
        }
    })
}

pub(super) fn peer_url(value: &DeValue<'_>) -> Result<Url, String> {
    let url = url(value)?;
    if url.scheme() != "https" {
        return Err(format!("expected an https URL, found {:?}", url.scheme()));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "{url} has a path: expected https://host:port and nothing after it"
        ));
    }
    Ok(url)
}

pub(super) fn auth_url(value: &DeValue<'_>) -> Result<Url, String> {
    let url = url(value)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "expected an http or https URL, found {:?}",
            url.scheme()
        ));
    }
    if !url.path().trim_end_matches('/').ends_with("/v3") {
        return Err(format!(
            "{url} is not Keystone's version 3 URL: expected one that ends with /v3"
        ));
    }
    Ok(url)
}

pub(super) fn webhook_url(value: &DeValue<'_>) -> Result<Url, String> {
    let url = url(value)?;
    let is_here = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    // What may be secret in it is not repeated.
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        "http" => Err("expected an https URL; http only on this machine".to_owned()),
        other => Err(format!("expected an https URL, found {other:?}")),
    }
}

pub(super) fn otlp_url(value: &DeValue<'_>) -> Result<Url, String> {
    let url = url(value)?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("expected an http or https URL, found {other:?}")),
    }
}

pub(super) fn share(value: &DeValue<'_>) -> Result<Share, String> {
    let share = number(value).ok_or_else(|| expected("a number from 0 to 1", value))?;
    Share::new(share).ok_or_else(|| format!("{share} is no share: expected a number from 0 to 1"))
}

pub(super) fn database_url(value: &DeValue<'_>) -> Result<SecretString, String> {
    let text = text(value)?;
    let fit = match text.split_once("://") {
        Some(("sqlite", rest)) => rest.starts_with('/'),
        Some(("mysql", _)) => Url::parse(text)
            .is_ok_and(|url| url.has_host() && url.path().trim_start_matches('/').len() > 1),
        _ => false,
    };
    if fit {
        Ok(SecretString::from(text.to_owned()))
    } else {
        Err("expected sqlite:///absolute/path.db or mysql://user:password@host/database".to_owned())
    }
}

pub(super) fn interface(value: &DeValue<'_>) -> Result<String, String> {
    one_of(
        value,
        &["public", "internal", "admin"].map(|name| (name, name.to_owned())),
    )
}

pub(super) fn interfaces(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    list(value, "interfaces", interface)
}

pub(super) fn region_naming(value: &DeValue<'_>) -> Result<RegionNaming, String> {
    let known = [RegionNaming::Partner, RegionNaming::PartnerRegion];
    one_of(value, &known.map(|naming| (naming.as_str(), naming)))
}

pub(super) fn ranges(value: &DeValue<'_>) -> Result<Vec<AddressRange>, String> {
    list(value, "ranges of addresses", |value| {
        let range = text(value)?.parse();
        range.map_err(|error: NotARange| error.to_string())
    })
}

pub(super) fn log_format(value: &DeValue<'_>) -> Result<LogFormat, String> {
    one_of(
        value,
        &[
            ("auto", LogFormat::Auto),
            ("human", LogFormat::Human),
            ("json", LogFormat::Json),
        ],
    )
}

pub(super) fn log_level(value: &DeValue<'_>) -> Result<String, String> {
    let levels = ["error", "warn", "info", "debug", "trace"];
    one_of(value, &levels.map(|name| (name, name.to_owned())))
}

pub(super) fn seconds(value: &DeValue<'_>) -> Result<Duration, String> {
    match seconds_or_zero(value)? {
        Duration::ZERO => Err("is 0: expected more than 0 seconds".to_owned()),
        duration => Ok(duration),
    }
}

pub(super) fn seconds_or_zero(value: &DeValue<'_>) -> Result<Duration, String> {
    let seconds = number(value).ok_or_else(|| expected("seconds (a number)", value))?;
    if (0.0..=LONGEST_DURATION).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!(
            "{seconds} is no number of seconds from 0 to {LONGEST_DURATION}"
        ))
    }
}

pub(super) fn hiding(value: &DeValue<'_>) -> Result<Option<Duration>, String> {
    if value.as_bool() == Some(false) {
        return Ok(None);
    }
    match seconds(value) {
        Ok(after) if after >= LEAST_HIDING => Ok(Some(after)),
        Ok(_) | Err(_) => Err(expected("false, or seconds (a number, at least 60)", value)),
    }
}

pub(super) fn invalid_budget(value: &DeValue<'_>) -> Result<InvalidBudget, String> {
    let form = "{ rate = tokens a second, burst = tokens at once }, both more than 0";
    let table = value.as_table().ok_or_else(|| expected(form, value))?;
    for key in table.keys() {
        let name = key.get_ref();
        if !["rate", "burst"].contains(&name.as_ref()) {
            return Err(match nearest(name, ["rate", "burst"].into_iter()) {
                Some(known) => format!("unknown key {name:?}; did you mean {known:?}?"),
                None => format!("unknown key {name:?}; expected {form}"),
            });
        }
    }
    let field = |name: &str| table.get(name).and_then(|value| number(value.get_ref()));
    match (field("rate"), field("burst")) {
        (Some(rate), Some(burst))
            if rate > 0.0
                && burst >= 1.0
                && burst <= f64::from(u32::MAX)
                && burst.fract() == 0.0 =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number within bounds, see above"
            )]
            let burst = burst as u32;
            Ok(InvalidBudget { rate, burst })
        }
        _ => Err(format!("expected {form}")),
    }
}

fn url(value: &DeValue<'_>) -> Result<Url, String> {
    let text = text(value)?;
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
    if !url.has_host() {
        return Err(format!("{text:?} names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries a user name or a password; there are options for these".to_owned());
    }
    Ok(url)
}

fn one_of<T: Clone>(value: &DeValue<'_>, known: &[(&str, T)]) -> Result<T, String> {
    let text = text(value)?;
    let found = known.iter().find(|(name, _)| *name == text);
    found.map(|(_, meaning)| meaning.clone()).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        format!("expected one of {}, found {text:?}", names.join(", "))
    })
}

fn list<T>(
    value: &DeValue<'_>,
    what: &str,
    parse: impl Fn(&DeValue<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let items = value
        .as_array()
        .ok_or_else(|| expected(&format!("a list of {what}"), value))?;
    items.iter().map(|item| parse(item.get_ref())).collect()
}

fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| expected("a text", value))
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    let integer = value.as_integer().map(DeInteger::as_str);
    let text = integer.or_else(|| value.as_float().map(DeFloat::as_str))?;
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn integer(value: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(value.as_str(), value.radix()).ok()
}

fn expected(what: &str, found: &DeValue<'_>) -> String {
    let found = match found.type_str() {
        "string" => "a text",
        "integer" => "a whole number",
        "float" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "table" => "a table",
        other => other,
    };
    format!("expected {what}, found {found}")
}
