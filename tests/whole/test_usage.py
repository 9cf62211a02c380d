"""What a west project uses at east is counted at both, once, with the times that Nova has."""

import subprocess

import pytest

from tests.kit import http
from tests.kit.waiting import until
from tests.whole.conftest import FLAVOR
from tests.whole.metering import LATEST, boot, charges, counted, delete, now, rows

pytestmark = pytest.mark.usefixtures("network")


def test_a_server_is_counted_at_home_with_its_times_and_once(west, east, ann, shell):
    server = boot(shell, "counted")
    until(lambda: charges(west, server), "a running server is counted at home", deadline=LATEST)
    delete(shell, server)
    counted(west, east, server)
    [row] = charges(west, server)
    assert row["SubAccountId"] == ann.project.id
    assert (row["SkuId"], row["ResourceType"]) == (FLAVOR["name"], "server")
    assert (row["ProviderName"], row["BillingAccountName"]) == ("east", "west")


def test_a_volume_costs_at_both_clouds_what_they_agreed(west, east):
    person = west.person(roles=("member", "reader"))
    prices = ("--currency", "EUR", "--price", "volumes=3600,gigabytes=7200")
    agreement = east.agree("west", person.project, ("member",), *prices)
    until(
        lambda: agreement in str(west.told("agreement", "list")),
        "west has heard of the prices",
    )
    west.alliance("agreement", "accept", agreement, "--version", "1")
    headers = {"X-Auth-Token": person.login()}
    here = east.told("agreement", "show", agreement)["host_project_id"]
    url = f"http://127.0.0.1:{east.port('cinder')}/v3/{here}/volumes"
    made = http.send("POST", url, headers, {"volume": {"size": 2, "name": "priced"}})
    assert made.status == 202, made.body
    volume = made.json()["volume"]["id"]

    def status() -> str:
        answer = http.send("GET", f"{url}/{volume}", headers)
        return answer.json()["volume"]["status"] if answer.status == 200 else "gone"

    def bills() -> list[tuple]:
        fields = ("BilledCost", "BillingCurrency", "ConsumedQuantity", "ChargePeriodEnd")
        found = [row for cloud in (west, east) for row in rows(cloud)]
        found = [row for row in found if row["ResourceId"] == volume]
        return [tuple(row[field] for field in fields) for row in found]

    until(lambda: status() == "available", "the volume is there", deadline=LATEST)
    # The first notification of all is heard by nobody, since its exchange is made by it.
    until(bills, "the volume is counted", deadline=LATEST)
    assert http.send("DELETE", f"{url}/{volume}", headers).status == 202
    until(lambda: status() == "gone", "the volume is gone", deadline=LATEST)

    # A euro a second for the volume, and two for each of its two GiB.
    def agreed() -> bool:
        found = bills()
        return len(found) == 2 and found[0] == found[1] and bills() == found

    until(agreed, "both have billed the volume, and are done with it", deadline=LATEST)
    [(cost, currency, seconds, _), _] = bills()
    assert (float(cost), currency) == (pytest.approx(5 * float(seconds)), "EUR")
    month = now().strftime("%Y-%m")
    for cloud in (west, east):
        report = cloud.told("usage", "report", "--month", month, "--project", person.project.id)
        [line] = report
        assert line["costs"] == [{"amount": cost, "currency": "EUR"}], report


def test_the_process_that_meters_listens_nowhere(east):
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    assert f"pid={east.pid('alliance')}," in listening
    assert f"pid={east.pid('alliance-work')}," not in listening
