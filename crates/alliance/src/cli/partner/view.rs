//! Partners on the screen.

use std::path::Path;

use alliance_core::label::clean;
use alliance_core::partner::{KeystoneAccess, Kind, PROTOCOL, Status};
use alliance_core::token::{Login, Mode, TokenFormat};

use crate::cli::add_keystone::{asked_as, formats};
use crate::cli::output::Format;
use crate::cli::table::{card, listing};
use crate::cli::{Failure, Output, when};
use crate::wire::{KeyView, ListView, PartnerView};

pub(super) fn list(partners: &[PartnerView], out: &mut Output) -> Result<(), Failure> {
    if out.format == Format::Json {
        return Ok(out.json(&partners)?);
    }
    if partners.is_empty() {
        out.say("no partners; to pair: alliance partner invite NAME --role host|guest|both");
    }
    out.line(listing(
        [
            "NAME",
            "STATUS",
            "ROLE",
            "TAG",
            "REGIONS",
            "GIVEN",
            "RECEIVED",
            "TRUST TILL",
            "LOOK AT",
        ],
        partners.iter().map(|view| {
            let partner = &view.partner;
            [
                partner.name.clone(),
                partner.status.to_string(),
                match partner.kind {
                    Kind::Alliance => partner.role.to_string(),
                    Kind::Keystone => format!("{} ({})", partner.role, partner.kind),
                },
                partner.cloud_id.tag().to_string(),
                view.regions.join(", "),
                view.agreements_given.to_string(),
                view.agreements_received.to_string(),
                when::rfc3339_or(partner.trust_till, "-"),
                notice(view).to_owned(),
            ]
        }),
    ));
    Ok(())
}

pub(super) fn show(view: &PartnerView, out: &mut Output) -> Result<(), Failure> {
    if out.format == Format::Json {
        return Ok(out.json(view)?);
    }
    let partner = &view.partner;
    let limit =
        |limit: Option<u32>| limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
    let mut properties = vec![
        ("name", partner.name.clone()),
        ("kind", partner.kind.to_string()),
        ("status", partner.status.to_string()),
    ];
    match &view.access {
        Some(access) => properties.extend(by_keystone(view, access)),
        None => properties.extend(by_daemon(view)),
    }
    if view.access.is_none() {
        properties.push(("login by", login(view.login).to_owned()));
    }
    properties.extend([
        ("trust since", when::rfc3339_or(partner.trust_since, "-")),
        (
            "trust till",
            when::rfc3339_or(partner.trust_till, "never ends by itself"),
        ),
        (
            "agreements",
            format!(
                "{} given, {} received",
                view.agreements_given, view.agreements_received
            ),
        ),
    ]);
    if partner.role.is_guest() {
        properties.extend([
            ("users here at most", limit(partner.max_users)),
            ("projects here at most", limit(partner.max_projects)),
            ("Keystone domain", view.domain_id.clone()),
        ]);
        if !view.modes.is_empty() {
            properties.extend(tokens(view));
        }
    }
    if let Some(keystone) = &view.keystone {
        properties.push(("Keystone", crate::cli::status::health(keystone)));
    }
    out.line(card(properties));
    for warning in warnings(view) {
        out.line(format_args!("warning: {}", warning.text));
    }
    Ok(())
}

fn login(login: Login) -> &'static str {
    match login {
        Login::Bearer => "bearer token",
        Login::Passport => "passport",
        Login::Both => "bearer token or passport",
    }
}

type Property = (&'static str, String);

/// A partner with a daemon.
fn by_daemon(view: &PartnerView) -> Vec<Property> {
    let partner = &view.partner;
    let theirs = view
        .their_status
        .map_or_else(|| "unknown".to_owned(), |status| status.to_string());
    vec![
        ("their status of us", theirs),
        ("role", partner.role.to_string()),
        ("cloud id", partner.cloud_id.to_string()),
        ("fingerprint", view.fingerprint.clone().unwrap_or_default()),
        ("calls itself", clean(&view.calls_itself, 64)),
        ("answers at", partner.peer_url.clone()),
        ("last answered", last_seen(view)),
        ("regions", view.regions.join(", ")),
    ]
}

/// A plain Keystone.
fn by_keystone(view: &PartnerView, access: &KeystoneAccess) -> Vec<Property> {
    let path = |path: &Path| path.display().to_string();
    let mut properties = vec![
        ("role", view.partner.role.to_string()),
        ("cloud id", view.partner.cloud_id.to_string()),
        ("Keystone there", access.auth_url.to_string()),
        ("asked as", asked_as(access)),
        ("password in", path(&access.password_file)),
    ];
    if let Some(file) = &access.ca_file {
        properties.push(("authorities in", path(file)));
    }
    if let Some(keys) = &access.signing_keys {
        properties.push(("signing keys in", path(keys)));
    }
    properties.push(("last answered", last_seen(view)));
    properties
}

/// How its tokens are validated.
fn tokens(view: &PartnerView) -> Vec<Property> {
    let keyless = |format: &TokenFormat| {
        let signs = |family| view.signing_keys.iter().any(|key| key.family == family);
        !format.family().is_some_and(signs)
    };
    let modes = view.modes.iter().map(|(format, mode)| match mode {
        Mode::Offline if keyless(format) => format!("{format} {mode} (no key known: as soft)"),
        mode => format!("{format} {mode}"),
    });
    let sha1 = if view.allow_sha1 { "count" } else { "refused" };
    let mut properties = vec![
        ("tokens", modes.collect::<Vec<_>>().join(", ")),
        ("signatures over SHA-1", sha1.to_owned()),
    ];
    if !view.signing_keys.is_empty() {
        let keys: Vec<String> = view.signing_keys.iter().map(key).collect();
        properties.push(("token keys", keys.join(", ")));
    }
    if let Some(list) = &view.revocation_list {
        properties.push(("revocation list", revocation_list(list)));
    }
    if let Some(access) = &view.access {
        let untagged = format!("all of {} are taken to be its", formats(access));
        properties.push(("untagged tokens", untagged));
    }
    properties
}

fn key(key: &KeyView) -> String {
    let retired = match key.retired_at {
        None => String::new(),
        Some(at) => format!(" (retired at {})", when::rfc3339(at)),
    };
    format!("{} {:.16}{retired}", key.family, key.id)
}

fn revocation_list(list: &ListView) -> String {
    match list.age {
        None => "not read yet".to_owned(),
        Some(age) => format!(
            "{} events, {age:.0} s old; counts until it is {:.0} s old",
            list.events, list.max_age
        ),
    }
}

/// Something that keeps a partner from working.
pub(crate) struct Warning {
    /// What it is, and what to do.
    pub text: String,
    /// Whether it is no fault of Alliance's two ends: a Keystone elsewhere is away.
    pub is_elsewhere: bool,
}

impl From<String> for Warning {
    fn from(text: String) -> Self {
        Self {
            text,
            is_elsewhere: false,
        }
    }
}

/// What keeps this partner from working, each with what to do.
pub(crate) fn warnings(view: &PartnerView) -> Vec<Warning> {
    let name = &view.partner.name;
    let mut warnings: Vec<Warning> = Vec::new();
    let mut warn = |text: String| warnings.push(text.into());
    match view.partner.status {
        Status::Active => {}
        Status::Draft => warn(format!(
            "the pairing with {name} is not finished: it waits for the other side, or for a confirmation here"
        )),
        Status::Suspended => warn(format!(
            "{name} is suspended here: its tokens are refused; to let them in: alliance partner resume {name}"
        )),
        Status::Expired => warn(format!(
            "the trust in {name} ended at {}; to go on: alliance partner set {name} --trust-till DATE",
            when::rfc3339_or(view.partner.trust_till, "its time")
        )),
        Status::Removed => warn(format!(
            "{name} is removed; only a new pairing brings it back"
        )),
    }
    match view.their_status {
        Some(Status::Suspended) => warn(format!(
            "{name} has suspended this cloud: your users' tokens are refused there; only its operator can resume"
        )),
        Some(status @ (Status::Expired | Status::Removed)) => warn(format!(
            "for {name} this cloud is {status}: your users' tokens are refused there; ask its operator"
        )),
        Some(Status::Active | Status::Draft) | None => {}
    }
    if let Some(keystone) = view.keystone.as_ref().filter(|keystone| !keystone.ok) {
        warn(format!("Keystone: {}", clean(&keystone.detail, 200)));
    }
    if let Some(error) = &view.last_error {
        let (seen, error) = (last_seen(view), clean(error, 400));
        warnings.push(match view.partner.kind {
            Kind::Alliance => {
                format!("{name} does not answer (last answered: {seen}): {error}").into()
            }
            Kind::Keystone => Warning {
                text: format!(
                    "the Keystone of {name} cannot be asked (last answered: {seen}): {error}"
                ),
                is_elsewhere: true,
            },
        });
    }
    if let Some(list) = &view.revocation_list
        && view.partner.status == Status::Active
        && list.age.is_none_or(|age| age > list.max_age)
    {
        warnings.push(Warning {
            text: format!(
                "the revocation list of {name} is {}: its signed tokens are asked about instead of validated here; see the daemon's log for why it is not read",
                revocation_list(list)
            ),
            is_elsewhere: true,
        });
    }
    warnings
}

/// The most urgent of the warnings, in a word or two.
fn notice(view: &PartnerView) -> &'static str {
    match (view.partner.status, view.their_status) {
        (Status::Active, Some(Status::Suspended)) => "suspended by them",
        (Status::Active, Some(Status::Expired | Status::Removed)) => "ended by them",
        (Status::Active, _) if view.last_error.is_some() => "does not answer",
        (Status::Active, _) if view.keystone.as_ref().is_some_and(|k| !k.ok) => "Keystone",
        _ => "",
    }
}

fn last_seen(view: &PartnerView) -> String {
    match view.last_seen {
        None => "never".to_owned(),
        Some(time) => format!("{} ({})", when::rfc3339(time), when::ago(view.last_seen)),
    }
}

/// What a removed partner leaves in Keystone.
pub(super) fn leftovers(view: &PartnerView) -> String {
    let name = &view.partner.name;
    format!(
        "These remain in Keystone, with its users' and projects' entries; if it becomes a partner again, they are found again:\n\
         \x20 domain             {} ({name})\n\
         \x20 identity provider  {name}, with its protocol {PROTOCOL}\n\
         \x20 mapping            alliance-{}\n\
         To delete them: openstack identity provider delete {name}; openstack mapping delete alliance-{1}; \
         openstack domain set --disable {0}; openstack domain delete {0}",
        view.domain_id,
        view.partner.cloud_id.tag(),
    )
}
