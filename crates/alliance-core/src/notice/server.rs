//! What a server's life and its services' notifications are noticed by.

use serde_json::Value;

use super::{Kind, LONGEST, Notice};
use crate::keystone_id::is_foreign_id;
use crate::label::clean;
use crate::usage::{self, Life, Message, Millis, Owner, time};

/// A server that went into error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Its id.
    pub server_id: String,
    /// Its project's id at the host.
    pub project_id: String,
    /// When that was said.
    pub at: Millis,
    /// Why, if that was said.
    pub reason: Option<String>,
}

/// What is new when a server's life is known to be `after` and was known as `before`.
pub fn of_server(
    server_id: &str,
    owner: &Owner,
    region: &str,
    before: Option<&Life>,
    after: &Life,
) -> Vec<Notice> {
    let intervals = after.intervals();
    let (Some(first), Some(last)) = (intervals.first(), intervals.last()) else {
        return Vec::new();
    };
    let known = before.map(Life::intervals).unwrap_or_default();
    let notice = |kind, at| Notice {
        project_id: Some(owner.project_id.clone()),
        user_id: owner.user_id.clone(),
        region: Some(region.to_owned()),
        name: last.size.flavor.clone(),
        ..Notice::new(kind, server_id, at)
    };
    let mut new = Vec::new();
    if known.is_empty() {
        new.push(notice(Kind::ServerCreated, first.from));
    }
    if let Some(to) = last.to
        && known.last().is_none_or(|known| known.to.is_none())
    {
        // Who deletes is not said.
        new.push(Notice {
            user_id: None,
            ..notice(Kind::ServerDeleted, to)
        });
    }
    new
}

impl Trouble {
    /// What Nova's notification of an error says. `None`: it says something else, or not about which server.
    pub fn said_by(message: &Message) -> Option<Self> {
        let text = |name: &str| message.payload.get(name).and_then(Value::as_str);
        let is_error = match message.event_type.as_str() {
            "compute.instance.create.error" => true,
            "compute.instance.update" => text("state") == Some("error"),
            _ => false,
        };
        if !is_error {
            return None;
        }
        let (server_id, project_id) = (text("instance_id")?, text("tenant_id")?);
        if !is_foreign_id(server_id) {
            return None;
        }
        let reason = text("message").filter(|reason| !reason.is_empty());
        Some(Self {
            server_id: server_id.to_owned(),
            project_id: project_id.to_owned(),
            at: time(&message.timestamp)?,
            reason: reason.map(|reason| clean(reason, LONGEST / 4)),
        })
    }

    /// The server as usage names it.
    pub fn resource(&self) -> usage::Resource {
        usage::Resource {
            kind: usage::Kind::Server,
            id: self.server_id.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::usage::{Fact, Size};

    fn life(facts: &[Fact]) -> Life {
        let mut life = Life::default();
        for fact in facts {
            life.learn(fact);
        }
        life
    }

    fn began(at: Millis) -> Fact {
        Fact {
            at,
            began: Some(at),
            size: Some(Size::of_server("m1", 1, 64, 1)),
            ..Fact::default()
        }
    }

    fn ended(at: Millis) -> Fact {
        Fact {
            at,
            ended: Some(at),
            ..Fact::default()
        }
    }

    fn new(before: Option<&Life>, after: &Life) -> Vec<(Kind, Millis)> {
        let owner = Owner {
            project_id: "science".into(),
            user_id: Some("ann".into()),
        };
        let new = of_server("s", &owner, "RegionOne", before, after);
        new.iter().map(|one| (one.kind, one.at)).collect()
    }

    #[test]
    fn a_server_is_noticed_when_it_comes_and_when_it_goes() {
        let (young, old) = (life(&[began(10)]), life(&[began(10), ended(20)]));
        assert_eq!(new(None, &young), [(Kind::ServerCreated, 10)]);
        assert_eq!(new(Some(&young), &young), []);
        assert_eq!(new(Some(&young), &old), [(Kind::ServerDeleted, 20)]);
        assert_eq!(new(Some(&old), &old), []);
        let both = [(Kind::ServerCreated, 10), (Kind::ServerDeleted, 20)];
        assert_eq!(new(None, &old), both);
    }

    #[test]
    fn one_that_was_never_launched_is_not_noticed() {
        assert_eq!(new(None, &life(&[ended(20)])), []);
        let resized = Fact {
            at: 15,
            size: Some(Size::of_server("m2", 2, 64, 1)),
            ..Fact::default()
        };
        // Another size, or a more exact end, is nothing new.
        let (young, grown) = (life(&[began(10)]), life(&[began(10), resized]));
        assert_eq!(new(Some(&young), &grown), []);
        let (one, other) = (life(&[began(10), ended(30)]), life(&[began(10), ended(20)]));
        assert_eq!(new(Some(&one), &other), []);
    }

    fn read_trouble(body: &[u8]) -> Option<Trouble> {
        Trouble::said_by(&Message::read(body).ok()?)
    }

    fn body(event_type: &str, payload: &Value) -> Vec<u8> {
        let inner = json!({
            "event_type": event_type, "timestamp": "2026-11-28 08:00:00", "payload": payload,
        });
        let envelope = json!({"oslo.version": "2.0", "oslo.message": inner.to_string()});
        envelope.to_string().into_bytes()
    }

    #[test]
    fn an_error_is_read_from_either_notification_of_it() {
        let failed = json!({
            "instance_id": "s", "tenant_id": "p", "state": "error", "message": "No valid\u{1b} host",
        });
        for event_type in ["compute.instance.create.error", "compute.instance.update"] {
            let trouble = read_trouble(&body(event_type, &failed));
            let trouble = trouble.map(|one| (one.server_id, one.project_id, one.reason));
            let reason = Some("No valid\u{fffd} host".to_owned());
            assert_eq!(
                trouble,
                Some(("s".into(), "p".into(), reason)),
                "{event_type}"
            );
        }
    }

    #[test]
    fn what_is_no_error_or_malformed_says_nothing() {
        let active = json!({"instance_id": "s", "tenant_id": "p", "state": "active", "x": "error"});
        assert_eq!(
            read_trouble(&body("compute.instance.update", &active)),
            None
        );
        assert_eq!(
            read_trouble(&body("compute.instance.create.end", &active)),
            None
        );
        let nameless = json!({"tenant_id": "p", "state": "error"});
        assert_eq!(
            read_trouble(&body("compute.instance.update", &nameless)),
            None
        );
        assert_eq!(read_trouble(b"junk"), None);
    }
}
