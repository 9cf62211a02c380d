"""An OpenStack API under gunicorn."""

from pathlib import Path

from lab.services.service import Service, http_status
from lab.state import CHECKOUT, Cloud

#: Modules of the lab that its services load.
PYTHON = CHECKOUT / "lab" / "python"


class WsgiService(Service):
    module = ""
    workers, threads = 1, 4
    #: What its workers share: modules that start nothing when they are loaded.
    modules: tuple[str, ...] = ()
    #: A path that answers without a login, and how.
    probe: tuple[str, tuple[int, ...]] = ("/", (200, 300))

    def command(self) -> list:
        return [
            self.environment().bin("gunicorn"),
            "--no-control-socket",
            *("--config", "python:lab_gunicorn"),
            *("--worker-class", "gthread"),
            *("--workers", self.workers, "--threads", self.threads),
            *("--bind", f"127.0.0.1:{self.port}"),
            *("--timeout", 120, "--graceful-timeout", 1, "--keep-alive", 75),
            *("--access-logfile", self.log.with_suffix(".access.log")),
            *("--access-logformat", ACCESS),
            "lab_wsgi:application",
        ]

    @property
    def seen(self) -> Path:
        """Where it notes what it is sent, while that file is there: see python/lab_seen.py."""
        return self.log.with_suffix(".seen")

    def python_path(self) -> list:
        return [PYTHON]

    def settings(self) -> dict[str, str]:
        return {
            "LAB_WSGI": self.module,
            "LAB_MODULES": " ".join(self.modules),
            "LAB_SEEN": str(self.seen),
            "PYTHONPATH": ":".join(map(str, self.python_path())),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def healthy(self) -> bool:
        path, statuses = self.probe
        return http_status(self.port, path) in statuses


#: Like gunicorn's own, with the request id that the caller sent and the seconds it took.
ACCESS = '%(t)s %(h)s "%(m)s %(U)s" %(s)s %(b)s %(L)ss %({x-openstack-request-id}i)s'


def auth_section(cloud: Cloud, user: str) -> str:
    """The options with which a service logs in at Keystone."""
    return f"""\
auth_type = password
auth_url = {cloud.auth_url}
username = {user}
password = {cloud.passwords[user]}
project_name = service
user_domain_id = default
project_domain_id = default
region_name = {cloud.name}
"""


def token_section(cloud: Cloud, user: str) -> str:
    """keystonemiddleware with the cloud's memcached and its stock cache times."""
    return f"""\
[keystone_authtoken]
{auth_section(cloud, user)}
www_authenticate_uri = {cloud.auth_url}
interface = internal
memcached_servers = 127.0.0.1:{cloud.ports["memcached"]}
service_token_roles = service
service_token_roles_required = true
"""
