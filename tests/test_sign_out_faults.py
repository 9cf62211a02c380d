"""Sign-outs when daemons are killed and partners away: nothing is lost, and nothing has an effect
twice."""

import os
import signal
import uuid

import pytest

from tests.kit.proxy import Proxy
from tests.kit.waiting import until
from tests.test_sign_out import log_out, traveller, visit

#: Seconds until a daemon that was away has connected and caught up.
BACK = 30


def arrives(west, east):
    """A guest of whom east has served and cached all tokens, after whatever was before."""
    person = traveller(west, east)
    until(lambda: east.lets_in(person.login()), "east lets in a guest of west", deadline=BACK)
    return visit(east, person)


@pytest.fixture
def guest(west, east):
    return arrives(west, east)


def ended(east, guest) -> None:
    until(lambda: guest.is_refused(east), "east refuses all of them", deadline=BACK)


def keystone_refuses(east, guest) -> bool:
    return all(east.validate(token).status == 404 for token in guest.tokens)


def serves(east, token: str) -> None:
    until(lambda: east.validate(token).status == 200, "east serves it", deadline=BACK)


def noted(west) -> int:
    """How many changes west has noted so far."""
    return west.daemon_rows("SELECT COALESCE(MAX(seq), 0) FROM sign_outs")[0][0]


def heard(west, east) -> int:
    """How many of them east has acknowledged."""
    query = "SELECT seq FROM heard_sign_outs WHERE cloud_id = ?"
    rows = west.daemon_rows(query, east.cloud_id)
    return rows[0][0] if rows else 0


def has_heard_all(west, east) -> bool:
    return heard(west, east) == noted(west)


def quiet(west, east) -> None:
    """Waits until nothing is left to be told."""
    until(lambda: has_heard_all(west, east), "east has heard all", deadline=BACK)


def events(cloud) -> int:
    """How many revocation events its Keystone has stored."""
    return cloud.rows("SELECT COUNT(*) FROM revocation_event")[0][0]


def audit_id(west, token: str) -> str:
    answer = west.ask("GET", "/auth/tokens", token, X_Subject_Token=token)
    return answer.json()["token"]["audit_ids"][0]


def follow(east, port: int) -> None:
    def follows() -> bool:
        east.alliance("partner", "repair", "west", status=None)
        return east.told("partner", "show", "west")["peer_url"].rstrip("/").endswith(f":{port}")

    until(follows, f"east reaches west at port {port}", deadline=40)


@pytest.fixture(scope="module")
def border(west, east):
    """What east asks west goes through it."""
    port = west.port("alliance-peer")
    with Proxy(port) as proxy:
        url = f"https://127.0.0.1:{proxy.port}"
        with west.configured(alliance={"peer": {"url": url}}):
            follow(east, proxy.port)
            # A question that it asked on the old way may still wait there.
            east.restart("alliance")
            yield proxy
        follow(east, port)


def test_a_host_killed_before_it_hears_hears_it_again(west, east, guest, border):
    quiet(west, east)
    before = noted(west)
    with east.started_after("alliance"), border.holding(sent=False):
        size = border.size(sent=False)
        log_out(west, guest)
        until(lambda: noted(west) > before, "west has noted it")
        until(lambda: border.size(sent=False) > size, "west has told it")
        east.kill("alliance")
        assert heard(west, east) <= before
    ended(east, guest)
    quiet(west, east)


def test_a_host_killed_before_its_keystone_knew_tells_it_afterwards(west, east, guest):
    quiet(west, east)
    before, stored = noted(west), events(east)
    with east.started_after("alliance"), east.frozen("keystone"):
        log_out(west, guest)
        until(lambda: noted(west) > before, "west has noted it")
        quiet(west, east)
        east.kill("alliance")
        assert events(east) == stored
    until(lambda: keystone_refuses(east, guest), "east's Keystone refuses", deadline=BACK)
    assert events(east) == stored + 2


def test_a_home_killed_between_keystones_commit_and_the_poke(west, east, guest):
    quiet(west, east)
    before = noted(west)
    with west.started_after("alliance"):
        os.killpg(os.getpgid(west.pid("alliance")), signal.SIGSTOP)
        log_out(west, guest)
        west.kill("alliance")
        assert noted(west) == before
    ended(east, guest)


def test_a_host_that_was_away_for_ten_thousand_events(west, east):
    tokens = traveller(west, east).logins(100)
    for token in tokens:
        serves(east, token)
    of_guests = [{"audit_id": audit_id(west, token)} for token in tokens]
    others = [{"audit_id": uuid.uuid4().hex[:22]} for _ in range(9_900)]
    quiet(west, east)
    before, stored = noted(west), events(east)
    with east.killed("alliance"):
        west.store_revocations(others[:5000] + of_guests + others[5000:])
        until(lambda: noted(west) >= before + 10_000, "west has noted them", deadline=60)

    def refused(token: str) -> bool:
        return east.validate(token).status == 404

    until(lambda: all(map(refused, tokens)), "east refuses all 100", deadline=BACK)
    quiet(west, east)
    assert events(east) == stored + 2 * len(tokens)
