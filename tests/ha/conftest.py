"""Two clouds of three nodes each, in a lab of their own."""

import pytest

from tests.ha.instances import spread
from tests.ha.travel import Travel
from tests.kit.cloud import Cloud
from tests.kit.several import several_nodes


@pytest.fixture(scope="package")
def lab():
    with several_nodes("ha", "--galera") as lab:
        yield lab


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
