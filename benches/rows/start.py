"""How soon a daemon is ready, and how much memory it holds."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from pathlib import Path

from benches.samples import Row, Series, Target, figure
from benches.stage import Stage
from lab.commands import base_settings
from lab.services.alliance import Alliance
from tests.kit.waiting import until

STARTS = 8
LONGEST = 10.0


def measure(stage: Stage) -> list[Row]:
    ready = Series("start to /readyz 200, existing database")
    idle = Series("idle memory of the daemon (RSS)", "MB")
    loaded = Series("memory after the rows above (RSS)", "MB")
    loaded.add([resident(stage.east.pid("alliance"))])
    with stage.east.stopped("alliance"):
        for _ in range(STARTS):
            with serving(stage.daemon) as daemon:
                ready.add([daemon.ready])
                until(lambda: _is_settled(stage), "the daemon has told its Keystone everything")
                idle.add([resident(daemon.pid)])
    return [
        figure(ready, Target(200), "The program is called; asked every millisecond."),
        figure(idle, Target(30), "One partner, one agreement; it has rung and pulled."),
        figure(loaded, None, "Memory that the allocator keeps, and remembered answers."),
    ]


class Serving:
    """A daemon of the lab that this process has started. `ready`: milliseconds until it was."""

    def __init__(self, service: Alliance, configuration: Path):
        port, began = service.cloud.ports["alliance-metrics"], time.monotonic()
        serve = [service.program, "serve", "--config", configuration]
        with open(service.log, "ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *serve],
                env={**base_settings(), **service.settings()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.pid = self._process.pid
        while not service.healthy():
            assert self._process.poll() is None, f"the daemon ended: {service.log}"
            assert time.monotonic() - began < LONGEST, f"not ready at port {port}: {service.log}"
            time.sleep(0.001)
        self.ready = (time.monotonic() - began) * 1000

    def stop(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LONGEST)
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def serving(service: Alliance, configuration: Path | None = None):
    daemon = Serving(service, configuration or service.configuration)
    try:
        yield daemon
    finally:
        daemon.stop()


def resident(pid: int) -> float:
    """Megabytes of a process that are in memory."""
    return _megabytes(pid, "VmRSS")


def most_resident(pid: int) -> float:
    """Megabytes of a process that were in memory at most."""
    return _megabytes(pid, "VmHWM")


def _megabytes(pid: int, what: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{what}:\s*(\d+) kB", status)[1]) * 1024 / 1e6


def _is_settled(stage: Stage) -> bool:
    status = stage.east.told("status")
    return status["keystone"]["ok"] and status["doorbell"]["ok"]
