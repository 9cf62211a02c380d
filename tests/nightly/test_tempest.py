"""Tempest's own tests of Keystone's API give the same results with and without the plugin."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.cache import Environment
from lab.clients import login
from lab.commands import base_settings
from lab.state import Lab

CHECKOUT = Path(__file__).resolve().parents[2]
RESULT = re.compile(r"^\{\d+\} (\S+) .*?(?:\[[\d.]+s\] )?\.\.\. (ok|FAILED|SKIPPED)", re.M)
TESTS = r"^tempest\.api\.identity"


@pytest.fixture(scope="module")
def stock():
    """A cloud as stock as it comes, in a lab of its own."""
    folder = Path(os.environ["ALLIANCE_LAB"]).with_name("stock")
    settings = {**os.environ, "ALLIANCE_LAB": str(folder)}
    up = [CHECKOUT / "lab" / "up", "--without-alliance", "--services", "glance", "plain"]
    subprocess.run(up, env=settings, check=True)
    yield Lab(folder).cloud("plain")
    subprocess.run([CHECKOUT / "lab" / "down", "--purge"], env=settings, check=True)


@pytest.fixture(scope="module")
def plugin(lab):
    return lab.cloud("east")


def results(cloud, folder: Path) -> dict[str, str]:
    """How each test ended at a cloud."""
    tempest = Environment("tempest").ensure()
    path = f"{tempest.path}/bin:{os.environ['PATH']}"
    settings = {**base_settings(), "PATH": path}

    def run(*words: str) -> str:
        done = subprocess.run(
            [tempest.bin("tempest"), *words],
            cwd=folder,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1800,
        )
        assert done.returncode in (0, 1), done.stdout
        return done.stdout

    run("init", "--workspace-path", str(folder.parent / "workspaces.yaml"), str(folder))
    (folder / "etc" / "tempest.conf").write_text(configuration(cloud, folder))
    # One at a time: two of its tests make the same access rule, and Keystone answers one 500.
    found = run("run", "--regex", TESTS, "--concurrency", "1")
    return dict(RESULT.findall(found))


def configuration(cloud, folder: Path) -> str:
    admin = login(cloud, "admin")
    absent = ("nova", "neutron", "cinder", "swift", "horizon")
    return f"""\
[DEFAULT]
log_file = tempest.log

[oslo_concurrency]
lock_path = {folder}

[auth]
use_dynamic_credentials = true
admin_username = admin
admin_password = {admin["OS_PASSWORD"]}
admin_project_name = admin
admin_domain_name = Default
admin_user_domain_name = Default

[identity]
uri_v3 = {cloud.auth_url}
auth_version = v3
v3_endpoint_type = public
region = {cloud.name}

[identity-feature-enabled]
api_v2 = false
api_v3 = true
trust = true
application_credentials = true
access_rules = true
federation = false

[service_available]
{chr(10).join(f"{name} = false" for name in absent)}
glance = true
"""


def test_tempest_finds_no_difference(stock, plugin, tmp_path):
    ended = {}
    for name, cloud in (("stock", stock), ("plugin", plugin)):
        folder = tmp_path / name
        folder.mkdir()
        ended[name] = results(cloud, folder)
        shutil.rmtree(folder)
    assert len(ended["stock"]) > 100
    assert list(ended["stock"].values()).count("ok") > 100
    different = {
        test: (result, ended["plugin"].get(test))
        for test, result in ended["stock"].items()
        if ended["plugin"].get(test) != result
    }
    assert not different
    assert ended["plugin"].keys() == ended["stock"].keys()
