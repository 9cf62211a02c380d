"""One more Keystone process of a cloud: its database and its keys, another configuration."""

from __future__ import annotations

import calendar
import contextlib
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab import packages
from lab.commands import base_settings
from lab.services.keystone import Keystone
from lab.services.service import http_status
from lab.state import free_port, write_secret
from tests.kit import http, known_secrets
from tests.kit.cloud import Cloud
from tests.kit.people import Person
from tests.kit.waiting import until

#: WSGI modules that stand before Keystone in some tests.
OURS = Path(__file__).resolve().parent.parent / "keystone_side"
#: What a Keystone without the plugin has in place of it.
STOCK = {"token": {"provider": "fernet"}}
STOCK.update({section: {"driver": "sql"} for section in packages.drivers()})


@dataclass(frozen=True)
class Issued:
    token: str
    expires_at: str

    @property
    def expires(self) -> float:
        whole = self.expires_at.partition(".")[0].rstrip("Z")
        return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))


class KeystoneBeside:
    """`settings` come after the cloud's own configuration. It caches in its own memory: a Keystone
    that is configured otherwise may not share the cloud's cache."""

    _count = 0

    def __init__(
        self, cloud: Cloud, settings: dict, plugin: bool = True, module: str | None = None
    ):
        KeystoneBeside._count += 1
        self.cloud, self._port = cloud, free_port()
        self._service = Keystone(cloud.lab.cloud(cloud.name))
        self._plugin, self._module = plugin, module or Keystone.module
        folder = cloud.lab.folder / "_tests" / f"keystone-{KeystoneBeside._count}"
        folder.mkdir(parents=True, exist_ok=True)
        self._overrides, self.log = folder / "overrides.conf", folder / "log"
        known_secrets.note_log(self.log)
        memory = {"cache": {"backend": "dogpile.cache.memory"}}
        text = ""
        for section, options in {**memory, **settings}.items():
            text += f"[{section}]\n" + "".join(f"{k} = {v}\n" for k, v in options.items())
        write_secret(self._overrides, text)

    @property
    def identity(self) -> str:
        return f"http://127.0.0.1:{self._port}/v3"

    def __enter__(self) -> KeystoneBeside:
        settings = {**base_settings(), **self._service.settings()}
        plugin = packages.PLUGIN.path(self._service.cloud.lab)
        path = [part for part in self._service.python_path() if self._plugin or part != plugin]
        settings["PYTHONPATH"] = ":".join(map(str, [OURS, *path]))
        settings["LAB_WSGI"] = self._module
        files = [self._service.configuration, self._overrides]
        settings["OS_KEYSTONE_CONFIG_FILES"] = ";".join(map(str, files))
        gunicorn = self._service.environment().bin("gunicorn")
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "TERM", gunicorn, "--no-control-socket"),
                    *("--worker-class", "gthread", "--workers", "1", "--threads", "4"),
                    *("--bind", f"127.0.0.1:{self._port}", "lab_wsgi:application"),
                ],
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(self._answers, f"a further Keystone answers; see {self.log}", deadline=60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"it ended: {self.log.read_text()[-2000:]}"
        return http_status(self._port, "/v3") == 200

    def __exit__(self, *_) -> None:
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()

    def ask(self, method: str, path: str, token: str | None = None, body=None, **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["X-Auth-Token"] = token
        return http.send(method, self.identity + path, sent, body)

    def login(self, person: Person) -> Issued:
        user = {"id": person.id, "password": person.password}
        identity = {"methods": ["password"], "password": {"user": user}}
        scope = {"project": {"id": person.project.id}}
        body = {"auth": {"identity": identity, "scope": scope}}
        answer = self.ask("POST", "/auth/tokens", body=body)
        assert answer.status == 201, answer.body
        token = known_secrets.note_token(answer.headers["x-subject-token"])
        return Issued(token, answer.json()["token"]["expires_at"])
