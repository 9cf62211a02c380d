"""`scripts/test` ends as its parts end: what runs them is no part that the others could check."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "test"
# Stands for every command that the parts call; fails for the part that $FAILS names.
STUB = """#!/bin/bash
case "$0 $* ${ALLIANCE_KEYSTONES:-}" in *"$FAILS"*) exit 1 ;; esac
"""
ENVIRONMENTS = ("keystone", "keystone22", "client")
#: Of what is asked for: where it is.
NAMES = """#!/bin/bash
echo "$(cd "$(dirname "$0")" && pwd)/$1"
"""


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "keystone-plugin").mkdir()
    for name in ("scripts", "bin", *(f"lab/{name}/bin" for name in ENVIRONMENTS)):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "scripts" / "test")
    stubs = ["scripts/prerequisites", "scripts/with-lab", "scripts/with-mariadb"]
    stubs += ["scripts/cargo-nextest", "bin/cargo", "bin/install"]
    stubs += [f"lab/{name}/bin/python" for name in ENVIRONMENTS]
    names = [(name, NAMES) for name in ("lab/venv", "scripts/tool")]
    for name, text in [(stub, STUB) for stub in stubs] + names:
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("fails", "status"),
    [
        ("nothing does", 0),
        ("cargo build", 1),
        ("install -D", 1),
        ("-p no:cacheprovider tests/whole", 1),
        ("--no-run", 1),
        ("with-mariadb", 1),
        ("lab/tokens/tests", 1),
        ("lab/tests", 1),
        ("keystone/bin/python -m pytest", 1),
        ("tests --ignore", 1),
        ("-p no:cacheprovider tests/operators", 1),
    ],
)
def test_it_succeeds_only_if_every_part_does(checkout, fails, status):
    run = run_script(checkout, "day", FAILS=fails)
    assert run.returncode == status, run.stdout + run.stderr


def run_script(checkout, *parts, **settings):
    return subprocess.run(
        [checkout / "scripts" / "test", *parts],
        env={"PATH": f"{checkout}/bin:/usr/bin:/bin", "FAILS": "nothing does", **settings},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("fails", "status"), [("nothing does", 0), ("-m pytest", 1), ("lab/tokens/tests", 1)]
)
def test_the_plugin_in_an_old_keystone_is_a_part(checkout, fails, status):
    assert run_script(checkout, "plugin22", FAILS=fails).returncode == status


@pytest.mark.parametrize(("part", "cloud"), [("old-west", "west"), ("old-east", "east")])
def test_all_is_tried_end_to_end_with_an_old_keystone_on_either_side(checkout, part, cloud):
    end_to_end = "-p no:cacheprovider tests --ignore"
    for fails, status in (
        ("nothing does", 0),
        (end_to_end, 1),
        (f"--ignore tests/packages {cloud}=22", 1),
        ("-p no:cacheprovider tests/operators", 1),
        (f"tests/test_secrets_stay_secret.py {cloud}=22", 1),
        ("plugin", 0),
    ):
        run = run_script(checkout, part, FAILS=fails)
        assert run.returncode == status, f"{fails}: {run.stdout}{run.stderr}"


def test_what_is_said_of_use_names_every_part(checkout):
    run = run_script(checkout, "another")
    parts = run.stderr.partition("[")[2].partition("…]")[0].split("|")
    assert (run.returncode, len(set(parts))) == (2, 13)
    assert run_script(checkout, *parts).returncode == 0


@pytest.mark.parametrize(
    ("night", "parts"),
    [("", "day"), ("1", "day plugin22 old-west old-east galera ha packages simulation")],
)
def test_an_old_keystone_clusters_and_packages_are_tested_by_night(checkout, night, parts):
    run = run_script(checkout, ALLIANCE_NIGHTLY=night)
    told = [line.removeprefix("test: ") for line in run.stdout.splitlines()]
    assert (run.returncode, told) == (0, parts.split()), run.stderr
