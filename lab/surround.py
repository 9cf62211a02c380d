"""Commands that run another command inside something: a database, a folder for labs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from lab import orchestra
from lab.errors import LabError
from lab.galera import galera
from lab.mariadb import mariadb
from lab.services import services_of
from lab.state import Lab, share_of_ports


def _run(words: list[str], settings: dict[str, str]) -> int:
    """Runs it, hands signals on to it, and returns the status that a shell would show."""
    try:
        child = subprocess.Popen(words, env={**os.environ, **settings})
    except OSError as error:
        raise LabError(f"{words[0]}: {error.strerror}") from None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: child.send_signal(received))
    status = child.wait()
    return 128 - status if status < 0 else status


def _words(argv: list[str], usage: str) -> list[str]:
    if not argv or argv[0].startswith("-"):
        sys.exit(usage)
    return argv


WITH_MARIADB = """\
usage: scripts/with-mariadb [--galera] COMMAND…

Runs COMMAND beside a private, empty MariaDB, which it finds in ALLIANCE_TEST_MYSQL_URL: a mysql://
URL of a database whose user may make further databases. Server and data are gone when COMMAND has
ended, whichever way it ends. With --galera, it is a node of a cluster."""


def with_mariadb(argv: list[str]) -> int:
    is_cluster = argv[:1] == ["--galera"]
    words = _words(argv[is_cluster:], WITH_MARIADB)
    with share_of_ports(), contextlib.ExitStack() as servers:
        url = servers.enter_context(galera() if is_cluster else mariadb())
        return _run(words, {"ALLIANCE_TEST_MYSQL_URL": url})


WITH_LAB = """\
usage: scripts/with-lab COMMAND…

Runs COMMAND with ALLIANCE_LAB naming a new folder, where it may bring up a lab, and others beside
it. When COMMAND has ended, whichever way it ends, so have they. Their data are kept only if it
failed."""


def with_lab(argv: list[str]) -> int:
    words = _words(argv, WITH_LAB)
    folder, status = Path(tempfile.mkdtemp(prefix="alliance-")), 1
    try:
        with share_of_ports():
            status = _run(words, {"ALLIANCE_LAB": str(folder / "lab")})
    finally:
        for found in folder.glob("*/lab.json"):
            lab = Lab(found.parent)
            with lab.locked():
                clouds = lab.clouds.values()
                orchestra.stop_all([one for cloud in clouds for one in services_of(cloud)])
        with contextlib.suppress(OSError):
            folder.rmdir()
        if status == 0:
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.exists():
            print(f"with-lab: logs and data are kept in {folder}", file=sys.stderr)
    return status
