"""The databases of a whole cloud: migrated and empty once, in a MariaDB whose files are kept."""

from __future__ import annotations

import concurrent.futures
import hashlib
import shutil
from pathlib import Path

from lab import mariadb
from lab.cache import Environment, ensure_file
from lab.commands import base_settings, run
from lab.state import Cloud, free_port

NAMES = (
    *("keystone", "glance", "placement", "neutron", "cinder"),
    *("nova_api", "nova_cell0", "nova"),
)
#: Nova fills these with the parts of its own options, so that neither ports nor passwords stand in
#: its cells: see "Template URLs in Cell Mappings" in its documentation.
CELL_DATABASE = "{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}"
CELL0_DATABASE = CELL_DATABASE.replace("{path}", "nova_cell0")
CELL_MESSAGES = "{scheme}://{username}:{password}@{hostname}:{port}/{path}"


def url(cloud: Cloud, name: str) -> str:
    """What a service of the cloud finds its database by."""
    port, password = cloud.ports["mariadb"], cloud.passwords[mariadb.USER]
    return _url(port, password, name)


def _url(port: int, password: str, name: str) -> str:
    return f"mysql+pymysql://{mariadb.USER}:{password}@127.0.0.1:{port}/{name}?charset=utf8mb4"


def ensure(keystone: Environment) -> Path:
    """The folder of a MariaDB's files that hold all of them, Keystone's as that environment's
    Keystone has it; nobody runs on it."""
    keys = [keystone.key, Environment("services").key]
    keys.append(hashlib.sha256(Path(__file__).read_bytes()).hexdigest())
    keys.append(mariadb.version())
    key = hashlib.sha256("\0".join(keys).encode()).hexdigest()[:16]
    return ensure_file(f"databases-{key}", lambda target: _make(target, keystone))


def _make(target: Path, keystone: Environment) -> None:
    with mariadb.passing() as folder:
        mariadb.install(folder)
        port, password = free_port(), "migrating"
        server = mariadb.start(folder, port)
        try:
            mariadb.wait_until_ready(server, folder)
            mariadb.execute(folder, mariadb.sql_of_user(password, NAMES))
            _migrate(folder, {name: _url(port, password, name) for name in NAMES}, keystone)
            mariadb.execute(folder, f"DROP USER '{mariadb.USER}'@'127.0.0.1'")
        finally:
            server.stop(grace=30)
        shutil.copytree(folder / "data", target)


def _migrate(folder: Path, urls: dict[str, str], keystone: Environment) -> None:
    configuration = folder / "migrating.conf"
    configuration.write_text(_configuration(urls))
    services = Environment("services")

    def manage(program: str, *words: str, environment=services) -> None:
        command = [environment.bin(program), "--config-file", configuration, *words]
        run(command, f"{program} {' '.join(words)}", env=_settings(program, urls))

    def nova() -> None:
        cell = ["--name", "cell1", "--transport-url", CELL_MESSAGES]
        manage("nova-manage", "api_db", "sync")
        manage("nova-manage", "cell_v2", "map_cell0", "--database_connection", CELL0_DATABASE)
        manage("nova-manage", "db", "sync")
        manage(
            *("nova-manage", "cell_v2", "create_cell"),
            *(*cell, "--database_connection", CELL_DATABASE),
        )

    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = [
            pool.submit(nova),
            pool.submit(manage, "neutron-db-manage", "upgrade", "heads"),
            pool.submit(manage, "cinder-manage", "db", "sync"),
            pool.submit(manage, "glance-manage", "db_sync"),
            pool.submit(manage, "placement-manage", "db", "sync"),
            pool.submit(manage, "keystone-manage", "db_sync", environment=keystone),
        ]
        for one in done:
            one.result()


def _configuration(urls: dict[str, str]) -> str:
    return f"""\
[DEFAULT]
transport_url = rabbit://nobody:nothing@127.0.0.1:9/

[api_database]
connection = {urls["nova_api"]}

[placement_database]
connection = {urls["placement"]}
"""


def _settings(program: str, urls: dict[str, str]) -> dict[str, str]:
    """All but Nova's API have their database in the same option."""
    name = program.split("-")[0]
    connection = {} if name == "placement" else {"OS_DATABASE__CONNECTION": urls[name]}
    return {**base_settings(), **connection}
