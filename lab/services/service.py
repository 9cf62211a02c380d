"""What all services have in common: a process with a configuration, a log, ports and health."""

from __future__ import annotations

import http.client
import threading
import time
from pathlib import Path

from lab import processes
from lab.cache import Environment
from lab.commands import base_settings
from lab.errors import LabError
from lab.processes import Process
from lab.state import Cloud

PROBE = 3.0
READY = 60.0
GRACE = 10.0
#: Whom services of a cloud with several nodes wait for instead.
BEFORE_NODES = {"keystone": "haproxy", "alliance": "alliance-1"}


class Service:
    """One service of one cloud. Subclasses say what differs."""

    name = ""
    #: What a cloud has it for, one of `Cloud.parts`; None: every cloud has it.
    part: str | None = None
    #: Services of the same cloud that must be ready before this one starts, if the cloud has them.
    #: Of those that it has on several nodes: what stands before them, or the first.
    after: tuple[str, ...] = ()
    #: Names of the ports it listens on, the first is the one that `lab/status` shows.
    ports: tuple[str, ...] = ()
    #: The Keystone user it works as, and that user's roles in the project `service`.
    user: str | None = None
    roles: tuple[str, ...] = ("service", "admin")
    #: Whether that user may also read the whole system.
    system_reader = False
    #: (type, name) of its catalog entry.
    catalog: tuple[str, str] | None = None
    #: What follows its URL there.
    path = ""
    #: Passwords that it has besides its user's.
    secrets: tuple[str, ...] = ()
    #: Name of the Python environment that it runs in.
    environment_name: str | None = None

    def __init__(self, cloud: Cloud):
        self.cloud = cloud
        if cloud.ha:
            self.after = tuple(BEFORE_NODES.get(name, name) for name in self.after)

    @property
    def folder(self) -> Path:
        return self.cloud.sub(self.name)

    @property
    def log(self) -> Path:
        return self.cloud.sub("log") / f"{self.name}.log"

    @property
    def record(self) -> Path:
        return self.cloud.sub("run") / f"{self.name}.json"

    @property
    def port(self) -> int:
        return self.cloud.ports[self.ports[0]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> Environment:
        return Environment(self.environment_name)

    def prepare(self) -> None:
        """Writes configuration and first data. Runs before each start, must be repeatable."""

    def command(self) -> list:
        raise NotImplementedError

    def settings(self) -> dict[str, str]:
        """Environment variables of its process."""
        return {}

    def healthy(self) -> bool:
        """One probe with a deadline."""
        raise NotImplementedError

    def process(self) -> Process | None:
        """Its process if that is alive."""
        process = Process.load(self.record)
        return process if process and process.alive() else None

    def start(self, cancelled: threading.Event) -> None:
        """Starts it and returns when it is ready."""
        self.prepare()
        offset = self.log.stat().st_size if self.log.exists() else 0
        processes.start(
            self.command(),
            env={**base_settings(), **self.settings()},
            log=self.log,
            record=self.record,
        )
        until = time.monotonic() + READY
        while not self.healthy():
            if cancelled.is_set():
                raise LabError(f"{self.cloud.name} {self.name}: interrupted")
            if not self.process():
                raise LabError(self._told("ended while starting", offset))
            if time.monotonic() > until:
                raise LabError(self._told(f"not ready after {READY:.0f} s", offset))
            cancelled.wait(0.05)

    def _told(self, what: str, offset: int) -> str:
        with open(self.log, "rb") as file:
            file.seek(offset)
            lines = file.read().decode(errors="replace").splitlines()[-15:]
        shown = "".join(f"\n    {line}" for line in lines) or " (nothing)"
        return f"{self.cloud.name} {self.name} {what}; the end of {self.log}:{shown}"

    def stop(self) -> bool:
        """Ends it; False when there was nothing to end."""
        process = Process.load(self.record)
        if not process:
            return False
        alive = process.alive()
        process.stop(GRACE)
        self.record.unlink()
        return alive


def http_status(port: int, path: str) -> int | None:
    """The status of GET `path` at 127.0.0.1, None when there is no answer in time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
