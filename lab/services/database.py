"""What stands before a Galera cluster: a HAProxy that passes all to one node."""

from __future__ import annotations

from lab.services.haproxy import DEFAULTS, program
from lab.services.mariadb import nodes_of
from lab.services.service import Service
from lab.state import write_secret


class Database(Service):
    """Services know the database by its name and port, as where there is one server."""

    name = "mariadb"
    part = "cluster"
    ports = ("mariadb",)

    def __init__(self, cloud):
        super().__init__(cloud)
        self.after = tuple(node.name for node in nodes_of(cloud))

    def prepare(self) -> None:
        write_secret(self.folder / "haproxy.cfg", self._configuration())

    def command(self) -> list:
        return [program(), "-db", "-f", self.folder / "haproxy.cfg"]

    def healthy(self) -> bool:
        return bool(self.process())

    def _configuration(self) -> str:
        first, *others = nodes_of(self.cloud)
        spare = "\n".join(
            f"  server {one.name} 127.0.0.1:{one.port} check backup" for one in others
        )
        return f"""\
{DEFAULTS}
# Two nodes that take writes at once would make each other's fail.
listen mariadb
  mode tcp
  option tcplog
  bind 127.0.0.1:{self.port}
  timeout client 1h
  timeout server 1h
  option tcp-check
  default-server inter 500ms fall 2 rise 2
  default-server on-marked-down shutdown-sessions on-marked-up shutdown-backup-sessions
  server {first.name} 127.0.0.1:{first.port} check
{spare}
"""
