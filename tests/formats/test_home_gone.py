"""What a token is worth at east when its home has died."""

import functools
import time

import pytest

from tests.formats.terms import (
    REVOCATION_AGE,
    SIGNED,
    SLACK,
    STALENESS,
    counted,
    last_served,
)
from tests.kit.waiting import until

CARRY_ROLES = ("pki", "pkiz")
#: What says, in the end, that nobody can tell; it says so of other formats: unreachable.
OPEN = {"jws": "no_grant_statement", "pki": "list_too_old", "pkiz": "list_too_old"}


@pytest.fixture
def unknown(issued, home, hasty):
    """A west user about whom east's daemon has never asked anything."""
    person = home.person()
    hasty.agree("west", person.project)
    return person


def is_open(cloud, token: str, *reasons: str) -> bool:
    """Nobody can tell, for one of these reasons: refused, and said not to be the token's fault."""
    subject, verdict = cloud.validate(token), cloud.judge(token)
    assert not cloud.lets_in(token)
    if (subject.status, verdict["status"]) != (503, "indeterminate"):
        return False
    return verdict["reason"] in reasons and int(subject.headers["retry-after"]) > 0


def test_a_dead_home_is_outlived_as_long_as_promised_and_then_nobody_can_tell(
    issued, guest, unknown, home, hasty
):
    known, strange = guest.login(), unknown.login()
    bought = hasty.sells(known, guest_scope(hasty, known))
    fresh = guest.logins(60)
    before = {token: said_at(home, token) for token in (known, strange)}
    # Home's latest word about it.
    assert hasty.judge(known)["status"] == "valid"
    with home.killed("keystone", "alliance"):
        died = time.monotonic()
        hasty.forget()
        assert hasty.lets_in(known)
        if issued in SIGNED:
            assert hasty.lets_in(fresh.pop())
            assert hasty.judge(fresh.pop(), "--offline")["path"]["via"] == "offline"
        else:
            assert is_open(hasty, fresh.pop(), "unreachable")
        if issued in CARRY_ROLES:
            assert hasty.lets_in(strange)
        else:
            assert is_open(hasty, strange, OPEN.get(issued, "unreachable"))
        bound = REVOCATION_AGE if issued in CARRY_ROLES else STALENESS
        assert last_served(hasty, known, fresh[1:]) - died < bound
        assert not hasty.lets_in(bought)
        reason = OPEN.get(issued, "unreachable")
        until(lambda: is_open(hasty, known, reason), f"{reason} is said", deadline=SLACK)
        assert counted(hasty, status="indeterminate", reason=reason) > 0
        assert reason in hasty.log("alliance").read_text()
    work_again(hasty, known, fresh[0], strange, bought)
    for token, said in before.items():
        assert said_at(home, token) == said


def said_at(cloud, token: str) -> dict:
    """What a cloud says of its own token, but for the catalog, which comes and goes."""
    said = cloud.validate(token).json()["token"]
    del said["catalog"]
    return said


def work_again(cloud, *tokens: str) -> None:
    for token in tokens:
        what = "it works again, and nobody has done anything"
        until(functools.partial(cloud.lets_in, token), what, deadline=30)


def guest_scope(cloud, token: str) -> dict:
    return {"project": {"id": cloud.validate(token).json()["token"]["project"]["id"]}}


@pytest.mark.parametrize(
    ("service", "reasons"),
    [("alliance", {"unreachable"}), ("keystone", {"home_error", "unreachable"})],
)
def test_half_a_home_is_no_less_than_none(issued, service, reasons, guest, unknown, home, hasty):
    """A Keystone that is halted: nobody knows who will lose patience first."""
    known, fresh, strange = guest.login(), guest.login(), unknown.login()
    assert hasty.judge(known)["status"] == "valid"
    if issued in SIGNED:
        # Home may have come back a moment ago.
        listed = "home's revocation list has been read"
        until(lambda: hasty.judge(known, "--offline")["status"] == "valid", listed)
        # What home says of the user's roles, which a token may not carry, must be of late too.
        assert hasty.judge(known)["status"] == "valid"
    gone = home.stopped if service == "alliance" else home.frozen
    with gone(service):
        hasty.forget()
        assert hasty.lets_in(known)
        assert hasty.lets_in(fresh) == (issued in SIGNED)
        assert hasty.lets_in(strange) == (issued in CARRY_ROLES)
        assert hasty.judge(known, "--hard")["reason"] in reasons
        if issued not in SIGNED:
            assert is_open(hasty, fresh, *reasons)
    work_again(hasty, fresh, strange)
