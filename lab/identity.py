"""Makes in a cloud's Keystone what its people and services need; what is there already stays."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from lab.clients import users
from lab.errors import LabError
from lab.services import workers_of
from lab.services.service import Service
from lab.state import Cloud

DEADLINE = 30.0


class Keystone:
    """A cloud's Keystone as its admin sees it."""

    def __init__(self, cloud: Cloud):
        self.cloud, self.token = cloud, None
        domain = {"id": "default"}
        user = {"name": "admin", "domain": domain, "password": cloud.passwords["admin"]}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": "admin", "domain": domain}},
            }
        }
        _, headers = self._call("POST", "/auth/tokens", body)
        self.token = headers["X-Subject-Token"]

    def _call(self, method: str, path: str, body: dict | None = None):
        request = urllib.request.Request(
            self.cloud.auth_url + path,
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"Content-Type": "application/json"},
        )
        if self.token:
            request.add_header("X-Auth-Token", self.token)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                content = answer.read()
                return json.loads(content) if content else None, answer.headers
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:300]
            raise LabError(f"{self.cloud.name}: {method} {path}: {error}: {said}") from None
        except OSError as error:
            raise LabError(f"{self.cloud.name}: {method} {path}: {error}") from None

    def _list(self, kind: str, query: str = "") -> list[dict]:
        return self._call("GET", f"/{kind}{query}")[0][kind]

    def _ids(self, kind: str, query: str = "") -> dict[str, str]:
        return {item["name"]: item["id"] for item in self._list(kind, query)}

    def _create(self, kind: str, one: str, item: dict) -> str:
        return self._call("POST", f"/{kind}", {one: item})[0][one]["id"]

    def ensure_users(self, wanted: dict[str, dict[str, list[str]]], system_readers: set) -> None:
        """Users with their roles by project, and those who may read the whole system."""
        users = self._ids("users", "?domain_id=default")
        projects = self._ids("projects", "?domain_id=default")
        roles = self._ids("roles")
        for name in ("manager", "service"):  # which the bootstrap of an old Keystone does not make
            if name not in roles:
                roles[name] = self._create("roles", "role", {"name": name})
        held = {
            (
                grant["user"]["id"],
                grant["scope"].get("project", {"id": "system"})["id"],
                grant["role"]["id"],
            )
            for grant in self._list("role_assignments")
            if "user" in grant and ("project" in grant["scope"] or "system" in grant["scope"])
        }
        for name, grants in wanted.items():
            if name not in users:
                secret = {"name": name, "domain_id": "default"}
                secret["password"] = self.cloud.passwords[name]
                users[name] = self._create("users", "user", secret)
            for project, names in grants.items():
                if project not in projects:
                    item = {"name": project, "domain_id": "default"}
                    projects[project] = self._create("projects", "project", item)
                for role in names:
                    if (users[name], projects[project], roles[role]) not in held:
                        grant = f"users/{users[name]}/roles/{roles[role]}"
                        self._call("PUT", f"/projects/{projects[project]}/{grant}")
        for name in system_readers:
            if (users[name], "system", roles["reader"]) not in held:
                self._call("PUT", f"/system/users/{users[name]}/roles/{roles['reader']}")

    def ensure_endpoints(self, wanted: list[tuple[str, str, str]]) -> None:
        """Catalog entries (type, name, URL), public and internal, at their present URL."""
        services = {item["type"]: item["id"] for item in self._list("services")}
        endpoints = {
            (item["service_id"], item["interface"]): item for item in self._list("endpoints")
        }
        for kind, name, url in wanted:
            if kind not in services:
                services[kind] = self._create("services", "service", {"type": kind, "name": name})
            for interface in ("public", "internal"):
                item = {"service_id": services[kind], "interface": interface, "url": url}
                known = endpoints.get((services[kind], interface))
                if not known:
                    self._create("endpoints", "endpoint", {**item, "region_id": self.cloud.name})
                elif known["url"] != url:
                    self._call("PATCH", f"/endpoints/{known['id']}", {"endpoint": {"url": url}})


def populate(cloud: Cloud, services: list[Service]) -> None:
    """The lab's people, the users of its services, and its catalog."""
    keystone = Keystone(cloud)
    readers = {service.user for service in workers_of(cloud) if service.system_reader}
    keystone.ensure_users(users(cloud), readers)
    endpoints = [
        (*service.catalog, catalog_url(service)) for service in services if service.catalog
    ]
    # Several nodes have one entry.
    keystone.ensure_endpoints(list(dict.fromkeys(endpoints)))


def catalog_url(service: Service) -> str:
    return service.url + service.path
