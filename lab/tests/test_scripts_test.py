"""`scripts/test` ends as its parts end: what runs them is no part that the others could check."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "test"
# Stands for every command that the parts call; fails for the part that $FAILS names.
STUB = """#!/bin/bash
case "$*" in *"$FAILS"*) exit 1 ;; esac
"""
INTERPRETERS = """#!/bin/bash
echo "$(cd "$(dirname "$0")" && pwd)/$1"
"""


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "keystone-plugin").mkdir()
    for name in ("scripts", "lab/keystone/bin", "lab/client/bin"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "scripts" / "test")
    stubs = ("scripts/prerequisites", "scripts/with-lab")
    stubs += ("lab/keystone/bin/python", "lab/client/bin/python")
    for name, text in [(stub, STUB) for stub in stubs] + [("lab/venv", INTERPRETERS)]:
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("fails", "status"),
    [
        ("nothing does", 0),
        ("-p no:cacheprovider tests/whole", 1),
        ("lab/tokens/tests", 1),
        ("lab/tests", 1),
        ("tests --ignore", 1),
    ],
)
def test_it_succeeds_only_if_every_part_does(checkout, fails, status):
    run = subprocess.run(
        [checkout / "scripts" / "test", "beside", "e2e"],
        env={"PATH": "/usr/bin:/bin", "FAILS": fails},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == status, run.stdout + run.stderr
