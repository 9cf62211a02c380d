"""What is slow to make is made once, kept under the user's cache folder, and keyed by its sources.

Each thing is made under a lock, so two checkouts that start at the same time make it once, and
counts as made only when it is complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from lab.commands import run
from lab.errors import LabError

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
#: Debian's own Python: a self-built one is often slower by half, which distorts every ratio.
PYTHON = os.environ.get("ALLIANCE_LAB_PYTHON", "/usr/bin/python3")
OLDEST_PYTHON = (3, 10)


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "alliance"


@contextlib.contextmanager
def locked(path: Path, busy: str, deadline: float):
    """Holds an exclusive lock on `path`; says `busy` when that takes more than a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        began, told = time.monotonic(), False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = time.monotonic() - began
                if waited > 1 and not told:
                    print(f"waiting: {busy}", flush=True)
                    told = True
                if waited > deadline:
                    raise LabError(f"gave up after {deadline:.0f} s: {busy} ({path})") from None
                time.sleep(0.1)
        yield


def python_version() -> str:
    version = run([PYTHON, "-c", "import sys; print(*sys.version_info[:3])"], "Python").strip()
    if tuple(map(int, version.split())) < OLDEST_PYTHON:
        raise LabError(
            f"{PYTHON} is Python {version.replace(' ', '.')}, Keystone 30 needs 3.10 or newer: "
            "name another with ALLIANCE_LAB_PYTHON"
        )
    return version.replace(" ", ".")


class Environment:
    """A virtual environment made from `requirements/<name>.txt`."""

    def __init__(self, name: str):
        requirements = REQUIREMENTS / f"{name}.txt"
        if not requirements.is_file():
            known = ", ".join(sorted(file.stem for file in REQUIREMENTS.glob("*.txt")))
            raise LabError(f"no environment {name!r}: there are {known}")
        digest = hashlib.sha256(requirements.read_bytes())
        digest.update(f"{PYTHON} {python_version()}".encode())
        self.name, self.requirements = name, requirements
        self.key = digest.hexdigest()[:16]
        self.path = cache_folder() / "venv" / f"{name}-{self.key}"

    def bin(self, program: str) -> Path:
        return self.path / "bin" / program

    def ensure(self) -> Environment:
        """Makes the environment when it is absent, incomplete or broken."""
        with locked(
            self.path.with_suffix(".lock"), f"another run makes the {self.name} environment", 1200
        ):
            if not self._whole():
                self._make()
        return self

    def _whole(self) -> bool:
        if not (self.path / "complete").is_file():
            return False
        try:
            return subprocess.run([self.bin("python"), "-c", ""], timeout=20).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    def _make(self) -> None:
        # Scripts in it carry its path: made in place, and marked when complete.
        print(f"making the {self.name} environment in {self.path} (once)", flush=True)
        shutil.rmtree(self.path, ignore_errors=True)
        run([PYTHON, "-m", "venv", self.path], "python3 -m venv (is python3-venv installed?)")
        install = ["install", "--disable-pip-version-check", "--quiet", "-r", self.requirements]
        run([self.bin("python"), "-m", "pip", *install], f"pip install -r {self.requirements}")
        (self.path / "complete").touch()


def ensure_file(name: str, make) -> Path:
    """The cached file, or folder, `name`; `make(path)` makes it the first time."""
    path = cache_folder() / "lab-files" / name
    with locked(path.with_name(name + ".lock"), f"another run makes {name}", 600):
        if not path.exists():
            fresh = path.with_name(name + ".new")
            if fresh.is_dir():
                shutil.rmtree(fresh)
            fresh.unlink(missing_ok=True)
            make(fresh)
            os.replace(fresh, path)
    return path
