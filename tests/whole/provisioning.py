"""Plans of ann's, what the operator of west does with them, and what is there of them at east."""

import collections
import contextlib
import json
import subprocess
from pathlib import Path

from tests.kit import http
from tests.kit.waiting import until
from tests.whole.conftest import FLAVOR

#: An order is carried out within this time, on a busy machine, kills and leases included.
LATEST = 300.0
#: Where each service lists what there is of all projects: port, path, name of the list.
LISTINGS = {
    "networks": ("neutron", "/v2.0/networks"),
    "subnets": ("neutron", "/v2.0/subnets"),
    "routers": ("neutron", "/v2.0/routers"),
    "ports": ("neutron", "/v2.0/ports"),
    "security_groups": ("neutron", "/v2.0/security-groups"),
    "servers": ("nova", "/v2.1/servers/detail?all_tenants=1"),
    "volumes": ("cinder", "/v3/volumes/detail?all_tenants=1"),
    "images": ("glance", "/v2/images?visibility=all"),
}


def server(network: str, **more) -> dict:
    size = {"flavor": FLAVOR["name"], "image": "img"}
    networks = [{"network": {"get_resource": network}}]
    return {"type": "OS::Nova::Server", "properties": {**size, "networks": networks, **more}}


def network(name: str, cidr: str) -> dict:
    within = {"network": {"get_resource": name}, "cidr": cidr}
    return {
        name: {"type": "OS::Neutron::Net"},
        f"{name}-subnet": {"type": "OS::Neutron::Subnet", "properties": within},
    }


def volume(size: int = 1) -> dict:
    return {"type": "OS::Cinder::Volume", "properties": {"size": size}}


class Stack:
    """A stack of ann's at east."""

    def __init__(self, west, east, ann, folder: Path, name: str):
        self.west, self.east, self.name = west, east, name
        self._file = folder / f"{name}.yaml"
        self._place = ("--at", "east", "--project", ann.project.id)
        projects = east.told("project", "list")
        [self._project] = [
            found["host_project_id"] for found in projects if found["project_id"] == ann.project.id
        ]

    def plan(self, **resources) -> None:
        """What is applied from now on."""
        template = {"heat_template_version": "2021-04-16", "resources": resources}
        self._file.write_text(json.dumps(template))

    def command(self, what: str, *more: str) -> list[str]:
        subject = str(self._file) if what in ("plan", "apply") else self.name
        words = ["--format", "json", "provision", what, subject, *self._place, *more]
        return [str(self.west.program), *words]

    @contextlib.contextmanager
    def under_way(self, what: str, *more: str):
        """The command, while it runs."""
        command = self.command(what, *more)
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=self.west.variables(), **output) as running:
            try:
                yield running
            finally:
                running.kill()

    def does(self, what: str, *more: str, status: int | None = 0) -> subprocess.CompletedProcess:
        """The command, when it has ended."""
        done = subprocess.run(
            self.command(what, *more),
            env=self.west.variables(),
            capture_output=True,
            text=True,
            timeout=LATEST,
        )
        said = f"{what}: {done.stdout}{done.stderr}"
        assert status is None or done.returncode == status, said
        return done

    def report(self) -> dict | None:
        """How east says that it is."""
        status = self.does("status", status=None)
        if status.returncode:
            return None
        stacks = json.loads(status.stdout)["stacks"]
        return stacks[0] if stacks else None

    def state(self) -> str | None:
        report = self.report()
        return report and report["state"]

    def resources(self) -> dict[str, str]:
        """How far each resource is."""
        report = self.report() or {"resources": []}
        return {found["resource"]: found["state"] for found in report["resources"]}

    def ends(self, state: str) -> None:
        until(lambda: self.state() == state, f"{self.name} is {state}", deadline=LATEST)

    def there(self) -> dict[str, list[str]]:
        """What east's services have of it, by their own listings: the names by kind."""
        found = collections.defaultdict(list)
        for kind, (service, path) in LISTINGS.items():
            for one in self.asked(service, path)[kind]:
                marks = [one.get("description"), one.get("alliance")]
                marks.append((one.get("metadata") or {}).get("alliance"))
                owner = one.get("tenant_id") or one.get("owner")
                owner = owner or one.get("os-vol-tenant-attr:tenant_id")
                if owner == self._project and one["name"].startswith(f"{self.name}-"):
                    assert any(mark and mark.startswith("alliance:") for mark in marks), one
                    found[kind].append(one["name"].removeprefix(f"{self.name}-"))
        return {kind: sorted(names) for kind, names in found.items()}

    def asked(self, service: str, path: str):
        """What a service of east tells its admin."""
        url = f"http://127.0.0.1:{self.east.port(service)}{path}"
        answer = http.send("GET", url, {"X-Auth-Token": self.east.admin})
        assert answer.status == 200, answer.body
        return answer.json()

    def attached(self) -> list[int]:
        """How many servers each of its volumes is attached to."""
        volumes = self.asked("cinder", "/v3/volumes/detail?all_tenants=1")["volumes"]
        its = [one for one in volumes if one["name"].startswith(f"{self.name}-")]
        return [len(one["attachments"]) for one in its]

    def members(self) -> list[str]:
        """Who of east's own users has a role in the project there."""
        path = f"/role_assignments?scope.project.id={self._project}"
        assigned = self.east.do("GET", path)["role_assignments"]
        return [one["user"]["id"] for one in assigned]
