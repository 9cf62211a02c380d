"""Two clouds of three nodes each, in a lab of their own."""

import pytest

from tests.ha.instances import spread
from tests.ha.travel import Travel
from tests.kit.own_lab import east, own_lab, west

__all__ = ["east", "west"]


@pytest.fixture(scope="package")
def lab():
    with own_lab("ha", "--galera", "--services", "glance") as lab:
        yield lab


@pytest.fixture(scope="module")
def travel(west, east) -> Travel:
    """Users of west who may come to east."""
    made = Travel(west, east)
    spread(east, made.people[0].login())
    return made
