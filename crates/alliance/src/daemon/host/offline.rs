//! Validating a signed token on the spot: signature, times, revocation list, and for a token that
//! carries no roles a fresh word of its home about them.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use alliance_answers::{Kept, Outcome, Word};
use alliance_core::admission::{Entrant, may_leave};
use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use alliance_core::revocation::{Revocable, Revocations};
use alliance_core::statement::{Grants, TokenFacts};
use alliance_core::token::Mode;
use alliance_core::{CLOCK_SKEW, Seconds};
use alliance_token::body::TokenView;
use alliance_token::{BareToken, Content, SigningKey, Token, Unverified, verify};

use super::guests::guest_key;
use super::lists::ReadList;
use super::{Host, Validate};
use crate::daemon::directory::Known;

/// What signature and list say.
pub(super) enum Offline {
    /// It is valid.
    Valid {
        /// What our Keystone is told.
        attested: Arc<Attested>,
        /// Whether it was validated for the first time.
        first: bool,
    },
    /// It is not, whoever is asked.
    Refused(Reason),
    /// They do not decide; this is why. Its issuer must be asked.
    Open(Reason),
    /// The same, and its issuer has just been asked something and did not answer.
    Silent(Reason),
}

/// For so long the same attestation is handed out again: our Keystone takes none that is old.
const REUSED_FOR: Duration = Duration::from_secs(5);

/// A token that was validated here.
pub(super) struct Attested {
    /// What our Keystone is told.
    pub word: Word,
    /// What decides whether it may enter.
    pub entrant: Entrant,
    key: SigningKey,
    /// The list that it was compared with.
    list: Weak<Revocations>,
    /// The roles that it was given.
    statement: Option<Weak<Kept<Grants>>>,
    made_at: Instant,
}

impl Attested {
    /// Whether nothing that it was made from has changed.
    fn still_holds(
        &self,
        known: &Known,
        list: &ReadList,
        statement: Option<Arc<Kept<Grants>>>,
        at: Seconds,
    ) -> bool {
        let same_statement = match (&self.statement, statement) {
            (Some(then), Some(now)) => then.ptr_eq(&Arc::downgrade(&now)),
            (None, None) => true,
            _ => false,
        };
        same_statement
            && known.wants_us()
            && self.list.ptr_eq(&Arc::downgrade(&list.revocations))
            && self.made_at.elapsed() < REUSED_FOR
            && at < self.entrant.expires_at
            && known.ring.keys().contains(&self.key)
            && self.key.retired_at.is_none_or(|retired| at < retired)
    }
}

impl Host {
    /// Validates without asking about the token itself. Unless the request is [`Mode::Offline`] and
    /// nothing else, home may be asked for the user's roles, which then serve for other tokens too.
    pub(super) async fn offline(
        &self,
        known: &Arc<Known>,
        token: &Token,
        asked: &mut Validate<'_>,
        at: Seconds,
    ) -> Offline {
        let partner = &known.partner.cloud_id;
        let bound = self.max_revocation_age.saturating_sub(asked.held_for);
        let list = self.lists.of(partner).filter(|list| list.age() <= bound);
        let last = self.attested.get(token.digest());
        if let (Some(last), Some(list)) = (&last, &list)
            && last.still_holds(known, list, self.statement_of(last, partner, asked), at)
        {
            asked.trace.step("validated lately");
            let attested = Arc::clone(last);
            return Offline::Valid {
                attested,
                first: false,
            };
        }
        let verified = match verify(token, &known.ring, known.policy.allow_sha1, at) {
            Ok(verified) => verified,
            Err(why) => {
                self.attested.remove(token.digest());
                let (undecided, may_be_news) = meaning(&why);
                if may_be_news && known.peer().is_some() && self.budgets.may_ask(partner).is_ok() {
                    self.wishes.wish(partner);
                }
                return undecided;
            }
        };
        asked.trace.step("signature");
        let content = &verified.content;
        if content.issued_at().as_second() > at + CLOCK_SKEW {
            return Offline::Refused(Reason::NotYetValid);
        }
        if content.expires_at().as_second() <= at {
            // Work that was begun in time may be finished; only home knows for how long.
            return Offline::Open(Reason::Expired);
        }
        match may_leave(&content.home_view()) {
            Ok(()) => {}
            // Only home can revoke what a stranger should not have seen, and only home knows whose
            // guests may travel.
            Err(reason) if reason.is_too_powerful() || reason == Reason::Transitive => {
                return Offline::Open(reason);
            }
            Err(reason) => return Offline::Refused(reason),
        }
        if !known.wants_us() {
            // Home wants nothing to do with us; it may have changed its mind.
            return Offline::Open(Reason::PartnerSuspended);
        }
        let Some(list) = list else {
            return Offline::Open(Reason::ListTooOld);
        };
        let (facts, statement, ended) = match content {
            Content::Full(view) => {
                if list.revocations.is_guest_domain(&view.user.domain.id) {
                    // Whose guest it is, only home knows.
                    return Offline::Open(Reason::Transitive);
                }
                let ended = list.revocations.ends(&of_view(view));
                {
                    let facts = view.as_ref().clone().facts(token, Some(partner.clone()));
                    (facts, None, ended)
                }
            }
            Content::Bare(bare) => {
                if list.revocations.ends(&of_bare(bare, None)) {
                    asked.trace.step("revocation list");
                    return Offline::Refused(Reason::Revoked);
                }
                let grants = match self.grants_for(known, token, bare, asked).await {
                    Ok(grants) => grants,
                    Err(undecided) => return undecided,
                };
                asked.trace.step("grant statement");
                let ended = list.revocations.ends(&of_bare(bare, Some(&grants.claims)));
                let facts = facts_of_bare(token, known, bare, &grants.claims);
                (facts, Some(grants), ended)
            }
        };
        asked.trace.step("revocation list");
        if ended {
            return Offline::Refused(Reason::Revoked);
        }
        let attested = self.attest(known, &facts, &verified.key_id, &list, statement.as_ref());
        match attested {
            Ok(attested) => {
                let attested = Arc::new(attested);
                self.attested.insert(*token.digest(), Arc::clone(&attested));
                Offline::Valid {
                    attested,
                    first: last.is_none(),
                }
            }
            Err(reason) => Offline::Open(reason),
        }
    }

    fn attest(
        &self,
        known: &Known,
        facts: &TokenFacts,
        key_id: &str,
        list: &ReadList,
        statement: Option<&Arc<Kept<Grants>>>,
    ) -> Result<Attested, Reason> {
        let partner = &known.partner.cloud_id;
        let key = known.ring.keys().iter().find(|key| key.id() == key_id);
        let entrant = self.role_sets.entrant(facts, partner)?;
        self.book.begin(partner, facts, &entrant.roles)?;
        Ok(Attested {
            word: self.notary.token(partner, facts)?,
            entrant,
            key: key.ok_or(Reason::UnknownKey)?.clone(),
            list: Arc::downgrade(&list.revocations),
            statement: statement.map(Arc::downgrade),
            made_at: Instant::now(),
        })
    }

    /// The statement that a token without roles would be given now, as far as one is here.
    fn statement_of(
        &self,
        last: &Attested,
        partner: &CloudId,
        asked: &Validate<'_>,
    ) -> Option<Arc<Kept<Grants>>> {
        last.statement.as_ref()?;
        let (user_id, project_id) = (&last.entrant.user_id, last.entrant.project_id.as_deref());
        let key = guest_key(partner, user_id, project_id);
        self.grants.fresh(&key, asked.max_age)
    }

    /// The roles of the user of a token that carries none.
    async fn grants_for(
        &self,
        known: &Arc<Known>,
        token: &Token,
        bare: &BareToken,
        asked: &Validate<'_>,
    ) -> Result<Arc<Kept<Grants>>, Offline> {
        let project_id = bare.project_id.as_deref();
        let key = guest_key(&known.partner.cloud_id, &bare.user_id, project_id);
        if let Some(kept) = self.grants.fresh(&key, asked.max_age) {
            return Ok(kept);
        }
        // What home said lately of this very token has its roles too: a home that has fallen silent
        // since keeps nobody waiting.
        let is_told = self
            .passports
            .fresh(token.digest(), asked.max_age)
            .is_some();
        if is_told || asked.mode == Some(Mode::Offline) {
            return Err(Offline::Open(Reason::NoGrantStatement));
        }
        let (outcome, _via) = self
            .ask_for_grants(
                known,
                &bare.user_id,
                project_id,
                asked.max_age,
                asked.request_id,
            )
            .await;
        match outcome {
            Outcome::Active(kept) => Ok(kept),
            // It makes grant statements about its native users only.
            Outcome::Inactive(reason) => Err(Offline::Open(reason)),
            Outcome::Failed(Reason::Unreachable) => Err(Offline::Silent(Reason::NoGrantStatement)),
            Outcome::Failed(reason) => Err(Offline::Open(reason)),
        }
    }
}

/// What a failed verification means, and whether it may be that the partner has a new key.
fn meaning(why: &Unverified) -> (Offline, bool) {
    match why {
        Unverified::Opaque => (Offline::Open(Reason::NoKeys), false),
        // A newer Keystone may write what is not understood here; it understands itself.
        Unverified::Malformed(_) => (Offline::Open(Reason::Malformed), false),
        Unverified::RetiredKey => (Offline::Refused(Reason::RetiredKey), false),
        Unverified::ExpiredCertificate => (Offline::Open(Reason::RetiredKey), true),
        Unverified::WeakAlgorithm => (Offline::Refused(Reason::WeakAlgorithm), false),
        Unverified::WrongIssuer => (Offline::Open(Reason::WrongIssuer), true),
        Unverified::UnknownKey => (Offline::Open(Reason::UnknownKey), true),
        Unverified::BadSignature => (Offline::Refused(Reason::BadSignature), false),
    }
}

fn facts_of_bare(token: &Token, known: &Known, bare: &BareToken, grants: &Grants) -> TokenFacts {
    TokenFacts {
        active: true,
        token_sha256: token.sha256().to_owned(),
        // Home makes grant statements about its own users only.
        origin: Some(known.partner.cloud_id.clone()),
        sub: bare.user_id.clone(),
        username: grants.user.name.clone(),
        user_domain: grants.user.domain.clone(),
        project: grants.project.clone(),
        roles: grants.roles.clone(),
        methods: bare.methods.clone(),
        audit_ids: bare.audit_ids.clone(),
        issued_at: bare.issued_at,
        expires_at: bare.expires_at,
    }
}

fn of_view(view: &TokenView) -> Revocable<'_> {
    Revocable {
        user_id: &view.user.id,
        user_domain_id: Some(&view.user.domain.id),
        project_id: view.project.as_ref().map(|project| project.id.as_str()),
        project_domain_id: view
            .project
            .as_ref()
            .map(|project| project.domain.id.as_str()),
        role_ids: &view.role_ids,
        audit_ids: &view.audit_ids,
        issued_at: view.issued_at,
        expires_at: view.expires_at,
    }
}

/// A token without roles: an event about a role shows in the next grant statement, which also tells
/// the domains that an event may be about.
fn of_bare<'a>(bare: &'a BareToken, grants: Option<&'a Grants>) -> Revocable<'a> {
    static NO_ROLES: BTreeSet<String> = BTreeSet::new();
    Revocable {
        user_id: &bare.user_id,
        user_domain_id: grants.map(|grants| grants.user.domain.id.as_str()),
        project_id: bare.project_id.as_deref(),
        project_domain_id: grants
            .and_then(|grants| grants.project.as_ref())
            .map(|project| project.domain.id.as_str()),
        role_ids: &NO_ROLES,
        audit_ids: &bare.audit_ids,
        issued_at: bare.issued_at,
        expires_at: bare.expires_at,
    }
}

#[cfg(test)]
mod tests;
