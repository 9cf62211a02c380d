use std::collections::BTreeMap;
use std::sync::Arc;

use alliance_core::agreement::{Agreement, Projects};
use alliance_core::cloud::CloudId;
use alliance_core::contract::{Proposal, Reply, Said};
use alliance_core::partner::Role;
use alliance_core::terms::{Resource, Terms};
use alliance_peer::identity::Identity;
use alliance_peer::statement;
use alliance_peer::wire::{AgreementsAnswer, ContractState, Offer};
use uuid::Uuid;

use super::Shown;
use crate::daemon::Daemon;
use crate::daemon::bed::fake_home::FakeHome;
use crate::daemon::bed::{self, Bed, Failure, Served};
use crate::daemon::clock::now;
use crate::daemon::directory::Known;
use crate::wire::{AgreementView, ChangeRequest, LimitsRequest, ReplyRequest, Standing};

fn member() -> Terms {
    Terms::granting(["member".to_owned()], now() - 10)
}

fn priced(cores: &str) -> Result<Terms, Failure> {
    let prices = format!(r#"{{"currency": "EUR", "per_hour": {{"cores": "{cores}"}}}}"#);
    Ok(Terms {
        prices: Some(serde_json::from_str(&prices)?),
        ..member()
    })
}

fn price(cores: &str) -> ChangeRequest {
    ChangeRequest {
        limits: LimitsRequest {
            currency: Some("EUR".into()),
            prices: BTreeMap::from([("cores".into(), Some(cores.into()))]),
            ..LimitsRequest::default()
        },
        ..ChangeRequest::default()
    }
}

fn cores(limit: i64) -> ChangeRequest {
    ChangeRequest {
        limits: LimitsRequest {
            quota: BTreeMap::from([(Resource::Cores, Some(limit))]),
            ..LimitsRequest::default()
        },
        ..ChangeRequest::default()
    }
}

fn partner(daemon: &Daemon) -> Result<Arc<Known>, Failure> {
    let partners = daemon.directory.partners();
    let all = partners.all();
    Ok(Arc::clone(all.first().ok_or("no partner")?))
}

async fn shown(daemon: &Daemon, id: &str) -> Result<AgreementView, Failure> {
    let all = daemon.agreements(Shown::History).await;
    let all = all.map_err(|error| format!("{error:?}"))?;
    let one = all.into_iter().find(|view| view.agreement.id == id);
    Ok(one.ok_or("no such agreement")?)
}

/// What is seen of an agreement: its state, the version in force, the newest, how that stands,
/// whether home has signed.
type Seen = (String, Option<u32>, u32, Standing, bool);

async fn seen(daemon: &Daemon, id: &str) -> Result<Seen, Failure> {
    let view = shown(daemon, id).await?;
    let contract = view.contract.ok_or("no contract")?;
    let in_force = view.agreement.version;
    let (newest, standing) = (contract.newest, contract.standing);
    Ok((
        view.state,
        in_force,
        newest,
        standing,
        contract.countersigned,
    ))
}

fn is(state: &str, in_force: Option<u32>, newest: u32, standing: Standing, signed: bool) -> Seen {
    (state.to_owned(), in_force, newest, standing, signed)
}

/// East, a host, and west, whose users may come.
struct Clouds {
    east: Bed,
    west: Bed,
    east_served: Option<Served>,
    _west_served: Served,
}

impl Clouds {
    async fn new() -> Result<Self, Failure> {
        let [(east, east_served), (west, west_served)] = Bed::host_and_home().await?;
        Ok(Self {
            east,
            west,
            east_served: Some(east_served),
            _west_served: west_served,
        })
    }

    /// An agreement, as east's operator makes it once east's Keystone has been asked.
    async fn agree(&self, terms: Terms) -> Result<String, Failure> {
        let daemon = &self.east.daemon;
        let since = (!terms.need_consent(None)).then(now);
        let agreement = Agreement {
            id: Uuid::new_v4().to_string(),
            partner: self.west.id().clone(),
            projects: Projects::One("p".into()),
            project_name: None,
            project_domain: None,
            version: since.map(|_| 1),
            terms,
            ended_at: None,
        };
        daemon.store.agreements().create(&agreement, now()).await?;
        let signed = daemon.propose(&agreement, &agreement.terms, None, "root", since);
        signed.await.map_err(|error| format!("{error:?}"))?;
        daemon.directory.reload().await?;
        Ok(agreement.id)
    }

    async fn change(&self, id: &str, request: &ChangeRequest) -> Result<(), Failure> {
        let changed = self.east.daemon.change_agreement(id, request, "eve");
        changed.await.map_err(|error| format!("{error:?}"))?;
        Ok(())
    }

    /// West hears what is new at east.
    async fn pull(&self) -> Result<(), Failure> {
        let daemon = &self.west.daemon;
        Ok(daemon.pull(&partner(daemon)?).await?)
    }

    async fn says(&self, id: &str, version: Option<u32>, said: Said) -> Result<bool, Failure> {
        let request = ReplyRequest { version };
        let reply = self
            .west
            .daemon
            .reply_to_agreement(id, &request, said, "wally");
        let answer = reply.await.map_err(|error| format!("{error:?}"))?;
        answer.host_told.ok_or_else(|| "not said".into())
    }

    async fn at_both(&self, id: &str) -> Result<(Seen, Seen), Failure> {
        Ok((
            seen(&self.east.daemon, id).await?,
            seen(&self.west.daemon, id).await?,
        ))
    }

    fn both(seen: Seen) -> (Seen, Seen) {
        (seen.clone(), seen)
    }

    /// East goes on at the same address.
    async fn east_returns(&mut self, url: &str) -> Result<(), Failure> {
        let address = url.trim_start_matches("https://");
        let listener = tokio::net::TcpListener::bind(address).await?;
        let daemon = &self.east.daemon;
        let service = Arc::new(crate::daemon::home::PeerSide(Arc::clone(daemon)));
        let served = Served::on(listener, Arc::clone(&daemon.identity), service)?;
        self.east_served = Some(served);
        Ok(())
    }
}

#[tokio::test]
async fn what_costs_nothing_is_in_force_at_once_and_signed_by_home_when_it_hears_of_it()
-> Result<(), Failure> {
    let clouds = Clouds::new().await?;
    let id = clouds.agree(member()).await?;
    let unheard = is("live", Some(1), 1, Standing::NotCountersigned, false);
    assert_eq!(seen(&clouds.east.daemon, &id).await?, unheard);
    clouds.pull().await?;
    let agreed = is("live", Some(1), 1, Standing::Agreed, true);
    assert_eq!(clouds.at_both(&id).await?, Clouds::both(agreed));

    // Less, and then more again: both at once.
    for (version, limit) in [(2, 4), (3, 8)] {
        clouds.change(&id, &cores(limit)).await?;
        let unheard = is(
            "live",
            Some(version),
            version,
            Standing::NotCountersigned,
            false,
        );
        assert_eq!(seen(&clouds.east.daemon, &id).await?, unheard);
        clouds.pull().await?;
        let agreed = is("live", Some(version), version, Standing::Agreed, true);
        assert_eq!(clouds.at_both(&id).await?, Clouds::both(agreed));
    }
    let (here, there) = (
        shown(&clouds.east.daemon, &id).await?,
        shown(&clouds.west.daemon, &id).await?,
    );
    assert_eq!(here.agreement.terms, there.agreement.terms);
    let hashes = |view: AgreementView| {
        let versions = view.contract.map(|contract| contract.versions);
        versions.map(|all| {
            all.into_iter()
                .map(|one| (one.sha256, one.signed))
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(hashes(here), hashes(there));
    Ok(())
}

#[tokio::test]
async fn what_costs_something_waits_for_homes_operator() -> Result<(), Failure> {
    let clouds = Clouds::new().await?;
    let id = clouds.agree(priced("0.01")?).await?;
    clouds.pull().await?;
    let proposed = is("proposed", None, 1, Standing::Proposed, false);
    assert_eq!(clouds.at_both(&id).await?, Clouds::both(proposed));
    let live = clouds
        .east
        .daemon
        .store
        .agreements()
        .live(clouds.west.id(), now());
    assert!(live.await?.is_empty(), "it opens nothing");

    assert!(clouds.says(&id, Some(1), Said::Accepted).await?);
    let agreed = is("live", Some(1), 1, Standing::Agreed, true);
    assert_eq!(clouds.at_both(&id).await?.0, agreed);
    clouds.pull().await?;
    assert_eq!(clouds.at_both(&id).await?, Clouds::both(agreed));
    let view = shown(&clouds.west.daemon, &id).await?;
    let signed = view.contract.ok_or("no contract")?.versions.remove(0);
    assert_eq!(signed.said_by.as_deref(), Some("wally"));

    // Cheaper is no question.
    clouds.change(&id, &price("0.005")).await?;
    clouds.pull().await?;
    let agreed = is("live", Some(2), 2, Standing::Agreed, true);
    assert_eq!(clouds.at_both(&id).await?, Clouds::both(agreed));
    Ok(())
}

#[tokio::test]
async fn the_former_version_goes_on_until_the_dearer_one_is_accepted() -> Result<(), Failure> {
    let clouds = Clouds::new().await?;
    let id = clouds.agree(member()).await?;
    clouds.pull().await?;
    clouds.change(&id, &price("0.01")).await?;
    clouds.pull().await?;
    let proposed = is("live", Some(1), 2, Standing::Proposed, true);
    assert_eq!(clouds.at_both(&id).await?, Clouds::both(proposed));
    let terms = shown(&clouds.east.daemon, &id).await?.agreement.terms;
    assert_eq!(terms.prices, None, "the cheaper one");

    assert!(clouds.says(&id, None, Said::Rejected).await?);
    let rejected = is("live", Some(1), 2, Standing::Rejected, true);
    assert_eq!(clouds.at_both(&id).await?, Clouds::both(rejected));

    // A person may think again, as long as nothing came after it.
    assert!(clouds.says(&id, None, Said::Accepted).await?);
    clouds.pull().await?;
    let agreed = is("live", Some(2), 2, Standing::Agreed, true);
    assert_eq!(clouds.at_both(&id).await?, Clouds::both(agreed));
    assert!(
        clouds.says(&id, None, Said::Rejected).await.is_err(),
        "it is agreed"
    );
    Ok(())
}

#[tokio::test]
async fn either_side_ends_an_agreement_at_once_and_both_have_the_signed_word() -> Result<(), Failure>
{
    let clouds = Clouds::new().await?;
    let first = clouds.agree(member()).await?;
    clouds.pull().await?;
    let ended = clouds.west.daemon.end_by_id(&first, "wally").await;
    let ended = ended.map_err(|error| format!("{error:?}"))?;
    assert_eq!(ended.host_told, Some(true));
    for daemon in [&clouds.east.daemon, &clouds.west.daemon] {
        assert_eq!(shown(daemon, &first).await?.state, "ended");
    }
    let (by, word) = clouds.east.daemon.store.contracts().ending(&first).await?;
    assert_eq!(by.as_deref(), Some("west"));
    assert!(word.is_some());
    assert!(
        clouds.change(&first, &cores(1)).await.is_err(),
        "it has ended"
    );

    let other = clouds.agree(member()).await?;
    clouds.pull().await?;
    let ended = clouds.east.daemon.end_by_id(&other, "eve").await;
    assert!(ended.is_ok());
    clouds.pull().await?;
    let held = clouds
        .west
        .daemon
        .store
        .contracts()
        .received(clouds.east.id())
        .await?;
    let held = held.into_iter().find(|one| one.id == other).ok_or("gone")?;
    assert_eq!(
        (held.ended_by.as_deref(), held.ending.is_some()),
        (Some("east"), true)
    );
    Ok(())
}

#[tokio::test]
async fn what_the_host_did_not_hear_it_is_told_later() -> Result<(), Failure> {
    let mut clouds = Clouds::new().await?;
    let id = clouds.agree(priced("0.01")?).await?;
    clouds.pull().await?;
    let url = clouds.east_served.take().map(|served| served.url.clone());
    let url = url.ok_or("not served")?;
    assert!(
        !clouds.says(&id, None, Said::Accepted).await?,
        "east is away"
    );
    let waiting = is("proposed", None, 1, Standing::Proposed, false);
    assert_eq!(seen(&clouds.east.daemon, &id).await?, waiting);
    let accepted = is("proposed", None, 1, Standing::Accepted, false);
    assert_eq!(seen(&clouds.west.daemon, &id).await?, accepted);

    clouds.east_returns(&url).await?;
    until(async || {
        clouds.pull().await?;
        Ok(seen(&clouds.east.daemon, &id).await?.1 == Some(1))
    })
    .await?;

    clouds.east_served = None;
    let ended = clouds.west.daemon.end_by_id(&id, "wally").await;
    let ended = ended.map_err(|error| format!("{error:?}"))?;
    assert_eq!(ended.host_told, Some(false));
    assert_eq!(shown(&clouds.west.daemon, &id).await?.state, "ended");
    clouds.east_returns(&url).await?;
    until(async || {
        clouds.pull().await?;
        Ok(shown(&clouds.east.daemon, &id).await?.state == "ended")
    })
    .await
}

#[tokio::test]
async fn who_accepts_while_the_host_changes_it_agrees_to_nothing_new() -> Result<(), Failure> {
    let clouds = Clouds::new().await?;
    let id = clouds.agree(member()).await?;
    clouds.pull().await?;
    clouds.change(&id, &price("0.01")).await?;
    clouds.pull().await?;
    // West's operator looks at version 2; meanwhile there is another.
    clouds.change(&id, &price("0.02")).await?;
    clouds.says(&id, Some(2), Said::Accepted).await?;
    let (east, west) = clouds.at_both(&id).await?;
    let still = is("live", Some(1), 3, Standing::Proposed, true);
    assert_eq!((east, west), Clouds::both(still));
    assert!(
        clouds.says(&id, Some(2), Said::Accepted).await.is_err(),
        "not the newest"
    );
    assert!(clouds.says(&id, Some(3), Said::Accepted).await?);
    clouds.pull().await?;
    let agreed = is("live", Some(3), 3, Standing::Agreed, true);
    assert_eq!(clouds.at_both(&id).await?, Clouds::both(agreed));
    Ok(())
}

#[tokio::test]
async fn agreements_of_an_earlier_version_are_signed_at_the_start() -> Result<(), Failure> {
    let clouds = Clouds::new().await?;
    let daemon = &clouds.east.daemon;
    let old = Agreement {
        id: Uuid::new_v4().to_string(),
        partner: clouds.west.id().clone(),
        projects: Projects::All,
        project_name: None,
        project_domain: None,
        version: Some(1),
        terms: member(),
        ended_at: None,
    };
    daemon.store.agreements().create(&old, now()).await?;
    daemon.directory.reload().await?;
    clouds.pull().await?;
    let before = shown(&clouds.west.daemon, &old.id).await?;
    assert_eq!((before.state.as_str(), before.contract), ("live", None));
    for _ in 0..2 {
        let signed = daemon.sign_unsigned().await;
        signed.map_err(|error| format!("{error:?}"))?;
    }
    clouds.pull().await?;
    let agreed = is("live", Some(1), 1, Standing::Agreed, true);
    assert_eq!(clouds.at_both(&old.id).await?, Clouds::both(agreed));
    Ok(())
}

#[tokio::test]
async fn a_partner_that_is_paired_anew_owes_nothing_of_before() -> Result<(), Failure> {
    let clouds = Clouds::new().await?;
    let old = clouds.agree(priced("0.01")?).await?;
    clouds.pull().await?;
    let (west, east) = (clouds.west.id().clone(), clouds.east.id().clone());
    clouds
        .east
        .daemon
        .store
        .partners()
        .remove(&west, now())
        .await?;
    clouds
        .west
        .daemon
        .store
        .partners()
        .remove(&east, now())
        .await?;
    for (bed, other, name, role) in [
        (&clouds.east, &clouds.west, "west", Role::Guest),
        (&clouds.west, &clouds.east, "east", Role::Host),
    ] {
        let jws = other.daemon.descriptor()?;
        let claims = statement::verify_descriptor(&jws, other.id())?;
        let told = alliance_store::StoredDescriptor { jws, claims };
        bed.knows(name, told, role).await?;
    }
    clouds.pull().await?;
    assert!(clouds.says(&old, None, Said::Accepted).await.is_err());
    assert!(shown(&clouds.west.daemon, &old).await.is_err());
    let new = clouds.agree(member()).await?;
    clouds.pull().await?;
    let agreed = is("live", Some(1), 1, Standing::Agreed, true);
    assert_eq!(clouds.at_both(&new).await?, Clouds::both(agreed));
    Ok(())
}

#[tokio::test]
async fn prices_are_offered_only_to_who_can_accept_them() -> Result<(), Failure> {
    let (east, _west, _served) = Bed::with_home().await?;
    let known = partner(&east.daemon)?;
    assert!(Daemon::require_consenting(&known, &member()).is_ok());
    let refused = Daemon::require_consenting(&known, &priced("0.01")?);
    let text = format!("{:?}", refused.err());
    assert!(text.contains("must be upgraded"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_change_that_is_none_or_wrong_makes_no_version() -> Result<(), Failure> {
    let clouds = Clouds::new().await?;
    let id = clouds.agree(member()).await?;
    let refused = async |request: ChangeRequest, part: &str| {
        let error = clouds.change(&id, &request).await.err().ok_or("taken")?;
        assert!(error.to_string().contains(part), "{part}: {error}");
        Ok::<_, Failure>(())
    };
    refused(ChangeRequest::default(), "nothing would change").await?;
    refused(cores(-1), "quota.cores").await?;
    refused(price("-1"), "prices.per_hour.cores").await?;
    let mut misspelt = price("1");
    let prices = &mut misspelt.limits.prices;
    prices.insert("core".into(), Some("1".into()));
    refused(misspelt, "prices.per_hour.core: expected one of cores").await?;
    let mut no_currency = price("1");
    no_currency.limits.currency = None;
    refused(no_currency, "prices.currency").await?;
    let no_price = ChangeRequest {
        limits: LimitsRequest {
            currency: Some("EUR".into()),
            ..LimitsRequest::default()
        },
        ..ChangeRequest::default()
    };
    refused(no_price, "prices.per_hour").await?;
    let past = ChangeRequest {
        till: Some(Some(now() - 5)),
        ..ChangeRequest::default()
    };
    refused(past, "till").await?;
    let backwards = ChangeRequest {
        till: Some(Some(now() + 100)),
        limits: LimitsRequest {
            since: Some(now() + 200),
            ..LimitsRequest::default()
        },
        ..ChangeRequest::default()
    };
    refused(backwards, "before it begins").await?;
    assert_eq!(seen(&clouds.east.daemon, &id).await?.2, 1);
    Ok(())
}

/// West, a home, and a host that says what the test wants.
struct Home {
    west: Bed,
    east: Arc<FakeHome>,
    id: String,
    _served: Served,
}

impl Home {
    async fn new() -> Result<Self, Failure> {
        let (west, east) = (Bed::new().await?, FakeHome::new()?);
        let served = east.serve().await?;
        let told = bed::descriptor(&east.identity, &east.identity, &served.url)?;
        west.knows("east", told, Role::Host).await?;
        Ok(Self {
            west,
            east,
            id: Uuid::new_v4().to_string(),
            _served: served,
        })
    }

    fn version(
        &self,
        number: u32,
        previous: Option<&str>,
        terms: Terms,
    ) -> Result<Proposal, Failure> {
        Ok(Proposal {
            iss: self.east.identity.cloud_id().clone(),
            aud: self.west.id().clone(),
            iat: now(),
            agreement: self.id.clone(),
            version: number,
            projects: Projects::All,
            project_name: None,
            project_domain: None,
            terms,
            previous: previous.map(statement::payload_sha256).transpose()?,
        })
    }

    fn sign(&self, proposal: &Proposal) -> Result<String, Failure> {
        Ok(statement::sign(proposal, self.east.identity.signing_key())?)
    }

    /// East shows these versions, of which one is in force.
    async fn is_told(
        &self,
        versions: &[&str],
        newest: u32,
        in_force: Option<u32>,
    ) -> Result<(), Failure> {
        let state = ContractState {
            id: self.id.clone(),
            newest,
            in_force,
            replied: true,
            ended: false,
        };
        let answer = AgreementsAnswer {
            agreements: Vec::new(),
            etag: String::new(),
            contracts: Some(vec![state]),
        };
        self.east.does(|script| {
            script.grants_us = Some(answer);
            script.contract.versions = versions.iter().map(|&jws| jws.to_owned()).collect();
        });
        self.pull().await
    }

    async fn pull(&self) -> Result<(), Failure> {
        let daemon = &self.west.daemon;
        Ok(daemon.pull(&partner(daemon)?).await?)
    }

    /// How many versions are known here, which is in force, and what is not believed.
    async fn knows(&self) -> Result<(usize, Option<u32>, String), Failure> {
        let contracts = self.west.daemon.store.contracts();
        let held = contracts.received(self.east.identity.cloud_id()).await?;
        let Some(held) = held.into_iter().find(|one| one.id == self.id) else {
            return Ok((0, None, String::new()));
        };
        Ok((
            held.versions.len(),
            held.version,
            held.fault.unwrap_or_default(),
        ))
    }

    /// What west has said, as east can verify it.
    fn said(&self) -> Result<Vec<(u32, Said)>, Failure> {
        let identity = &self.west.daemon.identity;
        let keys = [identity.signing_key().public().to_jwk()];
        let east: CloudId = self.east.identity.cloud_id().clone();
        let replies = self.east.does(|script| std::mem::take(&mut script.replies));
        let read = replies.iter().map(|jws| {
            let reply: Reply = statement::verify(jws, &keys, identity.cloud_id(), Some(&east))?;
            Ok((reply.version, reply.said))
        });
        read.collect()
    }
}

#[tokio::test]
async fn a_host_that_was_set_back_is_not_believed() -> Result<(), Failure> {
    let home = Home::new().await?;
    let first = home.sign(&home.version(1, None, member())?)?;
    let second = home.sign(&home.version(2, Some(&first), member())?)?;
    home.is_told(&[&first, &second], 2, Some(2)).await?;
    assert_eq!(home.knows().await?, (2, Some(2), String::new()));
    assert_eq!(home.said()?, [(1, Said::Accepted), (2, Said::Accepted)]);

    home.is_told(&[&first], 1, Some(1)).await?;
    let (versions, in_force, fault) = home.knows().await?;
    assert_eq!((versions, in_force), (2, Some(2)));
    assert!(
        fault.contains("newest version is 1, which was 2"),
        "{fault}"
    );
    home.is_told(&[&first, &second], 2, Some(1)).await?;
    assert!(
        home.knows()
            .await?
            .2
            .contains("agreed version is 1, which was 2")
    );
    assert_eq!(home.said()?, [], "nothing new is signed");
    home.is_told(&[&first, &second], 2, Some(2)).await?;
    assert_eq!(
        home.knows().await?,
        (2, Some(2), String::new()),
        "it came to itself"
    );
    Ok(())
}

#[tokio::test]
async fn a_host_that_was_set_back_is_told_again_what_has_ended() -> Result<(), Failure> {
    let home = Home::new().await?;
    let first = home.sign(&home.version(1, None, member())?)?;
    let second = home.sign(&home.version(2, Some(&first), member())?)?;
    home.is_told(&[&first, &second], 2, Some(2)).await?;
    home.said()?;
    let ended = home.west.daemon.end_received(&home.id, "root").await;
    ended.map_err(|error| format!("{error:?}"))?;
    assert_eq!(home.said()?.first(), Some(&(2, Said::Ended)));
    let contracts = home.west.daemon.store.contracts();
    let held = contracts.received(home.east.identity.cloud_id()).await?;
    assert!(held.iter().all(|one| one.heard), "the host has taken it in");
    // It holds an earlier version to be in force again, and knows no other.
    home.is_told(&[&first], 1, Some(1)).await?;
    assert_eq!(home.said()?, [(1, Said::Ended)]);
    Ok(())
}

#[tokio::test]
async fn a_version_that_is_not_the_next_is_not_believed() -> Result<(), Failure> {
    let home = Home::new().await?;
    let first = home.sign(&home.version(1, None, member())?)?;
    home.is_told(&[&first], 1, Some(1)).await?;
    home.said()?;
    let second = home.version(2, Some(&first), member())?;
    let signed = home.sign(&second)?;
    let third = home.sign(&home.version(3, Some(&signed), member())?)?;
    let other_past = home.sign(&home.version(2, Some(&signed), member())?)?;
    let elsewhere = home.sign(&Proposal {
        projects: Projects::One("q".into()),
        ..second.clone()
    })?;
    let another = home.sign(&Proposal {
        agreement: Uuid::new_v4().to_string(),
        ..second.clone()
    })?;
    let absurd = home.sign(&Proposal {
        terms: Terms {
            till: Some(1),
            ..member()
        },
        ..second.clone()
    })?;
    let thief = Identity::ephemeral()?;
    let forged = statement::sign(&second, thief.signing_key())?;
    let north = CloudId::from_spki(b"north");
    let for_north = home.sign(&Proposal {
        aud: north.clone(),
        ..second.clone()
    })?;
    let by_north = home.sign(&Proposal {
        iss: north,
        ..second
    })?;
    for (jws, part) in [
        (third.as_str(), "expected version 2, found 3"),
        (&first, "expected version 2, found 1"),
        (&other_past, "does not follow"),
        (&elsewhere, "other projects"),
        (&another, "another agreement"),
        (&absurd, "till: the agreement would end"),
        (&forged, "expected a signature by one of the keys"),
        (&for_north, "expected a statement for"),
        (&by_north, "expected a statement of cloud"),
        ("a.b.c", "version 2: "),
    ] {
        home.is_told(&[&first, jws], 2, Some(2)).await?;
        let (versions, in_force, fault) = home.knows().await?;
        assert_eq!((versions, in_force), (1, Some(1)), "{part}");
        assert!(fault.contains(part), "{part} in {fault}");
        assert_eq!(home.said()?, [], "{part}");
    }
    home.is_told(&[&first], 2, Some(2)).await?;
    assert!(home.knows().await?.2.contains("version 2 is missing"));
    home.is_told(&[&first, &signed], 2, Some(2)).await?;
    assert_eq!(home.knows().await?, (2, Some(2), String::new()));
    Ok(())
}

#[tokio::test]
async fn prices_that_nobody_accepted_are_not_signed_whatever_the_host_holds() -> Result<(), Failure>
{
    let home = Home::new().await?;
    let first = home.sign(&home.version(1, None, priced("0.01")?)?)?;
    home.is_told(&[&first], 1, Some(1)).await?;
    let (versions, in_force, fault) = home.knows().await?;
    assert_eq!((versions, in_force), (1, None));
    assert!(
        fault.contains("which this cloud has not accepted"),
        "{fault}"
    );
    assert_eq!(home.said()?, []);
    Ok(())
}

#[tokio::test]
async fn a_host_that_signs_nothing_grants_as_before() -> Result<(), Failure> {
    let home = Home::new().await?;
    let offer = Offer {
        id: None,
        version: None,
        project_id: Projects::All,
        roles: ["member".to_owned()].into(),
        services: None,
        till: None,
        transitive: false,
    };
    let answer = AgreementsAnswer {
        agreements: vec![offer],
        etag: "1".into(),
        contracts: None,
    };
    home.east.does(|script| script.grants_us = Some(answer));
    home.pull().await?;
    let all = home.west.daemon.agreements(Shown::History).await;
    let all = all.map_err(|error| format!("{error:?}"))?;
    let seen: Vec<_> = all
        .iter()
        .map(|one| (one.state.as_str(), one.contract.is_some()))
        .collect();
    assert_eq!(seen, [("live", false)]);
    assert_eq!(home.said()?, []);
    Ok(())
}

/// Waits until it is so, at most 10 s: a circuit breaker leaves a partner alone for a while.
async fn until(mut done: impl AsyncFnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    let waiting = async {
        while !done().await? {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Ok(())
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await?
}
