"""What a west project uses at east is counted at both, whatever goes wrong. Takes long: `make
nightly`."""

import contextlib
import json
import re
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.cache import Environment
from lab.services import rabbitmq
from lab.state import free_port, write_secret
from tests.kit import http
from tests.kit.waiting import until
from tests.whole.metering import LATEST, boot, charges, counted, delete, now, servers

pytestmark = pytest.mark.usefixtures("network")

#: What somebody does with the message bus, by its own library: it is given a URL and reads JSON.
#: Takes all messages of the queues away, then sends some.
BUS = """\
import json, sys
from kombu import Connection, Exchange, Queue

said, found = json.load(sys.stdin), {}
with Connection(sys.argv[1].replace("rabbit://", "amqp://")) as connection:
    channel = connection.channel()
    for name in said["take"]:
        queue, found[name] = Queue(name, channel=channel), []
        while message := queue.get(no_ack=True):
            found[name].append(message.body)
    producer = connection.Producer(channel)
    for body in said["messages"]:
        producer.publish("x" * body if isinstance(body, int) else body,
            exchange="nova", routing_key="notifications.info", content_type="application/json",
            content_encoding="utf-8")
print(json.dumps(found))
"""
#: Deletes a queue of `alliance work` if it is a quorum queue, as RabbitMQ says by taking one that
#: is declared so for the same.
END = """\
import sys
from kombu import Connection, Queue

with Connection(sys.argv[1].replace("rabbit://", "amqp://")) as connection:
    arguments = {"x-queue-type": "quorum", "x-max-length": 1_000_000}
    queue = Queue(sys.argv[2], queue_arguments=arguments, channel=connection.channel())
    queue.queue_declare()
    queue.delete()
"""
#: The queue of `alliance work`.
QUEUE = "alliance-usage"


def tell_bus(east, *messages, take: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Sends messages, a number for junk of that length. Returns what was in the queues before."""
    said = json.dumps({"messages": messages, "take": take})
    python = Environment("services").bin("python")
    command = [python, "-c", BUS, rabbitmq.url(east._cloud)]
    done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextlib.contextmanager
def locked(cloud):
    """Meanwhile nobody writes to the daemon's database."""
    path = cloud.folder / "alliance" / "state" / "alliance.db"
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


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
        assert tell_bus(east, take=(QUEUE,))[QUEUE]
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
        unheard = until(
            lambda: east.metric("alliance_usage_unheard", partner="west"),
            "east has noted it",
            deadline=LATEST,
        )
        with east.killed("alliance", "alliance-work"):
            pass
        assert east.metric("alliance_usage_unheard", partner="west") >= unheard
        assert east.metric("alliance_usage_unheard_since_seconds", partner="west")
    counted(west, east, server)
    until(
        lambda: not east.metric("alliance_usage_unheard_since_seconds", partner="west"),
        "west has heard of everything",
        deadline=LATEST,
    )
    assert west.metric("alliance_usage_records_counted_total", partner="east") >= unheard


def said(cloud, service: str) -> int:
    """How often a process of the cloud has complained of a database that nobody may write to."""
    log = cloud.log(service).read_text()
    return log.count("usage was not stored") + log.count("did not tell; it is asked again")


def test_what_was_read_and_not_stored_when_metering_died_is_read_again(west, east, shell):
    server = boot(shell, "killed-reading")
    before = said(east, "alliance-work")
    with ThreadPoolExecutor() as pool, east.started_after("alliance-work"):
        with locked(east):
            leaving = pool.submit(remove, east, server)
            until(lambda: said(east, "alliance-work") > before, "it is read", deadline=LATEST)
            east.kill("alliance-work")
        leaving.result()
        left = tell_bus(east, take=(QUEUE,))[QUEUE]
        assert server in str(left), "what was not stored was not acknowledged"
        tell_bus(east, *left)
    counted(west, east, server)


def test_what_was_told_and_not_counted_when_home_died_is_told_again(west, east, shell):
    server = boot(shell, "killed-counting")
    until(lambda: charges(west, server), "it is counted at home", deadline=LATEST)
    before = said(west, "alliance")
    with west.started_after("alliance"), locked(west):
        remove(east, server)
        until(lambda: said(west, "alliance") > before, "it was told of", deadline=LATEST)
        west.kill("alliance")
    counted(west, east, server)


def test_services_own_notifications_five_times_and_backwards_change_nothing(west, east, shell):
    with east.stopped("alliance-work"):
        server = boot(shell, "five-times")
        delete(shell, server)
        announced = tell_bus(east, take=(QUEUE,))[QUEUE]
        about = [body for body in announced if server in body]
        assert "compute.instance.create.end" in str(about)
        assert "compute.instance.delete.end" in str(about)
        tell_bus(east, *announced[::-1] * 5)
        read = east.metric("alliance_notifications_total", result="read")
    until(
        lambda: (
            east.metric("alliance_notifications_total", result="read") >= read + 5 * len(announced)
        ),
        "all are read",
        deadline=LATEST,
    )
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
    refused = {
        result: east.metric("alliance_notifications_total", result=result)
        for result in ("malformed", "too_large")
    }
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
    for result, more in (("malformed", 2), ("too_large", 1)):
        until(
            lambda result=result, more=more: (
                east.metric("alliance_notifications_total", result=result) == refused[result] + more
            ),
            f"{result} are told of",
        )
    listed = east.metric("alliance_usage_listed_seconds", kind="server")
    until(
        lambda: east.metric("alliance_usage_listed_seconds", kind="server") > listed,
        "servers are listed again",
        deadline=LATEST,
    )


def test_of_a_bus_of_several_hosts_one_that_answers_is_heard(east, tmp_path):
    """In a queue of which each host of a cluster has a copy."""
    url = rabbitmq.url(east._cloud)
    nobody = f"127.0.0.1:{free_port()}"
    scheme, user, _ = re.split("(?<=://)|(?<=@)", url)
    hosts, file, queue = tmp_path / "hosts", tmp_path / "alliance.toml", "of-several"
    write_secret(hosts, f"{scheme}{user}{nobody},{url.removeprefix(scheme)}\n")
    work = {"amqp_url_file": str(hosts), "queue": queue, "quorum_queue": True}

    def is_heard() -> bool:
        lines = east.log("alliance-work").read_text().splitlines()
        return any("the message bus is heard" in line and queue in line for line in lines)

    def malformed() -> float:
        return east.metric("alliance_notifications_total", result="malformed")

    def of_bus(config: str) -> list[str]:
        """What the doctor says of the message bus that a configuration names."""
        write_secret(file, config)
        said = east.alliance("doctor", "--config", str(file), status=None).stdout
        return [line for line in said.splitlines() if "  message bus: " in line]

    before = malformed()
    try:
        with east.configured(**{"alliance-work": {"work": work}}):
            until(is_heard, "it is bound", deadline=LATEST)
            tell_bus(east, "junk")
            until(lambda: malformed() > before, "it is read", deadline=LATEST)
            config = (east.folder / "alliance-work" / "alliance.toml").read_text()
            found = of_bus(config)
            other_kind = of_bus(config.replace("quorum_queue = true", "quorum_queue = false"))
    finally:
        python = Environment("services").bin("python")
        subprocess.run([python, "-c", END, url, queue], check=True, timeout=60)
    [warned] = [line for line in found if nobody in line]
    assert warned.startswith("WARN")
    [failed] = [line for line in other_kind if line.startswith("FAIL")]
    assert f"delete_queue {queue}" in failed


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
