"""What a lab is on disk: one folder, its clouds with their ports, users and passwords.

<lab>/lab.json              how the clouds were made and all that was chosen (mode 0600)
<lab>/clouds.yaml           for the openstack client and SDK
<lab>/<cloud>/<service>/    a service's data and configuration
<lab>/<cloud>/log/          its logs
<lab>/<cloud>/run/          records of its processes
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import hashlib
import json
import os
import random
import re
import secrets
import socket
from pathlib import Path

from lab.cache import cache_folder, locked
from lab.errors import LabError
from lab.keys import JwsKeys, PkiKeys

CHECKOUT = Path(__file__).resolve().parent.parent
CLOUD_NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")
#: A unix socket's path holds 107 bytes: what is left after /<cloud>/alliance-1/alliance.sock.
LONGEST_FOLDER = 107 - len("/") - 15 - len("/alliance-1/alliance.sock")
#: Below the kernel's range for outgoing connections, so that none of those is in the way.
PORTS = range(20000, 32000)
#: How many of them a run of `scripts/with-lab` has for itself, and what names the first.
SHARE, SHARE_OF_PORTS = 1000, "ALLIANCE_LAB_PORTS"
_given = collections.deque(maxlen=SHARE // 4)

#: Token providers that Keystone has, and those of lab/tokens, which it had once.
TODAYS, RETIRED = ("fernet", "jws"), ("uuid", "pki", "pkiz")

#: Releases of Keystone, and the Python environment of each. A cloud has the first if nothing is
#: said.
KEYSTONES = {"30": "keystone", "22": "keystone22"}

#: What a cloud can have besides Keystone, and what each needs of the others. Keystone and Glance
#: have their data in MariaDB where there is one, else in SQLite.
PARTS = {
    "keystone": (),
    "glance": (),
    "placement": ("database",),
    "neutron": ("database", "messages"),
    "cinder": ("database", "messages", "glance"),
    "nova": ("database", "messages", "glance", "placement", "neutron"),
}

#: Of a cloud with `ha`: on each a Keystone and a daemon, before all of them one HAProxy.
NODES = (1, 2, 3)

#: People and services of each cloud: the roles of each in its projects, the first its default.
USERS = {
    "admin": {"admin": ["admin"]},
    "ann": {"science": ["member", "reader"]},
    "bob": {"science": ["member", "reader"], "bio": ["member", "reader"]},
}


def lab_folder() -> Path:
    named = os.environ.get("ALLIANCE_LAB")
    if named:
        folder = Path(named).expanduser().resolve()
    else:
        checkout = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]
        folder = (cache_folder() / "lab" / checkout).resolve()
    if not re.fullmatch(r"[\w./+@-]+", str(folder)):
        raise LabError(f"ALLIANCE_LAB: only letters, digits and ./+@-_ in its path, not {folder}")
    if len(str(folder)) > LONGEST_FOLDER:
        raise LabError(
            f"ALLIANCE_LAB: {folder} is too long for the unix sockets in it: "
            f"at most {LONGEST_FOLDER} characters"
        )
    return folder


def port_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(taken=frozenset()) -> int:
    """None that this process was given shortly before: nobody may listen there yet."""
    first = os.environ.get(SHARE_OF_PORTS)
    ports = range(int(first), int(first) + SHARE) if first else PORTS
    for port in random.sample(ports, 200):
        if port not in taken and port not in _given and port_free(port):
            _given.append(port)
            return port
    raise LabError(f"no free port found between {ports[0]} and {ports[-1]}")


@contextlib.contextmanager
def share_of_ports():
    """Until the end of the block, no other such block of this user has the same ports, as long as
    there are enough: what has just been chosen nobody listens at yet."""
    folder = cache_folder() / "ports"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        shares = [] if SHARE_OF_PORTS in os.environ else list(PORTS[::SHARE])
        random.shuffle(shares)
        for first in shares:
            file = held.enter_context(open(folder / str(first), "w"))
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.environ[SHARE_OF_PORTS] = str(first)
                held.callback(os.environ.pop, SHARE_OF_PORTS)
                break
        yield


class Lab:
    """The lab of this checkout, or of $ALLIANCE_LAB."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder or lab_folder()
        self.file = self.folder / "lab.json"
        self.clouds: dict[str, Cloud] = {}
        if self.exists():
            self._load()

    def exists(self) -> bool:
        return self.file.is_file()

    def _load(self) -> None:
        try:
            stored = json.loads(self.file.read_text())
            for name, cloud in stored["clouds"].items():
                self.clouds[name] = Cloud(self, name, **cloud)
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(f"{self.file} is damaged ({error!r}): lab/down --purge") from None

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        stored = {
            "clouds": {
                name: {part: getattr(cloud, part) for part in Cloud.STORED}
                for name, cloud in self.clouds.items()
            }
        }
        write_secret(self.file, json.dumps(stored, indent=1))

    def locked(self):
        return locked(
            self.folder.parent / f".{self.folder.name}.lock",
            f"another lab command works on {self.folder}",
            deadline=120,
        )

    def cloud(self, name: str) -> Cloud:
        """A cloud that the lab has."""
        if not self.clouds:
            raise LabError(f"no lab in {self.folder}: lab/up makes one")
        if name not in self.clouds:
            raise LabError(f"no cloud {name!r} in this lab: it has {', '.join(self.clouds)}")
        return self.clouds[name]

    def add(
        self,
        name: str,
        alliance: bool = True,
        services=tuple(PARTS),
        keystone_release: str | None = None,
        ha: bool = False,
        galera: bool = False,
    ) -> Cloud:
        """A cloud of that name, new if need be, then with or without Alliance, with these services,
        this Keystone, on one node or several, and these with one MariaDB or a cluster."""
        if not CLOUD_NAME.fullmatch(name):
            raise LabError(
                f"cloud name {name!r}: a lower-case letter, then at most 14 letters, digits and -"
            )
        if name not in self.clouds:
            self.clouds[name] = Cloud(
                self,
                name,
                alliance,
                services=list(services),
                keystone_release=keystone_release,
                ha=ha,
                galera=galera,
            )
        return self.clouds[name]


class Cloud:
    """One cloud of a lab. Its region has its name.

    Without `alliance` it is a stock cloud: no plugin, no daemon. `services` are names in PARTS.
    `token_provider` makes its own tokens. `settings`: what configuration files have besides what
    the lab puts there, by service, section and option. `keystone_release` is one of KEYSTONES. With
    `ha` it has several nodes, with `galera` their MariaDB is a cluster.
    """

    STORED = (
        *("alliance", "ha", "galera", "services", "keystone_release", "token_provider"),
        *("settings", "ports", "passwords"),
    )

    def __init__(
        self,
        lab: Lab,
        name: str,
        alliance: bool = True,
        token_provider: str = "fernet",
        settings: dict[str, dict[str, dict]] | None = None,
        ports: dict | None = None,
        passwords: dict | None = None,
        services: list[str] | None = None,
        keystone_release: str | None = None,
        ha: bool = False,
        galera: bool = False,
    ):
        self.lab, self.name, self.folder = lab, name, lab.folder / name
        self.alliance, self.token_provider = alliance, token_provider
        self.ha, self.galera = ha, galera
        self.settings = settings or {}
        self.ports, self.passwords = ports or {}, passwords or {}
        self.services = services or ["keystone", "glance"]
        self.keystone_release = keystone_release or next(iter(KEYSTONES))

    @property
    def parts(self) -> set[str]:
        """Its services with all that they need."""
        parts = {*self.services, "keystone"}
        if self.ha:
            parts |= {"database", "nodes"}
        if self.galera:
            parts.add("cluster")
        for service in self.services:
            parts.update(PARTS[service])
        return parts

    @property
    def nodes(self) -> tuple[int, ...]:
        return NODES if self.ha else NODES[:1]

    def sub(self, name: str) -> Path:
        """A folder of this cloud, made if need be."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def choose_passwords(self, users) -> None:
        for user in users:
            self.passwords.setdefault(user, secrets.token_urlsafe(18))

    def choose_port(self, name: str) -> None:
        """Keeps the port of the last time unless somebody else has it now."""
        known = self.ports.get(name)
        if known and port_free(known):
            return
        taken = {port for cloud in self.lab.clouds.values() for port in cloud.ports.values()}
        self.ports[name] = free_port(taken)
        if known:
            print(f"{self.name}: port {known} of {name} is taken, now {self.ports[name]}")

    @property
    def jws_keys(self) -> JwsKeys:
        return JwsKeys(self.folder / "keystone" / "jws")

    @property
    def pki_keys(self) -> PkiKeys:
        return PkiKeys(self.folder / "keystone" / "pki")

    @property
    def auth_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['keystone']}/v3"

    def keystone_at(self, node: int) -> str:
        """The URL of the Keystone on one node."""
        return f"http://127.0.0.1:{self.ports[f'keystone-{node}' if self.ha else 'keystone']}"


def write_secret(path: Path, text: str) -> None:
    """Replaces `path` whole, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    os.replace(fresh, path)
