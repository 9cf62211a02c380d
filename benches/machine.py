"""Where the figures come from."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from pathlib import Path

from lab.cache import REQUIREMENTS, python_version
from lab.state import CHECKOUT


def facts(program: Path) -> dict[str, str]:
    return {
        "machine": _machine(),
        "load before": _load(),
        "commit": _commit(),
        "alliance": _alliance(program),
        "versions": _versions(),
    }


def load_after() -> dict[str, str]:
    return {"load after": _load()}


def _machine() -> str:
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1])
    return (
        f"{os.cpu_count()} x {model[1] if model else platform.machine()}, "
        f"{memory / 1024**2:.0f} GiB, Linux {platform.release()}"
    )


def _load() -> str:
    """Of the last minute, before and after: what else the machine was busy with shows here."""
    return f"{os.getloadavg()[0]:.1f}"


def _said(*words) -> str:
    return subprocess.check_output(words, cwd=CHECKOUT, text=True).strip()


def _commit() -> str:
    changed = _said("git", "status", "--porcelain", "--untracked-files=no")
    return _said("git", "rev-parse", "--short=12", "HEAD") + (" and changes" if changed else "")


def _alliance(program: Path) -> str:
    if os.environ.get("ALLIANCE_BIN"):
        build = "of $ALLIANCE_BIN"
    else:
        build = os.environ.get("ALLIANCE_PROFILE", "release")
    return f"{_said(program, '--version').removeprefix('alliance ')} ({build})"


def _versions() -> str:
    pinned = dict(
        re.findall(r"^([\w.-]+)==(\S+)", (REQUIREMENTS / "keystone.txt").read_text(), re.M)
    )
    return ", ".join(
        [
            f"keystone {pinned['keystone']}",
            f"gunicorn {pinned['gunicorn']}",
            f"Python {python_version()}",
            f"SQLite {sqlite3.sqlite_version}",
            _said("memcached", "-V"),
            " ".join(_said("rustc", "--version").split()[:2]),
        ]
    )
