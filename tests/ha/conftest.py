"""Two clouds of three nodes each, in a lab of their own."""

import os
import subprocess
from pathlib import Path

import pytest

from lab.state import CHECKOUT, Lab
from tests.ha.instances import spread
from tests.ha.travel import Travel
from tests.kit.cloud import Cloud


@pytest.fixture(scope="package")
def lab():
    """Ended when the tests of this folder are done: such clouds take memory and time."""
    folder = Path(os.environ["ALLIANCE_LAB"]).with_name("ha")
    settings = {**os.environ, "ALLIANCE_LAB": str(folder)}

    def run(command: str, *words: str) -> None:
        said = subprocess.PIPE
        command = [CHECKOUT / "lab" / command, *words]
        done = subprocess.run(command, env=settings, stdout=said, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout.decode(errors="replace")

    run("up", "--ha", "--services", "glance", "west", "east")
    yield Lab(folder)
    run("down")


@pytest.fixture(scope="package")
def west(lab):
    return Cloud(lab, "west")


@pytest.fixture(scope="package")
def east(lab):
    return Cloud(lab, "east")


@pytest.fixture(scope="module")
def travel(west, east) -> Travel:
    """Users of west who may come to east."""
    made = Travel(west, east)
    spread(east, made.people[0].login())
    return made


@pytest.fixture
def say(capsys):
    """Says something whether or not the test succeeds."""

    def told(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", end="")

    return told
