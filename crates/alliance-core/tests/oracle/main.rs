//! Says about which tokens events are: a JSON object on a line of standard input, one on standard
//! output. `tests/test_revocation_oracle.py` compares it with Keystone.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use alliance_core::revocation::{Revocable, RevocationEvent, Revocations, Revoked};
use alliance_core::session::{Origin, Session, Sessions};
use alliance_core::sign_out::Change;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Question {
    events: Vec<RevocationEvent>,
    tokens: Vec<Token>,
}

#[derive(Deserialize)]
struct Token {
    user_id: String,
    user_domain_id: String,
    project_id: Option<String>,
    project_domain_id: Option<String>,
    role_ids: BTreeSet<String>,
    audit_ids: Vec<String>,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

/// About one event: numbers of tokens.
#[derive(Serialize)]
struct Answer {
    /// By a revocation list.
    listed: BTreeSet<usize>,
    /// By a sign-out, of sessions that are here.
    ended: BTreeSet<usize>,
    doubtful: BTreeSet<usize>,
    /// By a sign-out that came just before the session.
    ended_late: BTreeSet<usize>,
}

impl Token {
    fn revocable(&self) -> Revocable<'_> {
        Revocable {
            user_id: &self.user_id,
            user_domain_id: Some(&self.user_domain_id),
            project_id: self.project_id.as_deref(),
            project_domain_id: self.project_domain_id.as_deref(),
            role_ids: &self.role_ids,
            audit_ids: &self.audit_ids,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
        }
    }

    fn session(&self, number: usize) -> Session {
        let origin = Origin {
            session: number.to_string().into(),
            audit_ids: self.audit_ids.iter().map(Into::into).collect(),
            user_domain_id: self.user_domain_id.as_str().into(),
            project_domain_id: self.project_domain_id.as_deref().map(Into::into),
            issued_at: self.issued_at,
        };
        let whose = (&*self.user_id, self.project_id.as_deref());
        Session::new(digest(number), whose, self.expires_at.as_second(), &origin)
    }
}

fn digest(number: usize) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&(number as u64).to_be_bytes());
    digest
}

fn main() {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let question: Question = serde_json::from_str(&line.unwrap()).unwrap();
        let answers: Vec<_> = question
            .events
            .iter()
            .map(|event| answer(event, &question.tokens))
            .collect();
        writeln!(out, "{}", serde_json::to_string(&answers).unwrap()).unwrap();
    }
}

fn answer(event: &RevocationEvent, tokens: &[Token]) -> Answer {
    let list = Revocations::from(Revoked {
        events: vec![event.clone()],
        ..Revoked::default()
    });
    let change = [Change::Revoked(event.clone())];
    let (mut before, mut after) = (Sessions::default(), Sessions::default());
    after.apply(&change, 0);
    let mut listed = BTreeSet::new();
    let mut ended_late = BTreeSet::new();
    for (number, token) in tokens.iter().enumerate() {
        if list.ends(&token.revocable()) {
            listed.insert(number);
        }
        before.begin(token.session(number), 0);
        if after.begin(token.session(number), 0) {
            ended_late.insert(number);
        }
    }
    let effect = before.apply(&change, 0);
    let numbers = |sessions: &[Arc<Session>]| {
        let number = |session: &Arc<Session>| session.id().parse().unwrap();
        sessions.iter().map(number).collect()
    };
    Answer {
        listed,
        ended: numbers(&effect.ended),
        doubtful: numbers(&effect.doubtful),
        ended_late,
    }
}
