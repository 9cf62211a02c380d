"""Real clouds for the tests: west, east and north, paired each with each, shared by all tests."""

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

import pytest  # noqa: E402

pytest.register_assert_rewrite("tests.kit")

from lab.state import Lab  # noqa: E402
from tests.kit import people  # noqa: E402
from tests.kit.cloud import Cloud  # noqa: E402
from tests.kit.nightly import NIGHTLY  # noqa: E402

#: Keystones of other releases, as `lab/up --keystone` takes them: "west=22".
KEYSTONES = os.environ.get("ALLIANCE_KEYSTONES", "").split()
LAST = "test_secrets_stay_secret.py"
collect_ignore = [] if NIGHTLY else ["nightly"]


def pytest_collection_modifyitems(items):
    """What looks at everything that the others left behind comes last."""
    items.sort(key=lambda item: item.path.name == LAST)


def up(*clouds: str) -> Lab:
    command = [CHECKOUT / "lab" / "up", "--services", "glance", *clouds]
    names = [word.partition("=")[0] for word in clouds]
    for word in KEYSTONES:
        if word.partition("=")[0] in names:
            command += ["--keystone", word]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        pytest.exit(f"no lab: {done.stdout}", 2)
    return Lab()


@pytest.fixture(scope="module", autouse=True)
def visitors():
    """Whom a module makes leaves with it. About those who stay, hosts would ask their home for
    minutes, until the clouds of a long run did little else."""
    before = list(people.present)
    yield
    for person in [each for each in people.present if each not in before]:
        person.leaves()


@pytest.fixture(scope="session")
def lab() -> Lab:
    if not os.environ.get("ALLIANCE_LAB"):
        pytest.exit("run scripts/test e2e operators: it gives the tests a lab and takes it down", 2)
    return up("west", "east", "north")


@pytest.fixture(scope="session")
def west(lab) -> Cloud:
    return Cloud(lab, "west")


@pytest.fixture(scope="session")
def east(lab) -> Cloud:
    return Cloud(lab, "east")


@pytest.fixture(scope="session")
def north(lab) -> Cloud:
    return Cloud(lab, "north")


@pytest.fixture(scope="session")
def early_passport(west, east) -> str:
    """A passport for east that was issued before any test that names it."""
    person = west.person(roles=("member", "reader"))
    east.agree("west", person.project, ("member", "reader"))
    return west.passport("east", person.login())


@pytest.fixture(scope="session")
def old(lab) -> Cloud:
    """A stock cloud with UUID tokens and no Alliance; nobody's partner."""
    return Cloud(up("old=plain:uuid"), "old")


@pytest.fixture
def say(capsys):
    """Says something whether or not the test succeeds."""

    def told(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", end="")

    return told
