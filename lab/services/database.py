"""What stands before a Galera cluster: a HAProxy that passes all to one node."""

from __future__ import annotations

import socket

from lab.services.haproxy import DEFAULTS, program
from lab.services.mariadb import nodes_of
from lab.services.service import PROBE, Service
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
        """Whether a server greets who comes to it."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PROBE) as stream:
                return bool(stream.recv(1))
        except OSError:
            return False

    def _configuration(self) -> str:
        first, *others = nodes_of(self.cloud)
        spare = "\n".join(
            f"  server {one.name} 127.0.0.1:{one.port} check backup" for one in others
        )
        return f"""\
{DEFAULTS}
# Two nodes that take writes at once would make each other's fail: whoever comes is sent where the
# last one was, as long as that node is there.
listen mariadb
  mode tcp
  option tcplog
  bind 127.0.0.1:{self.port}
  timeout client 1h
  timeout server 1h
  option tcp-check
  stick-table type ip size 1k
  stick on dst
  default-server inter 500ms fall 2 rise 2 on-marked-down shutdown-sessions
  server {first.name} 127.0.0.1:{first.port} check
{spare}
"""
