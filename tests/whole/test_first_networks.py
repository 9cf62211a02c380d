"""Where east's Neutron makes projects their first networks, it does so for a west project."""

import functools
import json

import pytest

from tests.kit import http
from tests.kit.waiting import until
from tests.whole.conftest import shell_of


@pytest.fixture
def first_networks(east):
    """What east's Neutron needs to make a project's first network: a default way out and default
    addresses."""
    outside = {"name": "outside", "router:external": True, "is_default": True}
    network = east.make("neutron", "/v2.0/networks", {"network": outside})["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "203.0.113.0/24"}
    east.make("neutron", "/v2.0/subnets", {"subnet": subnet})
    pool = {"name": "pool", "prefixes": ["10.5.0.0/16"], "default_prefixlen": 26}
    pool = {"subnetpool": {**pool, "shared": True, "is_default": True}}
    pool = east.make("neutron", "/v2.0/subnetpools", pool)["subnetpool"]["id"]
    yield
    for path in (f"subnetpools/{pool}", f"networks/{network}"):
        delete(east, path)


def delete(cloud, path: str) -> None:
    """Something of Neutron's, by the cloud's admin."""
    url = f"http://127.0.0.1:{cloud.port('neutron')}/v2.0/{path}"
    answer = http.send("DELETE", url, {"X-Auth-Token": cloud.admin})
    assert answer.status == 204, answer.body


def test_a_projects_first_server_brings_its_first_network(
    west, east, first_networks, flavor, image_file
):
    person = west.person(roles=("member", "reader"))
    east.agree("west", person.project, ("member", "reader"))
    person_at = functools.partial(shell_of(west, person).openstack, "east")
    image = f"image create mine --disk-format raw --container-format bare --file {image_file}"
    until(lambda: person.project.id in str(west.told("region", "list")), "west sees east's region")
    person_at(image)
    create = f"server create first --image mine --flavor {flavor} --nic auto --wait -f json"
    made = json.loads(person_at(create))
    assert made["status"] == "ACTIVE"
    [network] = made["addresses"]
    [router] = json.loads(person_at("router list --long -f json"))
    assert router["External gateway info"]["external_fixed_ips"]
    assert person_at("network list --internal -f value -c Name") == network
    person_at("server delete first --wait")
    delete(east, f"auto-allocated-topology/{router['Project']}")
    assert person_at("network list --internal -f value") == ""
