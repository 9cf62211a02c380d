//! Answers that are either a signed statement or a definite no. On the wire `active` tells which
//! (RFC 7662 §2.2); in Rust there is no third state.

use alliance_core::refusal::Reason;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer to `POST /v1/introspect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "IntrospectionBody", into = "IntrospectionBody")]
pub enum Introspection {
    /// The issuer vouches for the token.
    Active {
        /// The passport (JWS, `token-introspection+jwt`).
        passport: String,
    },
    /// The issuer does not.
    Inactive {
        /// Why: a definite reason.
        reason: Reason,
    },
}

/// The answer to `POST /v1/grants`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GrantsBody", into = "GrantsBody")]
pub enum GrantsAnswer {
    /// The user may be what the statement says.
    Active {
        /// The grant statement (JWS, `alliance-grants+jwt`).
        statement: String,
    },
    /// The user is gone, disabled, or has nothing there.
    Inactive {
        /// Why: a definite reason.
        reason: Reason,
    },
}

/// What `POST /v1/introspect` answers on the wire.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Introspection)]
pub(crate) struct IntrospectionBody {
    /// Whether the issuer vouches for the token.
    active: bool,
    /// If active: the passport (JWS, `token-introspection+jwt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passport: Option<String>,
    /// If not: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "not_found")]
    reason: Option<String>,
}

/// What `POST /v1/grants` answers on the wire.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = GrantsAnswer)]
pub(crate) struct GrantsBody {
    /// Whether the user may be anything.
    active: bool,
    /// If active: the grant statement (JWS, `alliance-grants+jwt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
    /// If not: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "not_found")]
    reason: Option<String>,
}

/// An answer that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Contradiction {
    #[error("expected active with a statement, or inactive with a reason")]
    NeitherNor,
    #[error("the reason {0} is no definite no; expected it with status 503")]
    NotDefinite(Reason),
}

impl TryFrom<IntrospectionBody> for Introspection {
    type Error = Contradiction;

    fn try_from(body: IntrospectionBody) -> Result<Self, Contradiction> {
        match (body.active, body.passport, body.reason) {
            (true, Some(passport), None) => Ok(Self::Active { passport }),
            (false, None, Some(code)) => Ok(Self::Inactive {
                reason: definite(&code)?,
            }),
            _ => Err(Contradiction::NeitherNor),
        }
    }
}

impl From<Introspection> for IntrospectionBody {
    fn from(answer: Introspection) -> Self {
        let (passport, reason) = match answer {
            Introspection::Active { passport } => (Some(passport), None),
            Introspection::Inactive { reason } => (None, Some(reason.code().to_owned())),
        };
        Self {
            active: passport.is_some(),
            passport,
            reason,
        }
    }
}

impl TryFrom<GrantsBody> for GrantsAnswer {
    type Error = Contradiction;

    fn try_from(body: GrantsBody) -> Result<Self, Contradiction> {
        match (body.active, body.statement, body.reason) {
            (true, Some(statement), None) => Ok(Self::Active { statement }),
            (false, None, Some(code)) => Ok(Self::Inactive {
                reason: definite(&code)?,
            }),
            _ => Err(Contradiction::NeitherNor),
        }
    }
}

impl From<GrantsAnswer> for GrantsBody {
    fn from(answer: GrantsAnswer) -> Self {
        let (statement, reason) = match answer {
            GrantsAnswer::Active { statement } => (Some(statement), None),
            GrantsAnswer::Inactive { reason } => (None, Some(reason.code().to_owned())),
        };
        Self {
            active: statement.is_some(),
            statement,
            reason,
        }
    }
}

/// A newer partner may have reasons that are unknown here. A no remains a no.
fn definite(code: &str) -> Result<Reason, Contradiction> {
    match Reason::ALL.iter().find(|reason| reason.code() == code) {
        Some(reason) if !reason.is_definite() => Err(Contradiction::NotDefinite(*reason)),
        Some(reason) => Ok(*reason),
        None => Ok(Reason::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_passport_or_a_definite_no() {
        for (json, answer) in [
            (
                r#"{"active":true,"passport":"e30"}"#,
                Introspection::Active {
                    passport: "e30".into(),
                },
            ),
            (
                r#"{"active":false,"reason":"expired"}"#,
                Introspection::Inactive {
                    reason: Reason::Expired,
                },
            ),
        ] {
            assert_eq!(serde_json::from_str::<Introspection>(json).unwrap(), answer);
            assert_eq!(serde_json::to_string(&answer).unwrap(), json);
        }
    }

    #[test]
    fn an_answer_that_contradicts_itself_is_none() {
        for json in [
            r#"{"active":true}"#,
            r#"{"active":false}"#,
            r#"{"active":false,"passport":"e30"}"#,
            r#"{"active":true,"passport":"e30","reason":"expired"}"#,
            r#"{"active":false,"reason":"home_error"}"#,
            r#"{"passport":"e30"}"#,
            r#"{"active":"true","passport":"e30"}"#,
        ] {
            assert!(
                serde_json::from_str::<Introspection>(json).is_err(),
                "{json}"
            );
            let grants = json.replace("passport", "statement");
            assert!(
                serde_json::from_str::<GrantsAnswer>(&grants).is_err(),
                "{grants}"
            );
        }
    }

    #[test]
    fn a_reason_of_a_newer_partner_is_still_a_no() {
        let answer: GrantsAnswer =
            serde_json::from_str(r#"{"active":false,"reason":"moon_phase"}"#).unwrap();
        assert_eq!(
            answer,
            GrantsAnswer::Inactive {
                reason: Reason::NotFound
            }
        );
    }
}
