//! Explaining a string to a human, without validating it.

use alliance_core::admission::HomeView;
use alliance_core::statement::Named;
use alliance_core::token::TokenFormat;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::Serialize;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::body::{self, TokenView};
use crate::cms::{Scheme, SignedData};
use crate::pkiz;
use crate::spelling::Form;
use crate::token::{MAX_TOKEN_LEN, Malformed, Token};
use crate::verify::BareToken;

/// What a string is, as far as anybody can read it. Nothing of it is verified, and names are as
/// whoever made the token wrote them. The secret is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// What it is, or would be without its `problems`.
    pub format: Option<TokenFormat>,
    /// Its issuer's tag.
    pub tag: Option<String>,
    /// In bytes, tag included.
    pub length: usize,
    /// Lowercase hex SHA-256 of the whole string, if it is a token.
    pub sha256: Option<String>,
    /// Why it is refused, whoever made it.
    pub problems: Vec<String>,
    /// Who seems to have signed it; none for an opaque format.
    pub signer: Option<Signer>,
    /// When it was issued.
    pub issued_at: Option<Timestamp>,
    /// When it expires, or did.
    pub expires_at: Option<Timestamp>,
    /// Whose it is.
    pub user: Option<Holder>,
    /// What it is for.
    pub scope: Option<Scope>,
    /// Authentication methods.
    pub methods: Vec<String>,
    /// Role names; a JWS has none.
    pub roles: Vec<String>,
    /// Its own, and that of the chain's root if it has one.
    pub audit_ids: Vec<String>,
    /// What it was made from, and whose: what keeps it from leaving its cloud.
    pub made_from: Vec<&'static str>,
}

/// How a token says that it was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// The signature algorithm.
    pub algorithm: String,
    /// The name of who issued the signer's certificate (PKI, PKIZ).
    pub issuer: Option<String>,
    /// That certificate's serial number, lowercase hex.
    pub serial: Option<String>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Id at home.
    pub id: String,
    /// Name at home; a JWS has none.
    pub name: Option<String>,
    /// Its domain at home; a JWS has none.
    pub domain: Option<Named>,
}

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Scope {
    /// The user alone.
    Unscoped,
    /// A project.
    Project {
        /// Id at home.
        id: String,
        /// Name at home; a JWS has none.
        name: Option<String>,
        /// Its domain at home; a JWS has none.
        domain: Option<Named>,
    },
    /// A domain.
    Domain,
    /// The whole cloud.
    System,
}

/// Explains any string.
pub fn inspect(text: &str) -> Inspection {
    let mut seen = Inspection {
        length: text.len(),
        ..Inspection::default()
    };
    match Token::parse(text) {
        Ok(token) => {
            seen.sha256 = Some(token.sha256().to_owned());
            seen.read(&token);
        }
        Err(malformed) => {
            seen.problems.push(malformed.to_string());
            seen.guess(text, malformed);
        }
    }
    seen
}

impl Inspection {
    /// What a string that is refused was probably meant to be.
    fn guess(&mut self, text: &str, malformed: Malformed) {
        if malformed == Malformed::TooLong {
            let inner = text.rsplit('~').next().unwrap_or(text);
            self.format = Form::looks_like(inner);
            return;
        }
        for (respelled, problem) in respellings(text) {
            if let Ok(token) = Token::parse(&respelled) {
                self.problems.push(problem.to_owned());
                self.read(&token);
                return;
            }
        }
    }

    fn read(&mut self, token: &Token) {
        self.format = Some(token.format());
        self.tag = token.tag().map(|tag| tag.as_str().to_owned());
        let problem = match token.form() {
            Form::Uuid => None,
            Form::Fernet { made_at } => {
                self.issued_at = Timestamp::from_second(*made_at).ok();
                None
            }
            Form::Pki(der) => self.read_cms(der).err(),
            Form::Pkiz(stream) => pkiz::open(stream).and_then(|der| self.read_cms(&der)).err(),
            Form::Jws(jws) => {
                self.signer = Some(Signer {
                    algorithm: "ECDSA P-256 with SHA-256 (ES256)".to_owned(),
                    issuer: None,
                    serial: None,
                });
                let bare = BareToken::read(&jws.claims);
                bare.map(|bare| self.read_bare(bare)).err()
            }
        };
        self.problems.extend(problem.map(str::to_owned));
    }

    fn read_cms(&mut self, der: &[u8]) -> Result<(), &'static str> {
        let signed = SignedData::read(der)?;
        let digest = signed.digest.name();
        self.signer = Some(Signer {
            algorithm: match signed.scheme {
                Scheme::Rsa => format!("RSA (PKCS #1 v1.5) with {digest}"),
                Scheme::Ecdsa => format!("ECDSA with {digest}"),
            },
            issuer: X509Name::from_der(signed.issuer)
                .ok()
                .map(|(_, name)| name.to_string()),
            serial: Some(HEXLOWER.encode(signed.serial)),
        });
        self.read_full(body::read(signed.content)?);
        Ok(())
    }

    fn read_full(&mut self, token: TokenView) {
        let view = token.home_view();
        self.scope = Some(scope(&view, || {
            token.project.map(|project| Scope::Project {
                id: project.id,
                name: Some(project.name),
                domain: Some(project.domain),
            })
        }));
        self.made_from = made_from(&view);
        self.user = Some(Holder {
            id: token.user.id,
            name: Some(token.user.name),
            domain: Some(token.user.domain),
        });
        self.issued_at = Some(token.issued_at);
        self.expires_at = Some(token.expires_at);
        self.methods = token.methods;
        self.roles = token.roles.into_iter().collect();
        self.audit_ids = token.audit_ids;
    }

    fn read_bare(&mut self, token: BareToken) {
        self.scope = Some(scope(&token.view, || {
            token.project_id.map(|id| Scope::Project {
                id,
                name: None,
                domain: None,
            })
        }));
        self.made_from = made_from(&token.view);
        self.user = Some(Holder {
            id: token.user_id,
            name: None,
            domain: None,
        });
        self.issued_at = Some(token.issued_at);
        self.expires_at = Some(token.expires_at);
        self.methods = token.methods;
        self.audit_ids = token.audit_ids;
    }
}

fn scope(view: &HomeView, project: impl FnOnce() -> Option<Scope>) -> Scope {
    if view.system_scope {
        Scope::System
    } else if view.domain_scope {
        Scope::Domain
    } else {
        project().unwrap_or(Scope::Unscoped)
    }
}

fn made_from(view: &HomeView) -> Vec<&'static str> {
    [
        (view.trust, "a trust"),
        (view.oauth, "OAuth"),
        (view.application_credential, "an application credential"),
        (view.guest, "a federated login"),
    ]
    .into_iter()
    .filter_map(|(applies, what)| applies.then_some(what))
    .collect()
}

/// Other spellings of the same token that people come across, and what is wrong with `text` if it
/// is one of them. Of `text` no more than a token's length is looked at.
fn respellings(text: &str) -> Vec<(String, &'static str)> {
    let trimmed = text.trim();
    let unpadded = trimmed.trim_end_matches('=');
    let spellings = [
        (trimmed.to_owned(), "there is white space around it"),
        (
            trimmed.replace(['\r', '\n'], ""),
            "there are line breaks in it",
        ),
        (
            unpadded.to_owned(),
            "it is padded with '=', which tokens of its format are not",
        ),
        (
            format!("{unpadded}="),
            "it lacks its padding ('='), or has too much",
        ),
        (
            format!("{unpadded}=="),
            "it lacks its padding ('='), or has too much",
        ),
        (
            trimmed.replace('/', "-"),
            "it is standard base64: Keystone writes '-' in place of '/'",
        ),
        (
            trimmed.to_ascii_lowercase().replace("-", ""),
            "it is a UUID in another spelling than Keystone's: 32 lowercase hex digits",
        ),
    ];
    spellings
        .into_iter()
        .filter(|(spelling, _)| spelling != text && spelling.len() <= MAX_TOKEN_LEN)
        .collect()
}
