"""A private MariaDB: one that lives as long as a block of code, and what a cloud's own needs."""

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
PROGRAMS = ("mariadbd", "mariadb-install-db", "mariadb")
USER = "openstack"
#: A file system in memory, and how much of it must be free, in bytes.
MEMORY, ROOM = "/dev/shm", 2 << 30


def require() -> None:
    for program in PROGRAMS:
        if not shutil.which(program, path=SERVER_PATH):
            raise LabError(f"{program} not found: run scripts/prerequisites")


def version() -> str:
    return run([shutil.which("mariadbd", path=SERVER_PATH), "--version"], "mariadbd").split()[2]


def unprivileged() -> list[str]:
    """What to put before a server's command; it also ends when this process does."""
    words = ["setpriv", "--pdeathsig", "TERM"]
    if os.geteuid() == 0:
        name = account()
        group = str(pwd.getpwnam(name).pw_gid)
        words += ["--reuid", name, "--regid", group, "--clear-groups"]
    return words


def account() -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("mysql").pw_name
    return "nobody"


def own(folder: Path) -> None:
    """Gives a folder to the server."""
    if os.geteuid() == 0:
        shutil.chown(folder, account())


@contextlib.contextmanager
def passing(in_memory: bool = True):
    """A folder for a server that nobody misses afterwards; in memory, if so wished, where there is
    room: a table takes many writes to a disk."""
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM
    place = MEMORY if in_memory and roomy else None
    with tempfile.TemporaryDirectory(prefix="alliance-mariadb-", dir=place) as name:
        own(Path(name))
        yield Path(name)


@contextlib.contextmanager
def mariadb(in_memory: bool = True):
    """A running server, empty; yields the URL."""
    require()
    with passing(in_memory) as folder:
        install(folder)
        password, port = secrets.token_hex(16), free_port()
        server = start(folder, port)
        try:
            wait_until_ready(server, folder)
            execute(folder, sql_of_user(password, ["alliance"]))
            yield url(password, port, "alliance")
        finally:
            server.stop(grace=10)


def url(password: str, port: int, database: str) -> str:
    """What a daemon finds a database by."""
    return f"mysql://{USER}:{password}@127.0.0.1:{port}/{database}"


def sql_of_user(password: str, databases=()) -> str:
    """A statement a line, as --init-file has it."""
    user = f"'{USER}'@'127.0.0.1'"
    statements = [
        *(f"CREATE DATABASE {name}" for name in databases),
        f"CREATE OR REPLACE USER {user} IDENTIFIED BY '{password}'",
        f"GRANT ALL ON *.* TO {user}",
    ]
    return ";\n".join([*statements, ""])


def install(folder: Path) -> None:
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    command = [*unprivileged(), "mariadb-install-db", *_common(folder), *options]
    run(command, "mariadb-install-db")


def _common(folder: Path) -> list[str]:
    return ["--no-defaults", f"--datadir={folder}/data"]


def command(folder: Path, port: int) -> list:
    """Data in `folder`/data, a socket for root beside them. As fast as can be: a crash of the whole
    machine may lose what was written last."""
    return [
        *(shutil.which("mariadbd", path=SERVER_PATH), *_common(folder)),
        *(f"--socket={folder}/sock", f"--pid-file={folder}/pid", f"--port={port}"),
        *("--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"),
        *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"),
        *("--innodb-log-file-size=16M", "--max-connections=500"),
    ]


def start(folder: Path, port: int, options=()) -> processes.Process:
    return processes.start(
        [*unprivileged(), *command(folder, port), *options],
        env=dict(os.environ),
        log=folder / "log",
        record=folder / "process.json",
    )


def client(folder: Path) -> list[str]:
    return ["mariadb", "--no-defaults", "--user=root", f"--socket={folder}/sock"]


def execute(folder: Path, sql: str) -> str:
    """As root; rows as lines, their columns apart by tabs."""
    return run([*client(folder), "--batch", "--skip-column-names", "--execute", sql], "MariaDB")


def answers(folder: Path) -> bool:
    ping = [*client(folder), "--connect-timeout=2", "--execute", "SELECT 1"]
    return subprocess.run(ping, capture_output=True, timeout=READY).returncode == 0


def wait_until_ready(
    server: processes.Process, folder: Path, is_ready=answers, patience=READY
) -> None:
    until = time.monotonic() + patience
    while not is_ready(folder):
        if not server.alive() or time.monotonic() > until:
            log = (folder / "log").read_text(errors="replace")
            tail = "\n    ".join(log.splitlines()[-15:])
            raise LabError(f"MariaDB does not start:\n    {tail}")
        time.sleep(0.05)
