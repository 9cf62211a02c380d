"""Agreements as contracts: both clouds see the same terms, sign them, and end them."""

import pytest

from tests.kit.waiting import until

#: Exit code of a command that was refused, and of one that was misspelt.
REFUSED, USAGE = 1, 2


@pytest.fixture
def person(west):
    return west.person(roles=("member",))


def shown(cloud, agreement: str) -> dict:
    return cloud.told("agreement", "show", agreement)


def stands(cloud, agreement: str) -> tuple:
    """The state, the version in force, the newest and how it stands."""
    found = cloud.told("agreement", "list", "--all")
    (view,) = [one for one in found if one["id"] == agreement] or [None]
    if not view:
        return ()
    contract = view["contract"]
    return view["state"], view["version"], contract["newest"], contract["standing"]


def wait_for(cloud, agreement: str, *expected) -> None:
    until(lambda: stands(cloud, agreement) == expected, f"{agreement} at {cloud}: {expected}")


def sees_east(west, person) -> bool:
    catalog = west.validate(person.login()).json()["token"]["catalog"]
    return "east" in {end["region"] for service in catalog for end in service["endpoints"]}


def roles_at(host, token: str) -> set[str]:
    return {role["name"] for role in host.validate(token).json()["token"]["roles"]}


def explained(west, person) -> dict:
    words = ("explain", "--project", person.project.id, "--region", "east")
    done = west.alliance("--format", "json", *words, status=None)
    return {one["name"]: one for one in done.json()["conditions"]}


def test_one_step_makes_an_agreement_that_both_have_signed(west, east, person):
    limits = ("--quota", "cores=8,servers=2", "--flavor", "m1.tiny", "--delete-after", "3d")
    agreement = east.agree("west", person.project, ("member",), *limits)
    agreed = ("live", 1, 1, "agreed")
    wait_for(west, agreement, *agreed)
    wait_for(east, agreement, *agreed)
    here, there = shown(east, agreement), shown(west, agreement)
    terms = ("roles", "quota", "flavors", "retirement", "since", "till", "projects")
    assert {name: here[name] for name in terms} == {name: there[name] for name in terms}
    assert here["quota"] == {"cores": 8, "servers": 2}
    (host_made,), (home_holds,) = here["contract"]["versions"], there["contract"]["versions"]
    assert host_made["signed"] == home_holds["signed"]
    assert home_holds["said_by"] == "daemon"
    assert host_made["said_by"] == "west"
    assert sees_east(west, person)
    quota = explained(west, person)["quota"]
    assert "cores 8" in quota["detail"]
    assert quota["state"] == "holds"
    east.end("west", agreement)


def test_prices_are_in_force_when_homes_operator_has_accepted_them(west, east, person):
    prices = ("--currency", "EUR", "--price", "cores=0.01", "--price", "flavor:m1.tiny=0.004")
    agreement = east.agree("west", person.project, ("member",), *prices)
    proposed = ("proposed", None, 1, "proposed")
    assert stands(east, agreement) == proposed
    wait_for(west, agreement, *proposed)
    token = person.login()
    assert not east.lets_in(token)
    assert not sees_east(west, person)
    mend = explained(west, person)["agreement"]["mend"]
    assert mend == {
        "who": "this_operator",
        "what": f"alliance agreement accept {agreement}, or reject",
    }
    findings = {one["detail"] for one in _doctor(west) if one["what"].startswith("agreement")}
    assert any(f"alliance agreement accept {agreement}" in one for one in findings)
    assert any("waits for" in one["detail"] for one in _doctor(east))

    west.orders("agreement", "accept", agreement, "--version", "1")
    agreed = ("live", 1, 1, "agreed")
    assert stands(east, agreement) == agreed
    wait_for(west, agreement, *agreed)
    until(lambda: sees_east(west, person), "the catalog has east")
    assert east.lets_in(person.login())
    assert "EUR" in explained(west, person)["agreement"]["detail"]

    # Dearer: the version before goes on. Cheaper: at once.
    east.orders("agreement", "change", agreement, "--price", "cores=0.02")
    waits = ("live", 1, 2, "proposed")
    wait_for(west, agreement, *waits)
    assert shown(east, agreement)["prices"]["per_hour"]["cores"] == "0.01"
    west.orders("agreement", "reject", agreement)
    assert stands(east, agreement) == ("live", 1, 2, "rejected")
    east.orders("agreement", "change", agreement, "--price", "cores=0.005")
    wait_for(west, agreement, "live", 3, 3, "agreed")
    history = west.told("agreement", "history", agreement)
    assert [one["standing"] for one in history] == ["superseded", "superseded", "agreed"]
    east.end("west", agreement)


def _doctor(cloud) -> list[dict]:
    return cloud.alliance("--format", "json", "doctor", status=None).json()


def test_home_ends_an_agreement_and_the_next_request_is_refused(west, east, person):
    agreement = east.agree("west", person.project)
    token = person.login()
    assert east.lets_in(token)
    wait_for(west, agreement, "live", 1, 1, "agreed")
    west.orders("agreement", "end", agreement)
    assert shown(east, agreement)["state"] == "ended"
    assert shown(east, agreement)["contract"]["ended_by"] == "west"
    until(lambda: not east.lets_in(token), "east refuses it")
    assert not sees_east(west, person)


def test_a_lowered_role_counts_at_once_and_is_in_the_history_of_both(west, east, person):
    agreement = east.agree("west", person.project, ("member", "reader"))
    token = person.login()
    assert roles_at(east, token) == {"member", "reader"}
    east.orders("agreement", "change", agreement, "--role", "reader")
    assert shown(east, agreement)["roles"] == ["reader"]
    assert roles_at(east, token) == {"reader"}
    wait_for(west, agreement, "live", 2, 2, "agreed")
    for cloud in (east, west):
        told = cloud.alliance("agreement", "history", agreement).stdout
        assert "roles member+reader → reader" in told
    trail = [one["made_by"] for one in east.told("agreement", "history", agreement)]
    assert trail[0] == trail[1] != ""
    east.end("west", agreement)


def test_what_home_did_not_tell_it_tells_after_a_restart(west, east, person):
    prices = ("--currency", "EUR", "--price", "cores=1")
    agreement = east.agree("west", person.project, ("member",), *prices)
    wait_for(west, agreement, "proposed", None, 1, "proposed")
    with east.stopped("alliance"):
        done = west.alliance("agreement", "accept", agreement, status=None)
        assert done.status == 3
        assert "has not heard it" in done.stderr
        with west.stopped("alliance"):
            pass
        assert stands(west, agreement)[3] == "accepted"
    wait_for(east, agreement, "live", 1, 1, "agreed")
    wait_for(west, agreement, "live", 1, 1, "agreed")
    east.end("west", agreement)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--quota", "cores=-1"), "quota.cores"),
        (("--quota", "cores=99999999999"), "quota.cores"),
        (("--quota", "gpus=1"), "quota.gpus"),
        (("--price", "cores=1"), "prices.currency"),
        (("--currency", "euro", "--price", "cores=1"), "prices.currency"),
        (("--currency", "EUR", "--price", "cores=-1"), "prices.per_hour.cores"),
        (("--currency", "EUR", "--price", "cores=1e9"), "prices.per_hour.cores"),
        (("--currency", "EUR"), "prices.per_hour"),
        (("--from", "2101-01-01", "--till", "2100-01-01"), "till: "),
        (("--region", " "), "regions: "),
        (tuple(f"--flavor=f{number}" for number in range(101)), "flavors: 101"),
        (("--delete-after", "99999d"), "retirement.delete_after"),
    ],
)
def test_absurd_terms_are_refused_by_their_field(east, person, words, part):
    create = ("agreement", "create", "west", "--project", person.project.id, "--role", "member")
    done = east.alliance(*create, *words, status=None)
    assert done.status in (REFUSED, USAGE), done
    assert part in done.stderr
    listed = east.told("agreement", "list", "--all")
    assert person.project.id not in {one["projects"] for one in listed}


def test_only_the_newest_version_is_accepted_and_only_at_home(west, east, person):
    prices = ("--currency", "EUR", "--price", "cores=1")
    agreement = east.agree("west", person.project, ("member",), *prices)
    east.orders("agreement", "change", agreement, "--price", "cores=2")
    wait_for(west, agreement, "proposed", None, 2, "proposed")
    done = west.alliance("agreement", "accept", agreement, "--version", "1", status=REFUSED)
    assert "not the newest" in done.stderr
    done = east.alliance("agreement", "accept", agreement, status=REFUSED)
    assert "no partner gave" in done.stderr
    done = west.alliance("agreement", "change", agreement, "--price", "cores=0", status=REFUSED)
    assert "this cloud gave no agreement" in done.stderr
    west.orders("agreement", "end", agreement)
    done = west.alliance("agreement", "accept", agreement, status=REFUSED)
    assert "has ended" in done.stderr


def test_how_many_agreements_stand_how_is_counted(west, east, person):
    before = east.metric("alliance_agreements", direction="given", state="live")
    agreement = east.agree("west", person.project)
    after = east.metric("alliance_agreements", direction="given", state="live")
    assert after == before + 1
    east.end("west", agreement)
