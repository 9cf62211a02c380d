"""A clean Debian 12 of its own, booted with systemd: what an operator installs packages on."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.cache import ensure_file
from lab.commands import run
from tests.kit.waiting import until

#: Beside Debian's minimal set, what the package depends on included: dpkg fetches nothing.
PACKAGES = ("bash-completion", "fish", "man-db", "procps", "systemd", "zsh")
#: Where systemd wants to have its own, by the versions of them that a kernel may show.
CONTROL_GROUPS = [
    top
    for top in map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"))
    if (top / "cgroup.procs").exists()
]
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """Its processes, mounts and network end with it."""

    def __init__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="alliance-debian-"))
        self.root, self._said = self._folder / "root", self._folder / "log"
        self.root.mkdir()
        run(["tar", "-x", "-C", self.root, "-f", image()], "unpacking Debian")
        # It ends with this process even if that is killed, since its first process's parent does.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--mount-proc"]
        command += ["--pid", "--fork", "--kill-child", "systemd-nspawn", "--quiet", "--boot"]
        command += ["--register=no", "--private-network", "--console=pipe"]
        self._groups = []
        if not Path("/run/systemd/system").exists():
            # No systemd here that would make, and remove, a control group for it.
            command += ["--keep-unit"]
            self._groups = [top / self._folder.name for top in CONTROL_GROUPS]
        for group in self._groups:
            group.mkdir()
        with self._said.open("w") as said:
            self._container = subprocess.Popen(
                [*command, "--directory", self.root],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                preexec_fn=self._enter_groups,
            )
        try:
            until(self._is_up, "the machine is up", 180)
        except BaseException:
            self.end()
            raise

    def _enter_groups(self) -> None:
        for group in self._groups:
            (group / "cgroup.procs").write_text("0")

    def _first(self) -> list[str]:
        """Its first process, once there is one: started by systemd-nspawn, a child of unshare."""
        found = [str(self._container.pid)]
        for _ in range(2):
            found = [child for process in found for child in _children(process)]
        return found

    def _is_up(self) -> bool:
        if self._container.poll() is not None:
            raise AssertionError(f"it does not boot: {self._said.read_text(errors='replace')}")
        if not self._first():
            return False
        state = self.try_run("systemctl", "is-system-running").stdout.strip()
        return state in ("running", "degraded")

    def try_run(self, *words, **options) -> subprocess.CompletedProcess:
        inside = ["nsenter", "--target", *self._first(), "--all", "env", "-i", PATH]
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
        self._container.kill()
        self._container.wait()
        for group in self._groups:
            until(lambda group=group: _removed(group), f"nothing runs in {group}", 30)
        shutil.rmtree(self._folder)


def _children(process: str) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def _removed(group: Path) -> bool:
    try:
        for folder, _, _ in os.walk(group, topdown=False):
            os.rmdir(folder)
    except OSError:
        return False
    return True


def image() -> Path:
    """Of its root, as a tar archive."""
    key = hashlib.sha256(repr(PACKAGES).encode()).hexdigest()[:12]
    return ensure_file(f"debian-12-{key}.tar", _make_image)


def _make_image(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # What it mounts goes with it, whichever way it ends.
        command = ["unshare", "--mount", "debootstrap", "--variant=minbase"]
        command += [f"--include={','.join(PACKAGES)}", "bookworm", folder]
        run([*command, "http://deb.debian.org/debian"], "debootstrap")
        Path(folder).chmod(0o755)
        run(["tar", "-c", "-C", folder, "-f", path, "."], "packing Debian")
