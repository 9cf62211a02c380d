"""What a west project has at east, made by its user and looked at by east's admin."""

from __future__ import annotations

import time

from tests.kit import http
from tests.kit.cloud import Cloud
from tests.kit.people import Person
from tests.kit.waiting import until
from tests.whole.conftest import FLAVOR, Shell

#: Until a service of a busy machine has done what it was asked for.
DONE = 90.0
#: Where each service lists what, and under which name the project stands there.
LISTINGS = {
    "server": ("nova", "/v2.1/servers/detail?all_tenants=1", "servers", "tenant_id"),
    "server_group": (
        "nova",
        "/v2.1/os-server-groups?all_projects=1",
        "server_groups",
        "project_id",
    ),
    "volume": (
        "cinder",
        "/v3/volumes/detail?all_tenants=1",
        "volumes",
        "os-vol-tenant-attr:tenant_id",
    ),
    "snapshot": (
        "cinder",
        "/v3/snapshots/detail?all_tenants=1",
        "snapshots",
        "os-extended-snapshot-attributes:project_id",
    ),
    "image": ("glance", "/v2/images?visibility=all", "images", "owner"),
    "floating_ip": ("neutron", "/v2.0/floatingips", "floatingips", "project_id"),
    "router": ("neutron", "/v2.0/routers", "routers", "project_id"),
    "port": ("neutron", "/v2.0/ports", "ports", "project_id"),
    "subnet": ("neutron", "/v2.0/subnets", "subnets", "project_id"),
    "network": ("neutron", "/v2.0/networks", "networks", "project_id"),
    "security_group": ("neutron", "/v2.0/security-groups", "security_groups", "project_id"),
}


class Estate:
    """Of one project, at east."""

    def __init__(self, east: Cloud, person: Person):
        self.east, self.person, self.token = east, person, person.login()
        view = self._view()
        self.project = view["host_project_id"]

    def _view(self) -> dict:
        self.ask("GET", "nova", "/v2.1/servers")
        projects = self.east.told("project", "list")
        return next(view for view in projects if view["project_id"] == self.person.project.id)

    def ask(self, method: str, service: str, path: str, body=None, token: str | None = None):
        url = f"http://127.0.0.1:{self.east.port(service)}{path}"
        answer = http.send(method, url, {"X-Auth-Token": token or self.token}, body, deadline=DONE)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.body!r}"
        return answer.json() if answer.body else {}

    def admin(self, method: str, service: str, path: str, body=None):
        return self.ask(method, service, path, body, self.east.admin)

    def network(self) -> None:
        """A network with a subnet, and an address to the outside for it."""
        network = {"network": {"name": "n"}}
        made = self.ask("POST", "neutron", "/v2.0/networks", network)["network"]
        self.net = made["id"]
        subnet = {"network_id": self.net, "cidr": "10.7.0.0/24", "ip_version": 4, "name": "s"}
        made = self.ask("POST", "neutron", "/v2.0/subnets", {"subnet": subnet})
        self.subnet = made["subnet"]["id"]

    def server(self, name: str) -> str:
        [image] = self.ask("GET", "glance", "/v2/images?name=protected")["images"]
        flavors = self.ask("GET", "nova", "/v2.1/flavors")["flavors"]
        server = {
            "name": name,
            "networks": [{"uuid": self.net}],
            "imageRef": image["id"],
            "flavorRef": next(each["id"] for each in flavors if each["name"] == FLAVOR["name"]),
        }
        made = self.ask("POST", "nova", "/v2.1/servers", {"server": server})["server"]["id"]
        until(lambda: self.status(made) == "ACTIVE", f"server {name} runs", deadline=DONE)
        return made

    def status(self, server: str) -> str:
        """As Nova has it; `GONE` if it does not."""
        url = f"http://127.0.0.1:{self.east.port('nova')}/v2.1/servers/{server}"
        answer = http.send("GET", url, {"X-Auth-Token": self.east.admin})
        if answer.status == 404:
            return "GONE"
        return answer.json()["server"]["status"]

    def image(self, west: Cloud, image_file) -> None:
        """An image that nobody can delete before its protection is taken away."""
        project = self.person.project.id
        until(lambda: project in str(west.told("region", "list")), "west sees east's region", DONE)
        shell = Shell(
            {
                **west.variables(),
                "OS_USERNAME": self.person.name,
                "OS_PASSWORD": self.person.password,
                "OS_PROJECT_NAME": self.person.project.name,
            }
        )
        made = "image create protected --protected --disk-format raw --container-format bare"
        shell.openstack("east", f"{made} --file {image_file}")

    def volumes(self, server: str) -> None:
        """One that is attached, and one with a snapshot."""
        made = [self._volume(name) for name in ("attached", "snapped")]
        for volume in made:
            self._becomes("volumes", "volume", volume, "available")
        attachment = {"volumeAttachment": {"volumeId": made[0]}}
        self.ask("POST", "nova", f"/v2.1/servers/{server}/os-volume_attachments", attachment)
        self._becomes("volumes", "volume", made[0], "in-use")
        snapshot = {"snapshot": {"volume_id": made[1], "name": "snap"}}
        made = self.ask("POST", "cinder", "/v3/snapshots", snapshot)["snapshot"]["id"]
        self._becomes("snapshots", "snapshot", made, "available")

    def _volume(self, name: str) -> str:
        volume = {"volume": {"size": 1, "name": name}}
        return self.ask("POST", "cinder", "/v3/volumes", volume)["volume"]["id"]

    def _becomes(self, kind: str, one: str, id: str, wanted: str) -> None:
        until(
            lambda: self.ask("GET", "cinder", f"/v3/{kind}/{id}")[one]["status"] == wanted,
            f"{one} {id} is {wanted}",
            deadline=DONE,
        )

    def address(self, server: str) -> str:
        """A router to an external network, and a floating IP of the server."""
        external = {"name": f"ext-{time.time_ns()}", "router:external": True}
        external = {**external, "provider:network_type": "flat", "provider:physical_network": "ext"}
        made = self.admin("GET", "neutron", "/v2.0/networks?router:external=true")["networks"]
        if made:
            outside = made[0]["id"]
        else:
            made = self.admin("POST", "neutron", "/v2.0/networks", {"network": external})
            outside = made["network"]["id"]
            subnet = {"network_id": outside, "cidr": "203.0.113.0/24", "ip_version": 4}
            self.admin("POST", "neutron", "/v2.0/subnets", {"subnet": subnet})
        router = {"router": {"name": "r", "external_gateway_info": {"network_id": outside}}}
        made = self.ask("POST", "neutron", "/v2.0/routers", router)["router"]["id"]
        interface = {"subnet_id": self.subnet}
        self.ask("PUT", "neutron", f"/v2.0/routers/{made}/add_router_interface", interface)
        [port] = self.ask("GET", "neutron", f"/v2.0/ports?device_id={server}")["ports"]
        floating = {"floatingip": {"floating_network_id": outside, "port_id": port["id"]}}
        return self.ask("POST", "neutron", "/v2.0/floatingips", floating)["floatingip"]["id"]

    def port_of(self, address: str) -> str | None:
        found = self.admin("GET", "neutron", f"/v2.0/floatingips/{address}")
        return found["floatingip"]["port_id"]

    def rest(self, server: str) -> None:
        """A key, a server group, a group of rules, and a lock on the server."""
        self.ask("POST", "nova", "/v2.1/os-keypairs", {"keypair": {"name": "key"}})
        group = {"server_group": {"name": "g", "policies": ["anti-affinity"]}}
        self.ask("POST", "nova", "/v2.1/os-server-groups", group)
        rules = {"security_group": {"name": "web"}}
        self.ask("POST", "neutron", "/v2.0/security-groups", rules)
        self.admin("POST", "nova", f"/v2.1/servers/{server}/action", {"lock": None})

    def there(self) -> dict[str, list[str]]:
        """The ids of everything that services have of the project."""
        found = {}
        for kind, (service, path, name, owner) in LISTINGS.items():
            listed = self.admin("GET", service, path)[name]
            ids = [one["id"] for one in listed if one.get(owner) == self.project]
            if ids:
                found[kind] = ids
        return found

    def in_keystone(self) -> list[str]:
        """The project, and those of its users whom Keystone has."""
        found = self.east.ask("GET", f"/projects/{self.project}", self.east.admin)
        users = self.east.do("GET", f"/users?unique_id={self.person.id}")["users"]
        return [self.project] * (found.status == 200) + [user["id"] for user in users]


def retirement(cloud: Cloud, estate: Estate) -> dict | None:
    """The last one of the project, as this cloud's daemon has it."""
    listed = cloud.told("retirement", "list", "--all")
    found = [one for one in listed if one["project_id"] == estate.person.project.id]
    return cloud.told("retirement", "show", found[0]["id"]) if found else None


def reaches(cloud: Cloud, estate: Estate, phase: str, deadline: float = DONE) -> dict:
    """The retirement, once it has got so far."""

    def found():
        last = retirement(cloud, estate)
        return last if last and last["phase"] == phase else None

    try:
        return until(found, f"the retirement is in phase {phase}", deadline=deadline)
    except AssertionError:
        raise AssertionError(f"not in {phase}: {retirement(cloud, estate)}") from None
