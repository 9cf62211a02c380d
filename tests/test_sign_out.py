"""Whatever ends a token at home ends it at every host, with all that was made from it."""

import functools
import hashlib
import time
from dataclasses import dataclass

import pytest

from tests.kit.people import Person
from tests.kit.waiting import until

#: Of Keystone to a token as the caller's and as the subject's, and of Glance.
SERVED, REFUSED = (True, 200, 200), (False, 404, 401)
#: In seconds; to be compared with [tokens] max_staleness, 60.
SOON = 5
#: And until daemons that were away have found each other again.
BACK = 30


def answers(cloud, token: str) -> tuple[bool, int, int]:
    return cloud.lets_in(token), cloud.validate(token).status, cloud.images(token)


@dataclass
class Guest:
    """A west user with tokens that east has served and cached, in Keystone and in Glance."""

    person: Person
    origin: str
    derived: str
    rescoped: str
    #: Those that were bought with a login passport, for which the origin was shown at home only.
    by_passport: tuple[str, ...] = ()

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.origin, self.derived, self.rescoped, *self.by_passport

    def is_served(self, cloud) -> bool:
        return all(answers(cloud, token) == SERVED for token in self.tokens)

    def is_refused(self, cloud) -> bool:
        return all(answers(cloud, token) == REFUSED for token in self.tokens)


def scope_at(cloud, token: str) -> dict:
    return {"project": {"id": cloud.validate(token).json()["token"]["project"]["id"]}}


def bought(east, token: str, scope: dict) -> str:
    """A token that east sells for another, as soon as home has answered."""
    return until(lambda: east.sells(token, scope), "east sells a token", deadline=BACK)


def visit(east, person: Person) -> Guest:
    origin = person.login()
    scope = scope_at(east, origin)
    derived = bought(east, origin, scope)
    guest = Guest(person, origin, derived, bought(east, derived, scope))
    assert guest.is_served(east)
    return guest


def are_noted(east, tokens) -> None:
    """Until east would know of these tokens after a crash too: a slow disk keeps nobody out."""
    hashes = {hashlib.sha256(token.encode()).hexdigest() for token in tokens}

    def noted() -> bool:
        rows = east.daemon_rows("SELECT token_sha256 FROM seen_tokens")
        return hashes <= {row[0] for row in rows}

    until(noted, "east has noted all of them", deadline=BACK)


def log_in_by_passport(west, east, guest: Guest) -> None:
    answer = east.shown(west.passport("east", guest.origin))
    unscoped = answer.headers["x-subject-token"]
    guest.by_passport += (east.sells(unscoped, scope_at(east, guest.origin)),)
    assert guest.is_served(east)


def traveller(west, east, **more) -> Person:
    """A west user who may come to east."""
    person = west.person(roles=("member", "reader"), **more)
    east.agree("west", person.project, ("member", "reader"))
    return person


@pytest.fixture
def guest(west, east) -> Guest:
    return visit(east, traveller(west, east, domain=west.domain()))


def log_out(west, guest: Guest) -> None:
    answer = west.ask("DELETE", "/auth/tokens", guest.origin, X_Subject_Token=guest.origin)
    assert answer.status == 204


def change_password(west, guest: Guest) -> None:
    # Keystone's events are to the second, and a login within the same one counts.
    person = guest.person
    body = {"user": {"password": person.password + "x", "original_password": person.password}}
    path = f"/users/{person.id}/password"
    assert west.ask("POST", path, body=body).status == 204


def disable_user(west, guest: Guest) -> None:
    west.do("PATCH", f"/users/{guest.person.id}", {"user": {"enabled": False}})


def delete_user(west, guest: Guest) -> None:
    west.do("DELETE", f"/users/{guest.person.id}")


def disable_project(west, guest: Guest) -> None:
    west.do("PATCH", f"/projects/{guest.person.project.id}", {"project": {"enabled": False}})


def delete_project(west, guest: Guest) -> None:
    west.do("DELETE", f"/projects/{guest.person.project.id}")


def disable_domain(west, guest: Guest) -> None:
    domain_id = guest.person.project.domain_id
    west.do("PATCH", f"/domains/{domain_id}", {"domain": {"enabled": False}})


def take_roles(west, guest: Guest) -> None:
    for role in ("member", "reader"):
        west.revoke(guest.person, role)


def revoke_by_order(west, guest: Guest) -> None:
    west.alliance("token", "revoke", "-", stdin=guest.origin)


CAUSES = [
    log_out,
    revoke_by_order,
    change_password,
    disable_user,
    delete_user,
    disable_project,
    delete_project,
    disable_domain,
    take_roles,
]


def ended(east, guest: Guest, deadline: float = SOON) -> None:
    until(functools.partial(guest.is_refused, east), "east refuses all of them", deadline=deadline)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_what_ends_at_home_ends_at_the_host(west, east, guest, cause):
    bystander = visit(east, traveller(west, east))
    log_in_by_passport(west, east, guest)
    cause(west, guest)
    ended(east, guest)
    assert bystander.is_served(east)


def test_an_operator_sees_who_is_here_and_ends_a_session(east, guest):
    def mine(*more: str) -> list[dict]:
        return east.told("session", "list", "--user", guest.person.id, *more)

    are_noted(east, guest.tokens)
    [session] = mine()
    assert (session["partner"], session["project_id"]) == ("west", guest.person.project.id)
    assert (session["tokens"], session["ended"]) == (3, False)
    shown = east.alliance("session", "show", session["id"]).stdout
    assert guest.person.id in shown
    other = visit(east, guest.person)
    east.orders("session", "end", session["id"])
    ended(east, guest)
    assert other.is_served(east)
    assert session["id"] not in [each["id"] for each in mine()]
    assert [each["ended"] for each in mine("--all") if each["id"] == session["id"]] == [True]
    assert mine("--partner", "north") == []
    for words in (("show", "nobody"), ("end", "nobody")):
        assert "no session has the id" in east.alliance("session", *words, status=1).stderr


def test_an_operator_at_home_sees_who_is_abroad(west, east, guest):
    def seen(cloud, key: str = "id") -> list:
        return [each[key] for each in cloud.told("session", "list", "--user", guest.person.id)]

    assert seen(west) == seen(east)
    assert (seen(west, "partner"), seen(west, "abroad")) == (["east"], [True])
    assert (seen(east, "partner"), seen(east, "abroad")) == (["west"], [False])
    log_out(west, guest)
    until(lambda: not seen(west), "nobody is abroad", deadline=SOON)


def test_a_host_ends_a_token_that_it_was_shown(west, east, guest):
    other = visit(east, guest.person)
    east.alliance("token", "revoke", "-", stdin=guest.origin)
    ended(east, guest)
    assert other.is_served(east)
    assert west.lets_in(guest.origin), "at home it is what it was"
    for unknown in (east.login_as("admin")[:-4] + "AAAA", guest.origin[:-4] + "AAAA", "junk"):
        east.alliance("token", "revoke", "-", stdin=unknown, status=None)
    assert other.is_served(east)


@pytest.mark.parametrize("how", ["leaves", "loses"])
def test_a_group_that_a_user_leaves_or_that_loses_its_role(west, east, how):
    person = west.person(roles=(), domain=west.domain())
    east.agree("west", person.project, ("member", "reader"))
    body = {"group": {"name": "travellers", "domain_id": person.project.domain_id}}
    group = west.do("POST", "/groups", body)["group"]["id"]
    member = f"/groups/{group}/users/{person.id}"
    west.do("PUT", member)
    grants = [
        f"/projects/{person.project.id}/groups/{group}/roles/{west.roles[role]}"
        for role in ("member", "reader")
    ]
    for grant in grants:
        west.do("PUT", grant)
    guest = visit(east, person)
    for path in [member] if how == "leaves" else grants:
        west.do("DELETE", path)
    ended(east, guest)


def test_a_logout_ends_what_hangs_on_it_and_no_other_session_of_the_user(west, east, guest):
    other = visit(east, guest.person)
    log_out(west, guest)
    ended(east, guest)
    assert other.is_served(east)
    assert visit(east, guest.person).is_served(east)


def test_one_host_hears_of_what_was_used_at_another(west, east, north, guest):
    north.agree("west", guest.person.project, ("member", "reader"))
    there = visit(north, guest.person)
    log_out(west, there)
    ended(north, there)
    assert guest.is_served(east)


def test_who_comes_back_is_served_and_what_ended_stays_ended(west, east, guest):
    disable_user(west, guest)
    ended(east, guest)
    west.do("PATCH", f"/users/{guest.person.id}", {"user": {"enabled": True}})
    # Keystone's events are to the second.
    time.sleep(1.1)
    until(lambda: visit(east, guest.person), "a new login is served", deadline=SOON)
    assert guest.is_refused(east)


def test_a_project_that_is_enabled_again_is_served_again(west, east, guest):
    disable_project(west, guest)
    ended(east, guest)
    west.do("PATCH", f"/projects/{guest.person.project.id}", {"project": {"enabled": True}})
    fresh = guest.person.login()
    until(lambda: answers(east, fresh) == SERVED, "a new login is served", deadline=SOON)


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_host_that_was_dead_hears_of_it_when_it_is_back(west, east, guest, when):
    are_noted(east, guest.tokens)
    with east.killed("alliance"):
        if when == "while":
            log_out(west, guest)
    if when == "before":
        log_out(west, guest)
    ended(east, guest, BACK)


def test_a_home_whose_daemon_was_dead_tells_when_it_is_back(west, east, guest):
    with west.killed("alliance"):
        log_out(west, guest)
        assert west.validate(guest.origin).status == 404
    ended(east, guest, BACK)


def test_a_host_whose_keystone_was_down_refuses_when_it_is_back(west, east, guest):
    with east.stopped("keystone"):
        log_out(west, guest)
    ended(east, guest, BACK)
