"""What a west project uses at east is counted at both, once, with the times that Nova has."""

import subprocess

import pytest

from tests.kit.waiting import until
from tests.whole.conftest import FLAVOR
from tests.whole.metering import LATEST, boot, charges, counted, delete

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


def test_the_process_that_meters_listens_nowhere(east):
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    assert f"pid={east.pid('alliance')}," in listening
    assert f"pid={east.pid('alliance-work')}," not in listening
