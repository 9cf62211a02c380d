use super::*;
use crate::cloud::CloudId;
use crate::descriptor::{Endpoint, Service};
use crate::endpoint_url::NotARange;
use crate::partner::{Kind, Role};
use crate::terms::tests::member;
use crate::terms::{Quota, Resource};

/// A cloud in which `science` sees `east`, for a test to break.
#[derive(Clone)]
struct Bed {
    project: ProjectFound,
    region: &'static str,
    region_there: Option<&'static str>,
    partner: Partner,
    their_status: Option<Status>,
    regions: Vec<Region>,
    told_till: Seconds,
    received: Vec<Received>,
    /// The version that is in force, whether this cloud has signed it, and one that waits.
    signed: Option<(Option<u32>, bool, Option<u32>)>,
    terms: Terms,
    login: Login,
    is_silent: bool,
    user: UserFound,
    service: Option<&'static str>,
    acknowledged: bool,
    showing: Showing,
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn image(url: &str) -> Service {
    Service {
        kind: "image".into(),
        name: "glance".into(),
        endpoints: vec![Endpoint {
            interface: "public".into(),
            url: url.into(),
        }],
        versions: Vec::new(),
    }
}

impl Bed {
    fn whole() -> Self {
        Self {
            project: ProjectFound::Some {
                id: "p".into(),
                name: "science".into(),
                domain_id: "default".into(),
                enabled: true,
                domain_enabled: true,
                is_native: true,
            },
            region: "east",
            region_there: Some("east"),
            partner: Partner {
                cloud_id: CloudId::from_spki(b"east"),
                name: "east".into(),
                kind: Kind::Alliance,
                role: Role::Both,
                status: Status::Active,
                peer_url: "https://east.example:5443".into(),
                trust_since: Some(1),
                trust_till: Some(1000),
                max_users: None,
                max_projects: None,
                created_at: 0,
            },
            their_status: Some(Status::Active),
            regions: vec![Region {
                id: "east".into(),
                services: vec![image("https://east.example/v2/%(project_id)s")],
            }],
            told_till: 500,
            received: vec![Received {
                id: Some("a".into()),
                version: Some(1),
                project_id: Projects::One("p".into()),
                roles: set(&["member"]),
                services: None,
                till: Some(400),
                transitive: false,
            }],
            signed: Some((Some(1), true, None)),
            terms: member(),
            login: Login::Both,
            is_silent: false,
            user: UserFound::Roles(set(&["member", "reader"])),
            service: Some("image"),
            acknowledged: true,
            showing: Showing::default(),
        }
    }

    fn with<T>(&self, look: impl FnOnce(&Inputs<'_>) -> T) -> T {
        let signed = self.signed.map(|(in_force, is_agreed, waiting)| Contract {
            id: "a",
            projects: &Projects::All,
            in_force: in_force.map(|version| (version, &self.terms)),
            is_agreed,
            waiting,
        });
        let contracts: Vec<Contract<'_>> = signed.into_iter().collect();
        look(&Inputs {
            now: 100,
            cloud_name: "west",
            asked_project: "science",
            project: &self.project,
            region: self.region,
            region_there: self.region_there,
            host: Some(Host {
                partner: &self.partner,
                their_status: self.their_status,
                told: Some((&self.regions, self.told_till)),
                received: &self.received,
                contracts: &contracts,
                login: self.login,
                silent: self.is_silent.then_some((90, "timeout")),
                is_hidden: false,
            }),
            regions: &["east".to_owned()],
            own_service_types: &set(&["identity", "image", "network"]),
            service: self.service,
            user: Some(("ann", &self.user)),
            admin_roles: &set(&["admin"]),
            showing: &self.showing,
            snapshot: (self.acknowledged, "state 7"),
        })
    }

    /// What is broken, and whose turn it is.
    fn broken(&self) -> Vec<(Name, Option<Who>)> {
        let found = self.with(explain).into_iter();
        found
            .filter(|found| found.state == State::Broken)
            .map(|found| (found.name, found.mend.map(|mend| mend.who)))
            .collect()
    }

    fn service(&self, kind: &str) -> Option<State> {
        let found = self.with(explain);
        let found = found
            .iter()
            .find(|found| found.service.as_deref() == Some(kind));
        found.map(|found| found.state)
    }
}

#[test]
fn where_all_is_well_every_condition_holds() {
    let states = Bed::whole().with(explain);
    assert!(
        states.iter().all(|found| found.state == State::Holds),
        "{states:#?}"
    );
    let shown = Bed::whole().with(shown);
    assert_eq!(shown["image"], ["https://east.example/v2/%(project_id)s"]);
}

#[test]
fn each_condition_that_is_broken_is_named_alone_with_who_mends_it() {
    type Break = fn(&mut Bed);
    let breaks: [(Name, Who, Break); 15] = [
        (Name::Project, ThisOperator, |bed| {
            if let ProjectFound::Some { enabled, .. } = &mut bed.project {
                *enabled = false;
            }
        }),
        (Name::Project, ThisOperator, |bed| {
            if let ProjectFound::Some { domain_enabled, .. } = &mut bed.project {
                *domain_enabled = false;
            }
        }),
        (Name::Project, ThisOperator, |bed| {
            if let ProjectFound::Some { is_native, .. } = &mut bed.project {
                *is_native = false;
            }
        }),
        (Name::Region, ThisOperator, |bed| {
            (bed.region, bed.region_there) = ("east:south", None);
        }),
        (Name::Partner, ThisOperator, |bed| {
            bed.partner.status = Status::Suspended
        }),
        (Name::Partner, ThisOperator, |bed| {
            bed.partner.trust_till = Some(100)
        }),
        (Name::Partner, ThisOperator, |bed| {
            bed.partner.role = Role::Guest
        }),
        (Name::TheirStatus, PartnersOperator, |bed| {
            bed.their_status = Some(Status::Suspended);
            bed.received.clear();
        }),
        (Name::Descriptor, PartnersOperator, |bed| {
            bed.told_till = 100
        }),
        (Name::Reachable, PartnersOperator, |bed| {
            bed.is_silent = true
        }),
        (Name::Agreement, PartnersOperator, |bed| {
            bed.received[0].till = Some(100)
        }),
        (Name::Service, PartnersOperator, |bed| {
            bed.regions[0].services = vec![image("https://169.254.169.254/latest")];
        }),
        (Name::Login, ThisOperator, |bed| bed.login = Login::Passport),
        (Name::Role, ThisOperator, |bed| {
            bed.user = UserFound::Roles(set(&["reader"]))
        }),
        (Name::Snapshot, ThisOperator, |bed| bed.acknowledged = false),
    ];
    for (name, who, spoil) in breaks {
        let mut bed = Bed::whole();
        spoil(&mut bed);
        assert_eq!(bed.broken(), [(name, Some(who))]);
    }
}

#[test]
fn a_user_with_an_admin_role_is_named_for_it() {
    let bed = Bed {
        user: UserFound::Roles(set(&["admin", "member"])),
        ..Bed::whole()
    };
    assert_eq!(bed.broken(), [(Name::AdminRole, Some(ThisOperator))]);
}

#[test]
fn what_the_agreement_leaves_out_is_broken_only_if_somebody_wants_it() {
    let mut bed = Bed::whole();
    bed.received[0].services = Some(set(&["compute"]));
    assert_eq!(
        bed.service("compute"),
        Some(State::LeftOut),
        "agreed, not offered"
    );
    assert_eq!(bed.broken(), [(Name::Service, Some(PartnersOperator))]);
    bed.service = None;
    assert_eq!(bed.service("image"), Some(State::LeftOut));
    assert!(bed.broken().is_empty());
    // A type that home does not have, where the agreement names none.
    let mut bed = Bed::whole();
    bed.regions[0].services[0].kind = "dns".into();
    assert_eq!(bed.service("dns"), Some(State::LeftOut));
    assert!(!bed.with(shown).contains_key("dns"));
}

#[test]
fn a_url_that_asks_for_more_than_the_project_is_not_shown() {
    let mut bed = Bed::whole();
    bed.regions[0].services = vec![image("https://east.example/%(user_id)s")];
    assert_eq!(bed.broken(), [(Name::Service, Some(PartnersOperator))]);
    assert!(bed.with(shown)["image"].is_empty());
}

#[test]
fn what_the_snapshot_leaves_out_is_not_said_to_be_shown() -> Result<(), NotARange> {
    // Partners' endpoints in ranges of ours, of which our operator may make exceptions.
    let mut bed = Bed::whole();
    bed.regions[0].services = vec![image("https://10.0.0.1/v2")];
    assert_eq!(bed.service("image"), Some(State::Holds));
    bed.showing.urls.refuse = vec!["10.0.0.0/8".parse()?];
    assert_eq!(bed.broken(), [(Name::Service, Some(ThisOperator))]);
    assert!(bed.with(shown)["image"].is_empty());
    bed.showing.urls.allow.insert("10.0.0.1".into());
    assert!(bed.broken().is_empty());
    // An interface that no catalog has, and names that cannot be typed.
    let mut bed = Bed::whole();
    bed.regions[0].services[0].endpoints[0].interface = "private".into();
    assert_eq!(bed.broken(), [(Name::Service, Some(PartnersOperator))]);
    let mut bed = Bed::whole();
    bed.regions[0].id = "ea\u{1b}st".into();
    bed.region_there = Some("ea\u{1b}st");
    assert_eq!(bed.broken(), [(Name::Service, Some(PartnersOperator))]);
    Ok(())
}

#[test]
fn what_keystone_does_not_say_is_not_taken_for_a_no() {
    let bed = Bed {
        project: ProjectFound::Unknown("no answer".into()),
        user: UserFound::Unknown("no answer".into()),
        ..Bed::whole()
    };
    let found = bed.with(explain);
    assert_eq!(found[0].state, State::Unknown);
    assert!(!bed.broken().contains(&(Name::Role, Some(ThisOperator))));
}

#[test]
fn what_the_agreement_limits_and_costs_is_told() -> Result<(), Box<dyn std::error::Error>> {
    let mut bed = Bed::whole();
    let detail = |bed: &Bed, name: Name| {
        let found = bed
            .with(explain)
            .into_iter()
            .find(|found| found.name == name);
        found.map(|found| (found.state, found.detail))
    };
    let no_limit = "the agreement sets no limit; how much is used there is not known here";
    let holds = |text: &str| Some((State::Holds, text.to_owned()));
    assert_eq!(detail(&bed, Name::Quota), holds(no_limit));
    let mut quota = Quota::default();
    quota.set(Resource::Cores, Some(8))?;
    bed.terms.quota = quota;
    bed.terms.prices = Some(serde_json::from_str(
        r#"{"currency": "EUR", "per_hour": {"cores": "0.01"}}"#,
    )?);
    let limit = "the agreement sets cores 8; how much is used there is not known here";
    assert_eq!(detail(&bed, Name::Quota), holds(limit));
    let grants = "east grants member for this project, version 1, agreed, cores 0.01 EUR an hour";
    assert_eq!(detail(&bed, Name::Agreement), holds(grants));
    bed.terms = member();
    bed.signed = Some((Some(1), false, Some(2)));
    let grants = "east grants member for this project, version 1, not countersigned (version 2 waits for this cloud's operator)";
    assert_eq!(detail(&bed, Name::Agreement), holds(grants));
    bed.signed = None;
    assert_eq!(detail(&bed, Name::Quota), None, "its daemon signs nothing");
    let grants = "east grants member for this project";
    assert_eq!(detail(&bed, Name::Agreement), holds(grants));
    Ok(())
}

#[test]
fn what_waits_for_this_operator_is_this_operators_turn() {
    let mut bed = Bed::whole();
    bed.received.clear();
    assert_eq!(bed.broken()[0], (Name::Agreement, Some(PartnersOperator)));
    bed.signed = Some((None, false, Some(1)));
    assert_eq!(bed.broken()[0], (Name::Agreement, Some(ThisOperator)));
}
