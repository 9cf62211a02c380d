"""Sign-outs when daemons are killed, disks are full, partners away and clocks off: nothing is lost,
and nothing has an effect twice."""

import datetime
import os
import signal
import socket
import time
import uuid

import pytest

from tests.kit.faults import clock_off, full_disk, small_disk
from tests.kit.nightly import NIGHTLY, by_night
from tests.kit.proxy import Proxy
from tests.kit.statements import payload
from tests.kit.waiting import until
from tests.test_sign_out import BACK, are_noted, log_out, take_roles, traveller, visit

SKEW = 60


def arrives(west, east):
    """A guest of whom east has served and cached all tokens, after whatever was before."""
    person = traveller(west, east)
    until(lambda: east.lets_in(person.login()), "east lets in a guest of west", deadline=BACK)
    guest = visit(east, person)
    are_noted(east, guest.tokens)
    return guest


@pytest.fixture
def guest(west, east):
    return arrives(west, east)


def ended(east, guest) -> None:
    until(lambda: guest.is_refused(east), "east refuses all of them", deadline=BACK)


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


def poke(cloud) -> None:
    """Tells its daemon, as the plugin does, that there is something to read."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"{}", str(cloud.daemon_socket.with_name("poke.sock")))


def events(cloud) -> int:
    """How many revocation events its Keystone has stored."""
    return cloud.rows("SELECT COUNT(*) FROM revocation_event")[0][0]


def rings(cloud) -> int:
    return int(cloud.metric("alliance_rings_total"))


def not_noted(cloud) -> int:
    """How often its daemon could not note what has ended."""
    return cloud.log("alliance").read_text().count("what has ended here was not noted")


def audit_id(west, token: str) -> str:
    answer = west.ask("GET", "/auth/tokens", token, X_Subject_Token=token)
    return answer.json()["token"]["audit_ids"][0]


def clocks(west, token: str) -> tuple[float, float]:
    """What its Keystone's clock and its daemon's show, just after a login for this token."""
    issued_at = west.validate(token).json()["token"]["issued_at"]
    passport = payload(west.passport("east", token))
    return datetime.datetime.fromisoformat(issued_at).timestamp(), passport["iat"]


def follow(host, port: int) -> None:
    def follows() -> bool:
        host.alliance("partner", "repair", "west", status=None)
        return host.told("partner", "show", "west")["peer_url"].rstrip("/").endswith(f":{port}")

    until(follows, f"{host} reaches west at port {port}", deadline=40)


@pytest.fixture(scope="module")
def border(west, east, north):
    """What east asks west goes through it; and what north asks, once it has heard of it."""
    port = west.port("alliance-peer")
    with Proxy(port) as proxy:
        url = f"https://127.0.0.1:{proxy.port}"
        with west.configured(alliance={"peer": {"url": url}}):
            follow(east, proxy.port)
            # A question that it asked on the old way may still wait there.
            east.restart("alliance")
            yield proxy
        # Nobody finds the way back who still goes through it when it is gone.
        for host in (east, north):
            follow(host, port)


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


def test_a_host_killed_before_it_could_acknowledge_does_nothing_twice(west, east, guest, border):
    quiet(west, east)
    before, stored = noted(west), events(east)
    # Its question is with west already.
    with east.started_after("alliance"), border.holding(sent=True):
        log_out(west, guest)
        ended(east, guest)
        assert heard(west, east) <= before < noted(west)
        east.kill("alliance")
    quiet(west, east)
    # What may have been rung for has been.
    east.restart("alliance")
    assert guest.is_refused(east)
    # One for the token, one for what was made from it.
    assert events(east) == stored + 2


def test_a_host_killed_before_its_keystone_knew_tells_it_afterwards(west, east, guest):
    quiet(west, east)
    before, stored = noted(west), events(east)
    with east.started_after("alliance"), east.frozen("keystone"):
        log_out(west, guest)
        until(lambda: noted(west) > before, "west has noted it")
        quiet(west, east)
        east.kill("alliance")
        assert events(east) == stored
    ended(east, guest)
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


def test_a_home_whose_disk_is_full_logs_out_and_tells_when_there_is_room(west, east, guest):
    other = arrives(west, east)
    with small_disk(west):
        quiet(west, east)
        before, refusals = noted(west), not_noted(west)
        with full_disk(west):
            log_out(west, guest)
            # What leaves no event in Keystone, and is in the poke alone.
            take_roles(west, other)
            assert west.validate(guest.origin).status == 404
            until(lambda: not_noted(west) > refusals, "west's daemon cannot note it", deadline=BACK)
            assert noted(west) == before
        ended(east, guest)
        ended(east, other)


@by_night
@pytest.mark.parametrize("skew", [-SKEW, SKEW])
def test_clouds_whose_clocks_differ(west, east, skew):
    with clock_off(west, skew):
        guest = arrives(west, east)
        for clock in clocks(west, guest.person.login()):
            assert abs(clock - time.time() - skew) < SKEW / 2, "a positive control"
        ends = [east.validate(token).json()["token"]["expires_at"] for token in guest.tokens]
        assert max(ends) == min(ends), "what was bought lives no longer than its origin"
        log_out(west, guest)
        ended(east, guest)
        # The event is about what was before it, by home's clock.
        again = visit(east, guest.person)
        quiet(west, east)
        assert again.is_served(east)
        take_roles(west, again)
        ended(east, again)


@pytest.mark.parametrize(("guests", "count"), [(100, 10_000) if NIGHTLY else (10, 1_000)])
def test_a_host_that_was_away_hears_of_all_that_ended_meanwhile(west, east, guests, count):
    tokens = traveller(west, east).logins(guests)
    for token in tokens:
        serves(east, token)
    are_noted(east, tokens)
    of_guests = [{"audit_id": audit_id(west, token)} for token in tokens]
    others = [{"audit_id": uuid.uuid4().hex[:22]} for _ in range(count - len(tokens))]
    quiet(west, east)
    before, stored, half = noted(west), events(east), count // 2
    with east.killed("alliance"):
        west.store_revocations(others[:half] + of_guests + others[half:])
        until(lambda: noted(west) >= before + count, "west has noted them", deadline=60)

    def refused(token: str) -> bool:
        return east.validate(token).status == 404

    until(lambda: all(map(refused, tokens)), "east refuses all of them", deadline=BACK)
    quiet(west, east)
    assert events(east) == stored + 2 * len(tokens)


def test_events_about_nobody_here_never_touch_keystone(west, east, guest):
    quiet(west, east)
    before, stored, rung = noted(west), events(east), rings(east)
    west.store_revocations([{"audit_id": uuid.uuid4().hex[:22]} for _ in range(1000)])
    west.store_revocations([{"user_id": uuid.uuid4().hex} for _ in range(1000)])
    until(lambda: noted(west) >= before + 2000, "west has noted them", deadline=30)
    quiet(west, east)
    # Whatever was to be rung for before this is rung for together with it.
    log_out(west, guest)
    ended(east, guest)
    assert events(east) == stored + 2
    assert rings(east) == rung + 1


def test_keystone_is_flushed_twice_a_second_at_most_however_fast_sessions_end(west, east):
    tokens = traveller(west, east).logins(10)
    for token in tokens:
        serves(east, token)
    ids = [audit_id(west, token) for token in tokens]
    quiet(west, east)
    rung, began = rings(east), time.monotonic()
    for own in ids:
        before = noted(west)
        west.store_revocations([{"audit_id": own}])
        poke(west)
        until(lambda before=before: noted(west) > before, "west has noted it")
    quiet(west, east)
    count, elapsed = rings(east) - rung, time.monotonic() - began
    assert 1 <= count <= 2 * elapsed + 1
    until(
        lambda: all(east.validate(token).status == 404 for token in tokens),
        "all are refused",
        deadline=BACK,
    )
