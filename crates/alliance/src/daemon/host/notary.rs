//! What this daemon tells its own Keystone about tokens whose home signed nothing for it.

use std::sync::Arc;

use alliance_answers::Word;
use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use alliance_core::statement::{
    Grants, GrantsAttestation, Statement, TokenAttestation, TokenFacts,
};
use alliance_peer::identity::Identity;
use alliance_peer::statement;
use serde::Serialize;
use uuid::Uuid;

use crate::daemon::clock::now;

/// Signs attestations.
pub(super) struct Notary(pub Arc<Identity>);

impl Notary {
    /// That a token of `partner` is what `facts` say.
    pub(super) fn token(&self, partner: &CloudId, facts: &TokenFacts) -> Result<Word, Reason> {
        self.sign(&TokenAttestation {
            iss: self.0.cloud_id().clone(),
            aud: self.0.cloud_id().clone(),
            iat: now(),
            jti: Uuid::new_v4().to_string(),
            partner: partner.clone(),
            token_introspection: facts.clone(),
        })
    }

    /// That a user of `partner` has these roles.
    pub(super) fn grants(&self, partner: &CloudId, grants: &Grants) -> Result<Word, Reason> {
        self.sign(&GrantsAttestation {
            iss: self.0.cloud_id().clone(),
            aud: self.0.cloud_id().clone(),
            iat: now(),
            jti: Uuid::new_v4().to_string(),
            partner: partner.clone(),
            grants: grants.clone(),
        })
    }

    fn sign<S: Statement + Serialize>(&self, claims: &S) -> Result<Word, Reason> {
        match statement::sign(claims, self.0.signing_key()) {
            Ok(jws) => Ok(Word::Ours(jws.into())),
            Err(error) => {
                tracing::error!(%error, "an attestation for our own Keystone could not be signed");
                Err(Reason::HomeError)
            }
        }
    }
}
