"""Tempest, the suite with which OpenStack tests its own clouds: which of its tests pass where."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab.cache import Environment
from lab.commands import base_settings
from lab.state import write_secret
from tests.kit.people import Person

#: Of a test, or of a whole class whose preparation failed or was skipped.
RESULT = re.compile(
    r"^\{\d+\} (?:setUpClass \()?([^\s()]+)\)? .*?(?:\[[\d.]+s\] )?\.\.\. (ok|FAILED|SKIPPED)", re.M
)
DEADLINE = 3600


def results(configuration: str, tests: str, folder: Path) -> dict[str, str]:
    """How each test ended whose name the regular expression matches; `folder` is a new one."""
    tempest = Environment("tempest").ensure()
    settings = {**base_settings(), "PATH": f"{tempest.path}/bin:{os.environ['PATH']}"}

    def run(*words: str) -> str:
        done = subprocess.run(
            [tempest.bin("tempest"), *words],
            cwd=folder,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
        )
        assert done.returncode in (0, 1), done.stdout
        return done.stdout

    folder.mkdir()
    run("init", "--workspace-path", str(folder.parent / "workspaces.yaml"), str(folder))
    own = f"[oslo_concurrency]\nlock_path = {folder}\n"
    write_secret(folder / "etc" / "tempest.conf", f"{own}\n{configuration}")
    # One at a time: two of its tests make the same access rule, and Keystone answers one 500.
    return dict(RESULT.findall(run("run", "--regex", tests, "--concurrency", "1")))


def as_admin(password: str) -> str:
    """Section for the admin of a cloud, who makes users for the tests."""
    return f"""\
[auth]
use_dynamic_credentials = true
create_isolated_networks = false
admin_username = admin
admin_password = {password}
admin_project_name = admin
admin_domain_name = Default
admin_user_domain_name = Default
"""


def as_people(people: Mapping[str, Person], file: Path) -> str:
    """Section for users who are there, by what Tempest calls them; `file` is a new one. It wants a
    `member` and a `reader` of one project, and an `alt_member` and an `alt_reader` of another."""
    accounts = [
        {
            "username": person.name,
            "password": person.password,
            "project_name": person.project.name,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
            "roles": [called],
        }
        for called, person in people.items()
    ]
    write_secret(file, json.dumps(accounts))
    return f"""\
[auth]
use_dynamic_credentials = false
test_accounts_file = {file}
"""


def login_at(cloud) -> str:
    """Sections about the Keystone where everybody logs in."""
    return f"""\
[identity]
uri_v3 = {cloud.identity}
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
"""
