"""The daemons of one cloud, seen one by one."""

import concurrent.futures
import itertools
import time

from lab.services import named
from tests.kit.waiting import until

#: In seconds; a machine with few processors has two clouds of three nodes each.
SOON = 10
#: And until daemons that were away have found each other again.
BACK = 30


def daemons(cloud) -> list[str]:
    return [f"alliance-{node}" for node in cloud.nodes]


def answer_at(cloud, node: int, token: str) -> int:
    """What the Keystone of one node answers to a request with this token; 503 if it hangs."""
    try:
        return cloud.ask_at(node, "GET", "/auth/projects", token).status
    except TimeoutError:
        return 503


def is_ready(cloud, node: int) -> bool:
    """Whether the daemon of one node is there, and says that it is ready."""
    [daemon] = named(cloud.lab.cloud(cloud.name), f"alliance-{node}")
    return daemon.healthy()


def serves(cloud, token: str, node: int) -> bool:
    return answer_at(cloud, node, token) == 200


def spread(cloud, token: str) -> None:
    """Waits until the Keystone of each node serves this token."""
    for node in cloud.nodes:
        until(lambda node=node: serves(cloud, token, node), f"node {node} serves", deadline=BACK)


def leader(cloud) -> str | None:
    """The daemon that does what only one may do; None while none does."""
    held = "alliance.leases WHERE name = 'leader' AND till > UNIX_TIMESTAMP()"
    rows = cloud.asked(f"SELECT holder FROM {held}")
    return rows[0][0].partition("/")[0] if rows else None


def delays(nodes, condition) -> list[float]:
    """For each of these nodes, how many seconds from now on `condition(node)` is not yet true."""
    began = time.monotonic()

    def delay(node: int) -> float:
        while not condition(node):
            assert time.monotonic() < began + BACK, f"node {node}: not within {BACK} s"
        return time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(delay, nodes))


def in_turn(cloud):
    """A node and all others, without end."""
    for node in itertools.cycle(cloud.nodes):
        yield node, [other for other in cloud.nodes if other != node]
