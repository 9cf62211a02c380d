"""Keystone, with the Alliance plugin unless the cloud is a stock one."""

import base64
import os
import shutil
from pathlib import Path

from lab import databases, packages
from lab.cache import ensure_file
from lab.commands import base_settings, run
from lab.services.alliance import Alliance
from lab.services.node import NodeService
from lab.services.wsgi import PYTHON, WsgiService
from lab.state import KEYSTONES, write_secret

#: Keystone's own.
METHODS = ["external", "password", "token", "oauth1", "mapped", "application_credential"]


class Keystone(NodeService, WsgiService):
    name = "keystone"
    after = ("memcached", "mariadb")
    ports = ("keystone",)
    catalog = ("identity", "keystone")
    path = "/v3"
    module = "lab_keystone"
    threads = 8
    modules = ("keystone.server.wsgi", "keystone.server.flask.application")
    probe = ("/v3", (200,))

    @property
    def workers(self) -> int:
        return 1 if self.cloud.ha else 2

    @property
    def url(self) -> str:
        """Where clients find it, whichever node they come to."""
        return f"http://127.0.0.1:{self.cloud.ports['keystone']}"

    @property
    def shared(self) -> Path:
        """What is the same on all nodes."""
        return self.cloud.sub(self.kind)

    @property
    def environment_name(self) -> str:
        return KEYSTONES[self.cloud.keystone_release]

    @property
    def configuration(self) -> Path:
        return self.folder / "keystone.conf"

    def prepare(self) -> None:
        write_secret(self.configuration, self._configuration())
        self._make_keys()
        if "database" in self.cloud.parts:
            done = self.shared / "bootstrapped"
            if not done.exists():
                self._bootstrap(self._connection)
                done.touch()
        elif not (self.folder / "keystone.db").exists():
            self._make_database(self.folder / "keystone.db")

    @property
    def _connection(self) -> str:
        if "database" in self.cloud.parts:
            return databases.url(self.cloud, "keystone")
        # Any thread may close what another has opened, as SQLAlchemy 2 has it; with 1.4, Keystone
        # 22's, it stays open and keeps everybody else out.
        return f"sqlite:///{self.folder}/keystone.db?timeout=60&check_same_thread=false"

    def _make_keys(self) -> None:
        for repository in ("fernet-keys", "credential-keys"):
            (self.shared / repository).mkdir(mode=0o700, exist_ok=True)
            for index in ("0", "1"):
                key = self.shared / repository / index
                if not key.exists():
                    write_secret(key, base64.urlsafe_b64encode(os.urandom(32)).decode())
        self.cloud.jws_keys.ensure()
        self.cloud.pki_keys.ensure()

    def _make_database(self, database: Path) -> None:
        environment = self.environment()

        def migrate(path: Path) -> None:
            settings = path.with_suffix(".conf")
            settings.write_text(f"[database]\nconnection = sqlite:///{path}\n")
            manage = [environment.bin("keystone-manage"), "--config-file", settings]
            run([*manage, "db_sync"], "migrating Keystone's database", env=base_settings())
            settings.unlink()

        fresh = database.with_suffix(".new")
        shutil.copyfile(ensure_file(f"keystone-{environment.key}.db", migrate), fresh)
        os.chmod(fresh, 0o600)
        self._bootstrap(f"sqlite:///{fresh}")
        os.replace(fresh, database)

    def _bootstrap(self, connection: str) -> None:
        manage = self.environment().bin("keystone-manage")
        run(
            [
                *(manage, "--config-file", self.configuration),
                *("bootstrap", "--bootstrap-region-id", self.cloud.name),
                *("--bootstrap-public-url", self.cloud.auth_url),
                *("--bootstrap-internal-url", self.cloud.auth_url),
            ],
            "bootstrapping Keystone",
            env={
                **base_settings(),
                **self.settings(),
                "OS_BOOTSTRAP_PASSWORD": self.cloud.passwords["admin"],
                "OS_DATABASE__CONNECTION": connection,
            },
        )

    def python_path(self) -> list:
        return [*super().python_path(), PYTHON / "sqlite", *self.packages()]

    def packages(self) -> list[Path]:
        return [package.path(self.cloud.lab) for package in packages.needed(self.cloud)]

    def settings(self) -> dict[str, str]:
        return {**super().settings(), "OS_KEYSTONE_CONFIG_FILES": str(self.configuration)}

    def _configuration(self) -> str:
        cloud = self.cloud
        provider = "alliance" if cloud.alliance else cloud.token_provider
        methods = [*METHODS, "alliance"] if cloud.alliance else METHODS
        memcached = cloud.ports["memcached"]
        text = f"""\
[DEFAULT]
public_endpoint = {self.url}

[database]
connection = {self._connection}
sqlite_synchronous = false

[identity]
# As cheap as bcrypt can be: the lab's passwords are random, its processors few.
password_hash_rounds = 4

[cache]
enabled = true
backend = dogpile.cache.pymemcache
memcache_servers = 127.0.0.1:{memcached}

[token]
provider = {provider}

[auth]
methods = {",".join(methods)}

[fernet_tokens]
key_repository = {self.shared}/fernet-keys

[fernet_receipts]
key_repository = {self.shared}/fernet-keys

[credential]
key_repository = {self.shared}/credential-keys

[jwt_tokens]
jws_private_key_repository = {cloud.jws_keys.private}
jws_public_key_repository = {cloud.jws_keys.public}

[lab_tokens]
signing_cert = {cloud.pki_keys.certificates}
signing_key = {cloud.pki_keys.key}
ca_certs = {cloud.pki_keys.authority}
folder = {self.shared}/uuid-tokens
"""
        if cloud.alliance:
            for section in packages.drivers():
                text += f"\n[{section}]\ndriver = alliance\n"
            daemon = Alliance(cloud, self.node)
            text += f"""
[alliance]
socket = {daemon.socket}
snapshot = {daemon.snapshot}
tag_tokens = true
grant_admin_roles = true
accept_untagged = true
inner_provider = {cloud.token_provider}
worker_threads = {self.threads}
"""
        # Of an option that stands there twice, the last counts.
        for section, options in cloud.settings.get(self.kind, {}).items():
            lines = [f"{name} = {value}" for name, value in options.items()]
            text += "\n".join(["", f"[{section}]", *lines, ""])
        return text
