//! What the audit trail in the database has too: partners, pairings, agreements, sessions, orders,
//! retirements.

use uuid::Uuid;

use super::{
    Attachment, CREDENTIAL, Cloud, Event, Observer, Outcome, POLICY, PROJECT, Resource, SERVICE,
    Stamp, TEMPLATE, UNKNOWN, USER, own_id,
};

/// A line of the trail.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Who did it: `operator`, `daemon`, a partner, or whom an operator's program names.
    pub actor: &'a str,
    /// What: `partner.suspended`.
    pub action: &'a str,
    /// To whom or what.
    pub subject: &'a str,
    /// What else there is to know.
    pub detail: &'a str,
    /// The partner that did it, if one did.
    pub by: Option<&'a Cloud>,
    /// The partner that it was done to, if it was one.
    pub to: Option<&'a Cloud>,
}

impl Record<'_> {
    /// Its event.
    pub fn event(&self, stamp: &Stamp, observer: &Observer) -> Event {
        let (action, outcome) = meaning(self.action);
        let mut event = Event {
            action,
            outcome,
            target: self.target(),
            ..Event::new(stamp, observer, format!("alliance.{}", self.action))
        };
        match self.by {
            Some(partner) => event.initiator = partner.resource(),
            None if self.actor == "daemon" => {}
            None => event.initiator = self.somebody(observer),
        }
        if !self.detail.is_empty() {
            event.attachments.push(Attachment {
                type_uri: "mime:text/plain",
                name: "detail",
                content: self.detail.to_owned(),
            });
        }
        event
    }

    fn somebody(&self, observer: &Observer) -> Resource {
        let (cloud, actor) = (&observer.cloud_id, self.actor);
        Resource {
            name: Some(actor.to_owned()),
            ..Resource::new(USER, own_id(&format!("actor:{cloud}:{actor}")))
        }
    }

    fn target(&self) -> Resource {
        let noun = self.action.split('.').next().unwrap_or_default();
        let kind = match noun {
            "partner" => match self.to {
                Some(partner) => return partner.resource(),
                None => SERVICE,
            },
            "invitation" | "session" | "token" => CREDENTIAL,
            "agreement" => POLICY,
            "retirement" => PROJECT,
            "provision" => TEMPLATE,
            _ => UNKNOWN,
        };
        let words = [self.subject].into_iter().chain(self.detail.split(' '));
        let named = words
            .filter_map(|word| Uuid::parse_str(word.trim_end_matches(':')).ok())
            .next();
        let id = named.map_or_else(
            || own_id(&format!("{noun}:{}", self.subject)),
            |id| id.to_string(),
        );
        Resource {
            name: Some(self.subject.to_owned()),
            ..Resource::new(kind, id)
        }
    }
}

/// The action in CADF's taxonomy (DSP0262 §A.2), and what came of it.
fn meaning(action: &str) -> (&'static str, Outcome) {
    let (done, pending) = (Outcome::Success, Outcome::Pending);
    match action {
        "partner.invited" => ("create", pending),
        "partner.paired" | "partner.added" | "agreement.made" | "provision.prepare" => {
            ("create", done)
        }
        "partner.active" => ("enable", done),
        "partner.suspended" | "partner.expired" | "retirement.access_ended" => ("disable", done),
        "partner.removed" | "agreement.ended" | "retirement.deleted" => ("delete", done),
        "invitation.taken" | "invitation.accepted" => ("receive", pending),
        "invitation.rejected"
        | "invitation.cancelled"
        | "invitation.withdrawn"
        | "session.ended"
        | "token.revoked" => ("revoke", done),
        "invitation.refused" => ("deny", Outcome::Failure),
        "agreement.accepted" => ("allow", done),
        "agreement.rejected" => ("deny", done),
        "provision.apply" => ("deploy", pending),
        "provision.destroy" => ("undeploy", pending),
        "provision.cancel" => ("stop", pending),
        "retirement.begun" => ("disable", pending),
        "retirement.quarantine" => ("stop", pending),
        "retirement.deletion" => ("delete", pending),
        "retirement.restoration" => ("restore", pending),
        "retirement.restored" => ("restore", done),
        _ => ("update", done),
    }
}
