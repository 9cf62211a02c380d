"""A clean Debian 12 of its own, booted with systemd: what an operator installs packages on."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.cache import ensure_file
from lab.commands import run
from tests.kit.waiting import until

#: Beside Debian's minimal set, what the package depends on included: dpkg fetches nothing.
PACKAGES = ("bash-completion", "fish", "man-db", "procps", "systemd", "zsh")
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """Its processes, mounts and network end with it."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="alliance-debian-"))
        run(["tar", "-x", "-C", self.root, "-f", _image()], "unpacking Debian")
        # It ends with this process even if that is killed.
        command = ["setpriv", "--pdeathsig", "KILL", "systemd-nspawn", "--quiet", "--boot"]
        command += ["--register=no", "--keep-unit", "--private-network", "--console=pipe"]
        command += ["--directory", self.root]
        self._said = self.root.with_suffix(".log")
        with self._said.open("w") as said:
            self._container = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
            )
        try:
            self._first = until(self._first_process, "the machine has a first process", 60)
            until(self._is_up, "the machine is up", 120)
        except BaseException:
            self.end()
            raise

    def _first_process(self) -> int | None:
        if self._container.poll() is not None:
            raise AssertionError(f"it does not boot: {self._said.read_text(errors='replace')}")
        number = self._container.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        return int(children[0]) if children else None

    def _is_up(self) -> bool:
        state = self.try_run("systemctl", "is-system-running").stdout.strip()
        return state in ("running", "degraded")

    def try_run(self, *words, **options) -> subprocess.CompletedProcess:
        inside = ["nsenter", "--target", str(self._first), "--all", "env", "-i", PATH]
        command = [*inside, "LC_ALL=C.UTF-8", "HOME=/root", *words]
        options = {"capture_output": True, "text": True, "timeout": 60, **options}
        return subprocess.run(command, stdin=subprocess.DEVNULL, **options)

    def run(self, *words) -> str:
        done = self.try_run(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def install(self, package: Path) -> None:
        shutil.copy(package, self.root / "root" / package.name)
        self.run("dpkg", "--install", f"/root/{package.name}")

    def end(self) -> None:
        self._container.terminate()
        try:
            self._container.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._container.kill()
            self._container.wait()
        self._said.unlink()
        shutil.rmtree(self.root)


def _image() -> Path:
    key = hashlib.sha256(repr(PACKAGES).encode()).hexdigest()[:12]
    return ensure_file(f"debian-12-{key}.tar", _make_image)


def _make_image(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # What it mounts goes with it, whichever way it ends.
        command = ["unshare", "--mount", "debootstrap", "--variant=minbase"]
        command += [f"--include={','.join(PACKAGES)}", "bookworm", folder]
        run([*command, "http://deb.debian.org/debian"], "debootstrap")
        run(["tar", "-c", "-C", folder, "-f", path, "."], "packing Debian")
