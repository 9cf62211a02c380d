use alliance_core::agreement::Projects;
use alliance_core::retirement::{Fate, Phase, Standing};
use alliance_core::revocation::RevocationEvent;
use alliance_core::sign_out::LookAgain;
use alliance_core::terms::{Retirement as Graces, Terms};
use alliance_store::{GuestProject, ItemState, RetirementItem};

use super::*;
use crate::daemon::bed::fake_home::FakeHome;
use crate::daemon::bed::{Bed, Failure, Served};
use crate::wire::RetirementOrder;

const GRACES: Graces = Graces {
    quarantine_after: 0,
    delete_after: 0,
};

/// A host where project `p` of a home has been.
struct Scene {
    east: Bed,
    west: Arc<FakeHome>,
    _served: Served,
}

impl Scene {
    async fn new(graces: Graces) -> Result<Self, Failure> {
        let (east, west, served) = Bed::with_home().await?;
        let scene = Self {
            east,
            west,
            _served: served,
        };
        scene.agree("a", graces).await?;
        let seen = GuestProject {
            cloud_id: scene.home().clone(),
            project_id: "p".into(),
            name: None,
            domain_name: None,
            first_seen: now() - 1000,
            last_seen: now() - 1000,
        };
        let daemon = scene.daemon();
        daemon.store.guest_projects().note(&[seen]).await?;
        daemon.host.read_sessions().await?;
        Ok(scene)
    }

    fn daemon(&self) -> &Daemon {
        &self.east.daemon
    }

    fn home(&self) -> &CloudId {
        self.west.identity.cloud_id()
    }

    async fn agree(&self, id: &str, retirement: Graces) -> Result<(), Failure> {
        let agreement = Agreement {
            id: id.into(),
            partner: self.home().clone(),
            projects: Projects::One("p".into()),
            project_name: None,
            project_domain: None,
            version: Some(1),
            terms: Terms {
                retirement,
                ..Terms::granting(["member".to_owned()], 0)
            },
            ended_at: None,
        };
        let agreements = self.daemon().store.agreements();
        Ok(agreements.create(&agreement, now()).await?)
    }

    fn says(&self, standing: Option<Standing>) {
        self.west.does(|script| {
            script.standings = standing.map(|one| BTreeMap::from([("p".to_owned(), one)]));
        });
        self.daemon().doubts.raise(self.home(), None);
        let mut pauses = self.daemon().doubts.pauses.lock();
        if let Ok(pauses) = &mut pauses {
            pauses.clear();
        }
    }

    /// What becomes of the project after a look: why, and how far.
    async fn look(&self) -> Result<Option<(Cause, Phase)>, Failure> {
        self.daemon().retire_due().await?;
        let found = self.last().await?;
        Ok(found.map(|one| (one.plan.cause, one.plan.phase)))
    }

    async fn last(&self) -> Result<Option<Retirement>, Failure> {
        let all = self.daemon().store.retirements().list().await?;
        let open = all.iter().find(|one| one.ended_at.is_none());
        Ok(open.or(all.first()).cloned())
    }

    /// `alliance work` has done all of it but for so many things.
    async fn works(&self, remainder: u32) -> Result<(), Failure> {
        let store = &self.daemon().store;
        let lease = store.leases().take("work", "w", 15).await?;
        let lease = lease.ok_or("no lease")?;
        for order in store.retirements().orders(i64::MAX).await? {
            let item = |id: &str, state| RetirementItem {
                kind: "server".into(),
                id: id.into(),
                name: None,
                state,
                detail: Some("why".into()),
            };
            if order.plan.phase == Phase::Deletion {
                let mut items = vec![item("gone", ItemState::Deleted)];
                if remainder > 0 {
                    items.push(item("left", ItemState::Left));
                }
                store.retirements().note(&lease, &order.id, &items).await?;
            }
            let (retirements, at) = (store.retirements(), now());
            retirements
                .advance(&lease, &order, Some(remainder), true, at, at)
                .await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_ended_agreement_retires_though_home_is_silent() -> Result<(), Failure> {
    let scene = Scene::new(GRACES).await?;
    assert_eq!(scene.look().await?, None);
    let agreements = scene.daemon().store.agreements();
    agreements.end("a", now()).await?;
    let ended = |phase| Some((Cause::AgreementEnded, phase));
    assert_eq!(scene.look().await?, ended(Phase::AccessEnded));
    assert_eq!(scene.look().await?, ended(Phase::Quarantine));
    assert_eq!(scene.look().await?, ended(Phase::Quarantine), "not done");
    scene.works(0).await?;
    assert_eq!(scene.look().await?, ended(Phase::Deletion));
    scene.works(0).await?;
    for _ in 0..2 {
        assert_eq!(scene.look().await?, ended(Phase::Deleted));
    }
    let all = scene.daemon().store.retirements().list().await?;
    assert_eq!(all.len(), 1, "once");
    Ok(())
}

#[tokio::test]
async fn what_ended_while_nobody_looked_is_retired_and_what_was_over_before_is_an_orphan()
-> Result<(), Failure> {
    let scene = Scene::new(GRACES).await?;
    let daemon = scene.daemon();
    daemon.store.agreements().end("a", now()).await?;
    assert_eq!(scene.look().await?, None, "nobody has seen it kept");
    let orphans = daemon.orphans().await?;
    let ids: Vec<_> = orphans.iter().map(|one| one.project_id.as_str()).collect();
    assert_eq!(ids, ["p"]);
    let wrong = daemon.retire_orphans(&["none".into()], false).await;
    assert!(wrong.is_err());
    let begun = daemon
        .retire_orphans(&[orphans[0].host_project_id.clone()], false)
        .await
        .map_err(|error| format!("{error:?}"))?;
    assert_eq!(begun.len(), 1);
    let orphaned = |phase| Some((Cause::Orphaned, phase));
    assert_eq!(scene.look().await?, orphaned(Phase::Quarantine));
    assert!(daemon.orphans().await?.is_empty());
    scene.agree("b", GRACES).await?;
    scene.says(Some(Standing::Enabled));
    assert_eq!(scene.look().await?, orphaned(Phase::Restoration));
    scene.works(0).await?;
    assert_eq!(scene.look().await?, orphaned(Phase::Restored));
    daemon.store.partners().remove(scene.home(), now()).await?;
    let removed = Some((Cause::PartnerRemoved, Phase::AccessEnded));
    assert_eq!(scene.look().await?, removed);
    Ok(())
}

#[tokio::test]
async fn a_project_deleted_at_home_goes_no_further_than_home_confirms() -> Result<(), Failure> {
    let scene = Scene::new(GRACES).await?;
    scene.says(None);
    assert_eq!(scene.look().await?, None, "silence");
    scene.says(Some(Standing::Deleted));
    let deleted = |phase| Some((Cause::ProjectDeleted, phase));
    assert_eq!(scene.look().await?, deleted(Phase::AccessEnded));
    scene.says(None);
    let retirements = scene.daemon().store.retirements();
    let last = scene.last().await?.ok_or("none")?;
    let late = Plan {
        quarantine_at: now() + 1,
        ..last.plan
    };
    assert!(retirements.replan(&last, &late, now()).await?);
    // Two seconds later by the clock of the plan.
    let due = Plan {
        quarantine_at: now(),
        ..late
    };
    let standing = &mut scene.daemon().store.guest_standings().list().await?[0];
    standing.word = standing.word.map(|word| alliance_core::retirement::Word {
        asked_at: word.asked_at - 5,
        ..word
    });
    let standings = scene.daemon().store.guest_standings();
    standings.note(std::slice::from_ref(standing)).await?;
    let last = scene.last().await?.ok_or("none")?;
    assert!(retirements.replan(&last, &due, now()).await?);
    assert_eq!(scene.look().await?, deleted(Phase::AccessEnded));
    let waits = scene.last().await?.and_then(|one| one.waits_since);
    assert!(waits.is_some());
    scene.says(Some(Standing::Deleted));
    assert_eq!(scene.look().await?, deleted(Phase::Quarantine));
    scene.works(0).await?;
    scene.says(Some(Standing::Enabled));
    assert_eq!(scene.look().await?, deleted(Phase::Restoration));
    Ok(())
}

#[tokio::test]
async fn a_project_that_is_gone_is_not_retired_again_until_somebody_comes() -> Result<(), Failure> {
    let scene = Scene::new(GRACES).await?;
    scene.says(Some(Standing::Deleted));
    for _ in 0..2 {
        scene.look().await?;
    }
    scene.works(0).await?;
    scene.look().await?;
    scene.works(0).await?;
    let deleted = |phase| Some((Cause::ProjectDeleted, phase));
    for _ in 0..2 {
        assert_eq!(scene.look().await?, deleted(Phase::Deleted));
    }
    Ok(())
}

#[tokio::test]
async fn what_another_home_signs_counts_for_nothing() -> Result<(), Failure> {
    let scene = Scene::new(GRACES).await?;
    let stranger = Arc::new(alliance_peer::identity::Identity::ephemeral()?);
    scene.west.does(|script| script.signer = stranger);
    scene.says(Some(Standing::Deleted));
    assert_eq!(scene.look().await?, None);
    Ok(())
}

#[tokio::test]
async fn an_operator_holds_and_hurries() -> Result<(), Failure> {
    let week = Graces::default();
    let scene = Scene::new(week).await?;
    scene.look().await?;
    let daemon = scene.daemon();
    daemon.store.agreements().end("a", now()).await?;
    scene.look().await?;
    scene.look().await?;
    scene.works(0).await?;
    let id = scene.last().await?.ok_or("none")?.id;
    let steer = |order| daemon.steer_retirement(&id, order);
    let say = |error| format!("{error:?}");
    assert!(steer(RetirementOrder::Hold).await.map_err(say)?.held);
    let ended = |phase| Some((Cause::AgreementEnded, phase));
    assert_eq!(scene.look().await?, ended(Phase::Quarantine));
    let view = steer(RetirementOrder::Now).await.map_err(say)?;
    assert!(!view.held);
    assert_eq!(scene.look().await?, ended(Phase::Deletion));
    assert!(
        daemon
            .steer_retirement("other", RetirementOrder::Now)
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn home_takes_each_receipt_in_and_says_why_it_does_not() -> Result<(), Failure> {
    let [(east, _served_east), (west, _served_west)] = Bed::host_and_home().await?;
    let (host, home) = (&east.daemon, &west.daemon);
    let plan = Plan {
        phase: Phase::Deletion,
        ..Plan::begin(Cause::AgreementEnded, GRACES, now())
    };
    let retirements = host.store.retirements();
    retirements.begin("r", west.id(), "p", &plan, now()).await?;
    let lease = host.store.leases().take("work", "w", 15).await?;
    let lease = lease.ok_or("no lease")?;
    let partners = home.directory.partners();
    let known = partners.by_name("east").ok_or("east is gone")?;
    let client = known.peer().ok_or("no way")?;
    let work = async |left: u32| {
        let order = retirements.by_id("r").await?.ok_or("gone")?;
        let state = if left > 0 {
            ItemState::Left
        } else {
            ItemState::Deleted
        };
        let item = RetirementItem {
            kind: "volume".into(),
            id: "v".into(),
            name: Some("data".into()),
            state,
            detail: Some("it is attached".into()),
        };
        retirements.note(&lease, "r", &[item]).await?;
        let at = now();
        retirements
            .advance(&lease, &order, Some(left), true, at, at)
            .await?;
        host.write_receipts().await?;
        home.take_receipts(known, client).await?;
        let there = home.retirement("r").await?.ok_or("no receipt")?;
        let here = host.retirement("r").await?.ok_or("gone")?;
        Ok::<_, Failure>((here, there))
    };
    let (here, there) = work(1).await?;
    assert_eq!(
        (there.here, there.phase, there.remainder),
        (false, Phase::Deletion, 1)
    );
    assert_eq!(there.items[0].state, Fate::Left.as_str());
    assert_eq!(there.items[0].detail.as_deref(), Some("it is attached"));
    assert!(
        here.receipt
            .is_some_and(|receipt| !receipt.acknowledged || receipt.revision == 1)
    );
    let (_, there) = work(0).await?;
    assert_eq!((there.phase, there.remainder), (Phase::Deleted, 0));
    assert_eq!(
        (there.items.len(), there.items[0].detail.as_ref()),
        (1, None)
    );
    home.take_receipts(known, client).await?;
    let here = host.retirement("r").await?.ok_or("gone")?;
    let receipt = here.receipt.ok_or("no receipt")?;
    assert!(receipt.acknowledged && receipt.revision == 2);

    let poll = alliance_peer::wire::ReceiptPoll {
        after: 1,
        refusal: Some("not\u{1b} mine".into()),
    };
    client
        .receipts(alliance_peer::request_id::RequestId::random(), &poll)
        .await?;
    let here = host.retirement("r").await?.ok_or("gone")?;
    let receipt = here.receipt.ok_or("no receipt")?;
    assert_eq!(receipt.refusal.as_deref(), Some("not\u{fffd} mine"));
    Ok(())
}

#[test]
fn what_concerns_projects_is_doubted_and_a_user_is_no_project() {
    let (doubts, west) = (Doubts::default(), CloudId::from_spki(b"west"));
    let key = |project: &str| (west.clone(), project.to_owned());
    let look = |user: Option<&str>, project: Option<&str>, domain: Option<&str>| {
        Change::LookAgain(LookAgain {
            user_id: user.map(str::to_owned),
            project_id: project.map(str::to_owned),
            domain_id: domain.map(str::to_owned),
        })
    };
    let of_a_user: RevocationEvent = RevocationEvent {
        user_id: Some("ann".into()),
        project_id: Some("p".into()),
        ..RevocationEvent::default()
    };
    doubts.heed(
        &west,
        &[
            look(Some("ann"), None, None),
            look(Some("ann"), Some("p"), None),
            Change::Revoked(of_a_user),
        ],
    );
    assert!(!doubts.is_about(&key("p"), None));
    doubts.heed(&west, &[look(None, Some("p"), None)]);
    assert!(doubts.is_about(&key("p"), None) && !doubts.is_about(&key("q"), None));
    doubts.heed(
        &west,
        &[look(None, None, Some("d")), look(None, Some("p"), None)],
    );
    assert!(doubts.is_about(&key("q"), None));
    // Each by itself: a home is not asked about all its projects at once, nor again for the last ones.
    let (before, later) = (Some(now() - 10), Some(now() + 10));
    assert!(doubts.is_about(&key("q"), before) && !doubts.is_about(&key("q"), later));
    assert!(doubts.is_about(&key("p"), before) && !doubts.is_about(&key("p"), later));
}

#[test]
fn a_doubt_about_one_project_is_forgotten_when_it_was_asked_about_later() {
    let (doubts, west) = (Doubts::default(), CloudId::from_spki(b"west"));
    let key = |project: &str| (west.clone(), project.to_owned());
    for project in ["p", "q"] {
        doubts.raise(&west, Some(&project.to_owned()));
    }
    doubts.resolve(&west, &["p".to_owned()], now() + 10);
    assert!(!doubts.is_about(&key("p"), None) && doubts.is_about(&key("q"), None));
    doubts.resolve(&west, &["q".to_owned()], now() - 10);
    assert!(doubts.is_about(&key("q"), None));
}
