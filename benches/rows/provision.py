"""Ten servers at the host, ordered at home and made by somebody of the host's own; and what it
takes to clear a project away."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import openstack

from benches.rows.server import FLAVOR, image
from benches.samples import Row, Series, Target, figure, ratio
from benches.stage import Stage, down, up
from lab.state import Lab, lab_folder
from tests.kit import http
from tests.kit.cloud import Cloud
from tests.kit.people import Person
from tests.kit.waiting import until

ROUNDS, SERVERS = 4, 10
#: What is cleared away.
NETWORKS, GROUPS, VOLUMES = 45, 45, 10
#: For ten servers on a busy machine, in seconds.
LATEST = 300.0
GRACES = ("--quarantine-after", "0s", "--delete-after", "0s")


def measure(stage: Stage) -> list[Row]:
    """In two whole clouds of its own, which end with it."""
    folder = lab_folder().with_name(lab_folder().name + "-orders")
    up(folder, "west", "east", services="nova,neutron,cinder")
    try:
        lab = Lab(folder)
        west, east = Cloud(lab, "west"), Cloud(lab, "east")
        east.make("nova", "/v2.1/flavors", {"flavor": FLAVOR})
        return [_ten(west, east, image(east)), _cleared(west, east)]
    finally:
        down(folder)


def _guest(west: Cloud, east: Cloud, *more: str) -> tuple[Person, str, str]:
    """A user of west who has been at east, with the agreement and a token."""
    person = west.person(roles=("member", "reader"))
    agreement = east.agree("west", person.project, ("member",), *more)
    until(lambda: east.lets_in(person.login()), "east lets in the guest", deadline=40)
    return person, agreement, person.login()


def _ten(west: Cloud, east: Cloud, image_id: str) -> Row:
    guest, native = _guest(west, east)[0], east.person(roles=("member", "reader"))
    ordered, made = (
        Series(f"{SERVERS} servers ordered at west, complete"),
        Series("by openstacksdk"),
    )
    with TemporaryDirectory() as folder, _sdk(east, native) as sdk:
        plan = Path(folder) / "bench.yaml"
        plan.write_text(json.dumps(_plan(image_id)))
        for number in range(ROUNDS + 1):
            order = _milliseconds(lambda: _provision(west, guest, "apply", str(plan)))
            _provision(west, guest, "destroy", "bench")
            direct = _milliseconds(lambda: _make(sdk, image_id))
            _unmake(sdk)
            # The first round is the first time that anybody does it.
            if number:
                ordered.add([order])
                made.add([direct])
    note = "A network, a subnet and the servers, until all are ACTIVE; each looks every second."
    return ratio(ordered, made, Target(1.1), note)


def _plan(image_id: str) -> dict:
    within = {"network": {"get_resource": "net"}, "cidr": "10.30.0.0/24"}
    server = {
        "type": "OS::Nova::Server",
        "depends_on": ["subnet"],
        "properties": {
            "image": image_id,
            "flavor": FLAVOR["name"],
            "networks": [{"network": {"get_resource": "net"}}],
        },
    }
    resources = {
        "net": {"type": "OS::Neutron::Net"},
        "subnet": {"type": "OS::Neutron::Subnet", "properties": within},
        **{f"server-{number}": server for number in range(SERVERS)},
    }
    return {"heat_template_version": "2021-04-16", "resources": resources}


def _provision(west: Cloud, guest: Person, what: str, subject: str) -> None:
    place = ("--at", "east", "--project", guest.project.id)
    words = ["--format", "json", "provision", what, subject, *place]
    command = [str(west.program), *words]
    done = subprocess.run(
        command, env=west.variables(), capture_output=True, text=True, timeout=LATEST
    )
    assert done.returncode == 0, f"{what}: {done.stdout[-500:]}{done.stderr[-500:]}"


def _sdk(east: Cloud, person: Person) -> openstack.connection.Connection:
    return openstack.connect(
        auth_url=east.identity,
        username=person.name,
        password=person.password,
        project_id=person.project.id,
        user_domain_id="default",
        region_name="east",
    )


def _make(sdk: openstack.connection.Connection, image_id: str) -> None:
    net = sdk.network.create_network(name="bench")
    sdk.network.create_subnet(network_id=net.id, ip_version=4, cidr="10.30.0.0/24")
    flavor = sdk.compute.find_flavor(FLAVOR["name"])
    asked = {"image_id": image_id, "flavor_id": flavor.id, "networks": [{"uuid": net.id}]}
    servers = [sdk.compute.create_server(name="bench", **asked) for _ in range(SERVERS)]
    for server in servers:
        sdk.compute.wait_for_server(server, interval=1, wait=LATEST)


def _unmake(sdk: openstack.connection.Connection) -> None:
    servers = list(sdk.compute.servers())
    for server in servers:
        sdk.compute.delete_server(server)
    for server in servers:
        sdk.compute.wait_for_delete(server, interval=1, wait=LATEST)
    for net in sdk.network.networks(name="bench", project_id=sdk.current_project_id):
        sdk.network.delete_network(net)


def _cleared(west: Cloud, east: Cloud) -> Row:
    """From the agreement's end until nothing is left."""
    guest, agreement, token = _guest(west, east, *GRACES)
    here = east.told("agreement", "show", agreement)["host_project_id"]

    def make(service: str, path: str, body: dict) -> None:
        url = f"http://127.0.0.1:{east.port(service)}{path}"
        made = http.send("POST", url, {"X-Auth-Token": token}, body, deadline=60)
        assert made.status in (201, 202), made.body

    wanted = [("neutron", "/v2.0/networks", {"network": {"name": "n"}})] * NETWORKS
    group = {"security_group": {"name": "g"}}
    wanted += [("neutron", "/v2.0/security-groups", group)] * GROUPS
    volume = {"volume": {"size": 1, "name": "v"}}
    wanted += [("cinder", f"/v3/{here}/volumes", volume)] * VOLUMES
    # More than the services' own quotas.
    limits = {"quota": {"network": 100, "security_group": 100, "security_group_rule": 1000}}
    url = f"http://127.0.0.1:{east.port('neutron')}/v2.0/quotas/{here}"
    assert http.send("PUT", url, {"X-Auth-Token": east.admin}, limits).status == 200
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: make(*one), wanted))

    def is_gone() -> bool:
        found = east.told("retirement", "list", "--all")
        own = [one for one in found if one["project_id"] == guest.project.id]
        return any(one["phase"] == "deleted" for one in own)

    series = Series(f"a project with {len(wanted)} resources, from its end until all is gone", "s")
    began = time.monotonic()
    east.end("west", guest.project.id)
    until(is_gone, "the project is cleared away", deadline=LATEST)
    series.add([time.monotonic() - began])
    note = f"{NETWORKS} networks, {GROUPS} security groups, {VOLUMES} volumes; no grace; 8 at once."
    return figure(series, None, note)


def _milliseconds(does) -> float:
    began = time.monotonic()
    does()
    return (time.monotonic() - began) * 1000
