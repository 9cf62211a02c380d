"""Daemons of an earlier version are replaced one after the other while users of west work at east:
both versions work with one database, whose schema the first of the new ones changes."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from lab import binary
from lab.cache import ensure_file, locked
from lab.services import named
from lab.state import CHECKOUT
from tests.ha.instances import BACK, SOON, daemons, spread
from tests.ha.travel import Travel
from tests.kit.own_lab import own_lab
from tests.kit.waiting import until

#: The last commit whose daemons know an older schema than those of today.
BEFORE = "b663e3823846100f7f1cf8dcf7f7d19cf200dfc9"


def earlier() -> Path:
    """Its program; built once."""

    def make(target: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source"
            subprocess.run(["git", "clone", "-q", CHECKOUT, source], check=True)
            subprocess.run(["git", "-C", source, "checkout", "-q", BEFORE], check=True)
            told = subprocess.check_output([CHECKOUT / "scripts" / "cargo-target"], text=True)
            built = Path(os.environ.get("CARGO_TARGET_DIR") or told.strip())
            build = ["cargo", "build", "--quiet", "--locked", "--workspace", "--bin", "alliance"]
            build += ["--target-dir", built]
            # What others wrote is there already, and so may be this checkout's program.
            with locked(built / "alliance-lab.lock", f"another build in {built}", deadline=2400):
                subprocess.run(build, cwd=source, check=True)
                shutil.copy2(built / "debug" / "alliance", target)

    return ensure_file(f"alliance-{BEFORE[:12]}", make)


@pytest.fixture(scope="package")
def lab():
    known = subprocess.run(["git", "-C", CHECKOUT, "cat-file", "-e", BEFORE], capture_output=True)
    if known.returncode:
        pytest.skip(f"this checkout has no history: commit {BEFORE[:12]} is not in it")
    # That version starts at no Galera cluster.
    with own_lab("upgrade", "--ha", "--services", "glance", program=earlier()) as lab:
        yield lab


def test_daemons_are_replaced_by_later_ones_under_load(lab, west, east, say):
    travel = Travel(west, east)
    spread(east, travel.people[0].login())
    schema = {cloud: known(cloud) for cloud in (west, east)}
    with travel.under_way(bound=SOON) as journey:
        binary.build(lab)
        for cloud in (west, east):
            for daemon in daemons(cloud):
                replace(cloud, daemon)
                journey.goes_on()
    say(f"six daemons replaced: {journey.report()}")
    journey.was_smooth()
    for cloud in (west, east):
        assert known(cloud) > schema[cloud]


def replace(cloud, daemon: str) -> None:
    [service] = named(cloud.lab.cloud(cloud.name), daemon)
    os.kill(service.process().pid, signal.SIGTERM)
    until(lambda: not service.process(), f"{daemon} has ended", deadline=BACK)
    cloud.start(daemon)
    program = Path("/proc", str(service.process().pid), "exe")
    assert program.samefile(cloud.lab.folder / "_bin" / "alliance"), "the later one"


def known(cloud) -> int:
    [[schema]] = cloud.asked("SELECT value FROM alliance.meta WHERE name = 'schema'")
    return int(schema)
