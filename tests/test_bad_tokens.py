"""Strings that are no tokens, or tokens that open nothing at east."""

import base64
import os
import re
import string
import struct
import time

import pytest

from tests.kit import http
from tests.kit.keystone_beside import KeystoneBeside
from tests.kit.waiting import until


def fernet(timestamp: int | None = None) -> str:
    """Looks like a Fernet token made at `timestamp`, and is one of nobody."""
    made = int(time.time()) if timestamp is None else timestamp
    frame = b"\x80" + struct.pack(">Q", made) + os.urandom(16 + 128 + 32)
    return base64.urlsafe_b64encode(frame).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def guest(west, east):
    person = west.person()
    east.agree("west", person.project)
    return person


@pytest.fixture(scope="module")
def token(guest, east):
    token = guest.login()
    assert east.lets_in(token)
    return token


def refused(cloud, token: str) -> bool:
    """As caller's and as subject's token, with the answers of Keystone for any wrong token."""
    caller = cloud.ask("GET", "/auth/projects", token)
    subject = cloud.ask("GET", "/auth/tokens", cloud.admin, X_Subject_Token=token)
    return (caller.status, subject.status, cloud.sells(token)) == (401, 404, None)


def other_last_characters(inner: str) -> list[str]:
    """Those with which base64 means the same, for it leaves bits of the last one unused."""

    def meaning(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    letters = string.ascii_letters + string.digits + "-_"
    same = [last for last in letters if meaning(inner[:-1] + last) == meaning(inner)]
    return [last for last in same if last != inner[-1]]


def test_a_token_is_taken_in_its_one_spelling_only(token, east):
    tag, inner = token.split("~")
    padded = inner + "=" * (-len(inner) % 4 or 4)
    for spelling in [
        *(f"{tag}~{inner[:-1]}{last}" for last in other_last_characters(inner)),
        f"{tag}~{padded}",
        f"{tag}~{inner}=",
        f"{tag}~{inner}%3D",
        f"{tag}~{tag}~{inner}",
        f"{tag}~~{inner}",
        f"{tag.upper()}~{inner}",
        f"{tag}~{inner}\t",
        f"{tag}~{inner}.",
        f"~{inner}",
        f"{tag}~",
        "~",
        inner,
    ]:
        stripped = spelling.strip()
        if stripped != token:
            assert refused(east, spelling), spelling[:20]
    assert east.lets_in(token)


def test_control_characters_in_a_token_are_refused(token, east):
    for character in ["\x00", "\x01", "\x1b[31m", "\x7f", "\u200b", "é", "\udcff"]:
        wrong = token[:30] + character + token[30:]
        answer = http.send("GET", f"{east.identity}/auth/projects", {"X-Auth-Token": wrong})
        assert answer.status in (400, 401), repr(character)
    assert east.lets_in(token)


def test_a_token_of_a_megabyte_is_refused_at_once(token, east):
    asked = east.metric("alliance_questions_total")
    tag = token.partition("~")[0]
    huge = tag + "~" + "A" * 1_000_000
    answer = http.send("GET", f"{east.identity}/auth/projects", {"X-Auth-Token": huge})
    assert answer.status in (400, 401, 431)
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": huge}}}}
    answer = http.send("POST", f"{east.identity}/auth/tokens", body=body)
    assert answer.status in (400, 401, 413)
    judged = east.alliance("token", "validate", "-", status=1, stdin=huge)
    assert "malformed" in judged.stdout
    assert east.metric("alliance_questions_total") == asked


def test_an_empty_token_is_no_token(east):
    assert east.ask("GET", "/auth/projects", "").status == 401
    assert east.rescope("").status in (400, 401, 404)
    assert "malformed" in east.alliance("token", "validate", "-", status=1).stdout


def test_the_tag_of_an_unknown_cloud_is_refused_without_asking_anybody(east):
    asked = east.metric("alliance_questions_total")
    token = f"aaaaaaaa~{fernet()}"
    assert refused(east, token)
    judged = east.alliance("token", "validate", "-", status=1, stdin=token)
    assert "unknown_partner" in judged.stdout
    assert east.metric("alliance_questions_total") == asked


def test_the_own_tag_before_rubbish_is_refused_without_asking_anybody(east):
    asked = east.metric("alliance_questions_total")
    assert refused(east, f"{east.tag}~{fernet()}")
    assert refused(east, f"{east.tag}~rubbish")
    assert east.metric("alliance_questions_total") == asked


def test_a_partners_tag_before_rubbish_is_refused_by_its_issuer(east, west):
    token = f"{west.tag}~{fernet()}"
    assert refused(east, token)
    judged = east.alliance("token", "validate", "-", status=1, stdin=token)
    assert "not_found" in judged.stdout


def test_a_token_under_the_tag_of_another_partner_is_refused(token, east, north):
    inner = token.partition("~")[2]
    assert refused(east, f"{north.tag}~{inner}")


def test_a_token_from_the_future_is_refused_without_asking_its_issuer(east, west):
    asked = east.metric("alliance_questions_total")
    token = f"{west.tag}~{fernet(int(time.time()) + 3600)}"
    assert refused(east, token)
    judged = east.alliance("token", "validate", "-", status=1, stdin=token)
    assert "not_yet_valid" in judged.stdout
    assert east.metric("alliance_questions_total") == asked


def test_a_token_of_a_suspended_partner_is_refused_and_the_reason_is_told(token, east):
    east.orders("partner", "suspend", "west")
    try:
        assert refused(east, token)
        judged = east.alliance("token", "validate", "-", status=1, stdin=token)
        assert "partner_suspended" in judged.stdout
    finally:
        east.orders("partner", "resume", "west")
    assert east.lets_in(token)


def test_a_token_of_a_project_without_agreement_is_refused_and_both_logs_say_why(west, east):
    stranger = west.person()
    token = stranger.login()
    assert refused(east, token)
    assert "no_agreement" in east.alliance("token", "validate", "-", status=1, stdin=token).stdout
    for log in (east.log("alliance"), east.log("keystone")):
        assert "no_agreement" in log.read_text(), log
    until(
        lambda: re.search(r"no_agreement", west.log("alliance").read_text()),
        "west's daemon has logged why its token was refused",
    )
    assert not east.rows("SELECT id FROM project WHERE extra LIKE ?", f"%{stranger.project.id}%")


def test_a_token_that_has_expired_a_second_ago_is_refused(west, east, guest):
    """Its issuer's Keystone makes tokens that live 10 seconds, from the same database and keys."""
    with KeystoneBeside(west, {"token": {"expiration": 10}}) as short:
        issued = short.login(guest)
    token, expires = issued.token, issued.expires
    assert east.lets_in(token)
    assert east.validate(token).status == 200
    bought = east.rescope(token)
    assert bought.status == 201
    assert bought.json()["token"]["expires_at"] <= issued.expires_at
    until(lambda: time.time() > expires + 1, "the token has expired", deadline=20)
    assert refused(east, token)
    assert not east.lets_in(bought.headers["x-subject-token"])
    # Long jobs of services may still use it for a while, as with native tokens.
    allowed = east.ask("GET", "/auth/tokens?allow_expired=1", east.admin, X_Subject_Token=token)
    assert allowed.status == 200


def test_a_revoked_token_is_refused_once_the_staleness_bound_has_passed(west, east, guest):
    token = guest.login()
    west.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token)
    assert refused(east, token)
