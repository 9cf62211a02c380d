"""Three daemons a cloud, behind HAProxy, and what goes wrong with one of them while users of west
work at east: they notice nothing, and nobody stays who has logged out at home.

The database is a Galera cluster; a HAProxy passes all to one node of it.
"""

import os
import signal
import time

import pytest

from lab.mariadb import USER
from lab.services import named
from lab.services.mariadb import MariaDbNode, nodes_of
from tests.ha.instances import BACK, SOON, answer_at, daemons, leader, spread
from tests.kit.faults import clock_off, full_disk, small_disk
from tests.kit.proxy import Proxy
from tests.kit.waiting import until

MINUTE = 60
#: Between resets of connections; shorter than any poll, longer than what a question takes.
BETWEEN_RESETS = 2.0


@pytest.fixture(params=["west", "east"])
def cloud(request):
    """Where it goes wrong."""
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def nothing_twice(request, west, east):
    """Whatever went wrong, nothing was done twice where that can be counted.

    Keystone's events apart where a node of its database dies that may have taken one and not said
    so: it is stored once more at the next, which need not show it yet. That costs a row.
    """
    before = [repeated(cloud, "keystone.revocation_event", REVOKED) for cloud in (west, east)]
    yield
    if not request.node.get_closest_marker("database_dies"):
        after = [repeated(cloud, "keystone.revocation_event", REVOKED) for cloud in (west, east)]
        assert after == before
    for cloud in (west, east):
        assert repeated(cloud, f"alliance.audit WHERE action IN ({ONCE})", AUDITED) == []


REVOKED = "user_id, audit_id, audit_chain_id, issued_before"
AUDITED = "action, subject, detail"
#: Of each partner, or agreement, once.
ONCE = "'partner.paired', 'agreement.made', 'agreement.accepted', 'agreement.ended'"


def repeated(cloud, table: str, columns: str) -> list[list[str]]:
    return cloud.asked(
        f"SELECT {columns}, COUNT(*) AS times FROM {table} GROUP BY {columns} HAVING times > 1"
    )


def test_each_daemon_is_killed_in_turn(cloud, travel, say):
    with travel.under_way(bound=SOON) as journey:
        for daemon in daemons(cloud):
            with cloud.killed(daemon):
                journey.goes_on()
            journey.goes_on()
    say(f"{cloud}'s daemons killed in turn: {journey.report()}")
    journey.was_smooth()


def test_the_leader_is_killed(cloud, travel, say):
    with travel.under_way(bound=SOON) as journey:
        before = until(lambda: leader(cloud), f"{cloud} has a leader")
        with cloud.killed(before):
            began = time.monotonic()
            after = until(lambda: another(cloud, before), "another one leads", deadline=BACK)
            took = time.monotonic() - began
            journey.goes_on()
        journey.goes_on()
    say(f"{cloud}'s leader killed, {after} leads after {took:.1f} s: {journey.report()}")
    journey.was_smooth()


def another(cloud, before: str) -> str | None:
    now = leader(cloud)
    return now if now != before else None


def test_the_leader_halts_for_a_minute_and_goes_on(cloud, travel, say):
    with travel.under_way(bound=SOON) as journey:
        before = until(lambda: leader(cloud), f"{cloud} has a leader")
        with cloud.frozen(before):
            until(lambda: another(cloud, before), "another one leads", deadline=BACK)
            journey.goes_on(MINUTE)
        journey.goes_on()
        assert leader(cloud) not in (None, before)
    say(f"{cloud}'s leader halted for a minute: {journey.report()}")
    journey.was_smooth()


def test_a_spare_node_of_the_database_is_killed_and_joins_again(cloud, travel, say):
    with travel.under_way(bound=SOON) as journey:
        [*_, spare] = [name for name in nodes(cloud) if name not in working(cloud)]
        with cloud.killed(spare):
            until(lambda: size(cloud) == 2, "the others go on without it")
            journey.goes_on()
        until(lambda: size(cloud) == 3, "it has joined again")
        journey.goes_on()
    say(f"a spare node of {cloud}'s database killed: {journey.report()}")
    journey.was_smooth()


@pytest.mark.database_dies
def test_the_node_of_the_database_that_all_work_with_is_killed(cloud, travel, say):
    with travel.under_way(bound=SOON + BACK) as journey:
        for _ in range(2):  # the second time it is another one
            [node] = working(cloud)
            killed = time.monotonic()
            with cloud.killed(node):
                away = time.monotonic()
                journey.goes_on()
                assert len(working(cloud)) == 1
            until(lambda: size(cloud) == 3, "it has joined again")
            journey.goes_on()
            assert node not in working(cloud)
            # For a moment Keystone has no database.
            refused = {refusal.began for refusal in journey.load.refusals if refusal.began > killed}
            assert all(began < away + SOON for began in refused)
    say(f"the node of {cloud}'s database that all work with killed, twice: {journey.report()}")
    assert not [refusal for refusal in journey.load.refusals if refusal.says_no]
    journey.departures.were_heard()


def nodes(cloud) -> dict[str, MariaDbNode]:
    """Those of its database that are there."""
    there = [node for node in nodes_of(cloud.lab.cloud(cloud.name)) if node.healthy()]
    return {node.name: node for node in there}


def working(cloud) -> list[str]:
    """Those that somebody works with."""
    query = f"SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{USER}'"
    return [name for name, node in nodes(cloud).items() if int(node.ask(query))]


def size(cloud) -> int:
    [[_, size]] = cloud.asked("SHOW STATUS LIKE 'wsrep_cluster_size'")
    return int(size)


def test_nobody_reaches_the_database_for_some_seconds(cloud, travel, say):
    with travel.under_way(bound=SOON + BACK) as journey:
        with cloud.killed("mariadb"):
            journey.load.wait(5)
        back = time.monotonic()
        journey.goes_on()
        journey.goes_on()
    say(f"{cloud}'s database away: {journey.report()}")
    refusals = journey.load.refusals
    assert not [refusal for refusal in refusals if refusal.says_no]
    assert not [refusal for refusal in refusals if refusal.began > back + SOON]
    journey.departures.were_heard()


@pytest.mark.parametrize("skew", [-MINUTE, MINUTE])
def test_the_clock_of_one_daemon_is_off_by_a_minute(cloud, travel, say, skew):
    with (
        travel.under_way(bound=SOON) as journey,
        clock_off(cloud, skew, keystone=None, daemon="alliance-2"),
    ):
        journey.goes_on()
        # The others are not asked, or this one leads.
        with cloud.killed("alliance-1", "alliance-3"):
            until(lambda: leader(cloud) == "alliance-2", "it leads", deadline=BACK)
            journey.goes_on()
        journey.goes_on()
    say(f"the clock of one of {cloud}'s daemons off by {skew} s: {journey.report()}")
    journey.was_smooth()


def test_one_daemon_cannot_write_its_files(east, travel, say):
    with (
        small_disk(east, "alliance-2"),
        travel.under_way(bound=SOON) as journey,
        full_disk(east, "alliance-2"),
    ):
        journey.goes_on()
        journey.goes_on()
    say(f"the disk of one of east's daemons full: {journey.report()}")
    journey.was_smooth()


def test_a_suspension_holds_at_the_node_whose_daemon_cannot_write_its_snapshot(east, travel):
    token = travel.people[0].login()
    spread(east, token)
    with small_disk(east, "alliance-2"):
        with full_disk(east, "alliance-2"):
            east.ordered("partner", "suspend", "west")
            for node in east.nodes:
                until(
                    lambda node=node: answer_at(east, node, token) != 200,
                    f"node {node} refuses",
                    deadline=SOON,
                )
        east.orders("partner", "resume", "west")
    spread(east, token)


@pytest.fixture(scope="module")
def border(west, east):
    """What east asks west goes through it."""
    with Proxy(west.port("alliance-peer")) as proxy:
        url = f"https://127.0.0.1:{proxy.port}"
        with west.configured(alliance={"peer": {"url": url}}):
            follow(east, proxy.port)
            east.restart("alliance")
            yield proxy
        follow(east, west.port("alliance-peer"))
    east.restart("alliance")


def follow(host, port: int) -> None:
    def follows(node: int) -> bool:
        host.alliance("partner", "repair", "west", status=None)
        url = host.told("partner", "show", "west", node=node)["peer_url"]
        return url.rstrip("/").endswith(f":{port}")

    for node in host.nodes:
        until(lambda node=node: follows(node), f"node {node} reaches west", deadline=2 * BACK)


def test_each_connection_to_the_partner_is_reset_again_and_again(travel, border, say):
    with travel.under_way(bound=SOON) as journey:
        end = time.monotonic() + MINUTE
        while time.monotonic() < end:
            border.reset()
            journey.load.wait(BETWEEN_RESETS)
        journey.goes_on()
    say(f"connections reset every {BETWEEN_RESETS:.0f} s for a minute: {journey.report()}")
    journey.was_smooth()


def test_every_connection_to_the_partner_is_reset_for_a_minute(travel, border, say):
    # Nobody can tell then: who is not known yet must come again.
    with travel.under_way(bound=MINUTE + SOON) as journey:
        with border.resetting():
            journey.load.wait(MINUTE)
        back = time.monotonic()
        journey.goes_on()
    say(f"no connection for a minute: {journey.report()}")
    refusals = journey.load.refusals
    assert refusals, "a positive control"
    assert not [refusal for refusal in refusals if refusal.says_no]
    # For as long as 10 s the partner is left alone.
    assert not [refusal for refusal in refusals if refusal.began > back + 2 * SOON]
    journey.departures.were_heard()


def test_a_daemon_that_is_ended_hands_over_at_once(east, travel, say):
    with travel.under_way(bound=SOON) as journey:
        before = until(lambda: leader(east), "east has a leader")
        [service] = named(east.lab.cloud("east"), before)
        with east.started_after(before):
            os.kill(service.process().pid, signal.SIGTERM)
            began = time.monotonic()
            after = until(lambda: another(east, before), "another one leads", deadline=BACK)
            took = time.monotonic() - began
            until(lambda: not service.process(), "it has ended", deadline=BACK)
            journey.goes_on()
        journey.goes_on()
    say(f"east's leader ended, {after} leads after {took:.1f} s: {journey.report()}")
    journey.was_smooth()
