use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::agreement::{Agreement, tests::member};
use crate::cloud::CloudId;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn template(resources: Value) -> Value {
    json!({"heat_template_version": "2021-04-16", "resources": resources})
}

fn plan(resources: Value) -> Result<Plan, BadPlan> {
    read(&template(resources), &Parameters::new())
}

fn network() -> Value {
    json!({"type": "OS::Neutron::Net"})
}

fn of(kind: &str, properties: Value) -> Value {
    json!({"type": kind, "properties": properties})
}

fn small() -> Value {
    json!({
        "net": network(),
        "sub": of("OS::Neutron::Subnet", json!({"network": {"get_resource": "net"}, "cidr": "10.0.0.0/24"})),
        "web": of("OS::Nova::Server", json!({
            "flavor": "m1", "image": "img", "networks": [{"network": {"get_resource": "net"}}],
        })),
        "disk": of("OS::Cinder::Volume", json!({"size": 2})),
        "use": of("OS::Cinder::VolumeAttachment", json!({
            "instance_uuid": {"get_resource": "web"}, "volume_id": {"get_resource": "disk"},
        })),
    })
}

#[test]
fn a_plan_is_read_and_knows_what_each_resource_needs() -> Outcome {
    let plan = plan(small())?;
    let after = |name: &str| {
        let node = plan.nodes().get(name);
        node.map(|node| node.after.iter().cloned().collect::<Vec<_>>())
    };
    assert_eq!(after("sub"), Some(vec!["net".to_owned()]));
    // A server waits for the subnet that gives it an address, as with Heat.
    assert_eq!(after("web"), Some(vec!["net".to_owned(), "sub".to_owned()]));
    assert_eq!(
        after("use"),
        Some(vec!["disk".to_owned(), "web".to_owned()])
    );
    Ok(())
}

#[test]
fn a_plan_is_the_same_after_it_has_crossed_the_border() -> Outcome {
    let plan = plan(small())?;
    let order = ProvisionOrder {
        iss: CloudId::from_spki(b"west"),
        aud: CloudId::from_spki(b"east"),
        iat: 1,
        exp: 2,
        jti: "j".into(),
        number: 1_795_852_800_000,
        project: "p".into(),
        called: None,
        stack: "s".into(),
        action: Action::Apply {
            plan,
            replace: true,
        },
    };
    let text = serde_json::to_string(&order)?;
    assert_eq!(serde_json::from_str::<ProvisionOrder>(&text)?, order);
    let altered = text.replace(r#""size":2"#, r#""size":-2"#);
    let error = serde_json::from_str::<ProvisionOrder>(&altered).map_err(|e| e.to_string());
    assert!(error.is_err_and(|why| why.contains("disk: size: expected a whole number")));
    Ok(())
}

#[test]
fn each_mistake_is_told_with_its_resource_and_property() {
    let server = |properties: Value| {
        let mut all = json!({"flavor": "f", "image": "i"});
        if let (Some(all), Some(more)) = (all.as_object_mut(), properties.as_object()) {
            all.extend(more.clone());
        }
        json!({"a": of("OS::Nova::Server", all), "n": network()})
    };
    let subnet = |cidr: &str| {
        of(
            "OS::Neutron::Subnet",
            json!({"network": {"get_resource": "n"}, "cidr": cidr}),
        )
    };
    for (resources, expected) in [
        (json!({}), "resources: expected 1 to 100 resources, found 0"),
        (json!({"a": 5}), "a: expected a resource with its type"),
        (
            json!({"a": {"type": "OS::Heat::Stack"}}),
            "a: type: \"OS::Heat::Stack\": expected one of OS::Neutron::Net",
        ),
        (
            json!({"a": {"type": "OS::Neutron::Net", "condition": "x"}}),
            "a: condition: no such key here",
        ),
        (json!({"a b": network()}), "a b: expected a name of 1 to 64"),
        (
            server(json!({"falvor": 1})),
            "a: falvor: no such property, expected some of flavor, image",
        ),
        (
            server(json!({"key_name": "k"})),
            "a: key_name: not allowed: a key pair belongs to one user",
        ),
        (
            server(json!({"image": 5})),
            "a: image: expected {get_resource: …} of OS::Glance::WebImage, or a name or id, found 5",
        ),
        (
            server(json!({"image": {"get_resource": "n"}})),
            "a: image: \"n\" is OS::Neutron::Net, expected OS::Glance::WebImage",
        ),
        (
            server(json!({"networks": [{"network": {"get_resource": "x"}}]})),
            "a: networks[0].network: the plan has no resource \"x\"",
        ),
        (
            server(json!({"networks": [{"net": "x"}]})),
            "a: networks[0].net: no such property",
        ),
        (
            server(json!({"name": {"str_replace": {}}})),
            "a: name: expected text of 1 to 255 bytes without control characters, found the function \"str_replace\"",
        ),
        (
            server(json!({"name": {"get_param": "x"}})),
            "a: name: the template gives no value to the parameter \"x\"",
        ),
        (
            server(json!({"name": "a\u{1b}[2J"})),
            "a: name: expected text",
        ),
        (
            server(json!({"user_data": "x".repeat((16 << 10) + 1)})),
            "a: user_data: expected text of 1 to 16384 bytes",
        ),
        (
            server(json!({"metadata": {"alliance": "x"}})),
            "a: metadata.alliance: the word must",
        ),
        (
            server(json!({"metadata": {"a": 5}})),
            "a: metadata.a: expected text of at most 255 bytes, found 5",
        ),
        (
            server(json!({"config_drive": "yes"})),
            "a: config_drive: expected true or false, found \"yes\"",
        ),
        (
            server(json!({"user_data_format": "HEAT_CFNTOOLS"})),
            "a: user_data_format: expected one of RAW",
        ),
        (
            server(json!({"security_groups": vec!["g"; 51]})),
            "a: security_groups: 51 entries, at most 50",
        ),
        (
            json!({"a": of("OS::Nova::Server", json!({"image": "i"}))}),
            "a: flavor: is missing",
        ),
        (
            json!({"n": network(), "a": subnet("10.0.0.0/33")}),
            "a: cidr: expected an IP network",
        ),
        (
            json!({"n": network(), "a": subnet("10.0.0.0")}),
            "a: cidr: expected an IP network",
        ),
        (
            json!({"a": of("OS::Cinder::Volume", json!({"size": 0}))}),
            "a: size: expected a whole number from 1 to 1048576, found 0",
        ),
        (
            json!({"a": of("OS::Cinder::Volume", json!({"size": 1, "description": "d"}))}),
            "a: description: not allowed: the host writes there",
        ),
        (
            json!({"a": of("OS::Glance::WebImage", json!({"location": "file:///etc/passwd", "disk_format": "raw", "container_format": "bare"}))}),
            "a: location: expected an http or https URL",
        ),
        (
            json!({"a": {"type": "OS::Neutron::Net", "depends_on": "x"}}),
            "a: depends_on: the plan has no resource \"x\"",
        ),
        (
            json!({"a": {"type": "OS::Neutron::Net", "depends_on": "a"}}),
            "a: needs itself: a → a",
        ),
        (
            json!({"a": {"type": "OS::Neutron::Net", "depends_on": ["b"]}, "b": {"type": "OS::Neutron::Net", "depends_on": ["c"]}, "c": {"type": "OS::Neutron::Net", "depends_on": ["b"]}}),
            "b: needs itself: b → c → b",
        ),
        (
            json!({"a": {"type": "OS::Neutron::Net", "depends_on": 5}}),
            "a: depends_on: expected the name",
        ),
    ] {
        let error = plan(resources.clone()).map_err(|error| error.to_string());
        let error = error.err().unwrap_or_default();
        assert!(error.starts_with(expected), "{resources}: {error}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_up_to_twenty() {
    let resources: BTreeMap<String, Value> = (0..30)
        .map(|number| (format!("r{number}"), json!({"type": "x"})))
        .collect();
    let error = plan(json!(resources)).map_err(|error| error.to_string());
    let error = error.err().unwrap_or_default();
    assert_eq!(error.lines().count(), 21);
    assert!(error.ends_with("\nand 10 more"), "{error}");
}

#[test]
fn what_is_no_template_or_too_large_is_refused() {
    for (template, expected) in [
        (json!([]), "expected a template with resources"),
        (
            json!({"resources": {"a": network()}}),
            "heat_template_version: is missing",
        ),
        (
            json!({"heat_template_version": "x", "resources": []}),
            "resources: expected names",
        ),
        (
            json!({"heat_template_version": "x", "conditions": {}, "resources": {"a": network()}}),
            "conditions: no such section here",
        ),
        (
            json!({"heat_template_version": "x", "description": "x".repeat(65 << 10)}),
            "66",
        ),
    ] {
        let error = read(&template, &Parameters::new()).map_err(|error| error.to_string());
        let error = error.err().unwrap_or_default();
        assert!(error.starts_with(expected), "{error}");
    }
    let many: BTreeMap<String, Value> = (0..=MAX_RESOURCES)
        .map(|number| (format!("r{number}"), network()))
        .collect();
    assert!(plan(json!(many)).is_err());
    let user_data = "x".repeat(16 << 10);
    let server = of(
        "OS::Nova::Server",
        json!({"flavor": "f", "image": "i", "user_data": user_data}),
    );
    let error = plan(json!({"a": server, "b": server})).map_err(|error| error.to_string());
    assert!(error.is_err_and(|why| why.contains("at most 32768 are allowed")));
    let mut deep = json!("x");
    for _ in 0..20 {
        deep = json!([deep]);
    }
    let deep = plan(json!({"a": of("OS::Neutron::Net", json!({"name": deep}))}));
    assert!(deep.is_err_and(|why| why.to_string().starts_with("a: name: is nested too deeply")));
}

#[test]
fn parameters_are_filled_in_by_their_types() -> Outcome {
    let mut template = template(json!({
        "a": of("OS::Cinder::Volume", json!({"size": {"get_param": "size"}, "name": {"get_param": "name"}})),
    }));
    template["parameters"] = json!({
        "size": {"type": "number", "default": 1},
        "name": {"type": "string"},
    });
    let given = |pairs: &[(&str, &str)]| -> Parameters {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    };
    let plan = read(&template, &given(&[("name", "7"), ("size", "3")]))?;
    let node = plan.nodes().get("a").ok_or("no a")?;
    assert_eq!(json!(node.properties), json!({"size": 3, "name": "7"}));
    for (parameters, expected) in [
        (given(&[]), "parameters: name: has no default"),
        (
            given(&[("name", "n"), ("size", "x")]),
            "parameters: size: expected a whole number",
        ),
        (
            given(&[("name", "n"), ("sise", "1")]),
            "parameters: sise: the template has no such",
        ),
    ] {
        let error = read(&template, &parameters).map_err(|error| error.to_string());
        assert!(
            error.clone().is_err_and(|why| why.starts_with(expected)),
            "{error:?}"
        );
    }
    Ok(())
}

fn done(changes: Result<Vec<Change>, BadPlan>) -> BTreeMap<String, &'static str> {
    let changes = changes.unwrap_or_default();
    let named = changes
        .iter()
        .map(|change| (change.resource.clone(), change.what.as_str()));
    named.collect()
}

#[test]
fn what_has_changed_is_replaced_with_all_that_needs_it_if_that_is_allowed() -> Outcome {
    let made = plan(small())?.nodes().clone();
    let same = done(changes(&plan(small())?, &made, false));
    assert!(same.len() == 5 && same.values().all(|what| *what == "keep"));
    let mut other = small();
    other["sub"]["properties"]["cidr"] = json!("10.1.0.0/24");
    other["more"] = network();
    if let Some(resources) = other.as_object_mut() {
        resources.remove("use");
    }
    let other = plan(other)?;
    let error = changes(&other, &made, false).map_err(|error| error.to_string());
    assert!(error.is_err_and(|why| why.starts_with("sub: cidr: has changed")));
    let found = done(changes(&other, &made, true));
    let found: Vec<_> = found.iter().map(|(name, what)| (&**name, *what)).collect();
    assert_eq!(
        found,
        [
            ("disk", "keep"),
            ("more", "create"),
            ("net", "keep"),
            ("sub", "replace"),
            ("use", "delete"),
            ("web", "replace"),
        ]
    );
    Ok(())
}

#[test]
fn a_plan_has_to_be_within_an_agreement() -> Outcome {
    let plan = plan(small())?;
    let allowed = |change: &dyn Fn(&mut Agreement), region| {
        let mut agreement = member("p");
        change(&mut agreement);
        allow(Some(&plan), &[agreement], ("p", region), 15)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    assert_eq!(allowed(&|_| {}, Some("east")), Ok(()));
    let refused = |change: &dyn Fn(&mut Agreement)| allowed(change, Some("east")).err();
    let quota = |resource, limit| {
        move |one: &mut Agreement| {
            let _ = one.terms.quota.set(resource, Some(limit));
        }
    };
    use crate::terms::Resource;
    for (change, expected) in [
        (
            &(|one: &mut Agreement| one.ended_at = Some(12)) as &dyn Fn(&mut Agreement),
            "no agreement",
        ),
        (&|one| one.projects = "q".to_owned().into(), "no agreement"),
        (
            &|one| one.terms.roles = words(&["reader"]),
            "the agreement does not grant the role member",
        ),
        (
            &|one| one.terms.services = Some(words(&["network", "compute"])),
            "disk: the agreement does not grant the service block-storage",
        ),
        (
            &|one| one.terms.regions = Some(words(&["south"])),
            "the agreement does not grant the region east",
        ),
        (
            &|one| one.terms.flavors = Some(words(&["m2"])),
            "web: the agreement does not grant the flavor m1",
        ),
        (
            &quota(Resource::Servers, 0),
            "the plan asks for 1 servers, the agreement grants 0",
        ),
        (
            &quota(Resource::Gigabytes, 1),
            "the plan asks for 2 gigabytes, the agreement grants 1",
        ),
    ] {
        let found = refused(change).unwrap_or_default();
        assert!(found.starts_with(expected), "{found}");
    }
    // One that allows it is enough.
    let mut reader = member("p");
    reader.terms.roles = words(&["reader"]);
    assert!(allow(Some(&plan), &[reader, member("*")], ("p", None), 15).is_ok());
    Ok(())
}

#[test]
fn a_stack_has_an_id_of_its_own_and_a_name_without_surprises() {
    let [west, east] = [b"west", b"east"].map(|key| CloudId::from_spki(key));
    let id = |name: &str| stack_id(&east, &west, "p", name);
    assert_eq!(id("s"), id("s"));
    assert_ne!(id("s"), id("t"));
    assert_ne!(id("s"), stack_id(&west, &east, "p", "s"));
    assert!(require_name("web-1_a.b").is_ok());
    for wrong in ["", "a b", "a/b", "ä", &"a".repeat(65)] {
        assert!(require_name(wrong).is_err(), "{wrong}");
    }
}

/// Any graph, with and without cycles: what each of up to 12 networks needs.
fn graph() -> impl Strategy<Value = BTreeMap<String, BTreeSet<String>>> {
    let name = || (0..12u8).prop_map(|number| format!("r{number}"));
    btree_map(name(), btree_set(name(), 0..4), 1..12).prop_map(|mut graph| {
        let names: BTreeSet<_> = graph.keys().cloned().collect();
        for after in graph.values_mut() {
            after.retain(|name| names.contains(name));
        }
        graph
    })
}

proptest! {
    #[test]
    fn what_is_needed_is_deleted_last_and_cycles_are_found(graph in graph()) {
        let resources: BTreeMap<_, _> = graph
            .iter()
            .map(|(name, after)| (name, json!({"type": "OS::Neutron::Net", "depends_on": after})))
            .collect();
        match plan(json!(resources)) {
            Ok(plan) => {
                let order = reverse(plan.nodes());
                prop_assert_eq!(order.iter().collect::<BTreeSet<_>>(), graph.keys().collect());
                let place = |name: &String| order.iter().position(|one| one == name);
                for (name, after) in &graph {
                    for needed in after {
                        prop_assert!(place(name) < place(needed), "{name} {needed} {order:?}");
                    }
                }
            }
            Err(error) => {
                let error = error.to_string();
                let (_, way) = error.split_once("itself: ").unwrap_or_default();
                let way: Vec<_> = way.split(" → ").collect();
                prop_assert!(way.len() > 1 && way.first() == way.last(), "{error}");
                for step in way.windows(2) {
                    let [from, to] = step else { continue };
                    prop_assert!(graph.get(*from).is_some_and(|after| after.contains(*to)));
                }
            }
        }
    }

    #[test]
    fn nothing_that_somebody_writes_makes_the_reader_panic(text in ".{0,200}") {
        if let Ok(value) = serde_json::from_str(&text) {
            let _ = read(&value, &Parameters::new());
        }
        let _ = plan(json!({"a": {"type": text.clone(), "properties": {text.clone(): text}}}));
    }
}
