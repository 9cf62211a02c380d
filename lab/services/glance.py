"""Glance with a file store."""

import os
import shutil
from pathlib import Path

from lab import databases
from lab.cache import ensure_file
from lab.commands import base_settings, run
from lab.services import rabbitmq
from lab.services.wsgi import PYTHON, WsgiService, token_section
from lab.state import write_secret


class Glance(WsgiService):
    name = "glance"
    part = "glance"
    after = ("rabbitmq", "keystone")
    ports = ("glance",)
    user = "glance"
    catalog = ("image", "glance")
    environment_name = "services"
    module = "glance.wsgi.api"
    probe = ("/", (300,))

    def prepare(self) -> None:
        for store in ("images", "staging", "tasks"):
            (self.folder / store).mkdir(exist_ok=True)
        write_secret(self.folder / "etc" / "glance-api.conf", self._configuration())
        database = self.folder / "glance.db"
        if "database" not in self.cloud.parts and not database.exists():
            fresh = database.with_suffix(".new")
            cached = ensure_file(f"glance-{self.environment().key}.db", self._migrate)
            shutil.copyfile(cached, fresh)
            os.replace(fresh, database)

    def _migrate(self, path: Path) -> None:
        settings = path.with_suffix(".conf")
        settings.write_text(f"[database]\nconnection = sqlite:///{path}\n")
        manage = [self.environment().bin("glance-manage"), "--config-file", settings]
        run([*manage, "db_sync"], "migrating Glance's database", env=base_settings())
        settings.unlink()

    @property
    def _connection(self) -> str:
        if "database" in self.cloud.parts:
            return databases.url(self.cloud, "glance")
        return f"sqlite:///{self.folder}/glance.db?timeout=60"

    @property
    def _bus(self) -> str:
        if "messages" not in self.cloud.parts:
            return ""
        return f"transport_url = {rabbitmq.url(self.cloud)}\n\n{rabbitmq.notifications()}"

    def python_path(self) -> list:
        return [*super().python_path(), PYTHON / "sqlite"]

    def settings(self) -> dict[str, str]:
        return {**super().settings(), "OS_GLANCE_CONFIG_DIR": str(self.folder / "etc")}

    def _configuration(self) -> str:
        return f"""\
[DEFAULT]
enabled_backends = fs:file
enabled_import_methods = [glance-direct,web-download,glance-download]
{self._bus}
[import_filtering_opts]
# All clouds of a lab are on this machine, whatever their ports.
allowed_hosts = [127.0.0.1]
allowed_ports = []

[database]
connection = {self._connection}
sqlite_synchronous = false

[glance_store]
default_backend = fs

[fs]
filesystem_store_datadir = {self.folder}/images

[os_glance_staging_store]
filesystem_store_datadir = {self.folder}/staging

[os_glance_tasks_store]
filesystem_store_datadir = {self.folder}/tasks

[oslo_concurrency]
lock_path = {self.folder}/tasks

[paste_deploy]
flavor = keystone
config_file = {self.environment().path}/etc/glance/glance-api-paste.ini

{token_section(self.cloud, self.user)}"""
