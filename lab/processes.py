"""Processes that outlive the command that started them, and are never taken for others.

Each is the leader of its own session, so that its process group holds all that it forks. Its record
carries the start time that the kernel gave it: a recycled pid is another process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import LabError

BOOT = Path("/proc/sys/kernel/random/boot_id")


def _stat(pid) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on, None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


@dataclass(frozen=True)
class Process:
    """One started process: `started` in kernel ticks since `boot`."""

    pid: int
    started: int
    boot: str

    @classmethod
    def load(cls, record: Path) -> Process | None:
        try:
            return cls(**json.loads(record.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            raise LabError(f"{record} is damaged: look for the process yourself") from None

    def alive(self) -> bool:
        stat = _stat(self.pid)
        return (
            stat is not None
            and stat[0] != "Z"
            and int(stat[19]) == self.started
            and BOOT.read_text().strip() == self.boot
        )

    def uptime(self) -> float:
        up = float(Path("/proc/uptime").read_text().split()[0])
        return up - self.started / os.sysconf("SC_CLK_TCK")

    def _group(self) -> list[int]:
        """Live members of its process group, also after the leader is gone."""
        leader = _stat(self.pid)
        if BOOT.read_text().strip() != self.boot or (leader and int(leader[19]) != self.started):
            return []
        members = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                stat = _stat(entry)
                if stat and stat[0] != "Z" and int(stat[2]) == int(stat[3]) == self.pid:
                    members.append(int(entry))
        return members

    def stop(self, grace: float) -> None:
        """Asks the leader to end, then kills what is left of its group after `grace` seconds."""
        if self.alive():
            _signal(os.kill, self.pid, signal.SIGTERM)
            # A stopped process sees the signal only when it runs again.
            _signal(os.killpg, self.pid, signal.SIGCONT)
        until = time.monotonic() + grace
        while self.alive() and time.monotonic() < until:
            _reap(self.pid)
            time.sleep(0.02)
        until = time.monotonic() + 5
        while members := self._group():
            if time.monotonic() > until:
                raise LabError(f"processes {members} do not end, not even by SIGKILL")
            _signal(os.killpg, self.pid, signal.SIGKILL)
            _reap(self.pid)
            time.sleep(0.02)


def _signal(send, pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        send(pid, number)


def _reap(pid: int) -> None:
    """A child of this very command stays a zombie until it is waited for."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def start(command: list, *, env: dict, log: Path, record: Path) -> Process:
    """Starts `command` detached, its output appended to `log`, and records it in `record`."""
    try:
        with open(log, "ab") as output:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
                env=env,
            )
    except FileNotFoundError:
        raise LabError(
            f"{command[0]} not found: scripts/prerequisites says what is missing"
        ) from None
    stat = _stat(child.pid)
    child.returncode = 0  # it is meant to outlive this command: no warning when it does
    process = Process(child.pid, int(stat[19]), BOOT.read_text().strip())
    fresh = record.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(process)))
    os.replace(fresh, record)
    return process
