"""Names are labels: whatever a partner calls its users and projects, they are just themselves."""

import json

import pytest

ESCAPE = "\x1b[31mred\x1b[0m"
NAMES = [
    "a;b;c",
    "two\nlines",
    ESCAPE,
    "admin",
    "Default",
    "ü" * 60,
    "'; DROP TABLE user; --",
    "a/b",
]


def shown(name: str) -> str:
    return json.dumps(name)


@pytest.fixture(params=NAMES, ids=shown)
def guest(request, west, east):
    """A west user of that name, in a project of that name, in a domain of its own."""
    domain = west.domain()
    project = west.project(request.param, domain)
    person = west.person(request.param, project, ("member", "reader"), domain)
    assert (person.name, project.name) == (request.param, request.param)
    east.agree("west", project, ("member", "reader"))
    return person


def test_a_guest_of_any_name_is_served_as_themselves_and_as_nobody_else(guest, east):
    token = guest.login()
    answer = east.validate(token)
    assert answer.status == 200, answer.body
    told = answer.json()["token"]
    partner = east.told("partner", "show", "west")
    assert told["user"]["domain"]["id"] == told["project"]["domain"]["id"] == partner["domain_id"]
    assert {role["name"] for role in told["roles"]} == {"member", "reader"}
    assert not any(control in told["project"]["name"] for control in "\x1b\n")
    assert not any(control in told["user"]["name"] for control in "\x1b\n")
    assert east.images(token) == 200
    east.do("GET", "/auth/projects")


def test_operators_of_both_clouds_see_no_control_characters(guest, east):
    for words in (("agreement", "list"), ("partner", "list"), ("partner", "show", "west")):
        assert "\x1b" not in east.alliance(*words).stdout
    token = guest.login()
    assert "\x1b" not in east.alliance("token", "validate", "-", stdin=token).stdout
    assert east.lets_in(token)
    for service in ("alliance", "keystone", "glance"):
        # An old Keystone's lines end with one of its own.
        said = east.log(service).read_bytes().replace(b"\x1b[00m\n", b"\n")
        assert b"\x1b" not in said, service


def test_the_longest_name_that_a_keystone_takes_is_taken_from_a_partner(west, east):
    project = west.project("p" * 64)
    person = west.person("u" * 255, project)
    east.agree("west", project)
    told = east.validate(person.login()).json()["token"]
    assert told["user"]["name"].startswith("u" * 60)
    assert told["project"]["name"].startswith("p" * 50)


def test_a_west_admin_by_name_is_no_admin_at_east(west, east):
    domain = west.domain()
    person = west.person("admin", west.project("admin", domain), ("member",), domain)
    east.agree("west", person.project)
    token = person.login()
    assert east.lets_in(token)
    assert east.ask("GET", "/users", token).status == 403
    assert east.ask("GET", "/projects", token).status == 403
    assert east.ask("POST", "/users", token, {"user": {"name": "x"}}).status == 403
