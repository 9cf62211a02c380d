//! Partners on the screen.

use std::path::Path;

use alliance_core::label::clean;
use alliance_core::partner::{KeystoneAccess, Kind, PROTOCOL, Status};
use alliance_core::token::{Login, Mode, TokenFormat};
use alliance_core::{CLOCK_SKEW, Seconds};

use crate::cli::add_keystone::{asked_as, formats};
use crate::cli::output::Format;
use crate::cli::table::{card, listing};
use crate::cli::{Failure, Output, when};
use crate::wire::{BorderView, KeyView, ListView, PartnerView};

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
    if let Some(border) = &view.border {
        properties.extend(way(view, border));
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

/// An end that is nearer than this is told, in seconds.
const SOON: Seconds = 14 * 86_400;

type Property = (&'static str, String);

/// How the way to it is.
fn way(view: &PartnerView, border: &BorderView) -> Vec<Property> {
    let since = |since| {
        format!(
            "since {} ({})",
            when::rfc3339(since),
            when::ago(Some(since))
        )
    };
    let reachable = match (border.unreachable_since, border.reachable_since) {
        (Some(silent), _) => format!("no, {}", since(silent)),
        (None, Some(heard)) => format!("yes, {}", since(heard)),
        (None, None) => "not asked yet".to_owned(),
    };
    let mut properties = vec![("reachable", reachable)];
    if border.is_hidden {
        properties.push(("its regions", "hidden, since it does not answer".to_owned()));
    }
    if let Some(times) = &border.round_trips {
        let ms = |seconds: f64| seconds * 1000.0;
        let text = format!(
            "{:.1} ms; {:.1} to {:.1} ms in the last {}",
            ms(times.last),
            ms(times.least),
            ms(times.most),
            times.count
        );
        properties.push(("round trip", text));
    }
    if let Some(skew) = &border.skew {
        let word = if skew.ahead < 0.0 { "behind" } else { "ahead" };
        let text = format!(
            "{:.1} s {word}, give or take {:.1} s",
            skew.ahead.abs(),
            skew.within
        );
        properties.push(("clock there", text));
    }
    if view.access.is_none() {
        let version = border.version.as_deref().unwrap_or("not told");
        let protocol = border
            .protocol
            .map_or_else(String::new, |v| format!(", protocol {v}"));
        properties.push(("version", format!("{version}{protocol}")));
        let till = when::rfc3339_or(border.descriptor_till, "-");
        properties.push(("what it says holds till", till));
        let changed = when::rfc3339_or(border.last_change, "-");
        properties.push(("last change there", changed));
    }
    properties
}

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
    /// Whether the partner works nevertheless, or its Keystone elsewhere is away.
    pub is_minor: bool,
}

impl From<String> for Warning {
    fn from(text: String) -> Self {
        Self {
            text,
            is_minor: false,
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
        Status::Draft => warn(unfinished(view)),
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
        warn(format!("Keystone: {}", clean(&keystone.detail, 600)));
    }
    // Of a pairing under way it says for what that waits.
    if let Some(error) = &view.last_error
        && view.partner.status != Status::Draft
    {
        let (seen, error) = (last_seen(view), clean(error, 400));
        warnings.push(match view.partner.kind {
            Kind::Alliance => {
                let cost = silence_costs(view).unwrap_or_default();
                format!("{name} does not answer (last answered: {seen}): {error}{cost}").into()
            }
            Kind::Keystone => Warning {
                text: format!(
                    "the Keystone of {name} cannot be asked (last answered: {seen}): {error}"
                ),
                is_minor: true,
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
            is_minor: true,
        });
    }
    if view.partner.status == Status::Active {
        warnings.extend(clocks(view));
        let minor = ends_soon(view).into_iter().chain(differences(view));
        warnings.extend(minor.map(|text| Warning {
            text,
            is_minor: true,
        }));
    }
    warnings
}

/// What a pairing under way waits for, and until when.
fn unfinished(view: &PartnerView) -> String {
    let name = &view.partner.name;
    let waits = "it waits for the other side, or for a confirmation here".to_owned();
    let waits = view.last_error.as_ref().map_or(waits, |it| clean(it, 200));
    let till = view.lapses_at.map(when::rfc3339);
    let till = till.map_or_else(String::new, |till| {
        format!(", and comes to nothing at {till}")
    });
    format!(
        "the pairing with {name} is not finished: {waits}{till}; to give it up: alliance partner remove {name}"
    )
}

/// What it costs that an active partner is silent, and what to do; `None` if it answers, with an error.
fn silence_costs(view: &PartnerView) -> Option<String> {
    let is_silent = |border: &BorderView| border.unreachable_since.is_some();
    let (name, role) = (&view.partner.name, view.partner.role);
    if view.partner.status != Status::Active || !view.border.as_ref().is_none_or(is_silent) {
        return None;
    }
    let guests = "its users' tokens are undecided here, and what ends there is not heard";
    let hosts = "what it offers and grants your users is not heard anew, and may be away";
    let costs = [
        role.is_guest().then_some(guests),
        role.is_host().then_some(hosts),
    ];
    let costs: Vec<_> = costs.into_iter().flatten().collect();
    Some(format!(
        ": {}; ask its operator whether alliance runs there (systemctl status alliance), look at the network and firewall from here, or suspend it: alliance partner suspend {name}",
        costs.join("; ")
    ))
}

/// What ends within [`SOON`], or has ended.
fn ends_soon(view: &PartnerView) -> Vec<String> {
    let (name, at) = (&view.partner.name, when::now());
    let left = |end: Seconds| match end - at {
        left if left > 0 => format!("in {}", when::span(left)),
        over => format!("{} ago", when::span(-over)),
    };
    let mut texts = Vec::new();
    if let Some(till) = view.partner.trust_till
        && till - at < SOON
    {
        texts.push(format!(
            "the trust in {name} ends {}; its tokens are refused here from then on; to go on: alliance partner set {name} --trust-till DATE",
            left(till)
        ));
    }
    if let Some(till) = view
        .border
        .as_ref()
        .and_then(|border| border.descriptor_till)
        && till <= at
    {
        texts.push(format!(
            "what {name} says of itself ran out {}; to ask it now: alliance partner repair {name}",
            left(till)
        ));
    }
    for key in &view.signing_keys {
        if let Some(end) = key.not_after
            && end - at < SOON
            && key.retired_at.is_none()
        {
            texts.push(format!(
                "the certificate {:.16} with which {name} signs tokens ends {}; its operator makes a new one",
                key.id,
                left(end)
            ));
        }
    }
    texts
}

/// Where the two ends differ.
fn differences(view: &PartnerView) -> Vec<String> {
    let name = &view.partner.name;
    let Some(border) = &view.border else {
        return Vec::new();
    };
    let mut texts = Vec::new();
    let ours = env!("CARGO_PKG_VERSION");
    if let Some(theirs) = border.version.as_ref().filter(|theirs| *theirs != ours) {
        texts.push(format!(
            "{name} runs Alliance {theirs}, this cloud {ours}; upgrade the older one"
        ));
    }
    if border.is_hidden {
        texts.push(format!(
            "the regions of {name} are hidden until it answers: [catalog] hide_unreachable"
        ));
    }
    texts
}

/// What to say of a partner's clock, if it is far from ours.
fn clocks(view: &PartnerView) -> Option<Warning> {
    let skew = view.border.as_ref()?.skew?;
    skew.is_worth_a_warning().then(|| Warning {
        text: format!(
            "the clock of {} is {:.0} s {} this cloud's, and above {CLOCK_SKEW} s its statements are refused; compare at both: timedatectl",
            view.partner.name,
            skew.ahead.abs(),
            if skew.ahead > 0.0 { "ahead of" } else { "behind" }
        ),
        is_minor: !skew.is_surely_more_than(CLOCK_SKEW as f64),
    })
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DAY: Seconds = 86_400;

    fn view(changes: serde_json::Value) -> Result<PartnerView, serde_json::Error> {
        let mut view = json!({
            "cloud_id": alliance_core::cloud::CloudId::from_spki(b"west"), "name": "west",
            "role": "both", "status": "active", "peer_url": "https://west.example:5443",
            "trust_since": null, "trust_till": null, "max_users": null, "max_projects": null,
            "created_at": 0, "fingerprint": null, "calls_itself": "west", "regions": [],
            "their_status": null, "last_seen": null, "last_error": null, "keystone": null,
            "domain_id": "d", "agreements_given": 0, "agreements_received": 0, "modes": {},
            "allow_sha1": false, "signing_keys": [], "revocation_list": null, "access": null,
        });
        if let (Some(view), Some(changes)) = (view.as_object_mut(), changes.as_object()) {
            view.extend(changes.clone());
        }
        serde_json::from_value(view)
    }

    fn said(changes: serde_json::Value) -> Result<String, serde_json::Error> {
        let texts = warnings(&view(changes)?);
        let texts: Vec<_> = texts.into_iter().map(|one| one.text).collect();
        Ok(texts.join("\n"))
    }

    fn border(unreachable_since: Option<Seconds>) -> serde_json::Value {
        json!({
            "reachable_since": null, "unreachable_since": unreachable_since, "is_hidden": false,
            "round_trips": null, "skew": null, "last_change": null, "descriptor_till": null,
            "protocol": null, "version": null,
        })
    }

    #[test]
    fn of_a_partner_that_is_well_nothing_is_said() -> Result<(), serde_json::Error> {
        assert_eq!(said(json!({}))?, "");
        let keystone = json!({"ok": true, "detail": "in place"});
        assert_eq!(
            said(json!({"keystone": keystone, "border": border(None)}))?,
            ""
        );
        Ok(())
    }

    #[test]
    fn what_a_silent_partner_costs_is_said_by_its_role() -> Result<(), serde_json::Error> {
        let error = "the partner cannot be reached: refused";
        let silent = |role: &str, status: &str| {
            said(
                json!({"role": role, "status": status, "last_error": error, "border": border(Some(1))}),
            )
        };
        let (guest, offers) = ("tokens are undecided here", "what it offers");
        let found = silent("guest", "active")?;
        assert!(found.contains(guest) && !found.contains(offers), "{found}");
        assert!(found.ends_with("alliance partner suspend west"), "{found}");
        let found = silent("host", "active")?;
        assert!(!found.contains(guest) && found.contains(offers), "{found}");
        let found = silent("both", "suspended")?;
        assert!(!found.contains("systemctl"), "{found}");
        let answers = said(json!({"last_error": "the partner refused", "border": border(None)}))?;
        assert!(answers.ends_with("the partner refused"), "{answers}");
        Ok(())
    }

    #[test]
    fn what_mends_keystone_is_not_cut_off() -> Result<(), serde_json::Error> {
        let detail = format!("{}; run: this", "x".repeat(500));
        let found = said(json!({"keystone": {"ok": false, "detail": detail}}))?;
        assert!(found.ends_with("run: this"), "{found}");
        Ok(())
    }

    #[test]
    fn a_pairing_under_way_says_for_what_it_waits_and_until_when() -> Result<(), serde_json::Error>
    {
        let draft = json!({"status": "draft", "last_error": "it accepted", "lapses_at": 0});
        let found = said(draft)?;
        let expected = "the pairing with west is not finished: it accepted, and comes to nothing at 1970-01-01T00:00:00Z";
        assert!(found.starts_with(expected), "{found}");
        assert!(!found.contains("does not answer"), "{found}");
        Ok(())
    }

    #[test]
    fn trust_that_ends_soon_is_named_however_short_it_is() -> Result<(), serde_json::Error> {
        let now = when::now();
        let with = |since: Option<Seconds>, left: Seconds| {
            said(json!({"trust_since": since, "trust_till": now + left}))
        };
        for since in [None, Some(0), Some(now - 60)] {
            let soon = with(since, 13 * DAY)?;
            assert!(
                soon.ends_with("alliance partner set west --trust-till DATE"),
                "{soon}"
            );
            assert_eq!(with(since, 15 * DAY)?, "");
        }
        assert!(with(Some(now - 60), 3600)?.contains("the trust in west ends in "));
        Ok(())
    }
}
