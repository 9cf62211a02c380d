//! Everything that must survive but the cloud's keys: partners, agreements, pairings under way, sessions,
//! sign-outs, usage, orders, retirements, notices, what instances tell each other, the audit trail.
//!
//! One database, SQLite (one file, the default) or MariaDB. What a method has returned `Ok` for
//! is on disk. The store never reads the clock and never decides what is allowed: it keeps what
//! must be unique unique, and lets each invitation be used once, whoever races.
//!
//! A token is never here, only its hash. The one secret is that of an invitation that this cloud
//! accepted; it is wiped as soon as the pairing is decided.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod agreements;
mod audit;
mod audit_events;
mod backup;
mod bulletins;
mod contracts;
mod database;
mod deliveries;
mod ended_sessions;
mod error;
mod guest_projects;
mod guest_standings;
mod instances;
mod leases;
mod meta;
mod notices;
mod pairing;
mod partners;
mod project_limits;
mod provisions;
mod restart;
mod retirements;
mod seen_tokens;
mod sign_outs;
mod token_keys;
mod usage;
mod used_passports;

use std::sync::Arc;

use alliance_core::cloud::CloudId;

pub use self::agreements::Agreements;
pub use self::audit::{Audit, AuditEntry};
pub use self::audit_events::{AuditEvent, AuditEvents};
pub use self::backup::{
    About, Backup, BackupError, BackupFile, BackupKeys, Mended, Mending, Restoration, Rows,
};
pub use self::bulletins::{Bulletin, Bulletins, Posted};
pub use self::contracts::{AgreementVersion, Contracts, ReceivedAgreement, Side, StoredReply};
pub use self::database::Look;
pub use self::deliveries::{Deliveries, Delivery, Receiver};
pub use self::ended_sessions::{EndedSession, EndedSessions};
pub use self::error::{Error, Holder, OpenError, Result};
pub use self::guest_projects::{GuestProject, GuestProjects};
pub use self::guest_standings::{GuestStanding, GuestStandings};
pub use self::instances::{Instance, Instances};
pub use self::leases::{Lease, Leases};
pub use self::meta::Meta;
pub use self::notices::{
    Filter, NoticePosition, Notices, OutgoingNotices, ReceivedNotice, TakenIn,
};
pub use self::pairing::Paired;
pub use self::pairing::acceptances::{Acceptance, Acceptances, NewAcceptance};
pub use self::pairing::drafts::{Draft, DraftOf};
pub use self::pairing::invitations::{Acceptor, Invitation, Invitations, NewInvitation};
pub use self::partners::change::{Change, Transition};
pub use self::partners::facts::{Facts, StoredDescriptor};
pub use self::partners::removal::Removal;
pub use self::partners::{PartnerRecord, Partners};
pub use self::project_limits::{ProjectLimits, ProjectsLimits};
pub use self::provisions::{GivenOrder, Provisions, Stack, Step, StepState, Taken, TakenOrder};
pub use self::retirements::{ItemState, Retirement, RetirementItem, Retirements, StoredReceipt};
pub use self::seen_tokens::{SeenToken, SeenTokens};
pub use self::sign_outs::{Behind, NewSignOut, NotedSignOut, RecentSignOut, SignOuts};
pub use self::token_keys::{OwnTokenKey, TokenKeys};
pub use self::usage::received::{Received, ReceivedRecord};
pub use self::usage::sums::{Span, Sum};
pub use self::usage::watched::{Flow, Notifications};
pub use self::usage::{Heard, Outgoing, Usage};
pub use self::used_passports::UsedPassports;

use self::database::Database;
use self::seen_tokens::Unwritten;

/// One cloud's database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    unwritten: Arc<Unwritten>,
}

impl Store {
    /// Opens the database at `url` (`sqlite:///absolute/path.db` or
    /// `mysql://user:password@host/database`), makes it or brings it up to date, and binds it to
    /// `cloud`. A new SQLite file is readable for its owner alone.
    ///
    /// # Errors
    /// What is wrong with the database and what to do; never the URL's password.
    pub async fn open(url: &str, cloud: &CloudId) -> std::result::Result<Self, OpenError> {
        Ok(Self {
            database: Database::open(url, cloud).await?,
            unwritten: Arc::default(),
        })
    }

    /// How the database at `url` is, before anybody starts on it. Changes nothing.
    ///
    /// # Errors
    /// What would keep [`Store::open`] from opening it.
    pub async fn look(url: &str, cloud: &CloudId) -> std::result::Result<Look, OpenError> {
        Database::look(url, cloud).await
    }

    /// Opens the database that a daemon has made, as a process that does not have its key.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn attach(url: &str) -> std::result::Result<Self, OpenError> {
        Ok(Self {
            database: Database::attach(url).await?,
            unwritten: Arc::default(),
        })
    }

    /// The same for a process that tells others what it changes, as `author`: other instances of a daemon
    /// have the database too. In SQLite there are none, and nothing is told.
    #[must_use]
    pub fn shared_by(mut self, author: &str) -> Self {
        self.database.tell_as(author);
        self
    }

    /// Whether other instances of a daemon may have it too.
    pub fn is_shared(&self) -> bool {
        self.database.author().is_some()
    }

    /// Whose it is.
    pub fn cloud(&self) -> &CloudId {
        self.database.cloud()
    }

    /// Partners and what is known of them.
    pub fn partners(&self) -> Partners<'_> {
        Partners(&self.database)
    }

    /// What this cloud grants.
    pub fn agreements(&self) -> Agreements<'_> {
        Agreements(&self.database)
    }

    /// The signed versions of agreements, given and received.
    pub fn contracts(&self) -> Contracts<'_> {
        Contracts(&self.database)
    }

    /// Invitations that this cloud made.
    pub fn invitations(&self) -> Invitations<'_> {
        Invitations(&self.database)
    }

    /// Invitations that this cloud accepted.
    pub fn acceptances(&self) -> Acceptances<'_> {
        Acceptances(&self.database)
    }

    /// Partners' tokens that were let in.
    pub fn seen_tokens(&self) -> SeenTokens<'_> {
        SeenTokens::new(&self.database, &self.unwritten)
    }

    /// What has ended here, for hosts.
    pub fn sign_outs(&self) -> SignOuts<'_> {
        SignOuts(&self.database)
    }

    /// Partners' sessions that have ended before their time.
    pub fn ended_sessions(&self) -> EndedSessions<'_> {
        EndedSessions(&self.database)
    }

    /// Projects of partners whose users were let in here.
    pub fn guest_projects(&self) -> GuestProjects<'_> {
        GuestProjects(&self.database)
    }

    /// What services allow those projects.
    pub fn project_limits(&self) -> ProjectsLimits<'_> {
        ProjectsLimits(&self.database)
    }

    /// How those projects stood when they were last looked at.
    pub fn guest_standings(&self) -> GuestStandings<'_> {
        GuestStandings(&self.database)
    }

    /// Partners' projects that are being retired here, and receipts.
    pub fn retirements(&self) -> Retirements<'_> {
        Retirements(&self.database)
    }

    /// Login passports that were used here.
    pub fn used_passports(&self) -> UsedPassports<'_> {
        UsedPassports(&self.database)
    }

    /// The keys with which this cloud's Keystone signs tokens.
    pub fn token_keys(&self) -> TokenKeys<'_> {
        TokenKeys(&self.database)
    }

    /// What partners' projects use here, and ours there.
    pub fn usage(&self) -> Usage<'_> {
        Usage(&self.database)
    }

    /// What homes are told of their projects here, and what hosts tell of ours.
    pub fn notices(&self) -> Notices<'_> {
        Notices(&self.database)
    }

    /// Who is told further what hosts have told.
    pub fn deliveries(&self) -> Deliveries<'_> {
        Deliveries(&self.database)
    }

    /// What projects want to have at partners, and what partners' projects have here.
    pub fn provisions(&self) -> Provisions<'_> {
        Provisions(&self.database)
    }

    /// What only one process may do at a time.
    pub fn leases(&self) -> Leases<'_> {
        Leases(&self.database)
    }

    /// What instances of a daemon tell each other.
    pub fn bulletins(&self) -> Bulletins<'_> {
        Bulletins(&self.database)
    }

    /// Which instances there are.
    pub fn instances(&self) -> Instances<'_> {
        Instances(&self.database)
    }

    /// The daemon's own numbers.
    pub fn meta(&self) -> Meta<'_> {
        Meta(&self.database)
    }

    /// Who did what.
    pub fn audit(&self) -> Audit<'_> {
        Audit(&self.database)
    }

    /// What of it waits to be said on the message bus.
    pub fn audit_events(&self) -> AuditEvents<'_> {
        AuditEvents(&self.database)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// Why not.
    pub async fn ping(&self) -> Result<()> {
        self.database.ping().await
    }

    /// Whether it could be written to now: nobody holds it, nothing forbids it. Changes nothing.
    ///
    /// # Errors
    /// Why not, after five seconds at most.
    pub async fn try_write(&self) -> Result<()> {
        self.database.try_write().await
    }

    /// Ends all connections; SQLite folds its log into the file.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use alliance_core::partner::{KeystoneAccess, Partner};

    use super::*;

    /// The daemon's handlers run on several threads.
    #[test]
    fn every_call_may_move_between_threads() {
        fn require_send(_: impl Send) {}
        fn calls(
            store: &Store,
            cloud: &CloudId,
            descriptor: &StoredDescriptor,
            change: &Change,
            north: &(Partner, KeystoneAccess),
        ) {
            require_send(Store::open("", cloud));
            require_send(store.ping());
            require_send(store.drafts(0));
            require_send(store.partners().list());
            require_send(store.partners().remove(cloud, 0));
            require_send(store.partners().expire_due(0));
            require_send(store.partners().change(cloud, change));
            require_send(store.partners().set_descriptor(descriptor, None));
            require_send(store.partners().add_keystone(&north.0, &north.1));
            require_send(store.agreements().list(None));
            require_send(store.agreements().end("", 0));
            require_send(store.contracts().received(cloud));
            require_send(store.contracts().set_heard(cloud, "", 0));
            require_send(store.invitations().accept("", descriptor, 0));
            require_send(store.invitations().confirm("", 0));
            require_send(store.invitations().expire_due(0));
            require_send(store.acceptances().pair("", descriptor, 0));
            require_send(store.acceptances().cancel("", 0));
            require_send(store.seen_tokens().forget_expired(0));
            require_send(store.seen_tokens().each_origin(0, drop));
            require_send(store.seen_tokens().write_waiting());
            require_send(store.guest_projects().note(&[]));
            require_send(store.guest_standings().note(&[]));
            require_send(store.retirements().list());
            require_send(store.retirements().received(cloud));
            require_send(store.ended_sessions().add(&[]));
            require_send(store.sign_outs().append(&[], 0));
            require_send(store.sign_outs().hears(cloud, 0));
            require_send(store.token_keys().see(&BTreeMap::new(), 0, 0));
            require_send(store.usage().received(cloud));
            require_send(store.usage().receive(cloud, &[], 0));
            require_send(store.usage().arrivals(0, 0));
            require_send(store.usage().outgoing(cloud, 0, 1));
            require_send(store.usage().flows());
            require_send(store.usage().notifications());
            require_send(store.notices().watch(None, &[], 0));
            require_send(store.notices().received(cloud));
            require_send(store.deliveries().state(Receiver::Bus));
            require_send(store.provisions().unheard());
            require_send(store.provisions().stacks(None, None));
            require_send(store.leases().take("", "", 0));
            require_send(store.bulletins().post(&[]));
            require_send(store.instances().list());
            require_send(store.meta().next_generation());
            require_send(store.audit().list(1));
            require_send(store.audit_events().append(&[]));
            require_send(store.audit_events().forget(&[]));
        }
        let _ = calls;
    }
}
