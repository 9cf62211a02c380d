"""What a west project uses at east, as Nova has it and as both clouds report it."""

import csv
import datetime
import io
import json

from tests.kit import http
from tests.kit.waiting import until
from tests.whole.conftest import FLAVOR

#: Ten listings of `alliance work` in a lab, and the way home.
LATEST = 60.0


def boot(shell, name: str) -> str:
    """A server of ann's at east, which runs when this returns: its id."""
    size = f"--image img --flavor {FLAVOR['name']} --network net"
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


def rows(cloud) -> list[dict]:
    """This month's FOCUS report."""
    words = ("--format", "focus", "usage", "report", "--month", now().strftime("%Y-%m"))
    return list(csv.DictReader(io.StringIO(cloud.alliance(*words).stdout)))


def servers(cloud) -> list[dict]:
    """Its rows about servers."""
    return [row for row in rows(cloud) if row["ResourceType"] == "server"]


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
