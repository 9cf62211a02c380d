"""The border as its two operators see it. `alliance explain` names the condition that is
broken, and `alliance project list` says whose a project is."""

import pytest

from tests.kit.waiting import until

#: Exit code of `alliance explain` where a condition does not hold.
UNMET = 5


@pytest.fixture
def person(west):
    """Somebody of west with a role that is no administrator's."""
    return west.person(roles=("member",))


@pytest.fixture
def agreed(west, east, person):
    """Whose project sees east."""
    east.agree("west", person.project)
    wait_for(west, person, set())
    return person


def explain(west, project, *more: str, region="east") -> dict:
    words = ("explain", "--project", project, "--region", region, *more)
    done = west.alliance("--format", "json", *words, status=None)
    assert done.status in (0, UNMET), done
    found = done.json()
    assert found["holds"] == (done.status == 0)
    return found


def broken(west, person, *more: str, **region: str) -> set[str]:
    """The conditions that are broken; each says how to mend it."""
    conditions = explain(west, person.project.id, *more, **region)["conditions"]
    wrong = [one for one in conditions if one["state"] == "broken"]
    assert all(one["mend"]["what"] for one in wrong)
    return {one["name"] for one in wrong}


def wait_for(west, person, names: set[str], *more: str) -> None:
    until(lambda: broken(west, person, *more) == names, f"broken: {names or 'nothing'}")


def test_a_missing_agreement_is_named_and_mended_by_what_it_says(west, east, person):
    assert broken(west, person) == {"agreement"}
    told = west.alliance("explain", "--project", person.project.name, "--region", "east", status=5)
    (line,) = [line for line in told.stdout.splitlines() if "to mend, the partner's" in line]
    command = line.partition("alliance ")[2].split()
    east.orders(*command)
    wait_for(west, person, set())
    # What it says is so: the user's next catalog has the region.
    catalog = west.validate(person.login()).json()["token"]["catalog"]
    assert "east" in {end["region"] for service in catalog for end in service["endpoints"]}


def test_an_ended_agreement_is_named(west, east, person):
    agreement = east.agree("west", person.project)
    wait_for(west, person, set())
    east.end("west", agreement)
    wait_for(west, person, {"agreement"})


def test_a_disabled_project_is_named(west, agreed):
    path = f"/projects/{agreed.project.id}"
    west.do("PATCH", path, {"project": {"enabled": False}})
    found = explain(west, agreed.project.id)["conditions"][0]
    assert (found["name"], found["state"]) == ("project", "broken")
    assert "--enable" in found["mend"]["what"]
    west.do("PATCH", path, {"project": {"enabled": True}})
    assert broken(west, agreed) == set()


def test_a_project_that_is_not_there_is_named(west):
    found = explain(west, "no-such-project")["conditions"][0]
    assert (found["name"], found["state"]) == ("project", "broken")


def test_a_region_that_no_partner_has_is_named(west, agreed):
    assert broken(west, agreed, region="east:nowhere") == {"region"}


def test_a_partner_that_is_suspended_here_is_named(west, agreed):
    west.orders("partner", "suspend", "east")
    try:
        assert broken(west, agreed) == {"partner"}
    finally:
        west.orders("partner", "resume", "east")
    wait_for(west, agreed, set())


def test_a_partner_that_has_suspended_this_cloud_is_named(west, east, agreed):
    east.orders("partner", "suspend", "west")
    try:
        wait_for(west, agreed, {"their_status"})
    finally:
        east.orders("partner", "resume", "west")
    wait_for(west, agreed, set())


def test_a_partner_that_does_not_answer_is_named(west, east, agreed):
    with east.stopped("alliance"):
        west.alliance("partner", "repair", "east")
        assert broken(west, agreed) == {"reachable"}
    west.alliance("partner", "repair", "east")
    wait_for(west, agreed, set())


def test_a_service_that_the_agreement_leaves_out_is_named_to_who_wants_it(west, east, person):
    east.agree("west", person.project, ("member",), "--service", "volume")
    wait_for(west, person, set())
    assert broken(west, person, "--service", "image") == {"service"}
    assert broken(west, person, "--service", "volume") == {"service"}
    assert broken(west, person, "--service", "identity") == set()


def test_endpoints_that_may_not_be_shown_are_named(west, agreed):
    with west.configured(alliance={"catalog": {"allow_http": False}}):
        assert broken(west, agreed) == {"service"}
    wait_for(west, agreed, set())


def test_logins_by_passport_alone_are_named(west, agreed):
    west.orders("partner", "set", "east", "--login", "passport")
    try:
        assert broken(west, agreed) == {"login"}
    finally:
        west.orders("partner", "set", "east", "--login", "both")


def test_a_user_without_a_granted_role_and_one_with_too_much_are_named(west, agreed):
    project = agreed.project
    reader = west.person(project=project, roles=("reader",))
    admin = west.person(project=project, roles=("member", "admin"))
    assert broken(west, agreed, "--user", agreed.name) == set()
    assert broken(west, agreed, "--user", reader.id) == {"role"}
    assert broken(west, agreed, "--user", admin.id) == {"admin_role"}
    assert broken(west, agreed, "--user", "nobody-of-that-name") == {"role"}


def test_an_endpoint_is_asked_only_if_wanted_and_named_if_it_is_silent(west, east, agreed):
    assert broken(west, agreed, "--probe") == set()
    with east.stopped("glance"):
        assert broken(west, agreed) == set()
        assert broken(west, agreed, "--probe") == {"endpoint"}


def test_a_host_sees_whose_a_project_here_is_and_who_of_it_came(west, east, person):
    project = person.project
    agreement = east.agree("west", project)

    def listed() -> dict:
        all_of_west = east.told("project", "list", "--partner", "west")
        (found,) = [one for one in all_of_west if one["project_id"] == project.id]
        return found

    assert (listed()["name"], listed()["agreements"]) == (project.name, [agreement])
    assert (listed()["users"], listed()["last_seen"]) == (0, None)
    token = person.login()
    there = east.validate(token).json()["token"]["project"]["id"]
    came = listed()
    assert (came["host_project_id"], came["users"], came["sessions"]) == (there, 1, 1)
    assert came["last_seen"]
    assert came["domain_name"] == "Default"
    east.restart("alliance")
    assert listed() == came
    east.end("west", agreement)
    assert listed()["agreements"] == []
    table = east.alliance("project", "list").stdout
    assert project.name in table
    assert there in table
