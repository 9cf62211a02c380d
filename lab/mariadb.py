"""A private, empty MariaDB that lives as long as a block of code."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from lab import processes
from lab.commands import run
from lab.errors import LabError
from lab.state import free_port

READY = 30.0
#: Where Debian keeps servers, which is not in everybody's PATH.
SERVER_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
DATABASE = USER = "alliance"


def unprivileged() -> list[str]:
    """What to put before a server's command; it also ends when this process is killed."""
    dies_with_us = ["setpriv", "--pdeathsig", "TERM"]
    if os.geteuid() != 0:
        return dies_with_us
    name = account()
    group = str(pwd.getpwnam(name).pw_gid)
    return [*dies_with_us, "--reuid", name, "--regid", group, "--clear-groups"]


def account() -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("mysql").pw_name
    return "nobody"


@contextlib.contextmanager
def mariadb():
    """A running server; yields the URL."""
    for program in ("mariadbd", "mariadb-install-db", "mariadb"):
        if not shutil.which(program, path=SERVER_PATH):
            raise LabError(f"{program} not found: run scripts/prerequisites")
    with tempfile.TemporaryDirectory(prefix="alliance-mariadb-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, account())
        password, port = secrets.token_hex(16), free_port()
        server = start(folder, port)
        try:
            sql = (
                f"CREATE DATABASE {DATABASE}; "
                f"CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{password}'; "
                f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1';"
            )
            client = ["mariadb", "--no-defaults", "--user=root", f"--socket={folder}/sock"]
            wait_until_ready(server, client, folder / "log")
            run([*client, "--execute", sql], "preparing MariaDB", timeout=READY)
            yield f"mysql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"
        finally:
            server.stop(grace=10)


def start(folder: Path, port: int) -> processes.Process:
    common = ["--no-defaults", f"--datadir={folder}/data"]
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    run([*unprivileged(), "mariadb-install-db", *common, *options], "mariadb-install-db")
    return processes.start(
        [
            *(*unprivileged(), shutil.which("mariadbd", path=SERVER_PATH), *common),
            *(f"--socket={folder}/sock", f"--pid-file={folder}/pid", f"--port={port}"),
            *("--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"),
            "--max-connections=300",
        ],
        env=dict(os.environ),
        log=folder / "log",
        record=folder / "process.json",
    )


def wait_until_ready(server: processes.Process, client: list[str], log: Path) -> None:
    until = time.monotonic() + READY
    ping = [*client, "--connect-timeout=2", "--execute", "SELECT 1"]
    while subprocess.run(ping, capture_output=True, timeout=READY).returncode:
        if not server.alive() or time.monotonic() > until:
            tail = "\n    ".join(log.read_text(errors="replace").splitlines()[-15:])
            raise LabError(f"MariaDB does not start:\n    {tail}")
        time.sleep(0.05)
