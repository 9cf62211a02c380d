"""What a west project uses at east is counted at both, once, with the times that Nova has."""

import csv
import datetime
import io
import json
import subprocess
import threading

import pytest

from lab.cache import Environment
from lab.services import rabbitmq
from tests.kit import http
from tests.kit.waiting import until
from tests.whole.conftest import FLAVOR

#: Ten listings of `alliance work` in a lab, and the way home.
LATEST = 60.0
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


@pytest.fixture(scope="module", autouse=True)
def network(shell, image_file):
    shell.openstack("east", "network create metered")
    shell.openstack("east", "subnet create metered --network metered --subnet-range 10.7.0.0/24")
    image = f"--disk-format raw --container-format bare --file {image_file}"
    shell.openstack("east", f"image create metered {image}")


def boot(shell, name: str) -> str:
    """A server of ann's at east, which runs when this returns: its id."""
    size = f"--image metered --flavor {FLAVOR['name']} --network metered"
    made = shell.openstack("east", f"server create {name} {size} --wait -f json")
    return json.loads(made)["id"]


def delete(shell, server: str) -> None:
    shell.openstack("east", f"server delete {server} --wait")


def lived(east, server: str) -> float:
    """For how many seconds Nova says that it ran."""
    since = (now() - datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    query = f"all_tenants=1&deleted=true&changes-since={since}"
    url = f"http://127.0.0.1:{east.port('nova')}/v2.1/servers/detail?{query}"
    answer = http.send("GET", url, {"X-Auth-Token": east.admin}).json()
    [found] = [one for one in answer["servers"] if one["id"] == server]
    launched, ended = (found[f"OS-SRV-USG:{name}_at"] for name in ("launched", "terminated"))
    ended, launched = map(datetime.datetime.fromisoformat, (ended, launched))
    return (ended - launched).total_seconds()


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def servers(cloud) -> list[dict]:
    """The rows about servers in this month's FOCUS report."""
    words = ("--format", "focus", "usage", "report", "--month", now().strftime("%Y-%m"))
    rows = csv.DictReader(io.StringIO(cloud.alliance(*words).stdout))
    return [row for row in rows if row["ResourceType"] == "server"]


def charges(cloud, server: str) -> list[dict]:
    """The rows about one of them."""
    return [row for row in servers(cloud) if row["ResourceId"] == server]


def counted(west, east, server: str) -> float:
    """For how many seconds a server that has ended is counted, at both."""

    def agreed():
        rows = charges(west, server)
        at_host = charges(east, server)
        seconds = [float(row["ConsumedQuantity"]) for row in rows]
        same = seconds == [float(row["ConsumedQuantity"]) for row in at_host]
        expected = lived(east, server)
        return same and len(seconds) == 1 and abs(seconds[0] - expected) <= 1 and seconds[0]

    try:
        return until(agreed, f"server {server} is counted at both", deadline=LATEST)
    except AssertionError:
        seen = {cloud.name: charges(cloud, server) for cloud in (west, east)}
        raise AssertionError(f"{lived(east, server)} s, but {seen}") from None


def tell_bus(east, *messages, purge: bool = False) -> None:
    said = json.dumps({"messages": messages, "purge": purge})
    python = Environment("services").bin("python")
    command = [python, "-c", BUS, rabbitmq.url(east._cloud), said]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_server_is_counted_at_home_with_its_times_and_once(west, east, ann, shell):
    server = boot(shell, "counted")
    until(lambda: charges(west, server), "a running server is counted at home", deadline=LATEST)
    delete(shell, server)
    counted(west, east, server)
    [row] = charges(west, server)
    assert row["SubAccountId"] == ann.project.id
    assert (row["SkuId"], row["ResourceType"]) == (FLAVOR["name"], "server")
    assert (row["ProviderName"], row["BillingAccountName"]) == ("east", "west")


def test_an_end_while_the_message_bus_was_down_is_counted_when_it_was(west, east, shell):
    server = boot(shell, "bus-down")
    with east.stopped("rabbitmq"):
        leaving = threading.Thread(target=delete, args=(shell, server))
        leaving.start()
    leaving.join(180)
    assert not leaving.is_alive()
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


def test_the_process_that_meters_listens_nowhere(east):
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    assert f"pid={east.pid('alliance')}," in listening
    assert f"pid={east.pid('alliance-work')}," not in listening
