"""Keystone on SQLite, with the Alliance plugin unless the lab is a stock one."""

import base64
import os
import shutil
from pathlib import Path

from lab import plugin
from lab.cache import Environment, ensure_file
from lab.commands import base_settings, run
from lab.services.alliance import Alliance
from lab.services.wsgi import PYTHON, WsgiService
from lab.state import write_secret


class Keystone(WsgiService):
    name = "keystone"
    after = ("memcached",)
    ports = ("keystone",)
    catalog = ("identity", "keystone")
    environment_name = "keystone"
    module = "keystone.wsgi.api"
    workers, threads = 2, 8
    probe = ("/v3", (200,))

    @property
    def configuration(self) -> Path:
        return self.folder / "keystone.conf"

    def prepare(self) -> None:
        write_secret(self.configuration, self._configuration())
        self._make_keys()
        database = self.folder / "keystone.db"
        if not database.exists():
            self._make_database(database)

    def _make_keys(self) -> None:
        for repository in ("fernet-keys", "credential-keys"):
            (self.folder / repository).mkdir(mode=0o700, exist_ok=True)
            for index in ("0", "1"):
                key = self.folder / repository / index
                if not key.exists():
                    write_secret(key, base64.urlsafe_b64encode(os.urandom(32)).decode())
        if self.cloud.lab.token_provider == "jws" and not (self.folder / "jws").exists():
            self._make_jws_keys()

    def _make_jws_keys(self) -> None:
        private, public = self.folder / "jws" / "private", self.folder / "jws" / "public"
        private.mkdir(parents=True, mode=0o700)
        public.mkdir()
        key, new = private / "private.pem", ["-out", private / "private.pem"]
        curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        run(["openssl", "genpkey", *curve, *new], "making the key of JWS tokens")
        export = ["-pubout", "-out", public / "public.pem"]
        run(["openssl", "pkey", "-in", key, *export], "making the key of JWS tokens")

    def _make_database(self, database: Path) -> None:
        environment = Environment(self.environment_name)

        def migrate(path: Path) -> None:
            settings = path.with_suffix(".conf")
            settings.write_text(f"[database]\nconnection = sqlite:///{path}\n")
            manage = [environment.bin("keystone-manage"), "--config-file", settings]
            run([*manage, "db_sync"], "migrating Keystone's database", env=base_settings())
            settings.unlink()

        fresh = database.with_suffix(".new")
        shutil.copyfile(ensure_file(f"keystone-{environment.key}.db", migrate), fresh)
        os.chmod(fresh, 0o600)
        run(
            [
                *(environment.bin("keystone-manage"), "--config-file", self.configuration),
                *("bootstrap", "--bootstrap-region-id", self.cloud.name),
                *("--bootstrap-public-url", self.cloud.auth_url),
                *("--bootstrap-internal-url", self.cloud.auth_url),
            ],
            "bootstrapping Keystone",
            env={
                **base_settings(),
                **self.settings(),
                "OS_BOOTSTRAP_PASSWORD": self.cloud.passwords["admin"],
                "OS_DATABASE__CONNECTION": f"sqlite:///{fresh}",
            },
        )
        os.replace(fresh, database)

    def python_path(self) -> list:
        return [*super().python_path(), PYTHON / "sqlite", *plugin.python_path(self.cloud.lab)]

    def settings(self) -> dict[str, str]:
        return {**super().settings(), "OS_KEYSTONE_CONFIG_FILES": str(self.configuration)}

    def _configuration(self) -> str:
        lab = self.cloud.lab
        provider = "alliance" if lab.alliance else lab.token_provider
        catalog = "alliance" if lab.alliance else "sql"
        memcached = self.cloud.ports["memcached"]
        text = f"""\
[DEFAULT]
public_endpoint = {self.url}

[database]
connection = sqlite:///{self.folder}/keystone.db?timeout=60
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

[catalog]
driver = {catalog}

[fernet_tokens]
key_repository = {self.folder}/fernet-keys

[fernet_receipts]
key_repository = {self.folder}/fernet-keys

[credential]
key_repository = {self.folder}/credential-keys

[jwt_tokens]
jws_private_key_repository = {self.folder}/jws/private
jws_public_key_repository = {self.folder}/jws/public
"""
        if lab.alliance:
            daemon = Alliance(self.cloud)
            text += f"""
[alliance]
socket = {daemon.socket}
snapshot = {daemon.snapshot}
tag_tokens = true
grant_admin_roles = true
accept_untagged = true
inner_provider = {lab.token_provider}
worker_threads = {self.threads}
"""
        return text
