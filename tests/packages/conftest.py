"""What scripts/package makes, and a machine that it is installed on."""

import os
import subprocess

import pytest

from lab import binary
from lab.state import CHECKOUT, Lab
from tests.packages.machine import Machine


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("program"))
    binary.build(lab)
    return lab.folder / "_bin" / "alliance"


@pytest.fixture(scope="session")
def package(program):
    def package(folder, **options):
        settings = {**os.environ, "ALLIANCE_BIN": str(program), **options.pop("env", {})}
        command = [CHECKOUT / "scripts" / "package", folder]
        done = subprocess.run(command, env=settings, capture_output=True, text=True, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return folder

    return package


@pytest.fixture(scope="session")
def made(package, tmp_path_factory):
    """The folder of everything that was made."""
    return package(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def deb(made):
    (found,) = made.glob("*.deb")
    return found


@pytest.fixture(scope="session")
def machine():
    if os.geteuid() != 0:
        pytest.skip("making and booting a Debian needs root")
    machine = Machine()
    yield machine
    machine.end()
