//! Daemons for tests: real ones, over TLS, with nobody's Keystone behind them.

pub(crate) mod fake_home;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alliance_core::agreement::Agreement;
use alliance_core::cloud::CloudId;
use alliance_core::descriptor::Descriptor;
use alliance_core::partner::Role;
use alliance_core::revocation::RevocationEvent;
use alliance_core::session::Origin;
use alliance_core::sign_out::Change;
use alliance_core::statement::{Named, TokenFacts};
use alliance_core::terms::Terms;
use alliance_core::token::Login;
use alliance_peer::identity::Identity;
use alliance_peer::server::{Limits, serve};
use alliance_peer::service::PeerService;
use alliance_peer::statement;
use alliance_store::{NewInvitation, SeenToken, Store, StoredDescriptor};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use sqlx::{AnyConnection, Connection, Executor};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::fake_home::FakeHome;
use super::Daemon;
use super::clock::now;
use super::home::PeerSide;
use crate::config::Config;

/// What a test gives up with.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// A daemon with a state directory of its own.
pub(crate) struct Bed {
    /// The daemon; its background work is for the test to start.
    pub daemon: Arc<Daemon>,
    _folder: TempDir,
}

impl Bed {
    /// A cloud without partners.
    pub(crate) async fn new() -> Result<Self, Failure> {
        Self::at("https://127.0.0.1:1").await
    }

    /// Two clouds that know each other: users of the second may come to the first. Each is served.
    pub(crate) async fn host_and_home() -> Result<[(Self, Served); 2], Failure> {
        let (east, west) = (Self::served().await?, Self::served().await?);
        let told = |bed: &Self| {
            let jws = bed.daemon.descriptor()?;
            let claims = statement::verify_descriptor(&jws, bed.id())?;
            Ok::<_, Failure>(StoredDescriptor { jws, claims })
        };
        east.0.knows("west", told(&west.0)?, Role::Guest).await?;
        west.0.knows("east", told(&east.0)?, Role::Host).await?;
        Ok([east, west])
    }

    async fn served() -> Result<(Self, Served), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let bed = Self::at(&format!("https://{}", listener.local_addr()?)).await?;
        let (identity, service) = (
            Arc::clone(&bed.daemon.identity),
            Arc::new(PeerSide(Arc::clone(&bed.daemon))),
        );
        Ok((bed, Served::on(listener, identity, service)?))
    }

    /// A cloud whose audit events are in a file.
    pub(crate) async fn audited(file: &Path) -> Result<Self, Failure> {
        Self::with("https://127.0.0.1:1", &format!("[audit]\nfile = {file:?}")).await
    }

    async fn at(peer_url: &str) -> Result<Self, Failure> {
        Self::with(peer_url, "").await
    }

    async fn with(peer_url: &str, more: &str) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        Identity::load_or_create(folder.path())?;
        Self::over(folder, peer_url, ("", more)).await
    }

    /// With more lines about the cloud, and more sections, in its configuration.
    async fn over(
        folder: TempDir,
        peer_url: &str,
        (cloud, more): (&str, &str),
    ) -> Result<Self, Failure> {
        let text = format!(
            r#"
            [cloud]
            name = "test"
            state_dir = {state:?}
            {cloud}
            [peer]
            url = "{peer_url}"
            [keystone]
            auth_url = "http://127.0.0.1:1/v3"
            password = "none"
            {more}
            "#,
            state = folder.path(),
        );
        let config = Config::parse(&text, Path::new("alliance.toml"))?;
        let daemon = Daemon::open(config, None).await?;
        daemon.host.read_live_sessions().await?;
        Ok(Self {
            daemon,
            _folder: folder,
        })
    }

    /// A host, and a home whose users may come there, served until the third is dropped.
    pub(crate) async fn with_home() -> Result<(Self, Arc<FakeHome>, Served), Failure> {
        Self::with_partner(Role::Guest).await
    }

    /// The same, where the other is a partner of this role.
    pub(crate) async fn with_partner(role: Role) -> Result<(Self, Arc<FakeHome>, Served), Failure> {
        let (east, west) = (Self::new().await?, FakeHome::new()?);
        let served = west.serve().await?;
        let told = descriptor(&west.identity, &west.identity, &served.url)?;
        east.knows("west", told, role).await?;
        Ok((east, west, served))
    }

    /// Makes another cloud a partner.
    pub(crate) async fn knows(
        &self,
        name: &str,
        descriptor: StoredDescriptor,
        role: Role,
    ) -> Result<(), Failure> {
        let invitation = NewInvitation {
            id: Uuid::new_v4().to_string(),
            name: name.into(),
            role,
            secret_sha256: "ab".repeat(32),
            expected: None,
            login: Login::Both,
            trust_till: None,
            expires_at: now() + 1000,
        };
        let invitations = self.daemon.store.invitations();
        invitations.create(&invitation, now()).await?;
        invitations
            .accept(&invitation.id, &descriptor, now())
            .await?;
        invitations.confirm(&invitation.id, now()).await?;
        Ok(self.daemon.directory.reload().await?)
    }

    /// Grants a partner's project `science` something.
    pub(crate) async fn grants(&self, home: &CloudId, terms: Terms) -> Result<(), Failure> {
        let agreement = Agreement {
            id: Uuid::new_v4().to_string(),
            partner: home.clone(),
            projects: "science".to_owned().into(),
            project_name: None,
            project_domain: None,
            version: Some(1),
            terms,
            ended_at: None,
        };
        self.store().agreements().create(&agreement, now()).await?;
        self.daemon.directory.reload().await?;
        Ok(())
    }

    /// Users of a partner are here, each with a token whose audit id at home is named.
    pub(crate) async fn receives(
        &self,
        home: &CloudId,
        own: impl IntoIterator<Item = String>,
    ) -> Result<(), Failure> {
        let issued_at = Timestamp::from_second(now() - 600)?;
        for own in own {
            let session = format!("here-{own}");
            let seen = SeenToken {
                token_sha256: HEXLOWER.encode(&Sha256::digest(format!("{home} {own}"))),
                cloud_id: home.clone(),
                user_id: format!("user-{own}"),
                project_id: Some("p".into()),
                expires_at: now() + 3600,
                session: Some(session.clone()),
                origin: Some(Origin {
                    session: session.into(),
                    audit_ids: [own.into()].into(),
                    user_domain_id: "people".into(),
                    project_domain_id: None,
                    issued_at,
                }),
            };
            self.daemon.store.seen_tokens().note(seen).await?;
        }
        self.daemon.host.read_sessions().await?;
        Ok(())
    }

    /// The sessions that have ended here.
    pub(crate) fn ended(&self) -> Vec<String> {
        let host = &self.daemon.host;
        let all = host.sessions().into_iter();
        let all = all.map(|(_, session)| session.id().to_owned());
        let mut ended: Vec<_> = all.filter(|id| host.has_ended(id)).collect();
        ended.sort_unstable();
        ended
    }

    /// Its database.
    pub(crate) fn store(&self) -> &Store {
        &self.daemon.store
    }

    /// Its keys.
    pub(crate) fn identity(&self) -> &Identity {
        &self.daemon.identity
    }

    /// This cloud's id.
    pub(crate) fn id(&self) -> &CloudId {
        self.daemon.identity.cloud_id()
    }
}

/// A MariaDB for several instances of one daemon.
pub(crate) struct Shared {
    server: String,
    name: String,
    keys: TempDir,
}

impl Shared {
    /// `None` if no server is named.
    pub(crate) async fn new() -> Result<Option<Self>, Failure> {
        let Ok(server) = std::env::var("ALLIANCE_TEST_MYSQL_URL") else {
            return Ok(None);
        };
        sqlx::any::install_default_drivers();
        let keys = tempfile::tempdir()?;
        Identity::load_or_create(keys.path())?;
        let name = format!("alliance_{}", Uuid::new_v4().simple());
        let shared = Self { server, name, keys };
        let create = format!("CREATE DATABASE {}", shared.name);
        shared.at_server(&create).await?;
        Ok(Some(shared))
    }

    /// An instance of that name.
    pub(crate) async fn instance(&self, name: &str) -> Result<Bed, Failure> {
        let folder = tempfile::tempdir()?;
        for file in std::fs::read_dir(self.keys.path())? {
            let file = file?;
            std::fs::copy(file.path(), folder.path().join(file.file_name()))?;
        }
        let url = self.url();
        let cloud = format!("instance = {name:?}");
        let more = format!("[database]\nurl = {url:?}");
        Bed::over(folder, "https://127.0.0.1:1", (&cloud, &more)).await
    }

    /// Around the daemons.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), Failure> {
        let mut connection = AnyConnection::connect(&self.url()).await?;
        connection.execute(sql).await?;
        Ok(connection.close().await?)
    }

    /// At the end of a test that went well.
    pub(crate) async fn drop_database(&self) -> Result<(), Failure> {
        self.at_server(&format!("DROP DATABASE {}", self.name))
            .await
    }

    async fn at_server(&self, sql: &str) -> Result<(), Failure> {
        let mut connection = AnyConnection::connect(&self.server).await?;
        connection.execute(sql).await?;
        Ok(connection.close().await?)
    }

    pub(crate) fn url(&self) -> String {
        let (base, _) = self.server.rsplit_once('/').unwrap_or((&self.server, ""));
        format!("{base}/{}", self.name)
    }
}

/// A token has just been revoked at home, by its audit id there.
pub(crate) fn logout(own: &str) -> Change {
    Change::Revoked(RevocationEvent {
        audit_id: Some(own.to_owned()),
        issued_before: Timestamp::now(),
        ..RevocationEvent::default()
    })
}

/// What home says of a token of ann's: the SHA-256 is this byte again and again, and it is good for an hour.
pub(crate) fn token_facts(hash: u8, own: &str, issued_at: Timestamp) -> TokenFacts {
    TokenFacts {
        active: true,
        token_sha256: HEXLOWER.encode(&[hash; 32]),
        origin: None,
        sub: "ann".into(),
        username: "ann".into(),
        user_domain: Named {
            id: "default".into(),
            name: "Default".into(),
        },
        project: None,
        roles: Default::default(),
        methods: vec!["password".into()],
        audit_ids: vec![own.into()],
        issued_at,
        expires_at: issued_at + Duration::from_secs(3600),
    }
}

/// What a cloud says of itself, signing what else it says by the key of `signer`.
pub(crate) fn descriptor(
    identity: &Identity,
    signer: &Identity,
    peer_url: &str,
) -> Result<StoredDescriptor, Failure> {
    let claims = Descriptor {
        v: 1,
        iss: identity.cloud_id().clone(),
        iat: now(),
        exp: now() + 1000,
        name: "test".into(),
        peer_url: peer_url.into(),
        identity_key: identity.identity_key().public().to_jwk(),
        signing_keys: vec![signer.signing_key().public().to_jwk()],
        token_keys: Vec::new(),
        regions: Vec::new(),
        capabilities: Vec::new(),
    };
    Ok(StoredDescriptor {
        jws: statement::sign(&claims, identity.identity_key())?,
        claims,
    })
}

/// A peer API that is being served until this goes.
pub(crate) struct Served {
    /// Where.
    pub url: String,
    task: JoinHandle<()>,
}

impl Served {
    /// Serves what `service` answers.
    pub(crate) async fn new<S: PeerService>(
        identity: Arc<Identity>,
        service: Arc<S>,
    ) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Self::on(listener, identity, service)
    }

    /// The same, where `listener` listens.
    pub(crate) fn on<S: PeerService>(
        listener: TcpListener,
        identity: Arc<Identity>,
        service: Arc<S>,
    ) -> Result<Self, Failure> {
        let url = format!("https://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            let forever = std::future::pending();
            let served = serve(
                listener,
                &identity,
                service,
                Limits::default(),
                Vec::new(),
                forever,
            )
            .await;
            assert!(served.is_ok());
        });
        Ok(Self { url, task })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
