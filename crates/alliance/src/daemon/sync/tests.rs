use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use alliance_core::descriptor::{Descriptor, Endpoint, Region, Service};
use alliance_core::partner::Role;
use alliance_peer::identity::Identity;
use alliance_peer::wire::AgreementsAnswer;

use super::*;
use crate::daemon::bed::fake_home::FakeHome;
use crate::daemon::bed::{Bed, Failure, Served};

/// East, a host, and west, a partner that says of itself what the test wants.
struct Stage {
    east: Bed,
    west: Arc<FakeHome>,
    _served: Served,
}

impl Stage {
    async fn new() -> Result<Self, Failure> {
        Self::whose_west_is(Role::Guest).await
    }

    async fn whose_west_is(role: Role) -> Result<Self, Failure> {
        let (east, west, served) = Bed::with_partner(role).await?;
        Ok(Self {
            east,
            west,
            _served: served,
        })
    }

    /// As the database has it.
    async fn known(&self) -> anyhow::Result<Arc<Known>> {
        let directory = &self.east.daemon.directory;
        directory.reload().await?;
        let partners = directory.partners();
        let known = partners.by_cloud(self.west.identity.cloud_id());
        known.cloned().context("west is no partner")
    }

    /// Whether a pull succeeds, and whether it notes something that was not known.
    async fn is_noted(&self) -> anyhow::Result<(bool, bool)> {
        let (daemon, mut is_noted) = (&self.east.daemon, false);
        let known = self.known().await?;
        let pull = daemon.pull_facts(&known, RequestId::random(), &mut is_noted);
        Ok((pull.await.is_ok(), is_noted))
    }

    async fn pull(&self) -> anyhow::Result<StoredDescriptor> {
        let (daemon, known) = (&self.east.daemon, self.known().await?);
        let request_id = RequestId::random();
        daemon.pull_facts(&known, request_id, &mut false).await?;
        self.stored().await
    }

    async fn stored(&self) -> anyhow::Result<StoredDescriptor> {
        let facts = self.known().await?.facts.descriptor.clone();
        facts.context("west has no descriptor")
    }

    /// What west says from now on: its descriptor with a change, signed by itself.
    fn says(&self, change: impl Fn(&mut Descriptor) + Send + 'static) {
        self.west.does(|script| script.describe = Box::new(change));
    }
}

#[tokio::test]
async fn a_descriptor_that_says_the_same_is_not_pulled_again() -> Result<(), Failure> {
    let stage = Stage::new().await?;
    let first = stage.pull().await?;
    // Signed anew, a second later.
    stage.says(|descriptor| descriptor.iat += 1);
    assert_eq!(stage.pull().await?.jws, first.jws);
    stage.says(|descriptor| descriptor.name = "another".into());
    assert_eq!(stage.pull().await?.claims.name, "another");
    Ok(())
}

#[tokio::test]
async fn an_answer_or_a_silence_like_the_last_one_is_no_news() -> Result<(), Failure> {
    let stage = Stage::new().await?;
    let is_silent = async |why: &str| {
        let error = PeerError::Unreachable(why.to_owned()).into();
        let (daemon, known) = (&stage.east.daemon, stage.known().await?);
        daemon
            .note_silence(&known, &error, RequestId::random())
            .await
    };
    assert_eq!(stage.is_noted().await?, (true, true), "the first one");
    assert_eq!(stage.is_noted().await?, (true, false));
    stage.says(|descriptor| descriptor.name = "another".into());
    assert_eq!(stage.is_noted().await?, (true, true), "another name");
    assert_eq!(stage.is_noted().await?, (true, false));
    assert!(is_silent("no route").await?, "the first one");
    assert!(!is_silent("no route").await?);
    assert!(is_silent("no name").await?, "another reason");
    assert_eq!(stage.is_noted().await?, (true, true), "it is back");
    assert_eq!(stage.is_noted().await?, (true, false));
    Ok(())
}

#[tokio::test]
async fn what_it_holds_of_us_or_grants_is_news_though_its_descriptor_is_the_same()
-> Result<(), Failure> {
    let stage = Stage::whose_west_is(Role::Host).await?;
    let grants = |etag: &str| {
        let answer = AgreementsAnswer {
            agreements: Vec::new(),
            etag: etag.into(),
            contracts: None,
        };
        stage
            .west
            .does(move |script| script.grants_us = Some(answer));
    };
    grants("one");
    assert_eq!(stage.is_noted().await?, (true, true), "the first one");
    assert_eq!(stage.is_noted().await?, (true, false));
    grants("another");
    assert_eq!(stage.is_noted().await?, (true, true));
    assert_eq!(stage.is_noted().await?, (true, false));
    Ok(())
}

#[tokio::test]
async fn a_pull_without_news_looks_at_nothing_unless_somebody_else_has_noted_some()
-> Result<(), Failure> {
    let stage = Stage::new().await?;
    let daemon = &stage.east.daemon;
    daemon.pull(&stage.known().await?).await?;
    let (known, before) = (stage.known().await?, daemon.directory.partners());
    daemon.pull(&known).await?;
    assert!(Arc::ptr_eq(&before, &daemon.directory.partners()));
    // Another instance finds it silent, and this one hears of that, while it is being asked.
    let partners = daemon.store.partners();
    partners
        .set_failed(stage.west.identity.cloud_id(), "no route")
        .await?;
    daemon.directory.reload().await?;
    daemon.pull(&known).await?;
    let partners = daemon.directory.partners();
    let found = partners.by_cloud(stage.west.identity.cloud_id());
    assert_eq!(found.and_then(|found| found.facts.last_error.clone()), None);
    Ok(())
}

#[tokio::test]
async fn what_is_noted_before_something_else_fails_is_news() -> Result<(), Failure> {
    // What it grants it does not say.
    let stage = Stage::whose_west_is(Role::Host).await?;
    assert_eq!(stage.is_noted().await?, (false, true), "the first one");
    assert_eq!(stage.is_noted().await?, (false, false));
    stage.says(|descriptor| descriptor.name = "another".into());
    assert_eq!(stage.is_noted().await?, (false, true), "another name");
    Ok(())
}

#[tokio::test]
async fn every_answer_measures_the_way_and_only_one_that_says_something_new_is_a_change()
-> Result<(), Failure> {
    let stage = Stage::new().await?;
    let shown = async || -> anyhow::Result<_> {
        stage.pull().await?;
        let daemon = &stage.east.daemon;
        let partners = daemon.directory.partners();
        let known = partners.by_cloud(stage.west.identity.cloud_id());
        let view = daemon
            .border
            .view(known.context("west is no partner")?, now());
        let measured = view.round_trips.map(|measured| measured.count);
        Ok((measured, view.version.is_some(), view.last_change.is_some()))
    };
    assert_eq!(shown().await?, (Some(1), true, false), "told");
    assert_eq!(shown().await?, (Some(2), true, false), "the same");
    stage.says(|descriptor| descriptor.name = "another".into());
    assert_eq!(shown().await?, (Some(3), true, true), "something new");
    Ok(())
}

#[tokio::test]
async fn a_descriptor_that_is_older_than_the_one_known_is_refused() -> Result<(), Failure> {
    let stage = Stage::new().await?;
    stage.pull().await?;
    stage.says(|descriptor| {
        descriptor.iat -= SET_BACK + 60;
        descriptor.name = "yesterday".into();
    });
    let error = stage.pull().await.err().ok_or("set back")?;
    assert!(error.to_string().contains("older than the one"), "{error}");
    assert_eq!(stage.stored().await?.claims.name, "test");
    Ok(())
}

#[tokio::test]
async fn a_descriptor_of_another_cloud_or_by_another_key_is_refused() -> Result<(), Failure> {
    let stage = Stage::new().await?;
    let thief = Identity::ephemeral()?;
    let (id, key) = (thief.cloud_id().clone(), thief.identity_key().public());
    let jwk = key.to_jwk();
    stage.says(move |descriptor| {
        descriptor.iss = id.clone();
        descriptor.name = "thief".into();
    });
    assert!(stage.pull().await.is_err());
    stage.says(move |descriptor| {
        descriptor.identity_key = jwk.clone();
        descriptor.name = "thief".into();
    });
    assert!(stage.pull().await.is_err());
    assert_eq!(stage.stored().await?.claims.name, "test");
    Ok(())
}

#[tokio::test]
async fn a_descriptor_that_is_too_long_is_refused_and_the_last_one_stays() -> Result<(), Failure> {
    let stage = Stage::new().await?;
    stage.says(|descriptor| {
        let endpoint = Endpoint {
            interface: "public".into(),
            url: "https://west.example".into(),
        };
        descriptor.regions = vec![Region {
            id: "west".into(),
            services: vec![Service {
                kind: "image".into(),
                name: "glance".into(),
                endpoints: vec![endpoint; 2000],
                versions: Vec::new(),
            }],
        }];
    });
    let error = stage.pull().await.err().ok_or("too much")?;
    assert!(format!("{error:#}").contains("bytes"), "{error:#}");
    assert_eq!(stage.stored().await?.claims.regions, []);
    Ok(())
}

#[tokio::test]
async fn a_partner_that_pokes_without_end_is_pulled_from_twice_a_second() {
    let (pulls, pulled) = (Arc::new(Pulls::default()), Arc::new(AtomicUsize::new(0)));
    let west = CloudId::from_spki(b"west");
    let poke = || {
        let (pulls, pulled, west) = (Arc::clone(&pulls), Arc::clone(&pulled), west.clone());
        tokio::spawn(async move {
            let pull = || async {
                pulled.fetch_add(1, Ordering::SeqCst);
            };
            pulls.one_by_one(&west, pull).await;
        })
    };
    let first = poke();
    while pulled.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..1000 {
        assert!(poke().await.is_ok());
    }
    assert_eq!(pulled.load(Ordering::SeqCst), 1);
    // The pokes meanwhile are heard too, all at once.
    assert!(first.await.is_ok());
    assert_eq!(pulled.load(Ordering::SeqCst), 2);
    assert!(pulls.lock().is_empty());
}

#[tokio::test]
async fn silence_is_noted_in_the_same_words_however_often_nobody_answers() -> Result<(), Failure> {
    let Stage {
        east,
        west,
        _served,
    } = Stage::new().await?;
    drop(_served);
    let mut said = BTreeSet::new();
    for asked in 0..6 {
        let known = || {
            let partners = east.daemon.directory.partners();
            let known = partners.by_cloud(west.identity.cloud_id()).map(Arc::clone);
            known.context("west is no partner")
        };
        east.daemon.pull(&known()?).await?;
        // The first may have been connected already.
        if asked > 0 {
            said.insert(known()?.facts.last_error.clone());
        }
    }
    let said: Vec<_> = said.into_iter().flatten().collect();
    assert!(
        matches!(&said[..], [one] if one.contains("cannot be reached")),
        "{said:?}"
    );
    Ok(())
}
