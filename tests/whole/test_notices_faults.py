"""A west project's servers at east are noticed once, whatever goes wrong. Takes long: `make
nightly`."""

import pytest

from tests.kit import http
from tests.kit.waiting import until
from tests.whole.metering import LATEST, boot, delete
from tests.whole.test_notices import told
from tests.whole.test_usage_faults import notification, remove, tell_bus

pytestmark = pytest.mark.usefixtures("network")

CREATED, FAILED, DELETED = "server.created", "server.failed", "server.deleted"


def set_state(east, server: str, state: str) -> None:
    url = f"http://127.0.0.1:{east.port('nova')}/v2.1/servers/{server}/action"
    order = {"os-resetState": {"state": state}}
    assert http.send("POST", url, {"X-Auth-Token": east.admin}, order).status == 202


def hold(east) -> int:
    """How many conditions hold, as east has seen them."""
    [(count,)] = east.daemon_rows("SELECT COUNT(*) FROM notice_marks WHERE holds = 1")
    return count


def test_a_server_in_error_is_noticed_again_only_after_it_has_recovered(west, east, shell):
    server = boot(shell, "troubled")
    until(lambda: told(west, server) == [CREATED], "home is told of it", deadline=LATEST)
    before = hold(east)
    for times in (1, 2):
        set_state(east, server, "error")
        expected = [CREATED] + [FAILED] * times
        until(lambda: told(west, server) == expected, "it fails", deadline=LATEST)  # noqa: B023
        set_state(east, server, "active")
        until(lambda: hold(east) == before, "east has seen that it works", deadline=LATEST)
    east.restart("alliance-work")
    delete(shell, server)
    until(lambda: told(west, server)[-1] == DELETED, "home is told of its end", deadline=LATEST)
    assert told(west, server) == [CREATED, FAILED, FAILED, DELETED]


def test_what_the_bus_repeats_and_what_it_loses_is_noticed_once(west, east, shell):
    server = boot(shell, "repeated")
    until(lambda: told(west, server) == [CREATED], "home is told of it", deadline=LATEST)
    with east.stopped("alliance-work"):
        delete(shell, server)
        tell_bus(east, purge=True)
    until(lambda: told(west, server)[-1] == DELETED, "home is told of its end", deadline=LATEST)
    # Late, and five times.
    gone = notification("compute.instance.delete.end", instance_id=server, tenant_id="x")
    tell_bus(east, *[gone] * 5)
    other = boot(shell, "later")
    until(lambda: told(west, other) == [CREATED], "home is told of another", deadline=LATEST)
    assert told(west, server) == [CREATED, DELETED]
    delete(shell, other)


def test_a_home_that_was_killed_is_told_afterwards(west, east, shell):
    server = boot(shell, "meanwhile")
    with west.killed("alliance"):
        remove(east, server)
        east.restart("alliance")
    expected = [CREATED, DELETED]
    until(lambda: told(west, server) == expected, "home is told of both", deadline=LATEST)
