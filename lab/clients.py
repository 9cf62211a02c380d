"""How clients of a lab log in: environment variables and clouds.yaml."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from lab.cache import Environment
from lab.errors import LabError
from lab.services import workers_of
from lab.services.alliance import Alliance
from lab.state import USERS, Cloud, Lab, write_secret


def users(cloud: Cloud) -> dict[str, dict[str, list[str]]]:
    """People and services of a cloud, the roles of each by project."""
    workers = workers_of(cloud)
    return {**USERS, **{service.user: {"service": list(service.roles)} for service in workers}}


def login(cloud: Cloud, user: str, project: str | None = None) -> dict[str, str]:
    """The OS_* variables of a user, in its first project unless another is named.

    No OS_REGION_NAME: where it is set, openstacksdk refuses every other --os-region-name.
    """
    known = users(cloud)
    if user not in known:
        raise LabError(f"no user {user!r} at {cloud.name}: there are {', '.join(known)}")
    projects = known[user]
    project = project or next(iter(projects))
    if project not in projects:
        raise LabError(f"{user} has no role in {project!r}, only in {', '.join(projects)}")
    return {
        "OS_AUTH_URL": cloud.auth_url,
        "OS_IDENTITY_API_VERSION": "3",
        "OS_USERNAME": user,
        "OS_PASSWORD": cloud.passwords[user],
        "OS_USER_DOMAIN_ID": "default",
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_NAME": project,
        "OS_PROJECT_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_INTERFACE": "public",
    }


def of_the_lab(lab: Lab, programs: Path) -> dict[str, str]:
    """What every client of the lab may have: clouds.yaml, and `programs` first in PATH."""
    others = [folder for folder in os.get_exec_path() if folder != str(programs)]
    return {
        "ALLIANCE_LAB": str(lab.folder),
        "OS_CLIENT_CONFIG_FILE": str(lab.folder / "clouds.yaml"),
        "PATH": ":".join([str(programs), *others]),
    }


def variables(cloud: Cloud, user: str, project: str | None) -> dict[str, str]:
    """What a user, or the operator, of one cloud has."""
    found = {**login(cloud, user, project), **of_the_lab(cloud.lab, cloud.sub("bin"))}
    if cloud.alliance:
        daemon = Alliance(cloud)
        found["ALLIANCE_SOCKET"] = str(daemon.socket)
        found["ALLIANCE_CONFIG"] = str(daemon.configuration)
        if process := daemon.process():
            found["ALLIANCE_PID"] = str(process.pid)
    return found


def shell(found: dict[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in found.items())


def link_openstack(programs: Path) -> None:
    """Puts the unmodified client into a folder, and nothing else of its Python."""
    programs.mkdir(parents=True, exist_ok=True)
    fresh = programs / "openstack.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Environment("client").bin("openstack"))
    os.replace(fresh, programs / "openstack")


def write_clouds_yaml(lab: Lab) -> None:
    """`west` is its admin, `west-ann` a user there, `east-from-west` that user in region east."""
    entries = {}
    for cloud in lab.clouds.values():
        entries[cloud.name] = (login(cloud, "admin"), cloud.name)
        for user in ("ann", "bob"):
            entries[f"{cloud.name}-{user}"] = (login(cloud, user), cloud.name)
        for other in lab.clouds.values():
            if other is not cloud:
                entries[f"{other.name}-from-{cloud.name}"] = (login(cloud, "ann"), other.name)
    text = ["clouds:"]
    for name, (found, region) in entries.items():
        text += [f"  {name}:", f"    region_name: {region}", "    identity_api_version: 3"]
        text.append("    auth:")
        for key in ("auth_url", "username", "password", "project_name"):
            text.append(f"      {key}: {json.dumps(found['OS_' + key.upper()])}")
        text += ["      user_domain_id: default", "      project_domain_id: default"]
    write_secret(lab.folder / "clouds.yaml", "\n".join(text) + "\n")
