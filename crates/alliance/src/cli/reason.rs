//! What a refusal means for the operator who looks into it.

use alliance_core::refusal::Reason;

/// The reason in a sentence, with what to do about it where something can be done here.
pub(super) fn explain(reason: Reason) -> &'static str {
    match reason {
        Reason::NotFound => {
            "its issuer does not know the token: revoked, never issued, or its user is gone or disabled"
        }
        Reason::Expired => "the token has expired; log in again at home",
        Reason::NotYetValid => {
            "the token was issued in the future: compare the clocks of both clouds"
        }
        Reason::UnknownPartner => {
            "no partner of this cloud issues tokens that begin so; see alliance partner list"
        }
        Reason::PartnerSuspended => "the partner is suspended; see alliance partner show",
        Reason::PartnerExpired => {
            "the trust in the partner has ended; alliance partner set NAME --trust-till DATE renews it"
        }
        Reason::NotAGuest => {
            "the partner is only a host of ours: its users may not come here. Pair again with role guest or both"
        }
        Reason::NoAgreement => {
            "no agreement covers the token's project; to grant: alliance agreement create"
        }
        Reason::NoCommonRole => {
            "the agreement grants no role that the user holds in that project at home"
        }
        Reason::SystemScope => "tokens with system scope stay at home; scope to a project",
        Reason::DomainScope => "tokens with domain scope stay at home; scope to a project",
        Reason::AdminRole => {
            "the user is an administrator at home; use a user who is not, or grant that role by name"
        }
        Reason::Trust => "tokens of trusts stay at home: this cloud cannot see their limits",
        Reason::Oauth => "tokens of OAuth stay at home: this cloud cannot see their limits",
        Reason::ApplicationCredential => {
            "tokens of application credentials stay at home: this cloud cannot see their limits"
        }
        Reason::Transitive => {
            "the user is a guest of the partner itself; only an agreement with --transitive lets those in"
        }
        Reason::IdentityProviderDisabled => {
            "the partner's identity provider or domain is disabled in this cloud's Keystone"
        }
        Reason::Malformed => {
            "this is not a partner's token, or not spelled as it was issued; copy it again"
        }
        Reason::WrongStatement => {
            "the partner's answer does not fit: signed by another key, for another cloud, or about another token. If it persists, call its operator"
        }
        Reason::UserLimit => {
            "the partner has as many users here as it may; alliance partner set NAME --max-users N raises it"
        }
        Reason::ProjectLimit => {
            "the partner has as many projects here as it may; alliance partner set NAME --max-projects N raises it"
        }
        Reason::Budget => "too many invalid tokens of that partner lately; try again in a minute",
        Reason::Unreachable => "the partner cannot be reached; see alliance partner show",
        Reason::HomeError => {
            "the partner answers, but its Keystone is down, slow or broken; call its operator"
        }
        Reason::BadSignature => {
            "the token was altered after it was signed: its content is not what the partner's key signed"
        }
        Reason::UnknownKey => {
            "signed by a key that the partner did not announce. If it has a new one: alliance partner repair NAME asks for its news; see alliance partner show"
        }
        Reason::WrongIssuer => {
            "signed in the name of an issuer that none of the partner's certificates names; it is another cloud's token"
        }
        Reason::RetiredKey => "signed by a key that the partner has given up; log in again at home",
        Reason::WeakAlgorithm => {
            "signed by an algorithm that is not trusted any more. For one old partner: alliance partner set NAME --allow-sha1 yes"
        }
        Reason::Revoked => {
            "the token is on its issuer's revocation list: logged out, or its user is disabled"
        }
        Reason::ListTooOld => {
            "the token is signed, but the partner's revocation list is missing or too old to rely on, and the partner cannot be asked"
        }
        Reason::NoGrantStatement => {
            "the token is signed, but carries no roles, and the partner has not said lately which the user has"
        }
        Reason::NoKeys => {
            "no key of the partner is known that could verify the token; the partner must be asked"
        }
        Reason::Replayed => "the login passport was used before; each lets its user in once",
        Reason::WrongAudience => "the login passport was made for another cloud",
        Reason::NoProof => {
            "the login passport is bound to a key, and whoever showed it did not prove to have it"
        }
        Reason::PassportOnly => {
            "the partner's users log in by passport only, with the client plugin v3alliance; alliance partner set NAME --login both lets tokens in too"
        }
        Reason::BearerOnly => {
            "the partner's users come with their tokens only; alliance partner set NAME --login both lets passports in too"
        }
        Reason::Overloaded => "too many questions at once; try again",
    }
}
