use serde_json::json;

use super::*;

pub(crate) fn member() -> Terms {
    Terms {
        till: Some(20),
        ..Terms::granting(["member".to_owned()], 10)
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn priced(cores: &str) -> Result<Terms, Box<dyn std::error::Error>> {
    let prices =
        json!({"currency": "EUR", "per_hour": {"cores": cores, "flavor:m1.small": "0.05"}});
    Ok(Terms {
        prices: Some(serde_json::from_value(prices)?),
        ..member()
    })
}

fn names(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("name {number}")).collect()
}

#[test]
fn what_is_wrong_is_refused_by_its_field() {
    let refused = |terms: Terms| terms.check().map_err(|error| error.to_string());
    let told = |terms: Terms, part: &str| {
        let error = refused(terms).err().unwrap_or_default();
        assert!(error.contains(part), "{part} in {error:?}");
    };
    assert_eq!(refused(member()), Ok(()));
    told(
        Terms {
            roles: BTreeSet::new(),
            ..member()
        },
        "roles: name at least one",
    );
    told(
        Terms {
            till: Some(10),
            ..member()
        },
        "till: the agreement would end (10) before",
    );
    told(
        Terms {
            since: -1,
            ..member()
        },
        "since: -1 is no time",
    );
    told(
        Terms {
            till: Some(LAST_SECOND + 1),
            ..member()
        },
        "till: ",
    );
    told(
        Terms {
            flavors: Some(names(MAX_NAMES + 1)),
            ..member()
        },
        "flavors: 101 names",
    );
    for name in ["", " m1", "m\u{1b}1", &"m".repeat(MAX_NAME + 1)] {
        told(
            Terms {
                regions: Some([name.to_owned()].into()),
                ..member()
            },
            "regions: expected a name",
        );
    }
    let long = (0..MAX_NAMES)
        .map(|number| format!("{number:0>100}"))
        .collect();
    told(
        Terms {
            flavors: Some(long),
            ..member()
        },
        "bytes, at most 8192",
    );
    for days in [-1, MAX_GRACE + 1] {
        let retirement = Retirement {
            delete_after: days,
            ..Retirement::default()
        };
        told(
            Terms {
                retirement,
                ..member()
            },
            "retirement.delete_after",
        );
    }
}

#[test]
fn a_limit_that_is_negative_or_absurd_is_refused_by_its_name() {
    let read = |quota| serde_json::from_value::<Quota>(quota).map_err(|error| error.to_string());
    for wrong in [
        json!(-1),
        json!(2_147_483_648_i64),
        json!(1.5),
        json!("8"),
        json!(1e30),
    ] {
        let error = read(json!({"cores": 4, "ram_mb": wrong}))
            .err()
            .unwrap_or_default();
        assert!(
            error.contains("quota.ram_mb: expected a whole number"),
            "{error}"
        );
    }
    let quota = read(json!({"servers": 0, "images": 2_147_483_647, "volumes": null}));
    assert_eq!(
        quota.map(|quota| quota.to_string()),
        Ok("servers 0, images 2147483647".to_owned())
    );
    assert!("gpus".parse::<Resource>().is_err());
}

#[test]
fn prices_are_exact_and_need_a_currency() {
    let read =
        |prices| serde_json::from_value::<PriceList>(prices).map_err(|error| error.to_string());
    let wrong = |prices, part: &str| {
        let error = read(prices).err().unwrap_or_default();
        assert!(error.contains(part), "{part} in {error:?}");
    };
    wrong(json!({"per_hour": {"cores": "1"}}), "prices.currency");
    for code in ["eur", "EURO", "E1R", ""] {
        wrong(
            json!({"currency": code, "per_hour": {"cores": "1"}}),
            "prices.currency",
        );
    }
    wrong(
        json!({"currency": "EUR", "per_hour": {}}),
        "at least one price",
    );
    wrong(
        json!({"currency": "EUR", "per_hour": {"a\nb": "1"}}),
        "name of a resource",
    );
    let amounts = [
        "-1",
        "1e3",
        "1.",
        ".5",
        "0.0000000001",
        "1234567890",
        "1,5",
        "NaN",
        "",
    ];
    for amount in amounts
        .map(|text| json!(text))
        .into_iter()
        .chain([json!(0.1), json!(1)])
    {
        wrong(
            json!({"currency": "EUR", "per_hour": {"cores": amount}}),
            "prices.per_hour.cores",
        );
    }
    let exact = read(
        json!({"currency": "EUR", "per_hour": {"cores": "0.100", "ram_mb": "0.000000001", "x": "999999999"}}),
    );
    let text = exact.as_ref().map(ToString::to_string);
    assert_eq!(
        text,
        Ok("cores 0.1, ram_mb 0.000000001, x 999999999 EUR an hour".to_owned())
    );
    let billionths = exact.map(|list| list.per_hour()["cores"].billionths());
    assert_eq!(billionths, Ok(100_000_000));
}

#[test]
fn terms_read_back_as_they_were_written() -> Outcome {
    let mut rich = Terms {
        services: Some(names(2)),
        allow: [Door::Trusts].into(),
        regions: Some(names(1)),
        flavors: Some(names(3)),
        retirement: Retirement {
            quarantine_after: 60,
            delete_after: 0,
        },
        ..priced("0.01")?
    };
    rich.quota.set(Resource::Cores, Some(8))?;
    for terms in [rich, member()] {
        let text = serde_json::to_string(&terms)?;
        assert_eq!(serde_json::from_str::<Terms>(&text)?, terms);
    }
    Ok(())
}

#[test]
fn only_what_costs_more_than_was_agreed_needs_consent() -> Outcome {
    let (free, cheap, dear) = (member(), priced("0.01")?, priced("0.02")?);
    let needs = |new: &Terms, agreed: Option<&Terms>| new.need_consent(agreed);
    assert!(
        !needs(&free, None) && !needs(&free, Some(&dear)),
        "nothing to pay"
    );
    assert!(needs(&cheap, None) && needs(&cheap, Some(&free)));
    assert!(needs(&dear, Some(&cheap)) && !needs(&cheap, Some(&dear)));
    assert!(!needs(&cheap, Some(&cheap)));
    let other =
        json!({"currency": "USD", "per_hour": {"cores": "0.01", "flavor:m1.small": "0.05"}});
    let other = Terms {
        prices: Some(serde_json::from_value(other)?),
        ..member()
    };
    assert!(needs(&other, Some(&cheap)), "another currency");
    let other = json!({"currency": "EUR", "per_hour": {"cores": "0.01"}});
    let other = Terms {
        prices: Some(serde_json::from_value(other)?),
        ..member()
    };
    assert!(
        needs(&other, Some(&cheap)),
        "what has no price of its own any more"
    );
    let with = |change: &dyn Fn(&mut Terms)| {
        let mut terms = cheap.clone();
        change(&mut terms);
        terms
    };
    let limited = with(&|terms| drop(terms.quota.set(Resource::Cores, Some(8))));
    assert!(!needs(&limited, Some(&cheap)) && needs(&cheap, Some(&limited)));
    let wider: [&dyn Fn(&mut Terms); 7] = [
        &|terms| terms.roles.extend(["admin".into()]),
        &|terms| terms.transitive = true,
        &|terms| terms.allow.extend([Door::Ec2]),
        &|terms| terms.since = 9,
        &|terms| terms.till = None,
        &|terms| terms.till = Some(21),
        &|terms| terms.retirement.delete_after -= 1,
    ];
    for (index, change) in wider.into_iter().enumerate() {
        assert!(needs(&with(change), Some(&cheap)), "{index}");
    }
    type List = fn(&mut Terms) -> &mut Option<BTreeSet<String>>;
    let named: [List; 3] = [
        |terms| &mut terms.services,
        |terms| &mut terms.regions,
        |terms| &mut terms.flavors,
    ];
    for list in named {
        let (two, three) = (
            with(&|terms| *list(terms) = Some(names(2))),
            with(&|terms| *list(terms) = Some(names(3))),
        );
        assert!(!needs(&two, Some(&three)) && !needs(&two, Some(&cheap)));
        assert!(needs(&three, Some(&two)) && needs(&cheap, Some(&two)));
    }
    Ok(())
}
