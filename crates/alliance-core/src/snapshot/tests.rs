use super::*;
use crate::endpoint_url::AddressRange;
use crate::partner::Kind;

fn service(kind: &str, url: &str) -> Service {
    Service {
        kind: kind.into(),
        name: kind.into(),
        endpoints: vec![
            Endpoint {
                interface: "public".into(),
                url: url.into(),
            },
            Endpoint {
                interface: "private".into(),
                url: "https://10.0.0.1".into(),
            },
        ],
        versions: Vec::new(),
    }
}

fn east(role: Role) -> PartnerInputs {
    let cloud_id = CloudId::from_spki(b"east");
    PartnerInputs {
        partner: Partner {
            cloud_id,
            name: "east".into(),
            kind: Kind::Alliance,
            role,
            status: Status::Active,
            peer_url: "https://east.example:5443".into(),
            trust_since: Some(1),
            trust_till: Some(100),
            max_users: None,
            max_projects: None,
            created_at: 0,
        },
        keys: vec![],
        attested: false,
        untagged: BTreeSet::new(),
        regions: vec![Region {
            id: "east".into(),
            services: vec![
                service("image", "https://east.example/image"),
                service("key-manager", "https://east.example/keys"),
                service("identity", "https://east.example/v3"),
                service("compute", "http://east.example/v2.1"),
            ],
        }],
        login: Login::Both,
        is_hidden: false,
        given: vec![],
        received: vec![Received {
            id: None,
            version: None,
            project_id: "p".to_owned().into(),
            roles: ["member".to_owned()].into(),
            services: None,
            till: Some(50),
            transitive: false,
        }],
    }
}

fn build(partner: PartnerInputs, now: Seconds) -> Snapshot {
    build_showing(partner, now, &Showing::default())
}

fn build_showing(partner: PartnerInputs, now: Seconds, showing: &Showing) -> Snapshot {
    let own = [
        "image".to_owned(),
        "identity".to_owned(),
        "compute".to_owned(),
    ]
    .into();
    let inputs = Inputs {
        cloud_id: &CloudId::from_spki(b"west"),
        cloud_name: "west",
        cloud_keys: &[],
        own_service_types: &own,
        guest_grace: 900,
        partners: &[partner],
        showing,
        now,
    };
    Snapshot::build(&inputs, 1, None)
}

fn kinds(snapshot: &Snapshot) -> Vec<&str> {
    snapshot
        .catalog
        .entries
        .values()
        .flatten()
        .map(|service| service.kind.as_str())
        .collect()
}

#[test]
fn an_entitled_project_sees_public_https_endpoints_of_types_that_home_has() {
    let snapshot = build(east(Role::Host), 10);
    assert_eq!(kinds(&snapshot), ["image", "identity"]);
    let east = CloudId::from_spki(b"east").tag();
    assert_eq!(snapshot.catalog.projects.get("p"), Some(&[east].into()));
    assert!(snapshot.catalog.all_projects.is_empty() && snapshot.catalog.guests.is_empty());
}

#[test]
fn what_the_agreement_names_is_shown_although_home_lacks_it() {
    let mut partner = east(Role::Host);
    partner.received[0].services = Some(["key-manager".to_owned()].into());
    let snapshot = build(partner.clone(), 10);
    assert_eq!(kinds(&snapshot), ["key-manager", "identity"]);
    partner.received.push(Received {
        project_id: "q".to_owned().into(),
        services: None,
        ..partner.received[0].clone()
    });
    let east = CloudId::from_spki(b"east").tag();
    let shown = build(partner, 10)
        .catalog
        .services
        .remove(&east)
        .unwrap_or_default();
    assert!(shown["p"].contains("key-manager") && !shown["q"].contains("key-manager"));
    assert!(shown["q"].contains("image") && !shown["p"].contains("image"));
}

#[test]
fn an_ended_agreement_and_an_expired_partner_show_nothing() {
    assert!(build(east(Role::Host), 50).catalog.entries.is_empty());
    let expired = build(east(Role::Host), 100);
    assert!(expired.catalog.projects.is_empty());
    let status: Vec<_> = expired.partners.values().map(|p| p.status).collect();
    assert_eq!(status, [Status::Expired]);
}

#[test]
fn who_logs_in_by_passport_only_is_shown_no_endpoints_for_a_bearer() {
    for role in [Role::Host, Role::Guest] {
        let mut partner = east(role);
        partner.login = Login::Passport;
        let snapshot = build(partner, 10);
        assert_eq!(snapshot.catalog, SnapshotCatalog::default());
        let logins: Vec<_> = snapshot.partners.values().map(|p| p.login).collect();
        assert_eq!(logins, [Login::Passport]);
    }
}

#[test]
fn guests_see_their_own_home() {
    let snapshot = build(east(Role::Guest), 10);
    assert_eq!(kinds(&snapshot), ["image", "identity"]);
    let domain = keystone_id::domain(&CloudId::from_spki(b"east"));
    assert!(snapshot.catalog.guests.contains_key(&domain));
    assert!(snapshot.catalog.projects.is_empty());
}

#[test]
fn a_name_that_drives_a_terminal_stands_in_no_catalog() {
    let mut partner = east(Role::Host);
    partner.regions[0].services[0].name = "im\u{1b}[2Jage".into();
    let snapshot = build(partner.clone(), 10);
    let names: Vec<_> = snapshot.catalog.entries.values().flatten().collect();
    assert_eq!(names[0].name, "im\u{fffd}[2Jage");
    // The partner grants, and so names, what it offers.
    let driving = "\u{1b}]0;image\u{7}";
    partner.regions[0].services[1].kind = driving.into();
    partner.received[0].services = Some(["image".to_owned(), driving.to_owned()].into());
    assert_eq!(kinds(&build(partner.clone(), 10)), ["image", "identity"]);
    partner.regions[0].id = "east\n".into();
    assert!(kinds(&build(partner, 10)).is_empty());
}

#[test]
fn an_internal_endpoint_that_a_partner_offers_is_shown_as_one() {
    let mut partner = east(Role::Host);
    partner.regions[0].services[0].endpoints[1].interface = "internal".into();
    let snapshot = build(partner, 10);
    let image = snapshot.catalog.entries.values().flatten().next();
    let shown = image.map(|image| image.endpoints.iter().map(|e| e.interface.as_str()));
    let shown: Option<Vec<_>> = shown.map(Iterator::collect);
    assert_eq!(shown, Some(vec!["public", "internal"]));
}

#[test]
fn an_endpoint_in_a_range_that_is_refused_is_left_out() {
    let mut partner = east(Role::Host);
    partner.regions[0].services[0].endpoints[0].url = "https://10.0.0.7/image".into();
    let mut showing = Showing::default();
    let ten: Result<AddressRange, _> = "10.0.0.0/8".parse();
    showing.urls.refuse.extend(ten);
    assert_eq!(kinds(&build(partner.clone(), 10)), ["image", "identity"]);
    assert_eq!(kinds(&build_showing(partner, 10, &showing)), ["identity"]);
}

#[test]
fn a_region_that_is_called_as_one_of_ours_gets_another_name() {
    let mut showing = Showing::default();
    showing.names.own.insert("east".into());
    let snapshot = build_showing(east(Role::Host), 10, &showing);
    let services = snapshot.catalog.entries.values().flatten();
    let endpoints = services.flat_map(|service| &service.endpoints);
    let regions: BTreeSet<_> = endpoints.map(|e| e.region_id.as_str()).collect();
    assert_eq!(regions, ["east:east"].into());
}

#[test]
fn a_partner_that_is_hidden_is_in_no_catalog_and_its_tokens_are_known_as_before() {
    let mut silent = east(Role::Both);
    silent.is_hidden = true;
    let (shown, hidden) = (build(east(Role::Both), 10), build(silent, 10));
    assert!(!shown.catalog.entries.is_empty());
    assert_eq!(hidden.catalog, SnapshotCatalog::default());
    assert_eq!(hidden.partners, shown.partners);
}
