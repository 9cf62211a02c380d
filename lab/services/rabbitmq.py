"""The cloud's own RabbitMQ: two that share one answer each other's calls."""

import re
import socket
from pathlib import Path

from lab.errors import LabError
from lab.services.service import PROBE, Service
from lab.state import Cloud, write_secret

USER = "messages"
#: Debian's wrapper in PATH turns to another account and to the folders of the whole machine.
PROGRAM = "lib/rabbitmq_server-*/sbin/rabbitmq-server"
PLACES = (Path("/usr/lib/rabbitmq"), Path("/opt/rabbitmq"))


class RabbitMq(Service):
    name = "rabbitmq"
    part = "messages"
    ports = ("rabbitmq", "rabbitmq-nodes", "rabbitmq-names")
    secrets = (USER,)

    def prepare(self) -> None:
        port, password = self.port, self.cloud.passwords[USER]
        configuration = f"""\
listeners.tcp.1 = 127.0.0.1:{port}
default_user = {USER}
default_pass = {password}
log.console = true
log.console.level = error
log.file = false
"""
        write_secret(self.folder / "rabbitmq.conf", configuration)
        (self.folder / "plugins").write_text("[].\n")

    def command(self) -> list:
        # Its directory of nodes is its own too, and ends with it.
        names = f"epmd -address 127.0.0.1 -port {self.cloud.ports['rabbitmq-names']}"
        return ["sh", "-c", f"{names} & exec {_program()}"]

    def settings(self) -> dict[str, str]:
        folder, ports = self.folder, self.cloud.ports
        local = "-kernel inet_dist_use_interface {127,0,0,1}"
        # The lab's processors are few.
        idle = "+sbwt none +sbwtdcpu none +sbwtdio none"
        return {
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(ports["rabbitmq-names"]),
            "RABBITMQ_DIST_PORT": str(ports["rabbitmq-nodes"]),
            "RABBITMQ_NODENAME": "lab@localhost",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{local} {idle}",
            # It is the process itself, not a shell that waits for it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def healthy(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PROBE) as stream:
                stream.settimeout(PROBE)
                stream.sendall(b"AMQP\x00\x00\x09\x01")
                return b"RabbitMQ" in stream.recv(512)
        except OSError:
            return False


def url(cloud: Cloud) -> str:
    """What a service of the cloud finds it by."""
    password = cloud.passwords[USER]
    if not re.fullmatch(r"[\w-]+", password):
        raise LabError("a password of this lab does not fit into a URL")
    return f"rabbit://{USER}:{password}@127.0.0.1:{cloud.ports['rabbitmq']}/"


def notifications() -> str:
    """What makes a service announce what it does, in oslo.messaging's envelope 2.0."""
    return """\
[oslo_messaging_notifications]
driver = messagingv2
"""


def _program() -> Path:
    for place in PLACES:
        for found in sorted(place.glob(PROGRAM), reverse=True):
            return found
    raise LabError("rabbitmq-server not found: run scripts/prerequisites")
