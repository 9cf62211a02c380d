//! Decisions about tokens, guests, passports, callers and orders.

use super::{
    CREDENTIAL, Class, Credential, Event, EventType, Measurement, Observer, Outcome, Resource,
    Stamp, TEMPLATE, USER, Why, keystones_id, own_id, tag,
};
use crate::cloud::CloudId;
use crate::refusal::Reason;

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matter {
    /// At a host: whether a partner's token lets its user in.
    Token,
    /// At a host: whether a login passport does.
    Login,
    /// At a host: whether a guest still has roles.
    Guest,
    /// At home: a passport about a token that a host was shown.
    Passport,
    /// At home: a statement about a user's roles, for a host.
    Statement,
    /// At home: a passport with which a user logs in at a host.
    LoginPassport,
    /// Whether a cloud may speak to this one at all.
    Caller,
    /// At a host: what a partner orders for a project of its.
    Order,
    /// At a host: a session that its home has ended.
    Session,
}

/// What was against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ground {
    /// A stable code: see `docs/protocol.md`.
    pub code: &'static str,
    /// Whether it is a definite no.
    pub is_definite: bool,
}

impl From<Reason> for Ground {
    fn from(reason: Reason) -> Self {
        Self {
            code: reason.code(),
            is_definite: reason.is_definite(),
        }
    }
}

/// A partner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cloud {
    /// Its id.
    pub id: CloudId,
    /// What it is called here.
    pub name: String,
}

/// About whom something is decided, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The token, as logs name it, or the session's id.
    pub token: Option<String>,
    /// The token's format.
    pub format: Option<&'static str>,
    /// The user's id at home.
    pub user_id: Option<String>,
    /// The user's name there, if names are wanted.
    pub user_name: Option<String>,
    /// The project's id there.
    pub project_id: Option<String>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// About what.
    pub matter: Matter,
    /// The other cloud. `None`: nobody knows whose it was.
    pub partner: Option<Cloud>,
    /// Why not; `None`: nothing was against it.
    pub reason: Option<Ground>,
    /// About whom.
    pub person: Person,
    /// How it was decided.
    pub via: Option<&'static str>,
    /// The request, in the logs of both clouds.
    pub request_id: Option<String>,
}

struct Words {
    noun: &'static str,
    yes: &'static str,
    action: &'static str,
}

impl Matter {
    fn words(self) -> Words {
        let (noun, yes, action) = match self {
            Self::Token => ("token", "admitted", "authenticate"),
            Self::Login => ("login", "admitted", "authenticate/login"),
            Self::Guest => ("guest", "admitted", "evaluate"),
            Self::Passport => ("passport", "issued", "evaluate"),
            Self::Statement => ("statement", "issued", "evaluate"),
            Self::LoginPassport => ("login_passport", "issued", "create"),
            Self::Caller => ("caller", "admitted", "authenticate"),
            Self::Order => ("order", "taken", "deploy"),
            Self::Session => ("session", "ended", "revoke"),
        };
        Words { noun, yes, action }
    }

    /// Whether our users are meant, and not the partner's.
    fn is_at_home(self) -> bool {
        matches!(self, Self::Passport | Self::Statement | Self::LoginPassport)
    }
}

impl Decision {
    /// What it has in common with others.
    pub fn class(&self) -> Class {
        Class {
            matter: self.matter,
            partner: self.partner.clone(),
            reason: self.reason,
        }
    }

    /// Its event.
    pub fn event(&self, stamp: &Stamp, observer: &Observer) -> Event {
        let mut event = self.class().event(stamp, observer);
        let person = self.person.resource(self);
        let here = observer.resource();
        let other = self.partner.as_ref().map(Cloud::resource);
        (event.initiator, event.target) = match (self.matter, other) {
            (Matter::Token | Matter::Login | Matter::Guest, _) => (person, here),
            (Matter::Passport | Matter::Statement, Some(other)) => (other, person),
            (Matter::LoginPassport, Some(other)) => (person, other),
            (Matter::Order, Some(other)) => (other, self.person.order()),
            (Matter::Session, Some(other)) => (other, self.person.session()),
            (_, Some(other)) => (other, here),
            (_, None) => (person, here),
        };
        event.tags.extend(self.via.map(|via| tag("via", via)));
        let correlation = self.request_id.as_deref();
        event
            .tags
            .extend(correlation.map(|id| tag("correlation_id", id)));
        event
    }
}

impl Class {
    /// Of an event of this class.
    fn name(&self) -> String {
        let Words { noun, yes, .. } = self.matter.words();
        let verb = match self.outcome() {
            Outcome::Success | Outcome::Pending => yes,
            Outcome::Failure => "refused",
            Outcome::Unknown => "undecided",
        };
        format!("alliance.{noun}.{verb}")
    }

    fn outcome(&self) -> Outcome {
        match self.reason {
            None => Outcome::Success,
            Some(reason) if reason.is_definite => Outcome::Failure,
            Some(_) => Outcome::Unknown,
        }
    }

    pub(super) fn event(&self, stamp: &Stamp, observer: &Observer) -> Event {
        let other = self.partner.as_ref();
        Event {
            event_type: EventType::Control,
            action: self.matter.words().action,
            outcome: self.outcome(),
            initiator: other.map_or_else(Resource::nobody, Cloud::resource),
            reason: Some(Why::of(self.reason)),
            ..Event::new(stamp, observer, self.name())
        }
    }

    /// The event of so many decisions that have none of their own.
    pub(super) fn sum(&self, stamp: &Stamp, observer: &Observer, count: u64) -> Event {
        Event {
            measurements: vec![Measurement::of(count, "further decisions like this")],
            ..self.event(stamp, observer)
        }
    }
}

impl Cloud {
    pub(super) fn resource(&self) -> Resource {
        Resource::cloud(&self.id, &self.name)
    }
}

impl Person {
    fn credential(&self) -> Option<Credential> {
        self.token.clone().map(|token| Credential {
            kind: self.format.unwrap_or("token"),
            token,
        })
    }

    fn resource(&self, decision: &Decision) -> Resource {
        let partner = decision.partner.as_ref();
        let resource = match (&self.user_id, partner) {
            (Some(user), _) if decision.matter.is_at_home() => Resource {
                user_id: Some(user.clone()),
                project_id: self.project_id.clone(),
                ..Resource::new(USER, keystones_id(user))
            },
            (Some(user), Some(home)) => Resource {
                domain: Some(home.name.clone()),
                cloud_id: Some(home.id.clone()),
                home_user_id: Some(user.clone()),
                home_project_id: self.project_id.clone(),
                ..Resource::new(USER, own_id(&format!("user:{}:{user}", home.id)))
            },
            (None, Some(_)) if decision.matter.is_at_home() => {
                let token = self.token.as_deref().unwrap_or_default();
                Resource::new(CREDENTIAL, own_id(&format!("token:{token}")))
            }
            (None, Some(home)) => home.resource(),
            (_, None) => Resource::nobody(),
        };
        Resource {
            name: self.user_name.clone().or(resource.name.clone()),
            credential: self.credential(),
            ..resource
        }
    }

    /// Whose session it was; its id is that of the record of an operator who ends one.
    fn session(&self) -> Resource {
        let session = self.token.as_deref().unwrap_or_default();
        Resource {
            name: self.token.clone(),
            home_user_id: self.user_id.clone(),
            ..Resource::new(CREDENTIAL, own_id(&format!("session:{session}")))
        }
    }

    /// What was ordered, for which project.
    fn order(&self) -> Resource {
        let project = self.project_id.as_deref().unwrap_or_default();
        Resource {
            home_project_id: self.project_id.clone(),
            ..Resource::new(TEMPLATE, own_id(&format!("orders:{project}")))
        }
    }
}
