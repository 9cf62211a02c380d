//! Agreements that end soon.

use alliance_core::Seconds;
use alliance_core::label::clean;

use crate::cli::when;
use crate::wire::AgreementView;

/// How long before its end an agreement is mentioned, in seconds; a short one later.
const SOON: Seconds = 7 * 86_400;

/// What to say of one that does.
pub(super) fn of(view: &AgreementView, at: Seconds) -> Option<String> {
    let terms = &view.agreement.terms;
    let till = terms.till?;
    // What lasts for a day is not about to end all day long.
    if till - at >= SOON.min((till - terms.since) / 3) {
        return None;
    }
    let (id, ends) = (clean(&view.agreement.id, 64), when::rfc3339(till));
    let (partner, change) = (&view.partner_name, "alliance agreement change");
    Some(match view.received {
        false => format!(
            "{id} ends at {ends}: {partner}'s users are out then, and what they have made here is retired; to go on: {change} {id} --till DATE"
        ),
        true => format!(
            "{id} ends at {ends}: your users are out there then, and what they have made there is retired; to go on, have {partner}'s operator change it: {change} {id} --till DATE"
        ),
    })
}

#[cfg(test)]
mod tests {
    use alliance_core::cloud::CloudId;
    use serde_json::json;

    use super::*;

    const DAY: Seconds = 86_400;

    fn said(received: bool, till: Option<Seconds>, at: Seconds) -> Option<String> {
        let view = json!({
            "id": "a", "partner": CloudId::from_spki(b"west"), "projects": "*",
            "project_name": null, "project_domain": null, "roles": ["member"], "services": null,
            "since": 0, "till": till, "ended_at": null, "partner_name": "west", "state": "live",
            "host_project_id": null, "received": received,
        });
        of(&serde_json::from_value(view).ok()?, at)
    }

    #[test]
    fn an_agreement_that_ends_soon_says_what_ends_and_who_goes_on_how() {
        let till = Some(100 * DAY);
        let given = said(false, till, 94 * DAY).unwrap_or_default();
        assert!(given.contains("west's users are out then"), "{given}");
        let change = "alliance agreement change a --till DATE";
        assert!(given.ends_with(change), "{given}");
        let received = said(true, till, 94 * DAY).unwrap_or_default();
        assert!(received.contains("your users are out there"), "{received}");
        assert!(received.contains("west's operator"), "{received}");
    }

    #[test]
    fn one_that_lasts_and_a_short_one_in_its_first_days_are_not_mentioned() {
        assert_eq!(said(false, Some(100 * DAY), 92 * DAY), None);
        assert_eq!(said(false, None, 92 * DAY), None);
        assert_eq!(said(false, Some(3 * DAY), DAY), None);
        assert!(said(false, Some(3 * DAY), 5 * DAY / 2).is_some());
    }
}
