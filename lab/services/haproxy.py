"""HAProxy, before the nodes of a cloud that has several."""

from __future__ import annotations

import contextlib
import csv
import shutil
import socket
import time

from lab.errors import LabError
from lab.mariadb import SERVER_PATH
from lab.services.alliance import BALANCER, Alliance
from lab.services.keystone import Keystone
from lab.services.service import PROBE, READY, Service, http_status
from lab.state import write_secret

DEFAULTS = """\
global
  maxconn 4000
  nbthread 1
  log stdout format raw local0 info

defaults
  log global
  timeout connect 1s
  timeout queue 5s
  timeout check 2s
  timeout http-request 10s
  # A poll of a partner's is answered after 25 s.
  timeout client 90s
  timeout server 90s
  default-server inter 500ms fall 3 rise 1
"""


def program() -> str:
    found = shutil.which("haproxy", path=SERVER_PATH)
    if not found:
        raise LabError("haproxy not found: run scripts/prerequisites")
    return found


class HaProxy(Service):
    """What services and users know of Keystone, and partners of the daemons, are its ports."""

    name = "haproxy"
    part = "nodes"
    ports = ("keystone", "alliance-peer")

    def __init__(self, cloud):
        super().__init__(cloud)
        self.keystones = [Keystone(cloud, node) for node in cloud.nodes]
        self.after = tuple(keystone.name for keystone in self.keystones)

    def prepare(self) -> None:
        write_secret(self.folder / "haproxy.cfg", self._configuration())

    def command(self) -> list:
        return [program(), "-db", "-f", self.folder / "haproxy.cfg"]

    def healthy(self) -> bool:
        return http_status(self.port, "/v3") == 200

    def passing(self, backend: str) -> set[str]:
        """The servers of a backend to which it passes requests now."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(PROBE)
            stream.connect(str(self.folder / "stats"))
            stream.sendall(b"show stat\n")
            answer = b"".join(iter(lambda: stream.recv(65536), b""))
        rows = csv.DictReader(answer.decode().removeprefix("# ").splitlines())
        servers = [row for row in rows if row["pxname"] == backend and row["type"] == "2"]
        return {row["svname"] for row in servers if row["status"].startswith("UP")}

    def wait_for_a_daemon(self) -> None:
        """Returns when partners find one: it learns a moment later that it is ready."""
        until = time.monotonic() + READY
        while True:
            with contextlib.suppress(OSError):
                if self.passing("alliance-peer"):
                    return
            if time.monotonic() > until:
                raise LabError(f"{self.cloud.name}: HAProxy finds no daemon; see {self.log}")
            time.sleep(0.05)

    def _configuration(self) -> str:
        cloud = self.cloud
        keystones = "\n".join(
            f"  server {one.name} 127.0.0.1:{one.port} check" for one in self.keystones
        )
        daemons = "\n".join(
            f"  server {one.name} 127.0.0.1:{one.port} source {BALANCER} send-proxy-v2"
            f" check port {one.metrics_port}"
            for one in [Alliance(cloud, node) for node in cloud.nodes]
        )
        return f"""\
{DEFAULTS}
global
  stats socket {self.folder}/stats mode 600

frontend keystone
  mode http
  option httplog
  bind 127.0.0.1:{cloud.ports["keystone"]}
  default_backend keystone

backend keystone
  mode http
  balance roundrobin
  option httpchk GET /v3
  http-check expect status 200
  # A Keystone may be slow.
  timeout check 10s
  # A node whose daemon is dead answers 503 to partners' users: another one is asked, which may be
  # the other dead one, and again. What a request changes is not done twice for that; a login
  # changes nothing but a passport that is used up, and clients then bring another.
  option redispatch 1
  retries 4
  retry-on conn-failure empty-response 503
  http-request disable-l7-retry unless {{ method GET HEAD }} or {{ path /v3/auth/tokens }}
{keystones}

frontend alliance-peer
  mode tcp
  option tcplog
  bind 127.0.0.1:{cloud.ports["alliance-peer"]}
  default_backend alliance-peer

# TLS passes through: daemons know each other by their keys.
backend alliance-peer
  mode tcp
  balance leastconn
  option httpchk GET /readyz
  http-check expect status 200
  option redispatch 1
  retries 2
  # A connection to one that has halted is of no use to a partner.
  default-server on-marked-down shutdown-sessions
{daemons}
"""
