"""Tempest's smoke tests of images, networks, volumes and servers at east, by users of east and by
users of west. Takes long: `make nightly`."""

import re
import secrets
from collections import Counter

import pytest

from tests.kit import tempest
from tests.kit.people import Person
from tests.kit.waiting import until
from tests.whole.conftest import Shell

TESTS = r"^tempest\.api\.(image|network|compute|volume)\..*smoke"
#: Of what this run makes for the tests.
NAME = f"tempest-{secrets.token_hex(4)}"
ROLES = ("member", "reader")
ID = re.compile(r"\[.*\]$")
#: What passes with a login at east only, and why.
AT_HOME_ONLY: dict[str, str] = {}


@pytest.fixture(scope="module")
def stage(east, image_file) -> str:
    """What the tests find at east, as sections of Tempest's configuration."""
    network, outside = (
        east.make("neutron", "/v2.0/networks", {"network": {"name": name, kind: True}})
        for name, kind in ((NAME, "shared"), (f"{NAME}-outside", "router:external"))
    )
    for each, cidr in ((network, "10.7.0.0/24"), (outside, "10.8.0.0/24")):
        subnet = {"network_id": each["network"]["id"], "cidr": cidr, "ip_version": 4}
        east.make("neutron", "/v2.0/subnets", {"subnet": subnet})
    small, large = (
        east.make("nova", "/v2.1/flavors", {"flavor": {"ram": ram, "disk": 1, "vcpus": 1, **named}})
        for ram, named in ((64, {"name": NAME}), (128, {"name": f"{NAME}-alt"}))
    )
    create = "image create --public --disk-format raw --container-format bare -f value -c id"
    images = [
        Shell(east.variables()).openstack(None, f"{create} --file {image_file} {name}")
        for name in (NAME, f"{NAME}-alt")
    ]
    return f"""\
[compute]
region = {east.name}
image_ref = {images[0]}
image_ref_alt = {images[1]}
flavor_ref = {small["flavor"]["id"]}
flavor_ref_alt = {large["flavor"]["id"]}
fixed_network_name = {NAME}

[network]
region = {east.name}
public_network_id = {outside["network"]["id"]}
floating_network_name = {NAME}-outside

[image]
region = {east.name}

[volume]
region = {east.name}

[validation]
run_validation = false

[service_available]
glance = true
nova = true
neutron = true
cinder = true
swift = false
horizon = false
"""


@pytest.fixture(scope="module")
def people(west, east):
    """Users of each cloud who may do the same at east."""

    def of(cloud) -> dict[str, Person]:
        found = {}
        for prefix in ("", "alt_"):
            project = cloud.project()
            for role, roles in (("member", ROLES), ("reader", ("reader",))):
                found[prefix + role] = cloud.person(project=project, roles=roles)
        return found

    found = {cloud.name: of(cloud) for cloud in (west, east)}
    projects = {person.project for person in found["west"].values()}
    for project in projects:
        east.agree("west", project, ROLES)

    def seen() -> bool:
        told = str(west.told("region", "list"))
        return all(project.id in told for project in projects)

    until(seen, "west sees east's region for each of them")
    return found


def test_what_passes_for_users_of_east_passes_for_users_of_west(
    west, east, stage, people, tmp_path
):
    passed = {}
    for cloud in (east, west):
        users = tempest.as_people(people[cloud.name], tmp_path / f"{cloud}.json")
        sections = "\n".join((users, tempest.login_at(cloud), stage))
        ended = tempest.results(sections, TESTS, tmp_path / cloud.name)
        print(f"{cloud}: {Counter(ended.values())}")
        passed[cloud.name] = {ID.sub("", test) for test, how in ended.items() if how == "ok"}
    assert len(passed["east"]) > 60
    assert passed["east"] - passed["west"] == {*AT_HOME_ONLY}
