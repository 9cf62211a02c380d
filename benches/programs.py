"""The programs of this checkout that measure, and what they print."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from lab.cache import locked
from lab.errors import LabError
from lab.state import CHECKOUT

#: Longest time that one of them may take.
LONGEST = 180.0


def build() -> Path:
    """The folder where they are."""
    profile = os.environ.get("ALLIANCE_PROFILE", "release")
    packages = ["alliance-inside", "alliance-load"]
    # All in one call, so that cargo compiles what they share once.
    packages += [] if os.environ.get("ALLIANCE_BIN") else ["alliance"]
    words = [word for package in packages for word in ("--package", package)]
    target = CHECKOUT / os.environ.get("CARGO_TARGET_DIR", "target")
    with locked(target / "alliance-lab.lock", f"another build in {target}", deadline=2400):
        command = ["cargo", "build", "--quiet", "--locked", "--profile", profile, *words]
        if subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL).returncode:
            raise LabError("the programs do not build (above)")
    return target / ("debug" if profile == "dev" else profile)


def told(program: Path, *words, stdin):
    """What a program prints as JSON when it is given this as JSON."""
    command = ["setpriv", "--pdeathsig", "KILL", program, *map(str, words)]
    done = subprocess.run(
        command, input=json.dumps(stdin), stdout=subprocess.PIPE, text=True, timeout=LONGEST
    )
    assert done.returncode == 0, f"{program.name}: {done.returncode}"
    return json.loads(done.stdout)
