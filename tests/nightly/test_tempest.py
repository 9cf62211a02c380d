"""Tempest's own tests of Keystone's API give the same results with and without the plugin."""

import os
import subprocess
from pathlib import Path

import pytest

from lab.state import CHECKOUT, Lab
from tests.kit import tempest
from tests.kit.cloud import Cloud

TESTS = r"^tempest\.api\.identity"
SERVICES = """\
[service_available]
glance = true
nova = false
neutron = false
cinder = false
swift = false
horizon = false
"""


@pytest.fixture(scope="module")
def stock():
    """A cloud as stock as it comes, in a lab of its own."""
    folder = Path(os.environ["ALLIANCE_LAB"]).with_name("stock")
    settings = {**os.environ, "ALLIANCE_LAB": str(folder)}
    up = [CHECKOUT / "lab" / "up", "--without-alliance", "--services", "glance", "plain"]
    subprocess.run(up, env=settings, check=True)
    yield Cloud(Lab(folder), "plain")
    subprocess.run([CHECKOUT / "lab" / "down", "--purge"], env=settings, check=True)


def test_tempest_finds_no_difference(stock, east, tmp_path):
    ended = {}
    for name, cloud in (("stock", stock), ("plugin", east)):
        as_admin = tempest.as_admin(cloud.variables()["OS_PASSWORD"])
        sections = "\n".join((as_admin, tempest.login_at(cloud), SERVICES))
        ended[name] = tempest.results(sections, TESTS, tmp_path / name)
    assert len(ended["stock"]) > 100
    assert list(ended["stock"].values()).count("ok") > 100
    different = {
        test: (result, ended["plugin"].get(test))
        for test, result in ended["stock"].items()
        if ended["plugin"].get(test) != result
    }
    assert not different
    assert ended["plugin"].keys() == ended["stock"].keys()
