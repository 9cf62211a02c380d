"""Labs beside the small one that all tests share, for the tests of one folder."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from lab.state import CHECKOUT, Lab
from tests.kit.cloud import Cloud


@contextlib.contextmanager
def own_lab(name: str, *words: str, program: Path | None = None):
    """A lab of that name with two clouds, made as `lab/up` takes these words, with this program as
    their daemons. It ends with the block: such clouds take memory and time."""
    folder = Path(os.environ["ALLIANCE_LAB"]).with_name(name)
    settings = {**os.environ, "ALLIANCE_LAB": str(folder)}

    def run(command: str, *words: str, **more: str) -> None:
        said = subprocess.PIPE
        command = [CHECKOUT / "lab" / command, *words]
        variables = {**settings, **more}
        done = subprocess.run(command, env=variables, stdout=said, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout.decode(errors="replace")

    run("up", *words, "west", "east", **({"ALLIANCE_BIN": str(program)} if program else {}))
    try:
        yield Lab(folder)
    finally:
        run("down")


@pytest.fixture(scope="package")
def west(lab):
    """Of the folder's lab."""
    return Cloud(lab, "west")


@pytest.fixture(scope="package")
def east(lab):
    """Of the folder's lab."""
    return Cloud(lab, "east")
