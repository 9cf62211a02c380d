"""A west login, an unmodified client, and east's servers, networks and volumes."""

import functools
import json
import re

import pytest

from lab.cache import Environment
from tests.kit.waiting import until
from tests.whole.conftest import FLAVOR

SDK = f"""\
import json, openstack
session = openstack.connect().session
east = openstack.connection.Connection(session=session, region_name="east")
network = east.network.create_network(name="of-sdk")
east.network.create_subnet(network_id=network.id, cidr="10.8.0.0/24", ip_version=4)
image = next(east.image.images(name="img"))
flavor = east.compute.find_flavor("{FLAVOR["name"]}")
server = east.compute.create_server(
    name="of-sdk", image_id=image.id, flavor_id=flavor.id, networks=[{{"uuid": network.id}}]
)
server = east.compute.wait_for_server(server, wait=60)
volume = east.block_storage.create_volume(name="of-sdk", size=1)
volume = east.block_storage.wait_for_status(volume, "available", wait=60)
found = {{"server": server.status, "networks": list(server.addresses), "volume": volume.status}}
east.block_storage.delete_volume(volume)
east.compute.delete_server(server)
east.compute.wait_for_delete(server, wait=60)
east.network.delete_network(network)
print(json.dumps({{**found, "left": [one.name for one in east.compute.servers()]}}))
"""
#: How a server is made.
BOOT = f"--image img --flavor {FLAVOR['name']} --network net"
#: Ids, and what a client makes up.
ID = re.compile(r"[0-9a-f]{32}|[0-9a-f-]{36}")

pytestmark = pytest.mark.usefixtures("network")


def test_the_openstack_client_makes_a_server_at_east_and_deletes_it(shell):
    east = functools.partial(shell.openstack, "east")

    def status(what: str, name: str, wanted: str) -> None:
        show = f"{what} show {name} -f value -c status"
        until(lambda: east(show) == wanted, f"{what} {name} is {wanted}", deadline=60)

    east("security group create web")
    east("security group rule create web --protocol tcp --dst-port 80")
    create = f"server create vm {BOOT} --security-group web"
    made = json.loads(east(f"{create} --wait -f json"))
    assert made["status"] == "ACTIVE"
    [address] = made["addresses"]["net"]
    assert address.startswith("10.9.0.")
    assert "FAKE CONSOLE OUTPUT" in east("console log show vm")
    assert east("port list --server vm -f value -c Status") == "ACTIVE"

    east("volume create vol --size 1")
    status("volume", "vol", "available")
    east("server add volume vm vol")
    status("volume", "vol", "in-use")
    east("server remove volume vm vol")
    status("volume", "vol", "available")
    east("router create r")
    east("router add subnet r sub")

    for listing in ("server list", "volume list", "router list"):
        assert shell.openstack("west", f"{listing} -f value") == "", listing

    east("router remove subnet r sub")
    east("router delete r")
    east("server delete vm --wait")
    east("volume delete vol")
    east("security group delete web")
    assert east("server list -f value") == ""
    assert east("port list --device-owner compute:nova -f value") == ""
    until(lambda: east("volume list -f value") == "", "the volume is gone", deadline=60)


def test_the_sdk_does_the_same_with_one_login(shell):
    done = shell.run(Environment("client").bin("python"), "-c", SDK)
    assert json.loads(done.stdout) == {
        "server": "ACTIVE",
        "networks": ["of-sdk"],
        "volume": "available",
        "left": [],
    }


#: Services with an API.
PORTS = ("keystone", "glance", "neutron", "nova", "cinder")
#: Typed one after the other, with one login.
COMMANDS = (
    "network create n",
    "network list",
    "network show n",
    "network set --description x n",
    "subnet create s --network n --subnet-range 10.6.0.0/24",
    "subnet list",
    "subnet show s",
    "port create p --network n",
    "port list",
    "port show p",
    "port delete p",
    "subnet delete s",
    "network delete n",
    "security group create g",
    "security group rule create g --protocol tcp --dst-port 80",
    "security group list",
    "security group rule list g",
    "security group delete g",
    "image create i --disk-format raw --container-format bare",
    "image list",
    "image show i",
    "image set --property a=b i",
    "image delete i",
    "flavor list",
    f"server create {BOOT} vm",
    "server list",
    "server show vm",
    "server delete vm",
    "volume create v --size 1",
    "volume list",
)
#: And when the volume is there.
LAST_COMMANDS = ("volume show v", "volume delete v")


@pytest.fixture
def asked(west, east, shell):
    """What commands ask for in a region, with the answers' statuses: clouds are told by their
    services' ports, and ids are left out."""
    names = {str(cloud.port(name)): name for cloud in (west, east) for name in PORTS}

    def plain(url: str) -> str:
        port, _, rest = url.removeprefix("http://127.0.0.1:").partition("/")
        return ID.sub("ID", f"{names[port]}/{rest}")

    def of(found: list[tuple]) -> list[tuple]:
        return [(method, plain(url), *more) for method, url, *more in found]

    return of


@pytest.mark.parametrize("command", ["server list", "network list", "volume list", "image list"])
def test_a_command_makes_the_same_requests_in_either_region(shell, asked, command):
    assert asked(shell.requests("east", command)) == asked(shell.requests("west", command))


def test_whatever_a_user_does_it_takes_the_same_requests_in_either_region(shell, asked):
    def same(commands) -> None:
        west, east = (shell.dialogue(region, commands) for region in ("west", "east"))
        assert all(typed.startswith(name) for typed, (name, _) in zip(commands, east, strict=True))
        assert [(name, asked(made)) for name, made in east] == [
            (name, asked(made)) for name, made in west
        ]
        for name, made in east:
            assert made, name
            # Who looks for a name may be told first that no id is like that.
            assert all(int(status) < 300 for method, _, status in made if method != "GET"), name

    def is_there(region: str) -> bool:
        return shell.openstack(region, "volume show v -f value -c status") == "available"

    same(COMMANDS)
    until(lambda: is_there("west") and is_there("east"), "the volumes are there", deadline=60)
    same(LAST_COMMANDS)


def test_with_no_region_named_nothing_goes_to_east(east, shell):
    ports = {str(east.port(name)) for name in PORTS}
    for command in ("server list", "image list", "network list", "volume list", "catalog list"):
        asked = {url.split("/")[2].partition(":")[2] for _, url in shell.requests(None, command)}
        assert asked
        assert not asked & ports, command
