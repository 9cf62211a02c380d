//! This cloud as a home: what it tells partners about its own tokens, users and projects.

mod abroad;
mod passports;
mod revocations;
mod service;
mod shares;
mod sign_outs;
mod standing;
mod token_keys;

pub(crate) use self::service::PeerSide;
pub(crate) use self::sign_outs::{Noticing, told_since};
pub(crate) use self::token_keys::OwnTokenKeys;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use alliance_cloud::keystone::{self, Keystone, UserGrants, Validation};
use alliance_core::admission::may_leave;
use alliance_core::cadf::{Matter, Person};
use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use alliance_core::statement::{GrantStatement, Passport, Project, TokenFacts};
use alliance_peer::error::ApiError;
use alliance_peer::identity::Identity;
use alliance_peer::request_id::RequestId;
use alliance_peer::statement;
use alliance_peer::wire::ProjectQuery;
use alliance_store::AuditEntry;
use alliance_token::Token;
use alliance_token::body::TokenView;
use moka::sync::Cache;
use uuid::Uuid;

use self::abroad::Abroad;
use self::revocations::LastList;
use self::shares::{Place, Shares};
use super::auditing::{Auditor, Case, bearer};
use super::budgets::Budgets;
use super::clock::now;
use super::directory::{Directory, Known};
use super::metrics::{AnswerLabels, Metrics};
use crate::config::Tokens;

/// How long, and how many, tokens that were good are looked at again without a budget.
const FAMILIAR: Duration = Duration::from_secs(3600);
const FAMILIAR_TOKENS: u64 = 200_000;

/// Answers partners.
pub(crate) struct Home {
    identity: Arc<Identity>,
    directory: Arc<Directory>,
    keystone: Arc<Keystone>,
    metrics: Arc<Metrics>,
    budgets: Budgets,
    reports: Budgets,
    shares: Shares,
    desks: Shares,
    last_list: LastList,
    abroad: Abroad,
    /// Apart, since strangers who invent tokens abroad do not spend it.
    guesses: Budgets,
    /// Tokens that were good lately: they are looked at whatever strangers invent.
    familiar: Cache<[u8; 32], ()>,
    admin_roles: BTreeSet<String>,
    revoke_too_powerful: bool,
    auditor: Auditor,
}

/// An answer to a partner's question: a signed statement, or why not.
pub(crate) type Answer = Result<String, Reason>;

impl Home {
    /// Has answered nobody yet.
    pub(crate) fn new(
        identity: Arc<Identity>,
        directory: Arc<Directory>,
        keystone: Arc<Keystone>,
        metrics: Arc<Metrics>,
        tokens: &Tokens,
        for_partners: usize,
    ) -> Self {
        Self {
            identity,
            directory,
            keystone,
            metrics,
            budgets: Budgets::new(&tokens.invalid_budget),
            reports: Budgets::new(&tokens.invalid_budget),
            shares: Shares::at_keystone(for_partners),
            desks: Shares::at_database(),
            last_list: LastList::default(),
            abroad: Abroad::default(),
            guesses: Budgets::new(&tokens.invalid_budget),
            familiar: Cache::builder()
                .max_capacity(FAMILIAR_TOKENS)
                .time_to_live(FAMILIAR)
                .build(),
            admin_roles: tokens.admin_roles.iter().cloned().collect(),
            revoke_too_powerful: tokens.revoke_too_powerful,
            auditor: Auditor::default(),
        }
    }

    /// A place of the partner's at the database, until it is dropped.
    ///
    /// # Errors
    /// As [`Shares::place`].
    async fn desk(&self, partner: &CloudId) -> Result<Place, Reason> {
        self.desks.place(partner).await
    }

    /// The same, and who writes down what is decided.
    pub(crate) fn audited_by(self, auditor: Auditor) -> Self {
        Self { auditor, ..self }
    }

    /// A passport for a token of ours that a partner was shown.
    pub(crate) async fn introspect(
        &self,
        host: &Known,
        token: &Token,
        request_id: RequestId,
    ) -> Answer {
        let cloud_id = &host.partner.cloud_id;
        let _place = self.shares.place(cloud_id).await?;
        let mut person = bearer(token);
        let answer = match self.budgets.may_ask(cloud_id) {
            Err(reason) if !self.familiar.contains_key(token.digest()) => Err(reason),
            Ok(()) | Err(_) => self.passport(host, token, request_id, &mut person).await,
        };
        match answer {
            Ok(_) => self.familiar.insert(*token.digest(), ()),
            Err(Reason::NotFound) => {
                self.abroad.end(cloud_id, token.digest());
                self.familiar.invalidate(token.digest());
                self.budgets.wrong(cloud_id);
            }
            Err(_) => {}
        }
        self.count(host, &answer);
        self.audit(Matter::Passport, host, person, &answer, request_id);
        answer
    }

    /// `person` is who it is about, once that is known.
    async fn passport(
        &self,
        host: &Known,
        token: &Token,
        request_id: RequestId,
        person: &mut Person,
    ) -> Answer {
        host.policy.login.require_bearer()?;
        if token.tag() != Some(&self.identity.cloud_id().tag()) {
            return Err(Reason::NotFound);
        }
        let view = match self
            .keystone
            .validate(token.expose(), &request_id.to_string())
            .await
        {
            Ok(Validation::Valid(view)) => view,
            Ok(Validation::Unknown) => return Err(Reason::NotFound),
            Err(error) => {
                tracing::error!(%request_id, %token, %error, "our Keystone did not say whether a token is valid");
                return Err(Reason::HomeError);
            }
        };
        is_of(person, &view);
        if let Err(reason) = self.leave(host, &view) {
            tracing::warn!(%request_id, %token, host = host.partner.name, user = view.user.id, %reason, "a token of ours was shown abroad and may not be used there");
            if reason.is_too_powerful() {
                self.revoke(token, host, reason, request_id);
            }
            return Err(reason);
        }
        let origin = self.origin(&view);
        let passport = Passport {
            iss: self.identity.cloud_id().clone(),
            aud: host.partner.cloud_id.clone(),
            iat: now(),
            jti: Uuid::new_v4().to_string(),
            token_introspection: view.facts(token, origin),
        };
        self.vouches_for(&passport.token_introspection, &passport.aud);
        self.sign(&passport)
    }

    fn vouches_for(&self, facts: &TokenFacts, host: &CloudId) {
        let own = self.identity.cloud_id();
        self.abroad.begin(host, own, facts, now());
    }

    /// Users of ours who are abroad.
    pub(crate) fn abroad(&self) -> &Abroad {
        &self.abroad
    }

    fn leave(&self, host: &Known, view: &TokenView) -> Result<(), Reason> {
        let mut home_view = view.home_view();
        home_view.guest |= self.directory.is_guest_domain(&view.user.domain.id);
        home_view.guest &= !host.facts.received.iter().any(|grant| grant.transitive);
        may_leave(&home_view)
    }

    /// Our word that a user has roles in a project.
    pub(crate) async fn grants(
        &self,
        host: &Known,
        user_id: &str,
        project_id: Option<&str>,
        request_id: RequestId,
    ) -> Answer {
        let cloud_id = &host.partner.cloud_id;
        let _place = self.shares.place(cloud_id).await?;
        let answer = match self.guesses.may_ask(cloud_id) {
            Ok(()) => self.statement(host, user_id, project_id, request_id).await,
            Err(reason) => Err(reason),
        };
        if matches!(answer, Err(Reason::NotFound)) {
            self.guesses.wrong(cloud_id);
        }
        self.count(host, &answer);
        let person = user(user_id, project_id);
        self.audit(Matter::Statement, host, person, &answer, request_id);
        answer
    }

    async fn statement(
        &self,
        host: &Known,
        user_id: &str,
        project_id: Option<&str>,
        request_id: RequestId,
    ) -> Answer {
        let found = self
            .keystone
            .grants(user_id, project_id, &request_id.to_string())
            .await;
        match found {
            Ok(found) => self.vouch(host, found),
            Err(error) => {
                tracing::error!(%request_id, user_id, %error, "our Keystone did not say which roles a user has");
                Err(Reason::HomeError)
            }
        }
    }

    fn vouch(&self, host: &Known, found: UserGrants) -> Answer {
        match found {
            UserGrants::Some(grants) if self.directory.is_guest_domain(&grants.user.domain.id) => {
                Err(Reason::Transitive)
            }
            UserGrants::Some(grants) => self.sign(&GrantStatement {
                iss: self.identity.cloud_id().clone(),
                aud: host.partner.cloud_id.clone(),
                iat: now(),
                jti: Uuid::new_v4().to_string(),
                grants,
            }),
            UserGrants::None => Err(Reason::NotFound),
        }
    }

    async fn found_of_many(
        &self,
        host: &Known,
        asked: &[(&str, Option<&str>)],
        request_id: RequestId,
    ) -> Result<Vec<UserGrants>, Reason> {
        let request = request_id.to_string();
        let found = self.keystone.grants_of_many(asked, &request);
        found.await.map_err(|error| {
            tracing::error!(%request_id, host = host.partner.name, %error, "our Keystone did not say which roles users have");
            Reason::HomeError
        })
    }

    /// The same about several users, each in a project or without one, in their order.
    ///
    /// # Errors
    /// If we may not say, or our Keystone did not, of all of them.
    pub(crate) async fn grants_of_many(
        &self,
        host: &Known,
        asked: &[(&str, Option<&str>)],
        request_id: RequestId,
    ) -> Result<Vec<Answer>, Reason> {
        let cloud_id = &host.partner.cloud_id;
        let _place = self.shares.place(cloud_id).await?;
        let found = match self.guesses.may_ask(cloud_id) {
            Ok(()) => self.found_of_many(host, asked, request_id).await,
            Err(reason) => Err(reason),
        };
        let found = match found {
            Ok(found) => found,
            Err(reason) => {
                for (user_id, project_id) in asked {
                    let (answer, person) = (Err(reason), user(user_id, *project_id));
                    self.count(host, &answer);
                    self.audit(Matter::Statement, host, person, &answer, request_id);
                }
                return Err(reason);
            }
        };
        let answers = found
            .into_iter()
            .zip(asked)
            .map(|(found, (user_id, project_id))| {
                let answer = self.vouch(host, found);
                if matches!(answer, Err(Reason::NotFound)) {
                    self.guesses.wrong(cloud_id);
                }
                self.count(host, &answer);
                let person = user(user_id, *project_id);
                self.audit(Matter::Statement, host, person, &answer, request_id);
                answer
            });
        Ok(answers.collect())
    }

    /// Whether a partner may report another refusal: each is a line in the log.
    ///
    /// # Errors
    /// [`Reason::Budget`] if not.
    pub(crate) fn may_report(&self, host: &CloudId) -> Result<(), Reason> {
        self.reports.may_ask(host)?;
        self.reports.wrong(host);
        Ok(())
    }

    /// A host refused a token of ours. That it is too powerful is believed only as far as our own
    /// Keystone confirms it.
    pub(crate) async fn report(
        &self,
        host: &Known,
        token: &Token,
        reason: Reason,
        request_id: RequestId,
    ) {
        let ours = token.tag() == Some(&self.identity.cloud_id().tag());
        if !ours || self.budgets.may_ask(&host.partner.cloud_id).is_err() {
            return;
        }
        tracing::info!(%request_id, %token, host = host.partner.name, %reason, "a host refused a token of ours");
        if !reason.is_too_powerful() {
            return;
        }
        let Ok(_place) = self.shares.place(&host.partner.cloud_id).await else {
            return;
        };
        match self
            .keystone
            .validate(token.expose(), &request_id.to_string())
            .await
        {
            Ok(Validation::Valid(view)) if self.is_too_powerful(host, &view) => {
                self.revoke(token, host, reason, request_id);
            }
            Ok(Validation::Valid(_)) => {
                tracing::warn!(%request_id, %token, host = host.partner.name, "a partner reported a token as too powerful that is not; nothing was revoked");
            }
            Ok(Validation::Unknown) => self.budgets.wrong(&host.partner.cloud_id),
            Err(error) => {
                tracing::error!(%request_id, %token, %error, "a token that a partner reported as too powerful was not looked at");
            }
        }
    }

    fn is_too_powerful(&self, host: &Known, view: &TokenView) -> bool {
        view.roles
            .iter()
            .any(|role| self.admin_roles.contains(role))
            || self
                .leave(host, view)
                .is_err_and(|reason| reason.is_too_powerful())
    }

    /// Our projects of that id or name, for a partner's operator who makes an agreement.
    pub(crate) async fn projects(
        &self,
        host: &Known,
        query: &ProjectQuery,
        request_id: RequestId,
    ) -> Result<Vec<Project>, ApiError> {
        let asked = match (&query.id, &query.name) {
            (Some(id), _) => keystone::ProjectQuery::Id(id),
            (None, Some(name)) => keystone::ProjectQuery::Name {
                name,
                domain: query.domain.as_deref(),
            },
            (None, None) => return Err(ApiError::malformed("name the project by id or by name")),
        };
        let cloud_id = &host.partner.cloud_id;
        self.guesses.may_ask(cloud_id)?;
        let _place = self.shares.place(cloud_id).await?;
        let mut found = self
            .keystone
            .projects(asked, &request_id.to_string())
            .await
            .map_err(|error| ApiError::unavailable(Reason::HomeError).because(error))?;
        found.retain(|project| !self.directory.is_guest_domain(&project.domain.id));
        if found.is_empty() {
            self.guesses.wrong(cloud_id);
        }
        Ok(found)
    }

    /// In a task of its own: it is finished also if the host gives up on its question.
    fn revoke(&self, token: &Token, host: &Known, reason: Reason, request_id: RequestId) {
        let host = host.partner.name.clone();
        if !self.revoke_too_powerful {
            tracing::warn!(%request_id, %token, host, %reason, "a token too powerful to be shown to strangers stays valid, since [tokens] revoke_too_powerful is off");
            return;
        }
        let (keystone, token) = (Arc::clone(&self.keystone), token.clone());
        let (auditor, directory) = (self.auditor.clone(), Arc::clone(&self.directory));
        tokio::spawn(alliance_trace::carried(async move {
            match keystone
                .revoke_with_itself(token.expose(), &request_id.to_string())
                .await
            {
                Ok(()) => {
                    let entry = AuditEntry {
                        at: now(),
                        actor: "daemon".to_owned(),
                        action: "token.revoked".to_owned(),
                        subject: token.to_string(),
                        detail: reason.to_string(),
                    };
                    auditor.recorded(&entry, &directory);
                    tracing::warn!(%request_id, %token, host, %reason, "a token too powerful to be shown to strangers was revoked")
                }
                Err(error) => {
                    tracing::error!(%request_id, %token, host, %reason, %error, "a token too powerful to be shown to strangers could not be revoked; revoke it by hand")
                }
            }
        }));
    }

    fn sign<S: alliance_core::statement::Statement + serde::Serialize>(
        &self,
        claims: &S,
    ) -> Answer {
        statement::sign(claims, self.identity.signing_key()).map_err(|error| {
            tracing::error!(%error, "a statement could not be signed");
            Reason::HomeError
        })
    }

    /// Whose user it is: ours, a partner's, or nobody's that we could name.
    fn origin(&self, view: &TokenView) -> Option<CloudId> {
        let partners = self.directory.partners();
        match partners.by_domain(&view.user.domain.id) {
            Some(known) => Some(known.partner.cloud_id.clone()),
            None if view.home_view().guest => None,
            None => Some(self.identity.cloud_id().clone()),
        }
    }

    fn audit(
        &self,
        matter: Matter,
        host: &Known,
        person: Person,
        answer: &Answer,
        request_id: RequestId,
    ) {
        self.auditor
            .decided(answer.as_ref().err().copied(), || Case {
                matter,
                partner: Some(host),
                person,
                via: None,
                request_id: Some(request_id),
            });
    }

    fn count(&self, host: &Known, answer: &Answer) {
        let result = match answer {
            Ok(_) => "active",
            Err(reason) => reason.code(),
        };
        alliance_trace::note("alliance.answer", result);
        let labels = AnswerLabels {
            partner: host.partner.name.clone(),
            result,
        };
        self.metrics.answers.get_or_create(&labels).inc();
        self.metrics.traffic.went(&host.partner.name);
    }
}

/// Whose a token of ours is.
fn is_of(person: &mut Person, view: &TokenView) {
    person.user_id = Some(view.user.id.clone());
    person.user_name = Some(view.user.name.clone());
    person.project_id = view.project.as_ref().map(|project| project.id.clone());
}

fn user(user_id: &str, project_id: Option<&str>) -> Person {
    Person {
        user_id: Some(user_id.to_owned()),
        project_id: project_id.map(str::to_owned),
        ..Person::default()
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;
    use crate::daemon::directory::tests::knows_west;
    use crate::daemon::host::tests::five_guesses;
    use crate::daemon::publish::tests::nobodys_keystone;

    #[tokio::test]
    async fn strings_that_are_no_tokens_shut_out_no_token_that_was_good()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let identity = Arc::new(Identity::load_or_create(folder.path())?);
        let (directory, _store, west, _folder) = knows_west().await?;
        let partners = directory.partners();
        let host = partners.by_cloud(&west).ok_or("west is gone")?;
        let home = Home::new(
            Arc::clone(&identity),
            Arc::clone(&directory),
            Arc::new(nobodys_keystone()?),
            Arc::new(Metrics::new()),
            &five_guesses(),
            64,
        );
        let token = |byte: u8| {
            let mut bytes = [byte; 9 + 16 + 16 + 32];
            bytes[0] = 0x80;
            let inner = BASE64URL_NOPAD.encode(&bytes);
            Token::parse_tagged(&format!("{}~{inner}", identity.cloud_id().tag()))
        };
        let (good, other) = (token(1)?, token(2)?);
        home.familiar.insert(*good.digest(), ());
        for _ in 0..10 {
            home.budgets.wrong(&west);
            home.guesses.wrong(&west);
        }
        let id = RequestId::random();
        // Where our Keystone was asked, it did not answer.
        assert_eq!(
            home.introspect(host, &good, id).await,
            Err(Reason::HomeError)
        );
        assert_eq!(home.introspect(host, &other, id).await, Err(Reason::Budget));
        let by_name = ProjectQuery {
            name: Some("science".into()),
            ..ProjectQuery::default()
        };
        let guessed = home.projects(host, &by_name, id).await;
        assert!(guessed.is_err_and(|error| format!("{error:?}").contains("budget")));
        Ok(())
    }
}
