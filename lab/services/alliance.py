"""The Alliance daemon of a cloud."""

import json
import shutil
from pathlib import Path

from lab import binary, mariadb
from lab.commands import base_settings, run
from lab.services.node import NodeService
from lab.services.service import http_status
from lab.state import write_secret

DATABASE = "alliance"
# Where the HAProxy of a cloud with several nodes connects from: nobody else does.
BALANCER = "127.0.0.2"
#: Who a cloud is: the same at all of its daemons.
KEYS = ("identity.key", "signing.key")


class Alliance(NodeService):
    name = "alliance"
    after = ("keystone",)
    ports = ("alliance-peer", "alliance-metrics")
    user = "alliance"
    roles = ("service",)
    system_reader = True

    @property
    def configuration(self) -> Path:
        return self.folder / "alliance.toml"

    @property
    def socket(self) -> Path:
        return self.folder / "alliance.sock"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def snapshot(self) -> Path:
        return self.state / "keystone.json"

    @property
    def program(self) -> Path:
        """The lab's own: another build changes nothing until the daemon starts anew."""
        return (self.cloud.sub("bin") if self.node == 1 else self.folder / "bin") / "alliance"

    @property
    def metrics_port(self) -> int:
        return self.cloud.ports[self.ports[1]]

    def prepare(self) -> None:
        binary.give(self.cloud.lab, self.program)
        write_secret(self.configuration, self.text())
        if self.node > 1:
            self._take_keys()
        what = f"alliance init at {self.cloud.name}"
        run([self.program, "init", "--config", self.configuration], what, env=base_settings())

    def _take_keys(self) -> None:
        self.state.mkdir(mode=0o700, exist_ok=True)
        for key in KEYS:
            if not (self.state / key).exists():
                shutil.copy2(Alliance(self.cloud).state / key, self.state)

    def command(self) -> list:
        return [self.program, "serve", "--config", self.configuration]

    def settings(self) -> dict[str, str]:
        return {"RUST_BACKTRACE": "1"}

    def healthy(self) -> bool:
        return http_status(self.metrics_port, "/readyz") == 200

    def ask(self, *words: str, timeout: float = 10):
        """The JSON answer of an `alliance` command."""
        command = [self.program, "--socket", self.socket, "--format", "json", *words]
        what = f"alliance {' '.join(words)} at {self.cloud.name}"
        return json.loads(run(command, what, env=base_settings(), timeout=timeout))

    @property
    def _often(self) -> dict[str, int]:
        """Where there is usage to fetch, it is fetched as often as the services are listed."""
        return {"refresh": 5} if "messages" in self.cloud.parts else {}

    @property
    def _instance(self) -> dict[str, str]:
        return {"instance": self.name} if self.cloud.ha else {}

    @property
    def _database(self) -> dict[str, dict]:
        """One for all nodes; without it, a file."""
        if not self.cloud.ha:
            return {}
        password, port = self.cloud.passwords[mariadb.USER], self.cloud.ports["mariadb"]
        return {"database": {"url": mariadb.url(password, port, DATABASE)}}

    def text(self, **more: dict) -> str:
        """Its configuration, with `more` sections."""
        cloud = self.cloud
        sections: dict[str, dict] = {
            "cloud": {"name": cloud.name, "state_dir": str(self.state), **self._instance},
            **self._database,
            "delegate": {"socket": str(self.socket)},
            "peer": {
                "listen": f"127.0.0.1:{self.port}",
                "url": f"https://127.0.0.1:{cloud.ports['alliance-peer']}",
                **({"balancers": [BALANCER]} if cloud.ha else {}),
            },
            "metrics": {"listen": f"127.0.0.1:{self.metrics_port}"},
            "keystone": {
                "auth_url": f"{cloud.keystone_at(self.node)}/v3",
                "username": self.user,
                "password": cloud.passwords[self.user],
                "user_domain_name": "Default",
                "project_name": "service",
                "project_domain_name": "Default",
                "region": cloud.name,
            },
            "signing": {
                "jws_public_keys": str(cloud.jws_keys.public),
                "pki_certificates": str(cloud.pki_keys.certificates),
            },
            "catalog": {"allow_http": True, **self._often},
            "services": {"memcached": [f"127.0.0.1:{cloud.ports['memcached']}"]},
            "log": {"format": "json"},
            **more,
        }
        for section, options in cloud.settings.get(self.kind, {}).items():
            sections.setdefault(section, {}).update(options)
        # Strings, numbers, booleans and lists of them look the same in JSON and in TOML.
        lines = []
        for section, options in sections.items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {json.dumps(value)}" for name, value in options.items()]
        return "\n".join([*lines, ""])
