"""What goes wrong on machines: clocks that differ, disks that are full."""

from __future__ import annotations

import contextlib
import email.utils
import subprocess
import time
from pathlib import Path

import pytest

from lab.commands import base_settings
from lab.services import named, service
from lab.services.alliance import Alliance
from tests.kit import http

#: As on a full disk, writing fails; where the signal is not ignored, the kernel ends it. The log
#: goes by way of another process, as to a journal.
_ELSEWHERE = ["bash", "-c", 'exec env --ignore-signal=XFSZ "$@" > >(cat) 2>&1', "daemon"]


@contextlib.contextmanager
def clock_off(cloud, seconds: int, keystone="keystone", daemon="alliance"):
    """Keystone and daemon of a cloud see another time than everybody else, or, if they are named,
    these; None: not that one."""
    [library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    faked = {"LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+d}s"}
    # Rust's own waiting goes by the true monotonic clock, Python's by the one that it is shown.
    restarted = {keystone: {}, daemon: {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}}
    restarted.pop(None, None)
    for name, more in restarted.items():
        with pytest.MonkeyPatch.context() as patch:
            seen = {**base_settings(), **faked, **more}
            patch.setattr(service, "base_settings", lambda seen=seen: seen)
            cloud.restart(name)
    try:
        for name in restarted:
            for clock in clocks(cloud, name):
                assert abs(clock - time.time() - seconds) < abs(seconds) / 2, "a positive control"
        yield
    finally:
        cloud.restart(*restarted)


def clocks(cloud, name: str) -> list[float]:
    """What time it is for a Keystone or daemon, in seconds since the epoch; of all nodes where the
    name says no node."""
    there = named(cloud.lab.cloud(cloud.name), name)
    ports = [one.metrics_port if isinstance(one, Alliance) else one.port for one in there]
    dates = [http.send("GET", f"http://127.0.0.1:{port}/").headers["date"] for port in ports]
    return [email.utils.parsedate_to_datetime(date).timestamp() for date in dates]


@contextlib.contextmanager
def small_disk(cloud, daemon="alliance"):
    """A daemon that can be told that its disk is full: see `full_disk`."""
    command = Alliance.command
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Alliance, "command", lambda self: [*_ELSEWHERE, *command(self)])
        cloud.restart(daemon)
    try:
        yield
    finally:
        cloud.restart(daemon)


@contextlib.contextmanager
def full_disk(cloud, daemon="alliance"):
    """Whatever the daemon writes to a file fails meanwhile."""
    _limit(cloud.pid(daemon), "1:unlimited")
    try:
        yield
    finally:
        _limit(cloud.pid(daemon), "unlimited:unlimited")


def _limit(pid: int, bounds: str) -> None:
    command = ["prlimit", "--pid", str(pid), f"--fsize={bounds}"]
    subprocess.run(command, check=True, capture_output=True, timeout=10)
