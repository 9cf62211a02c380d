//! Partners on the screen.

use alliance_core::label::clean;
use alliance_core::partner::{PROTOCOL, Status};

use crate::cli::output::Format;
use crate::cli::table::{card, listing};
use crate::cli::{Failure, Output, when};
use crate::wire::PartnerView;

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
                partner.role.to_string(),
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
    let theirs = view
        .their_status
        .map_or_else(|| "unknown".to_owned(), |s| s.to_string());
    let mut properties = vec![
        ("name", partner.name.clone()),
        ("status", partner.status.to_string()),
        ("their status of us", theirs),
        ("role", partner.role.to_string()),
        ("cloud id", partner.cloud_id.to_string()),
        ("fingerprint", view.fingerprint.clone()),
        ("calls itself", clean(&view.calls_itself, 64)),
        ("answers at", partner.peer_url.clone()),
        ("last answered", last_seen(view)),
        ("regions", view.regions.join(", ")),
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
    ];
    if partner.role.is_guest() {
        properties.extend([
            ("users here at most", limit(partner.max_users)),
            ("projects here at most", limit(partner.max_projects)),
            ("Keystone domain", view.domain_id.clone()),
        ]);
    }
    if let Some(keystone) = &view.keystone {
        properties.push(("Keystone", crate::cli::status::health(keystone)));
    }
    out.line(card(properties));
    for warning in warnings(view) {
        out.line(format_args!("warning: {warning}"));
    }
    Ok(())
}

/// What keeps this partner from working, each with what to do.
pub(crate) fn warnings(view: &PartnerView) -> Vec<String> {
    let name = &view.partner.name;
    let mut warnings = Vec::new();
    match view.partner.status {
        Status::Active => {}
        Status::Draft => warnings.push(format!(
            "the pairing with {name} is not finished: it waits for the other side, or for a confirmation here"
        )),
        Status::Suspended => warnings.push(format!(
            "{name} is suspended here: its tokens are refused; to let them in: alliance partner resume {name}"
        )),
        Status::Expired => warnings.push(format!(
            "the trust in {name} ended at {}; to go on: alliance partner set {name} --trust-till DATE",
            when::rfc3339_or(view.partner.trust_till, "its time")
        )),
        Status::Removed => warnings.push(format!("{name} is removed; only a new pairing brings it back")),
    }
    match view.their_status {
        Some(Status::Suspended) => warnings.push(format!(
            "{name} has suspended this cloud: your users' tokens are refused there; only its operator can resume"
        )),
        Some(status @ (Status::Expired | Status::Removed)) => warnings.push(format!(
            "for {name} this cloud is {status}: your users' tokens are refused there; ask its operator"
        )),
        Some(Status::Active | Status::Draft) | None => {}
    }
    if let Some(keystone) = view.keystone.as_ref().filter(|keystone| !keystone.ok) {
        warnings.push(format!("Keystone: {}", clean(&keystone.detail, 200)));
    }
    if let Some(error) = &view.last_error {
        warnings.push(format!(
            "{name} does not answer (last answered: {}): {}",
            last_seen(view),
            clean(error, 200)
        ));
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
        "These remain in Keystone, with its users' and projects' entries; a new pairing finds them again:\n\
         \x20 domain             {} ({name})\n\
         \x20 identity provider  {name}, with its protocol {PROTOCOL}\n\
         \x20 mapping            alliance-{}\n\
         To delete them: openstack identity provider delete {name}; openstack mapping delete alliance-{1}; \
         openstack domain set --disable {0}; openstack domain delete {0}",
        view.domain_id,
        view.partner.cloud_id.tag(),
    )
}
