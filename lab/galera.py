"""A Galera cluster: several MariaDBs of which each has all data."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import mariadb
from lab.commands import run
from lab.errors import LabError
from lab.state import free_port

PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")
#: How a node that comes gets the data: both programs are asked for.
TRANSFER = ("wsrep_sst_rsync", "rsync")
NODES = 3
READY = 60.0
#: What the ports of a node are called besides that for clients, as in `Ports`.
PORTS = ("galera", "galera-missed", "galera-transfer")
READY_STATUS = "SHOW STATUS LIKE 'wsrep_ready'"


@dataclass(frozen=True)
class Ports:
    """What a node listens at: for clients, for other nodes, for what it missed, for all data."""

    mariadb: int
    group: int
    missed: int
    transfer: int


def require() -> None:
    mariadb.require()
    for program in TRANSFER:
        if not shutil.which(program, path=mariadb.SERVER_PATH):
            raise LabError(f"{program} not found: run scripts/prerequisites galera")
    provider()


def provider() -> str:
    for path in PROVIDERS:
        if os.path.exists(path):
            return path
    raise LabError("Galera's library not found: run scripts/prerequisites galera")


def options(folder: Path, name: str, ports: Ports, group: list[int], *, first: bool) -> list[str]:
    """For the `mariadbd` of the node of that name. `group`: the ports of all nodes for each other;
    `first`: there is no cluster yet."""
    of_provider = {
        "gmcast.listen_addr": f"tcp://127.0.0.1:{ports.group}",
        "base_port": ports.group,
        "ist.recv_addr": f"127.0.0.1:{ports.missed}",
        "gcache.dir": folder / "data",
        "gcache.size": "32M",
    }
    nodes = ",".join(f"127.0.0.1:{port}" for port in group)
    return [
        *("--wsrep-on=ON", f"--wsrep-provider={provider()}", "--wsrep-cluster-name=lab"),
        *(f"--wsrep-cluster-address=gcomm://{nodes}", f"--wsrep-node-name={name}"),
        *(f"--wsrep-node-address=127.0.0.1:{ports.group}", "--wsrep-sst-method=rsync"),
        f"--wsrep-sst-receive-address=127.0.0.1:{ports.transfer}",
        "--wsrep-provider-options="
        + ";".join(f"{key}={value}" for key, value in of_provider.items()),
        *("--binlog-format=ROW", "--innodb-autoinc-lock-mode=2"),
        *(["--wsrep-new-cluster"] if first else []),
    ]


def position(folder: Path, words: list) -> list[str]:
    """What a node that died says of how far it had come: with that it gets only what it missed.
    `words`: its command, as `galera_recovery` of MariaDB's own unit takes it."""
    if not (folder / "data" / "grastate.dat").exists():
        return []
    log = folder / "recovery.log"
    log.unlink(missing_ok=True)
    run([*words, "--wsrep-recover", f"--log-error={log}"], "mariadbd --wsrep-recover")
    found = re.findall(r"Recovered position:? *([0-9a-f-]+:-?\d+)", log.read_text())
    return [f"--wsrep-start-position={found[-1]}"] if found else []


def user() -> list[str]:
    """What to put before a node's command, if root starts it: what sends all data to a node that
    comes would become `nobody` there, who may not write. This user reads what root may."""
    if os.geteuid() != 0:
        return []
    account = pwd.getpwnam(mariadb.account())
    capability = "-all,+dac_read_search"
    return [
        *("setpriv", "--securebits", "+no_setuid_fixup", "--clear-groups"),
        *("--reuid", account.pw_name, "--regid", str(account.pw_gid)),
        *("--inh-caps", capability, "--ambient-caps", capability),
    ]


def may_begin(folder: Path) -> None:
    """Whoever it was that ended last, this node begins the cluster anew."""
    state = folder / "data" / "grastate.dat"
    if state.exists():
        text = state.read_text()
        state.write_text(text.replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1"))


def is_ready(folder: Path) -> bool:
    """Whether the node answers, and has the cluster's data."""
    with contextlib.suppress(LabError):
        return mariadb.execute(folder, READY_STATUS).split()[-1:] == ["ON"]
    return False


def _four(taken: set[int]):
    for _ in range(4):
        taken.add(port := free_port(taken))
        yield port


@contextlib.contextmanager
def galera():
    """A running cluster, empty; yields the URL of its first node."""
    require()
    with mariadb.passing() as place:
        folders = [place / f"node{number}" for number in range(NODES)]
        taken: set[int] = set()
        ports = [Ports(*_four(taken)) for _ in folders]
        group = [node.group for node in ports]
        password, servers = secrets.token_hex(16), []
        try:
            for number, folder in enumerate(folders):
                folder.mkdir()
                mariadb.own(folder)
                if number == 0:
                    mariadb.install(folder)
                else:
                    (folder / "data").mkdir()
                    mariadb.own(folder / "data")
                first = number == 0
                words = options(folder, folder.name, ports[number], group, first=first)
                servers.append(mariadb.start(folder, ports[number].mariadb, words))
                mariadb.wait_until_ready(servers[-1], folder, is_ready, READY)
            mariadb.execute(folders[0], mariadb.sql_of_user(password, ["alliance"]))
            yield mariadb.url(password, ports[0].mariadb, "alliance")
        finally:
            for server in reversed(servers):
                server.stop(grace=10)
