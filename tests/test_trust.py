"""What an operator does to a partner holds for the very next request."""

import contextlib
import json
import time
from http.client import HTTPConnection

import pytest

from lab import pairing
from tests.kit import http
from tests.kit.waiting import until


@pytest.fixture
def used(west, east):
    """A west token that east's Keystone and Glance have just served and cached."""
    person = west.person(roles=("member", "reader"))
    east.agree("west", person.project)
    token = person.login()
    assert answers(east, token) == SERVED
    return token


@pytest.fixture
def derived(east, used):
    """A native east token bought with it."""
    project = east.validate(used).json()["token"]["project"]["id"]
    scope = {"project": {"id": project}}
    return until(lambda: east.sells(used, scope), "home has answered")


#: Half an image, in bytes.
HALF = 1 << 20
SERVED, REFUSED = (True, 200, 200), (False, 404, 401)


def answers(cloud, token: str) -> tuple[bool, int, int]:
    """Of Keystone to it as the caller's and as the subject's token, and of Glance."""
    return cloud.lets_in(token), cloud.validate(token).status, cloud.images(token)


@pytest.fixture(autouse=True)
def resumed(east):
    """However a test ends, the next one finds west active."""
    yield
    if east.status_of("west") != "active":
        east.orders("partner", "set", "west", "--trust-till", "never")
        east.orders("partner", "resume", "west")


def test_the_next_request_after_a_suspension_is_refused_and_after_a_resumption_served(east, used):
    east.orders("partner", "suspend", "west")
    assert answers(east, used) == REFUSED
    assert east.status_of("west") == "suspended"
    east.orders("partner", "resume", "west")
    assert answers(east, used) == SERVED


def test_a_native_token_bought_with_a_foreign_one_ends_with_the_suspension(east, derived):
    assert answers(east, derived) == SERVED
    east.orders("partner", "suspend", "west")
    assert answers(east, derived) == REFUSED


def test_both_sides_see_a_suspension(west, east):
    east.orders("partner", "suspend", "west")
    until(
        lambda: west.told("partner", "show", "east")["their_status"] == "suspended",
        "west learns that east suspended it",
    )
    assert "suspended by them" in west.alliance("partner", "list").stdout
    east.orders("partner", "resume", "west")
    until(
        lambda: west.told("partner", "show", "east")["their_status"] == "active",
        "west learns that east resumed it",
    )


def test_a_home_that_suspends_a_host_vouches_for_nobody_there(west, east, used):
    fresh = west.person(project=None)
    east.agree("west", fresh.project)
    token = fresh.login()
    west.orders("partner", "suspend", "east")
    try:
        assert not east.lets_in(token)
    finally:
        west.orders("partner", "resume", "east")
    until(lambda: east.lets_in(token), "east lets a west token in again")


def test_local_users_notice_nothing_of_a_suspension(east, used):
    token = east.login_as("ann")
    east.orders("partner", "suspend", "west")
    assert answers(east, token) == SERVED
    assert east.login_as("bob")


def test_a_disabled_identity_provider_is_a_suspended_partner(east, used, derived):
    path = "/OS-FEDERATION/identity_providers/west"
    assert answers(east, derived) == SERVED
    east.do("PATCH", path, {"identity_provider": {"enabled": False}})
    try:
        assert answers(east, used) == answers(east, derived) == REFUSED
        assert not east.sells(used)
        assert "disabled" in east.told("partner", "show", "west")["keystone"]["detail"]
    finally:
        east.do("PATCH", path, {"identity_provider": {"enabled": True}})
    assert east.lets_in(used)


def test_a_disabled_domain_is_a_suspended_partner(east, used, derived):
    domain = east.told("partner", "show", "west")["domain_id"]
    assert answers(east, derived) == SERVED
    east.do("PATCH", f"/domains/{domain}", {"domain": {"enabled": False}})
    try:
        assert answers(east, used) == answers(east, derived) == REFUSED
        assert "disabled" in east.told("partner", "show", "west")["keystone"]["detail"]
    finally:
        east.do("PATCH", f"/domains/{domain}", {"domain": {"enabled": True}})


def test_the_daemon_never_enables_what_an_operator_disabled(east):
    path = "/OS-FEDERATION/identity_providers/west"
    east.do("PATCH", path, {"identity_provider": {"enabled": False}})
    try:
        east.restart("alliance")
        east.orders("partner", "suspend", "west")
        east.orders("partner", "resume", "west")
        assert not east.do("GET", path)["identity_provider"]["enabled"]
    finally:
        east.do("PATCH", path, {"identity_provider": {"enabled": True}})


def test_a_suspension_outlives_a_kill_and_a_restart(east, used):
    east.orders("partner", "suspend", "west")
    try:
        with east.killed("alliance"):
            assert not east.lets_in(used)
        assert answers(east, used) == REFUSED
        assert east.status_of("west") == "suspended"
    finally:
        east.orders("partner", "resume", "west")


def test_trust_ends_by_itself_at_its_time(east, used):
    till = int(time.time()) + 4
    east.orders("partner", "set", "west", "--trust-till", stamp(till))
    try:
        until(lambda: time.time() >= till - 1, "the time has almost come")
        assert answers(east, used) == SERVED
        until(lambda: time.time() >= till, "the time has come")
        until(lambda: answers(east, used) == REFUSED, "it is refused everywhere", deadline=3)
        assert east.status_of("west") == "expired"
        refused = east.alliance("partner", "resume", "west", status=1)
        assert "--trust-till" in refused.stderr
    finally:
        east.orders("partner", "set", "west", "--trust-till", "never")
    east.orders("partner", "resume", "west")
    assert east.lets_in(used)


def test_an_agreement_ends_by_itself_at_its_time(west, east):
    person = west.person(roles=("member", "reader"))
    till = int(time.time()) + 4
    east.agree("west", person.project, ("member",), "--till", stamp(till))
    token = person.login()
    until(lambda: time.time() >= till - 1, "the time has almost come")
    assert answers(east, token) == SERVED
    until(lambda: time.time() >= till, "the time has come")
    until(lambda: answers(east, token) == REFUSED, "it is refused everywhere", deadline=3)


def test_an_ended_agreement_ends_the_tokens_of_its_project_and_no_others(west, east, used):
    person = west.person(roles=("member", "reader"))
    agreement = east.agree("west", person.project)
    token = person.login()
    assert answers(east, token) == SERVED
    east.end("west", agreement)
    assert answers(east, token) == REFUSED
    assert answers(east, used) == SERVED
    assert "ended" in json.dumps(east.told("agreement", "show", agreement))


def test_an_upload_goes_on_when_its_agreement_ends_and_the_next_request_is_refused(west, east):
    person = west.person(roles=("member", "reader"))
    agreement = east.agree("west", person.project)
    token = person.login()
    image = east.make_image(token, "half-way")
    upload = HTTPConnection("127.0.0.1", east.port("glance"), timeout=30)
    with contextlib.closing(upload):
        upload.putrequest("PUT", f"/v2/images/{image}/file")
        for name, value in {
            "X-Auth-Token": token,
            "Content-Type": "application/octet-stream",
            "Content-Length": str(2 * HALF),
        }.items():
            upload.putheader(name, value)
        upload.endheaders(b"x" * HALF)
        until(lambda: image_state(east, image) == "saving", "east's Glance has begun to read")
        east.end("west", agreement)
        upload.send(b"x" * HALF)
        assert upload.getresponse().status == 204
    assert answers(east, token) == REFUSED
    assert answers(west, token) == SERVED
    assert west.image_ids(token) == []
    assert person.login()


def test_a_removed_partner_is_refused_at_once_also_when_it_is_dead(lab, north, east):
    person = north.person(roles=("member", "reader"))
    east.agree("north", person.project)
    token = person.login()
    assert answers(east, token) == SERVED
    with north.stopped("alliance", "keystone"):
        east.ordered("partner", "remove", "north", "--yes")
        assert answers(east, token) == REFUSED
        assert "north" not in [one["name"] for one in east.told("partner", "list")]
    # Only a new pairing and a new agreement bring it back, to the same objects in Keystone.
    assert answers(east, token) == REFUSED
    north.ordered("partner", "remove", "east", "--yes")
    pairing.pair_all([lab.cloud("north"), lab.cloud("east")])
    assert not east.lets_in(token)
    east.agree("north", person.project)
    until(lambda: answers(east, token) == SERVED, "the same token works again")


def image_state(cloud, image: str) -> str:
    answer = http.send("GET", f"{cloud.image}/images/{image}", {"X-Auth-Token": cloud.admin})
    return answer.json()["status"]


def stamp(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
