"""One cloud of the lab, as its users, its operator and its services see it."""

from __future__ import annotations

import contextlib
import copy
import datetime
import functools
import hashlib
import itertools
import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from lab import clients, orchestra, packages
from lab.commands import base_settings
from lab.services import named, services_of
from lab.services.alliance import Alliance
from lab.services.mariadb import ask
from lab.services.node import NodeService
from lab.services.service import Service
from lab.state import Lab, write_secret
from tests.kit import http, known_secrets, people
from tests.kit.people import Domain, Person, Project
from tests.kit.waiting import until

COMMAND = 60.0
#: Exit code of an `alliance` command.
NOT_YET_IN_FORCE = 3


@dataclass(frozen=True)
class Done:
    """How a command of the operator ended."""

    status: int
    stdout: str
    stderr: str

    def json(self):
        return json.loads(self.stdout)


class Seen:
    """What a service of a cloud has been sent, as its notes say: hashes only."""

    def __init__(self, notes: Path):
        self._notes = notes

    def requests(self) -> list[dict]:
        return [json.loads(line) for line in self._notes.read_text().splitlines()]

    def has(self, token: str) -> bool:
        """Whether a request had this token in it, or what follows its tag."""
        parts = {token, token.rpartition("~")[2]}
        hashes = {hashlib.sha256(part.encode()).hexdigest() for part in parts}
        return any(hashes & {*request["sha256"]} for request in self.requests())


class Cloud:
    def __init__(self, lab: Lab, name: str):
        self.name, self.lab = name, lab
        self._cloud = lab.cloud(name)
        self._daemon = Alliance(self._cloud)
        for service in services_of(self._cloud):
            known_secrets.note_log(service.log)
            known_secrets.note_log(service.log.with_suffix(".access.log"))
        for secret in self._cloud.passwords.values():
            known_secrets.note(secret, "password")

    def __repr__(self) -> str:
        return self.name

    @property
    def release(self) -> int:
        """Of its Keystone."""
        return int(self._cloud.keystone_release)

    # Its users

    @property
    def identity(self) -> str:
        return self._cloud.auth_url

    @property
    def image(self) -> str:
        return f"http://127.0.0.1:{self._cloud.ports['glance']}/v2"

    def variables(self, user: str = "admin", project: str | None = None) -> dict[str, str]:
        """The environment of a fresh shell after `lab/env`."""
        return {**base_settings(), **clients.variables(self._cloud, user, project)}

    def operator(self, node: int) -> dict[str, str]:
        """The same for the operator at the daemon of one node."""
        return {**self.variables(), "ALLIANCE_SOCKET": str(Alliance(self._cloud, node).socket)}

    def ask(self, method: str, path: str, token: str | None = None, body=None, **headers):
        """A request to its Keystone."""
        return self._ask(self.identity, method, path, token, body, **headers)

    def ask_at(self, node: int, method: str, path: str, token: str | None = None, **headers):
        """A request to the Keystone of one node."""
        return self._ask(self.identity_at(node), method, path, token, None, **headers)

    def _ask(self, identity: str, method: str, path: str, token: str | None, body, **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["X-Auth-Token"] = token
        return http.send(method, identity + path, sent, body)

    def auth(self, methods: dict, scope=None) -> http.Answer:
        """`POST /v3/auth/tokens` with these methods and scope."""
        auth = {"identity": {"methods": list(methods), **methods}}
        if isinstance(scope, Project):
            auth["scope"] = {"project": {"id": scope.id}}
        elif scope is not None:
            auth["scope"] = scope
        answer = self.ask("POST", "/auth/tokens", body={"auth": auth})
        if answer.status == 201:
            known_secrets.note_token(answer.headers["x-subject-token"])
        return answer

    def login(self, user_id: str, password: str, scope=None) -> str:
        answer = self.auth({"password": {"user": {"id": user_id, "password": password}}}, scope)
        assert answer.status == 201, f"login at {self}: {answer.status} {answer.body!r}"
        return answer.headers["x-subject-token"]

    def rescope(self, token: str, scope=None) -> http.Answer:
        """Buys a native token with a token."""
        return self.auth({"token": {"id": token}}, scope)

    def sells(self, token: str, scope=None) -> str | None:
        """The native token that it gives for a token, if any."""
        answer = self.rescope(token, scope)
        assert answer.status in (201, 401, 404, 503), f"{answer.status} {answer.body!r}"
        return answer.headers["x-subject-token"] if answer.status == 201 else None

    def issues(self, partner: str, token: str, **more) -> http.Answer:
        """Asks for a login passport for a partner of its."""
        asked = {"cloud": partner, "token": {"id": token}, **more}
        return self.auth({"alliance": asked})

    def passport(self, partner: str, token: str, **more) -> str:
        """A login passport for a partner of its."""
        answer = self.issues(partner, token, **more)
        assert answer.status == 401, f"{answer.status} {answer.body!r}"
        passport = answer.json()["error"]["identity"]["alliance"]["passport"]
        return known_secrets.note(passport, "login passport")

    def shown(self, passport: str, scope=None, **more) -> http.Answer:
        """Somebody logs in with a login passport."""
        return self.auth({"alliance": {"passport": passport, **more}}, scope)

    def refuses(self, passport: str, **more) -> str:
        """The reason why a login passport lets nobody in."""
        answer = self.shown(passport, **more)
        assert answer.status == 401, f"{answer.status} {answer.body!r}"
        return answer.json()["error"]["identity"]["alliance"]["reason"]

    def lets_in(self, token: str) -> bool:
        """Whether a request with this token, and nothing else, is served."""
        answer = self.ask("GET", "/auth/projects", token)
        assert answer.status in (200, 401, 503), f"{answer.status} {answer.body!r}"
        return answer.status == 200

    def validate(self, token: str, **headers) -> http.Answer:
        """As its services validate a token."""
        return self.ask("GET", "/auth/tokens", self.admin, X_Subject_Token=token, **headers)

    def images(self, token: str) -> int:
        """The status of a listing of images."""
        return http.send("GET", f"{self.image}/images", {"X-Auth-Token": token}).status

    def make_image(self, token: str, name: str) -> str:
        """An image without content; its id."""
        body = {"name": name, "disk_format": "raw", "container_format": "bare"}
        answer = http.send("POST", f"{self.image}/images", {"X-Auth-Token": token}, body)
        assert answer.status == 201, answer.body
        return answer.json()["id"]

    def image_ids(self, token: str) -> list[str]:
        answer = http.send("GET", f"{self.image}/images", {"X-Auth-Token": token})
        assert answer.status == 200, answer.body
        return [image["id"] for image in answer.json()["images"]]

    def image_status(self, token: str, image: str) -> int:
        return http.send("GET", f"{self.image}/images/{image}", {"X-Auth-Token": token}).status

    # Its administrator

    def make(self, service: str, path: str, body: dict) -> dict:
        """A request of its admin to the API of one of its services, which makes something."""
        url = f"http://127.0.0.1:{self.port(service)}{path}"
        answer = http.send("POST", url, {"X-Auth-Token": self.admin}, body)
        assert answer.status in (200, 201, 202), f"{path} at {self}: {answer.status} {answer.body}"
        return answer.json()

    @functools.cached_property
    def admin(self) -> str:
        """A token of the cloud's admin in project admin."""
        return self.login_as("admin")

    def login_as(self, user: str, project: str | None = None, scope=None) -> str:
        """A token of one of the lab's people."""
        found = clients.login(self._cloud, user, project)
        default = {"domain": {"id": "default"}}
        named = {"name": user, "password": found["OS_PASSWORD"], **default}
        scope = scope or {"project": {"name": found["OS_PROJECT_NAME"], **default}}
        answer = self.auth({"password": {"user": named}}, scope)
        assert answer.status == 201, answer.body
        return answer.headers["x-subject-token"]

    def do(self, method: str, path: str, body=None):
        """A request of its admin that must succeed; what it answers."""
        answer = self.ask(method, path, self.admin, body)
        if answer.status == 401:
            del self.admin
            answer = self.ask(method, path, self.admin, body)
        assert answer.status < 300, f"{method} {path} at {self}: {answer.status} {answer.body!r}"
        return answer.json() if answer.body else None

    def domain(self, name: str | None = None) -> Domain:
        body = {"domain": {"name": name or f"d-{uuid.uuid4().hex[:12]}"}}
        made = self.do("POST", "/domains", body)["domain"]
        return Domain(made["id"], made["name"])

    def project(self, name: str | None = None, domain: Domain | None = None) -> Project:
        name = name or f"p-{uuid.uuid4().hex[:12]}"
        domain_id = domain.id if domain else "default"
        body = {"project": {"name": name, "domain_id": domain_id}}
        made = self.do("POST", "/projects", body)["project"]
        return Project(made["id"], made["name"], domain_id)

    def person(
        self,
        name: str | None = None,
        project: Project | None = None,
        roles: tuple[str, ...] = ("member",),
        domain: Domain | None = None,
    ) -> Person:
        """A new user with roles in a project, a new one unless it is given."""
        project = project or self.project(domain=domain)
        secret = people.password()
        user = {"name": name or f"u-{uuid.uuid4().hex[:12]}", "password": secret}
        user["domain_id"] = domain.id if domain else "default"
        made = self.do("POST", "/users", {"user": user})["user"]
        person = Person(self, made["id"], made["name"], secret, project)
        people.present.append(person)
        for role in roles:
            self.grant(person, role)
        return person

    @functools.cached_property
    def roles(self) -> dict[str, str]:
        return {role["name"]: role["id"] for role in self.do("GET", "/roles")["roles"]}

    def grant(self, person: Person, role: str, project: Project | None = None) -> None:
        self.do("PUT", self._grant(person, role, project))

    def revoke(self, person: Person, role: str, project: Project | None = None) -> None:
        self.do("DELETE", self._grant(person, role, project))

    def _grant(self, person: Person, role: str, project: Project | None) -> str:
        project = project or person.project
        return f"/projects/{project.id}/users/{person.id}/roles/{self.roles[role]}"

    def rows(self, query: str, *values) -> list[tuple]:
        """Reads its Keystone's database."""
        path = f"file:{self._database}?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True)) as database:
            return database.execute(query, values).fetchall()

    def write(self, statement: str, *values) -> None:
        """Changes its Keystone's database, behind Keystone's back."""
        with contextlib.closing(sqlite3.connect(self._database, timeout=30)) as database, database:
            database.execute(statement, values)

    def changed(self, statement: str, *values) -> None:
        """Changes its Keystone's database behind its back, and ends what it remembers."""
        self.write(statement, *values)
        # memcached forgets what is older than the current second.
        time.sleep(1.1)
        self.forget()

    def store_revocations(self, events: list[dict]) -> None:
        """Puts revocation events into Keystone's table, each with `issued_before` now unless it
        says another. Nobody is told that they are there."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.000000")
        names = ("user_id", "project_id", "audit_id", "audit_chain_id", "issued_before")
        rows = [
            [event.get(name) for name in names[:-1]] + [event.get("issued_before", now), now]
            for event in events
        ]
        insert = (
            f"INSERT INTO revocation_event ({', '.join(names)}, revoked_at) VALUES (?,?,?,?,?,?)"
        )
        with contextlib.closing(sqlite3.connect(self._database, timeout=10)) as database, database:
            database.executemany(insert, rows)

    def daemon_rows(self, query: str, *values) -> list[tuple]:
        """Reads its daemon's database."""
        path = f"file:{self._daemon.state / 'alliance.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True, timeout=10)) as database:
            return database.execute(query, values).fetchall()

    def asked(self, query: str) -> list[list[str]]:
        """Reads its MariaDB, where Keystone and, of several nodes, the daemons have their data."""
        return [line.split("\t") for line in ask(self._cloud, query).splitlines()]

    @property
    def _database(self) -> Path:
        return self._cloud.folder / "keystone" / "keystone.db"

    # Its operator

    def alliance(
        self, *words: str, status: int | None = 0, stdin: str | None = None, node: int = 1
    ) -> Done:
        """Runs an `alliance` command as the operator; `status` None: any."""
        done = subprocess.run(
            [self.program, *words],
            input=stdin or "",
            capture_output=True,
            text=True,
            env=self.operator(node),
            timeout=COMMAND,
        )
        ended = Done(done.returncode, done.stdout, done.stderr)
        assert status is None or ended.status == status, f"alliance {' '.join(words)}: {ended}"
        return ended

    def told(self, *words: str, node: int = 1):
        """The JSON of an `alliance` command."""
        return self.alliance("--format", "json", *words, node=node).json()

    def judge(self, token: str, *options: str, node: int = 1) -> dict:
        """What `alliance token validate` says of a token, whatever it is."""
        command = ("--format", "json", "token", "validate", "-", *options)
        return self.alliance(*command, status=None, stdin=token, node=node).json()

    def orders(self, *words: str):
        """The JSON of a command that changes who may come in, and is in force when this returns."""
        return self.ordered("--format", "json", *words).json()

    def ordered(self, *words: str) -> Done:
        """The same for a command that says nothing."""
        done = self.alliance(*words, status=None)
        assert done.status in (0, NOT_YET_IN_FORCE), f"alliance {' '.join(words)}: {done}"
        if done.status == NOT_YET_IN_FORCE:
            # A busy machine: the daemon rings on.
            until(self._is_told, f"Keystone of {self} knows what its daemon knows", deadline=30)
        return done

    @property
    def folder(self) -> Path:
        return self._cloud.folder

    @property
    def program(self) -> Path:
        return self._daemon.program

    def daemon_login(self) -> str:
        """Section [keystone] for a further daemon at this cloud's Keystone."""
        return f"""\
auth_url = "{self.identity}"
username = "alliance"
password = "{self._cloud.passwords["alliance"]}"
user_domain_name = "Default"
project_name = "service"
project_domain_name = "Default"
region = "{self.name}\""""

    @functools.cached_property
    def cloud_id(self) -> str:
        return self.told("id")["cloud_id"]

    @property
    def tag(self) -> str:
        return self.cloud_id[:8]

    def status_of(self, partner: str) -> str:
        return self.told("partner", "show", partner)["status"]

    def agree(self, partner: str, project, roles=("member",), *more: str):
        """An agreement with a partner's project (or `*`) for these roles; its id."""
        named = project.id if isinstance(project, Project) else project
        words = itertools.chain.from_iterable(("--role", role) for role in roles)
        create = ("agreement", "create", partner, "--project", named, *words, *more)
        return self.orders(*create)["agreements"][0]["id"]

    def end(self, partner: str, agreement: str) -> None:
        self.orders("agreement", "end", partner, "--project", agreement)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric of its daemon over the samples with these labels."""
        text = self.metrics()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        found = [line for line in lines if all(label in line for label in wanted)]
        return sum(float(line.split()[-1]) for line in found)

    def metrics(self) -> str:
        """All that its daemon exposes."""
        url = f"http://127.0.0.1:{self._daemon.metrics_port}/metrics"
        return http.send("GET", url).body.decode()

    # Its machine

    def port(self, name: str) -> int:
        return self._cloud.ports[name]

    def pid(self, service: str) -> int:
        process = self._service(service).process()
        assert process, f"{service} of {self} does not run"
        return process.pid

    @property
    def daemon_socket(self) -> Path:
        return self._daemon.socket

    def log(self, service: str) -> Path:
        return self._service(service).log

    @property
    def nodes(self) -> tuple[int, ...]:
        return self._cloud.nodes

    def identity_at(self, node: int) -> str:
        """The Keystone of one node."""
        return f"{self._cloud.keystone_at(node)}/v3"

    def _services(self, *names: str) -> list[Service]:
        """Those of all nodes where a name says no node."""
        return [service for name in names for service in named(self._cloud, name)]

    def _service(self, name: str) -> Service:
        return self._services(name)[0]

    @contextlib.contextmanager
    def stopped(self, *services: str):
        """Ends services and starts them again afterwards."""
        orchestra.stop_all(self._services(*services))
        try:
            yield
        finally:
            self.start(*services)

    def start(self, *services: str) -> None:
        chosen = self._services(*services)
        for service in chosen:
            if not service.process():
                service.start(threading.Event())
        if self._cloud.alliance:
            for node in {each.node for each in chosen if isinstance(each, NodeService)}:
                told = functools.partial(self._is_told, node)
                until(told, f"Keystone of {self} knows what its daemon knows", deadline=30)

    def _is_told(self, node: int = 1) -> bool:
        status = self.told("status", node=node)
        return status["keystone"]["ok"] and status["doorbell"]["ok"]

    def restart(self, *services: str) -> None:
        with self.stopped(*services):
            pass

    @property
    def token_provider(self) -> str:
        return self._cloud.token_provider

    @contextlib.contextmanager
    def issuing(self, provider: str):
        """Its own tokens are made by another provider meanwhile; tokens of the one before are
        nothing to it."""
        before = self.token_provider
        self.issue(provider)
        try:
            yield
        finally:
            self.issue(before)

    def issue(self, provider: str) -> None:
        """From now on its own tokens are made by this provider; see `issuing`."""
        if provider == self.token_provider:
            return
        self._cloud.token_provider = provider
        if packages.TOKENS in packages.needed(self._cloud):
            packages.TOKENS.install(self.lab)
        self.restart("keystone")
        self.forget()
        self.__dict__.pop("admin", None)

    @contextlib.contextmanager
    def configured(self, **services: dict[str, dict]):
        """Keystone or daemon with further settings, `keystone={"token": {"cache_time": 5}}`."""
        before = copy.deepcopy(self._cloud.settings)
        for service, sections in services.items():
            for section, options in sections.items():
                known = self._cloud.settings.setdefault(service, {})
                known.setdefault(section, {}).update(options)
        self.restart(*services)
        try:
            yield
        finally:
            self._cloud.settings = before
            self.restart(*services)

    @property
    def signing_keys(self):
        """Of its provider of signed tokens: `replace()` makes a new one, `retire()` takes the
        former ones away."""
        keys = {"jws": self._cloud.jws_keys, "pki": self._cloud.pki_keys}
        return keys[self.token_provider.removesuffix("z")]

    @contextlib.contextmanager
    def noting(self, service: str = "keystone"):
        """What the service is sent meanwhile; see lab/python/lab_seen.py."""
        notes = self._service(service).seen
        notes.write_text("")
        try:
            yield Seen(notes)
        finally:
            notes.unlink()

    def as_plain(self, auth_url: str | None = None) -> tuple[str, ...]:
        """What `alliance partner add-keystone NAME` must be told of this cloud to ask its Keystone,
        which may be behind a proxy at `auth_url`."""
        tests = self.lab.folder / "_tests"
        tests.mkdir(exist_ok=True)
        password = tests / f"{self.name}.password"
        write_secret(password, self._cloud.passwords["alliance"])
        user = ("--username", "alliance", "--password-file", str(password), "--project", "service")
        public = {
            "jws": self._cloud.jws_keys.public,
            "pki": self._cloud.pki_keys.certificates,
        }.get(self.token_provider.removesuffix("z"))
        keys = ("--signing-keys", str(public)) if public else ()
        where = ("--auth-url", auth_url or self.identity)
        return (*where, *user, "--token-format", self.token_provider, *keys)

    @contextlib.contextmanager
    def frozen(self, service: str):
        """Halts all processes of a service, as SIGSTOP does, and lets them go on afterwards."""
        group = os.getpgid(self.pid(service))
        os.killpg(group, signal.SIGSTOP)
        try:
            until(lambda: _is_halted(group), f"{service} of {self} halts")
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    @contextlib.contextmanager
    def started_after(self, *services: str):
        """Whatever becomes of services meanwhile, they run afterwards."""
        try:
            yield
        finally:
            self.start(*services)

    def kill(self, *services: str) -> None:
        """Kills all processes of services, as kill -9 does."""
        chosen = self._services(*services)
        for service in chosen:
            os.killpg(os.getpgid(self.pid(service.name)), signal.SIGKILL)
        until(lambda: not any(each.process() for each in chosen), f"{services} of {self} are dead")

    @contextlib.contextmanager
    def killed(self, *services: str):
        """Kills all processes of services, as kill -9 does, and starts them again afterwards."""
        with self.started_after(*services):
            self.kill(*services)
            yield

    @contextlib.contextmanager
    def broken_database(self):
        """Takes a table away that Keystone needs for every token."""
        with contextlib.closing(sqlite3.connect(self._database, timeout=10)) as database:
            database.execute("ALTER TABLE revocation_event RENAME TO lost")
        try:
            yield
        finally:
            with contextlib.closing(sqlite3.connect(self._database, timeout=10)) as database:
                database.execute("ALTER TABLE lost RENAME TO revocation_event")

    def forget(self) -> None:
        """Empties the caches of its Keystone and Glance."""
        address = ("127.0.0.1", self.port("memcached"))
        with socket.create_connection(address, timeout=5) as stream:
            stream.sendall(b"flush_all\r\n")
            assert stream.recv(16) == b"OK\r\n"


def _is_halted(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
