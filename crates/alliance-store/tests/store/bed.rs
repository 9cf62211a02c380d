//! A database of its own for each test, of either kind.

use std::cmp::Ordering;
use std::error::Error;
use std::io::Write;
use std::sync::Once;

use alliance_core::cloud::CloudId;
use alliance_core::descriptor::{Descriptor, Jwk};
use alliance_core::partner::{Partner, Role};
use alliance_core::token::Login;
use alliance_store::{NewAcceptance, NewInvitation, Store, StoredDescriptor};
use sqlx::{AnyConnection, Connection, Executor};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const SERVER: &str = "ALLIANCE_TEST_MYSQL_URL";

/// A test's database.
pub(crate) struct Bed {
    url: String,
    _folder: Option<TempDir>,
    /// The URL of the server's own database, and the name of ours there.
    server: Option<(String, String)>,
}

/// Makes of each test function one test on SQLite and one on MariaDB.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() -> crate::bed::Outcome {
                crate::bed::Bed::sqlite()?.run(super::$test).await
            })+
        }
        mod mariadb {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() -> crate::bed::Outcome {
                match crate::bed::Bed::mariadb().await? {
                    Some(bed) => bed.run(super::$test).await,
                    None => Ok(()),
                }
            })+
        }
    };
}

pub(crate) use on_both;

impl Bed {
    pub(crate) fn sqlite() -> Result<Self, Box<dyn Error>> {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir()?;
        Ok(Self {
            url: format!("sqlite://{}/alliance.db", folder.path().display()),
            _folder: Some(folder),
            server: None,
        })
    }

    /// `None`, and a line on standard error, if no server is named.
    pub(crate) async fn mariadb() -> Result<Option<Self>, Box<dyn Error>> {
        static ONCE: Once = Once::new();
        let Ok(server) = std::env::var(SERVER) else {
            ONCE.call_once(|| {
                let _ = writeln!(
                    std::io::stderr(),
                    "NOT TESTED ON MARIADB: {SERVER} is not set; run this by scripts/with-mariadb"
                );
            });
            return Ok(None);
        };
        sqlx::any::install_default_drivers();
        let name = format!("alliance_{}", Uuid::new_v4().simple());
        let mut connection = AnyConnection::connect(&server).await?;
        connection
            .execute(format!("CREATE DATABASE {name}").as_str())
            .await?;
        connection.close().await?;
        let (base, _) = server.rsplit_once('/').ok_or("no database in the URL")?;
        Ok(Some(Self {
            url: format!("{base}/{name}"),
            _folder: None,
            server: Some((server, name)),
        }))
    }

    pub(crate) async fn run(self, test: impl AsyncFnOnce(&Bed) -> Outcome) -> Outcome {
        let outcome = test(&self).await;
        if let Some((server, name)) = &self.server {
            let mut connection = AnyConnection::connect(server).await?;
            connection
                .execute(format!("DROP DATABASE {name}").as_str())
                .await?;
        }
        outcome
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The store of this cloud; again and again, as after a restart or by a second daemon.
    pub(crate) async fn open(&self) -> Result<Store, Box<dyn Error>> {
        Ok(Store::open(&self.url, &this_cloud()).await?)
    }

    /// Around the store, as somebody else's hand.
    pub(crate) async fn execute(&self, sql: &str) -> Outcome {
        let mut connection = AnyConnection::connect(&self.url).await?;
        connection.execute(sql).await?;
        Ok(connection.close().await?)
    }

    /// The first column of the first row, as a number.
    pub(crate) async fn count(&self, sql: &str) -> Result<i64, Box<dyn Error>> {
        let mut connection = AnyConnection::connect(&self.url).await?;
        let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(count)
    }
}

pub(crate) fn this_cloud() -> CloudId {
    CloudId::from_spki(b"this cloud")
}

pub(crate) fn cloud(name: &str) -> CloudId {
    CloudId::from_spki(name.as_bytes())
}

/// A name whose cloud's id is `than` this cloud's.
pub(crate) fn name_of_a_cloud(than: Ordering) -> String {
    (0..)
        .map(|number| format!("cloud-{number}"))
        .find(|name| cloud(name).cmp(&this_cloud()) == than)
        .unwrap_or_default()
}

/// How the cloud of that name describes itself.
pub(crate) fn descriptor(name: &str) -> StoredDescriptor {
    describe(cloud(name), name)
}

pub(crate) fn describe(cloud: CloudId, name: &str) -> StoredDescriptor {
    let key = Jwk {
        kty: "EC".into(),
        crv: "P-256".into(),
        x: "x".into(),
        y: "y".into(),
        alg: "ES256".into(),
        kid: "kid".into(),
    };
    StoredDescriptor {
        jws: format!("header.{name}.signature"),
        claims: Descriptor {
            v: 1,
            iss: cloud,
            iat: 1,
            exp: 100_000,
            name: format!("{name} — Wolke"),
            peer_url: format!("https://{name}.example:5443"),
            identity_key: key.clone(),
            signing_keys: vec![key],
            token_keys: Vec::new(),
            regions: Vec::new(),
            capabilities: vec!["introspect".into()],
        },
    }
}

pub(crate) fn invitation(name: &str) -> NewInvitation {
    NewInvitation {
        id: Uuid::new_v4().to_string(),
        name: name.to_owned(),
        role: Role::Guest,
        secret_sha256: "ab".repeat(32),
        expected: None,
        login: Login::Both,
        trust_till: None,
        expires_at: 1000,
    }
}

pub(crate) fn acceptance(name: &str) -> NewAcceptance {
    NewAcceptance {
        id: Uuid::new_v4().to_string(),
        name: name.to_owned(),
        role: Role::Host,
        url: format!("https://{name}.example:5443"),
        secret: "c2VjcmV0".to_owned(),
        login: Login::Both,
        trust_till: None,
        expires_at: 1000,
        descriptor: descriptor(name),
    }
}

/// A partner of that name, paired at second 10.
pub(crate) async fn pair(store: &Store, name: &str) -> Result<Partner, Box<dyn Error>> {
    pair_until(store, name, None).await
}

pub(crate) async fn pair_until(
    store: &Store,
    name: &str,
    trust_till: Option<i64>,
) -> Result<Partner, Box<dyn Error>> {
    let new = NewInvitation {
        trust_till,
        ..invitation(name)
    };
    store.invitations().create(&new, 10).await?;
    store
        .invitations()
        .accept(&new.id, &descriptor(name), 10)
        .await?;
    Ok(store.invitations().confirm(&new.id, 10).await?.partner)
}
