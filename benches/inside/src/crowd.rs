//! Many live tokens, remembered as a host remembers them.

use std::collections::BTreeSet;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_answers::{Answers, Kept, Outcome, Via, Word};
use alliance_core::admission::{Entrant, may_enter};
use alliance_core::agreement::{Agreement, Projects};
use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use alliance_core::terms::Terms;
use alliance_token::Token;
use futures_util::FutureExt;
use jiff::Timestamp;

use crate::Spellings;

/// Longer than any measurement: no answer is too old here.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// `[tokens] negative_ttl`.
const NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// `[tokens] remembered` for each live token, as much room as the default leaves 100,000 of them.
const ROOM: usize = 2;

/// A host that has asked about each of many tokens of one partner.
pub struct Crowd {
    spellings: Spellings,
    answers: Answers<Entrant>,
    agreements: Vec<Agreement>,
    admin_roles: BTreeSet<String>,
}

impl Crowd {
    /// Nobody has been asked yet.
    pub fn new(spellings: Spellings) -> Self {
        let agreement = Agreement {
            id: "33333333-3333-4333-8333-333333333333".into(),
            partner: CloudId::from_spki(b"west"),
            projects: Projects::All,
            project_name: None,
            project_domain: None,
            version: Some(1),
            terms: Terms::granting(["member".to_owned()], 0),
            ended_at: None,
        };
        Self {
            answers: Answers::new(ROOM * spellings.count(), NEGATIVE_TTL),
            agreements: vec![agreement],
            admin_roles: ["admin".to_owned()].into(),
            spellings,
        }
    }

    /// How many tokens there are.
    pub fn count(&self) -> usize {
        self.spellings.count()
    }

    /// Asks about each of them; `passport` is the answer. Users and projects are as many.
    ///
    /// # Errors
    /// If one does not count as a token.
    pub async fn ask(&self, passport: &str) -> anyhow::Result<()> {
        let roles = Arc::new(BTreeSet::from(["member".to_owned(), "reader".to_owned()]));
        let now = Timestamp::now().as_second();
        for number in 0..self.count() {
            let token = Token::parse_tagged(self.spellings.get(number))?;
            let entrant = Entrant {
                user_id: format!("{number:032x}").into(),
                native: true,
                project_id: Some(format!("{number:032x}").into()),
                roles: Arc::clone(&roles),
                issued_at: now,
                expires_at: now + 3600,
            };
            let passport = passport.to_owned();
            let ask = || async {
                Outcome::Active(Arc::new(Kept {
                    word: Word::Theirs(passport.into()),
                    claims: entrant,
                    asked_at: Instant::now(),
                }))
            };
            self.answers
                .answer(*token.digest(), MAX_AGE, || Ok(()), ask)
                .await;
        }
        Ok(())
    }

    /// What a host does between reading a question about a token and writing the answer. `false`:
    /// the answer was not in memory, or was no.
    pub fn admits(&self, number: usize) -> bool {
        let Ok(token) = Token::parse(self.spellings.get(number)) else {
            return false;
        };
        let may_ask = || Err(Reason::Budget);
        let ask = || -> Ready<Outcome<Entrant>> { ready(Outcome::Failed(Reason::Budget)) };
        let answer = self
            .answers
            .answer(*token.digest(), MAX_AGE, may_ask, ask)
            .now_or_never();
        let Some((Outcome::Active(kept), Via::Cache)) = answer else {
            return false;
        };
        let now = Timestamp::now().as_second();
        may_enter(&kept.claims, &self.agreements, &self.admin_roles, now)
            .map(|_| kept.word.clone())
            .is_ok()
    }

    /// How many answers are still in memory.
    pub fn remembered(&self) -> usize {
        (0..self.count())
            .filter(|number| self.admits(*number))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_was_asked_about_is_admitted_and_nobody_else() -> anyhow::Result<()> {
        let token = format!("k3v7q2xa~gAAAAA{}", "A".repeat(134));
        let crowd = Crowd::new(Spellings::like(&token, 100)?);
        assert_eq!(crowd.remembered(), 0);
        crowd.ask("jws").await?;
        assert_eq!(crowd.remembered(), 100);
        Ok(())
    }
}
