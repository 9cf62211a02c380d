"""The Alliance daemon of a cloud."""

import json
from pathlib import Path

from lab import binary
from lab.commands import base_settings, run
from lab.services.service import Service, http_status
from lab.state import write_secret


class Alliance(Service):
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
    def snapshot(self) -> Path:
        return self.folder / "state" / "keystone.json"

    @property
    def program(self) -> Path:
        """The lab's own: another build changes nothing until the daemon starts anew."""
        return self.cloud.sub("bin") / "alliance"

    def prepare(self) -> None:
        binary.give(self.cloud.lab, self.program)
        write_secret(self.configuration, self.text())
        what = f"alliance init at {self.cloud.name}"
        run([self.program, "init", "--config", self.configuration], what, env=base_settings())

    def command(self) -> list:
        return [self.program, "serve", "--config", self.configuration]

    def settings(self) -> dict[str, str]:
        return {"RUST_BACKTRACE": "1"}

    def healthy(self) -> bool:
        return http_status(self.cloud.ports["alliance-metrics"], "/readyz") == 200

    def ask(self, *words: str, timeout: float = 10):
        """The JSON answer of an `alliance` command."""
        command = [self.program, "--socket", self.socket, "--format", "json", *words]
        what = f"alliance {' '.join(words)} at {self.cloud.name}"
        return json.loads(run(command, what, env=base_settings(), timeout=timeout))

    @property
    def _often(self) -> dict[str, int]:
        """Where there is usage to fetch, it is fetched as often as the services are listed."""
        return {"refresh": 5} if "messages" in self.cloud.parts else {}

    def text(self, **more: dict) -> str:
        """Its configuration, with `more` sections."""
        cloud, peer = self.cloud, f"127.0.0.1:{self.port}"
        sections: dict[str, dict] = {
            "cloud": {"name": cloud.name, "state_dir": f"{self.folder}/state"},
            "delegate": {"socket": str(self.socket)},
            "peer": {"listen": peer, "url": f"https://{peer}"},
            "metrics": {"listen": f"127.0.0.1:{cloud.ports['alliance-metrics']}"},
            "keystone": {
                "auth_url": cloud.auth_url,
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
        for section, options in cloud.settings.get(self.name, {}).items():
            sections.setdefault(section, {}).update(options)
        # Strings, numbers, booleans and lists of them look the same in JSON and in TOML.
        lines = []
        for section, options in sections.items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {json.dumps(value)}" for name, value in options.items()]
        return "\n".join([*lines, ""])
