//! The partners as the daemon works with them: the database's rows, read into memory after each
//! change, each with its connection.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use alliance_core::Seconds;
use alliance_core::agreement::Agreement;
use alliance_core::cloud::{CloudId, Tag};
use alliance_core::descriptor::{Descriptor, Jwk};
use alliance_core::partner::{KeystoneAccess, Partner, Status};
use alliance_core::statement::{Statement, require_fresh};
use alliance_core::token::{Mode, TokenFormat, TokenPolicy};
use alliance_peer::client::{Deadlines, PeerClient};
use alliance_peer::identity::Identity;
use alliance_peer::statement::{self, StatementError};
use alliance_store::{Facts, PartnerRecord, Store};
use alliance_token::KeyRing;
use serde::de::DeserializeOwned;

use super::clock::now;
use super::key_rings;
use super::plain::PlainKeystone;
use super::turns::Turns;

/// A statement is made when it is asked for, says the whole second in which that was, and takes its time to
/// come: it is so old at most, beside the clocks' skew. Seconds.
const JUST_MADE: Seconds = 10;

/// One partner: who it is, what it said, what both sides grant, and the way to it.
pub(crate) struct Known {
    /// The row.
    pub partner: Partner,
    /// What it last told us.
    pub facts: Facts,
    /// How its tokens are validated.
    pub policy: TokenPolicy,
    /// The keys that may sign its tokens.
    pub ring: KeyRing,
    /// Agreements that we gave it and nobody ended.
    pub given: Vec<Agreement>,
    /// How it is asked.
    pub way: Way,
}

/// Why what a partner signed is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unheard {
    /// It is not its statement for us.
    #[error(transparent)]
    Refused(#[from] StatementError),
    /// It was not made just now.
    #[error("it is dated wrongly; compare the clouds' clocks")]
    Dated,
}

/// How a partner is asked.
pub(crate) enum Way {
    /// Its daemon, over the peer API.
    Peer(Arc<PeerClient>),
    /// Its Keystone, for it has no daemon.
    Keystone(Arc<PlainKeystone>),
}

impl Known {
    /// Whether that is what it was made of. Of a plain Keystone nobody knows: its keys are in a file.
    fn is_still(&self, record: &PartnerRecord, given: &[Agreement]) -> bool {
        self.peer().is_some()
            && record.access.is_none()
            && self.partner == record.partner
            && self.facts == record.facts
            && self.policy == record.policy
            && self.given == given
    }

    /// The daemon of a partner that has one.
    pub(crate) fn peer(&self) -> Option<&Arc<PeerClient>> {
        match &self.way {
            Way::Peer(client) => Some(client),
            Way::Keystone(_) => None,
        }
    }

    /// The Keystone of a partner that has no daemon.
    pub(crate) fn plain(&self) -> Option<&Arc<PlainKeystone>> {
        match &self.way {
            Way::Peer(_) => None,
            Way::Keystone(plain) => Some(plain),
        }
    }

    /// What it has signed for `own`, which is us, whenever that was.
    ///
    /// # Errors
    /// Why it is not believed.
    pub(crate) fn read<T: Statement + DeserializeOwned>(
        &self,
        jws: &str,
        own: &CloudId,
    ) -> Result<T, StatementError> {
        statement::verify(jws, self.signing_keys(), &self.partner.cloud_id, Some(own))
    }

    /// What it has just signed for `own`, which is us.
    ///
    /// # Errors
    /// Why it is not believed.
    pub(crate) fn hear<T: Statement + DeserializeOwned>(
        &self,
        jws: &str,
        own: &CloudId,
    ) -> Result<T, Unheard> {
        let said: T = self.read(jws, own)?;
        require_fresh(said.issued_at(), now(), JUST_MADE).map_err(|_| Unheard::Dated)?;
        Ok(said)
    }

    /// Whether it counts us among its partners, as far as it has told.
    pub(crate) fn wants_us(&self) -> bool {
        let status = self.facts.their_status;
        status.is_none_or(|status| status == Status::Active)
    }

    /// How its tokens are validated, for each format that it may issue: a daemon may stand beside
    /// any Keystone.
    pub(crate) fn modes(&self) -> BTreeMap<TokenFormat, Mode> {
        let formats = match &self.way {
            Way::Peer(_) => TokenFormat::ALL.into(),
            Way::Keystone(plain) => plain.access.formats.clone(),
        };
        let mode = |format| (format, self.policy.mode(format));
        formats.into_iter().map(mode).collect()
    }

    /// What its daemon last said of itself.
    pub(crate) fn descriptor(&self) -> Option<&Descriptor> {
        let stored = self.facts.descriptor.as_ref();
        stored.map(|stored| &stored.claims)
    }

    /// The keys that sign what its daemon says.
    pub(crate) fn signing_keys(&self) -> &[Jwk] {
        self.descriptor().map_or(&[], |told| &told.signing_keys)
    }
}

/// An immutable view of all partners that are not removed.
#[derive(Default)]
pub(crate) struct Partners {
    by_cloud: HashMap<CloudId, Arc<Known>>,
    by_tag: HashMap<Tag, CloudId>,
    by_domain: HashMap<String, CloudId>,
    by_untagged: HashMap<TokenFormat, CloudId>,
    /// Keystone domains of removed partners: their users may still be there.
    former_domains: HashSet<String>,
}

impl Partners {
    fn add(&mut self, known: Arc<Known>) {
        let (partner, cloud_id) = (&known.partner, &known.partner.cloud_id);
        if let Some(plain) = known.plain() {
            let formats = plain.access.formats.iter();
            let formats = formats.map(|format| (*format, cloud_id.clone()));
            self.by_untagged.extend(formats);
        }
        self.by_tag.insert(cloud_id.tag(), cloud_id.clone());
        self.by_domain.insert(partner.domain_id(), cloud_id.clone());
        self.by_cloud.insert(cloud_id.clone(), known);
    }

    /// The partner with this id.
    pub(crate) fn by_cloud(&self, cloud_id: &CloudId) -> Option<&Arc<Known>> {
        self.by_cloud.get(cloud_id)
    }

    /// The partner whose tokens have this tag.
    pub(crate) fn by_tag(&self, tag: &Tag) -> Option<&Arc<Known>> {
        self.by_tag.get(tag).and_then(|id| self.by_cloud.get(id))
    }

    /// The partner that untagged tokens of this format are of, if any.
    pub(crate) fn by_untagged(&self, format: TokenFormat) -> Option<&Arc<Known>> {
        self.by_untagged
            .get(&format)
            .and_then(|id| self.by_cloud.get(id))
    }

    /// The partner whose guests live in this domain of our Keystone.
    pub(crate) fn by_domain(&self, domain_id: &str) -> Option<&Arc<Known>> {
        self.by_domain
            .get(domain_id)
            .and_then(|id| self.by_cloud.get(id))
    }

    /// The partner that our operator calls so.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Known>> {
        self.by_cloud
            .values()
            .find(|known| known.partner.name == name)
    }

    /// All, by name.
    pub(crate) fn all(&self) -> Vec<&Arc<Known>> {
        let mut all: Vec<_> = self.by_cloud.values().collect();
        all.sort_by(|a, b| a.partner.name.cmp(&b.partner.name));
        all
    }
}

/// The current [`Partners`].
pub(crate) struct Directory {
    store: Store,
    identity: Arc<Identity>,
    current: RwLock<Arc<Partners>>,
    /// What was read earlier never replaces what was read later.
    reading: Turns<()>,
    clients: Mutex<HashMap<(CloudId, String), Arc<PeerClient>>>,
    keystones: Mutex<HashMap<CloudId, Arc<PlainKeystone>>>,
}

impl Directory {
    /// Reads the database.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn open(store: Store, identity: Arc<Identity>) -> anyhow::Result<Self> {
        let directory = Self {
            store,
            identity,
            current: RwLock::default(),
            reading: Turns::default(),
            clients: Mutex::default(),
            keystones: Mutex::default(),
        };
        directory.reload().await?;
        Ok(directory)
    }

    /// Whether a Keystone domain is, or was, that of a partner: its users are guests.
    pub(crate) fn is_guest_domain(&self, domain_id: &str) -> bool {
        let partners = self.partners();
        partners.by_domain.contains_key(domain_id) || partners.former_domains.contains(domain_id)
    }

    /// The Keystone domains of all partners that there are or were.
    pub(crate) fn guest_domains(&self) -> BTreeSet<String> {
        let partners = self.partners();
        let former = partners.former_domains.iter();
        partners.by_domain.keys().chain(former).cloned().collect()
    }

    /// This cloud.
    pub(crate) fn cloud_id(&self) -> &CloudId {
        self.identity.cloud_id()
    }

    /// The partners as of the last [`Directory::reload`].
    pub(crate) fn partners(&self) -> Arc<Partners> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the database again; call it after each change. Who calls while it is being read shares the next
    /// reading, and partners who are as they were are kept: a thousand may change at once.
    ///
    /// # Errors
    /// If it cannot be read; the old view stays.
    pub(crate) async fn reload(&self) -> anyhow::Result<()> {
        let turn = self.reading.next().await;
        if turn.is_done() {
            return Ok(());
        }
        let before = self.partners();
        let removed = self.store.partners().removed().await?;
        let mut partners = Partners {
            former_domains: removed.iter().map(Partner::domain_id).collect(),
            ..Partners::default()
        };
        let records = self.store.partners().list().await?;
        let mut agreements: HashMap<CloudId, Vec<Agreement>> = HashMap::new();
        for agreement in self.store.agreements().list(None).await? {
            if agreement.ended_at.is_none() {
                agreements
                    .entry(agreement.partner.clone())
                    .or_default()
                    .push(agreement);
            }
        }
        for record in records {
            let cloud_id = &record.partner.cloud_id;
            let given = agreements.remove(cloud_id).unwrap_or_default();
            let known = before.by_cloud(cloud_id);
            partners.add(
                match known.filter(|known| known.is_still(&record, &given)) {
                    Some(known) => Arc::clone(known),
                    None => Arc::new(self.known(record, given)?),
                },
            );
        }
        // A partner may move as often as it likes; only the last way to it is kept.
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|(cloud_id, url), _| {
            partners
                .by_cloud(cloud_id)
                .is_none_or(|known| known.partner.peer_url == *url)
        });
        drop(clients);
        let mut keystones = self
            .keystones
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        keystones.retain(|cloud_id, _| partners.by_cloud(cloud_id).is_some());
        drop(keystones);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(partners);
        turn.done(());
        Ok(())
    }

    fn known(&self, record: PartnerRecord, given: Vec<Agreement>) -> anyhow::Result<Known> {
        let PartnerRecord {
            partner,
            facts,
            policy,
            access,
        } = record;
        let ring = match (&access, &facts.descriptor) {
            (Some(access), _) => key_rings::on_file(&partner.name, access.signing_keys.as_deref()),
            (None, Some(told)) => key_rings::announced(&partner.name, &told.claims.token_keys),
            (None, None) => KeyRing::default(),
        };
        let way = match access {
            Some(access) => Way::Keystone(self.keystone(&partner.cloud_id, access)?),
            None => Way::Peer(self.client(&partner.cloud_id, &partner.peer_url)?),
        };
        Ok(Known {
            partner,
            facts,
            policy,
            ring,
            given,
            way,
        })
    }

    /// The connection to a cloud, known as a partner or not yet.
    ///
    /// # Errors
    /// If `url` is no URL.
    pub(crate) fn client(&self, cloud_id: &CloudId, url: &str) -> anyhow::Result<Arc<PeerClient>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (cloud_id.clone(), url.to_owned());
        if let Some(client) = clients.get(&key) {
            return Ok(Arc::clone(client));
        }
        let client = PeerClient::new(&self.identity, cloud_id.clone(), url, Deadlines::default())?;
        let client = Arc::new(client);
        clients.insert(key, Arc::clone(&client));
        Ok(client)
    }

    /// The way to a partner's Keystone; the same one, with its login, for as long as it is
    /// described the same.
    fn keystone(
        &self,
        cloud_id: &CloudId,
        access: KeystoneAccess,
    ) -> anyhow::Result<Arc<PlainKeystone>> {
        let mut keystones = self
            .keystones
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(plain) = keystones.get(cloud_id)
            && plain.access == access
        {
            return Ok(Arc::clone(plain));
        }
        let plain = Arc::new(PlainKeystone::new(access)?);
        keystones.insert(cloud_id.clone(), Arc::clone(&plain));
        Ok(plain)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use alliance_core::partner::{Kind, Role, Status};
    use alliance_core::revocation::RevocationList;
    use alliance_core::token::Login;
    use alliance_store::NewInvitation;
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;
    use crate::daemon::bed::descriptor;
    use crate::daemon::host::tests::member_of_all;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// A directory over a database of its own, with one partner, `west`.
    pub(crate) async fn knows_west()
    -> Result<(Arc<Directory>, Store, CloudId, TempDir), Box<dyn std::error::Error>> {
        let west = Identity::ephemeral()?;
        let (directory, store, folder) = knows(&west, Role::Guest).await?;
        Ok((directory, store, west.cloud_id().clone(), folder))
    }

    /// The same, where the partner is this one.
    pub(crate) async fn knows(
        west: &Identity,
        role: Role,
    ) -> Result<(Arc<Directory>, Store, TempDir), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let identity = Arc::new(Identity::ephemeral()?);
        let url = format!("sqlite://{}/alliance.db", folder.path().display());
        let store = Store::open(&url, identity.cloud_id()).await?;
        let west = descriptor(west, west, "https://127.0.0.1:1")?;
        let new = NewInvitation {
            id: Uuid::new_v4().to_string(),
            name: "west".into(),
            role,
            secret_sha256: "ab".repeat(32),
            expected: None,
            login: Login::Both,
            trust_till: None,
            expires_at: 1000,
        };
        store.invitations().create(&new, 10).await?;
        store.invitations().accept(&new.id, &west, 10).await?;
        store.invitations().confirm(&new.id, 10).await?;
        let directory = Directory::open(store.clone(), identity).await?;
        Ok((Arc::new(directory), store, folder))
    }

    /// A plain Keystone of that name.
    pub(crate) fn keystone(
        name: &str,
        formats: &[TokenFormat],
    ) -> Result<(Partner, KeystoneAccess), Box<dyn std::error::Error>> {
        let access = KeystoneAccess {
            auth_url: format!("https://{name}.example:5000/v3").parse()?,
            username: "alliance".into(),
            user_domain_name: "Default".into(),
            project_name: "service".into(),
            project_domain_name: "Default".into(),
            password_file: "/etc/alliance/password".into(),
            ca_file: None,
            formats: formats.iter().copied().collect(),
            signing_keys: None,
        };
        let partner = Partner {
            cloud_id: access.auth_url.cloud_id(),
            name: name.into(),
            kind: Kind::Keystone,
            role: Role::Guest,
            status: Status::Active,
            peer_url: access.auth_url.to_string(),
            trust_since: Some(10),
            trust_till: None,
            max_users: None,
            max_projects: None,
            created_at: 10,
        };
        Ok((partner, access))
    }

    #[tokio::test]
    async fn who_is_as_before_is_kept_and_who_changed_is_not() -> Outcome {
        let (directory, store, west, _folder) = knows_west().await?;
        let known = || {
            let partners = directory.partners();
            partners.by_cloud(&west).cloned().ok_or("west is gone")
        };
        let before = known()?;
        directory.reload().await?;
        assert!(Arc::ptr_eq(&before, &known()?));
        for status in [Status::Suspended, Status::Active] {
            store.partners().set_status(&west, status, 10).await?;
            directory.reload().await?;
            assert_eq!(known()?.partner.status, status);
        }
        let before = known()?;
        store.agreements().create(&member_of_all(&west), 10).await?;
        directory.reload().await?;
        assert!(!Arc::ptr_eq(&before, &known()?));
        assert_eq!(known()?.given.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn what_was_just_made_is_heard_though_the_clocks_differ_and_it_took_its_time() -> Outcome
    {
        let west = Identity::ephemeral()?;
        let (directory, _store, _folder) = knows(&west, Role::Guest).await?;
        let (partners, own) = (directory.partners(), directory.cloud_id());
        let known = partners.by_cloud(west.cloud_id()).ok_or("west is gone")?;
        for (age, is_heard) in [(-70, false), (-55, true), (65, true), (75, false)] {
            let list = RevocationList {
                iss: west.cloud_id().clone(),
                aud: own.clone(),
                iat: now() - age,
                digest: "none".into(),
                listed: None,
            };
            let said = statement::sign(&list, west.signing_key())?;
            let heard = known.hear::<RevocationList>(&said, own);
            let is_dated = matches!(heard, Err(Unheard::Dated));
            assert_eq!((heard.is_ok(), is_dated), (is_heard, !is_heard), "{age} s");
        }
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_was_read_before_a_change_never_replaces_what_was_read_after_it() -> Outcome {
        let (directory, store, west, _folder) = knows_west().await?;
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let others: Vec<_> = (0..4)
            .map(|_| {
                let (directory, stop) = (Arc::clone(&directory), Arc::clone(&stop));
                tokio::spawn(async move {
                    while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                        if directory.reload().await.is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        for turn in 0..100 {
            let status = [Status::Suspended, Status::Active][turn % 2];
            store.partners().set_status(&west, status, 10).await?;
            directory.reload().await?;
            for _ in 0..10 {
                let partners = directory.partners();
                let known = partners.by_cloud(&west).ok_or("west is gone")?;
                assert_eq!(known.partner.status, status, "in turn {turn}");
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        for other in others {
            other.await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_partner_that_moves_leaves_no_connection_behind() -> Outcome {
        let (directory, store, west, _folder) = knows_west().await?;
        let other = Identity::ephemeral()?;
        let mut moved = descriptor(&other, &other, "https://west.example:5443")?;
        moved.claims.iss = west;
        for port in 1..10 {
            moved.claims.peer_url = format!("https://west.example:{port}");
            store
                .partners()
                .set_descriptor(&moved, Some(&moved.jws))
                .await?;
            directory.reload().await?;
        }
        let clients = directory
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        assert_eq!(clients.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn an_untagged_token_is_the_partners_that_claims_its_format() -> Outcome {
        let (directory, store, west, _folder) = knows_west().await?;
        let (north, access) = keystone("north", &[TokenFormat::Uuid, TokenFormat::Pki])?;
        store.partners().add_keystone(&north, &access).await?;
        directory.reload().await?;
        let partners = directory.partners();
        let of = |format| {
            let known = partners.by_untagged(format);
            known.map(|known| known.partner.name.as_str())
        };
        assert_eq!(of(TokenFormat::Uuid), Some("north"));
        assert_eq!(of(TokenFormat::Pki), Some("north"));
        assert_eq!(of(TokenFormat::Fernet), None);

        let west = partners.by_cloud(&west).ok_or("west is gone")?;
        assert!(west.peer().is_some() && west.plain().is_none());
        assert_eq!(west.modes().len(), TokenFormat::ALL.len());
        let north = partners.by_cloud(&north.cloud_id).ok_or("north is gone")?;
        assert!(north.peer().is_none() && north.descriptor().is_none());
        let modes: Vec<_> = north.modes().into_iter().collect();
        assert_eq!(
            modes,
            [
                (TokenFormat::Uuid, Mode::Soft),
                (TokenFormat::Pki, Mode::Offline)
            ]
        );
        Ok(())
    }

    #[tokio::test]
    async fn a_keystone_stays_logged_in_for_as_long_as_it_is_described_the_same() -> Outcome {
        let (directory, store, _, _folder) = knows_west().await?;
        let (north, access) = keystone("north", &[TokenFormat::Uuid])?;
        let way = || async {
            directory.reload().await?;
            let partners = directory.partners();
            let plain = partners.by_name("north").and_then(|known| known.plain());
            Ok::<_, anyhow::Error>(plain.map(Arc::clone))
        };
        store.partners().add_keystone(&north, &access).await?;
        let first = way().await?.ok_or("north is gone")?;
        let second = way().await?.ok_or("north is gone")?;
        assert!(Arc::ptr_eq(&first, &second));

        store.partners().remove(&north.cloud_id, 20).await?;
        let other = KeystoneAccess {
            username: "other".into(),
            ..access
        };
        store.partners().add_keystone(&north, &other).await?;
        let third = way().await?.ok_or("north is gone")?;
        assert_eq!(third.access, other);
        store.partners().remove(&north.cloud_id, 30).await?;
        assert!(way().await?.is_none());
        Ok(())
    }
}
