"""What a west project uses at east is counted at both, whatever goes wrong. Takes long: `make
nightly`."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.cache import Environment
from lab.services import rabbitmq
from tests.kit import http
from tests.kit.waiting import until
from tests.whole.metering import LATEST, boot, charges, counted, delete, now, servers

pytestmark = pytest.mark.usefixtures("network")

#: What somebody says to the message bus, by its own library: the arguments are a URL and JSON.
BUS = """\
import json, sys
from kombu import Connection, Exchange, Queue

said = json.loads(sys.argv[2])
with Connection(sys.argv[1].replace("rabbit://", "amqp://")) as connection:
    channel = connection.channel()
    if said["purge"]:
        Queue("alliance-usage", channel=channel).purge()
    producer = connection.Producer(channel)
    for body in said["messages"]:
        producer.publish("x" * body if isinstance(body, int) else body,
            exchange="nova", routing_key="notifications.info", content_type="application/json",
            content_encoding="utf-8")
"""


def tell_bus(east, *messages, purge: bool = False) -> None:
    said = json.dumps({"messages": messages, "purge": purge})
    python = Environment("services").bin("python")
    command = [python, "-c", BUS, rabbitmq.url(east._cloud), said]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def remove(east, server: str) -> None:
    """Deletes a server as east's admin. Nova may have lost an order that it was given while its own
    message bus was down."""
    url = f"http://127.0.0.1:{east.port('nova')}/v2.1/servers/{server}"
    admin = {"X-Auth-Token": east.admin}

    def over() -> bool:
        answer = http.send("GET", url, admin)
        if answer.status == 404:
            return True
        found = answer.json()["server"]
        return found["status"] == "ERROR" and found["OS-EXT-STS:task_state"] is None

    for _ in range(5):
        http.send("DELETE", url, admin, deadline=LATEST)
        until(over, "it is gone, or cannot be deleted", deadline=180)
        if http.send("GET", url, admin).status == 404:
            return
    raise AssertionError(f"{server} cannot be deleted")


def test_an_end_while_the_message_bus_was_down_is_counted_when_it_was(west, east, shell):
    server = boot(shell, "bus-down")
    with ThreadPoolExecutor() as pool:
        with east.stopped("rabbitmq"):
            leaving = pool.submit(remove, east, server)
        leaving.result()
    counted(west, east, server)


def test_an_end_that_nobody_announced_is_counted_when_it_was(west, east, shell):
    server = boot(shell, "unannounced")
    until(lambda: charges(west, server), "it is counted at home", deadline=LATEST)
    with east.stopped("alliance-work"):
        delete(shell, server)
        tell_bus(east, purge=True)
    counted(west, east, server)


def test_what_hosts_admin_deletes_while_homes_daemon_is_down_is_counted_when_it_is_up(
    west, east, shell
):
    server = boot(shell, "daemon-down")
    url = f"http://127.0.0.1:{east.port('nova')}/v2.1/servers/{server}"
    admin = {"X-Auth-Token": east.admin}
    with west.stopped("alliance"):
        assert http.send("DELETE", url, admin).status == 204
        until(lambda: http.send("GET", url, admin).status == 404, "it is gone", deadline=LATEST)
        east.restart("alliance")
    counted(west, east, server)


def notification(event: str, **payload) -> str:
    message = {
        "event_type": event,
        "timestamp": "2026-11-28 08:00:00.000000",
        "publisher_id": "compute.test",
        "message_id": "1",
        "priority": "INFO",
        "payload": payload,
    }
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)})


def test_junk_and_strangers_and_repetitions_on_the_bus_change_nothing(west, east, shell):
    native = {"instance_id": "native", "tenant_id": "no-partner's", "user_id": "u"}
    native |= {"instance_type": "m1", "vcpus": 1, "memory_mb": 64, "disk_gb": 1}
    native |= {"launched_at": "2026-11-28T08:00:00.000000"}
    server = boot(shell, "beside-junk")
    until(lambda: charges(west, server), "it is counted at home", deadline=LATEST)
    gone = notification("compute.instance.delete.end", instance_id="never-was", tenant_id="x")
    strange = notification("compute.instance.create.end", **native)
    tell_bus(east, "junk", "{}", 10 << 20, strange, *[gone] * 5)
    delete(shell, server)
    counted(west, east, server)
    assert not charges(east, "native")
    assert not charges(east, "never-was")
    assert "malformed notifications were dropped" in east.log("alliance-work").read_text()


def test_both_sides_count_the_same(west, east, shell):
    server = boot(shell, "on-both-sides")
    delete(shell, server)
    counted(west, east, server)
    began, month = f"{now():%Y-%m-%dT%H:%M:%SZ}", now().strftime("%Y-%m")
    found = west.alliance("usage", "reconcile", "--month", month, "--partner", "east")
    assert found.stdout.startswith("east counts in")

    def ended(cloud) -> dict:
        """Those that can get no longer."""
        over = [row for row in servers(cloud) if row["ChargePeriodEnd"] < began]
        return {row["ResourceId"]: row["ConsumedQuantity"] for row in over}

    assert ended(west) == ended(east) != {}
