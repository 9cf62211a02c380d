"""The cloud's own MariaDB, with the database of each of its services."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from lab import databases, galera, mariadb
from lab.services.alliance import DATABASE
from lab.services.keystone import Keystone
from lab.services.service import Service
from lab.state import Cloud, write_secret


class MariaDb(Service):
    name = "mariadb"
    part = "database"
    ports = ("mariadb",)
    secrets = (mariadb.USER,)

    def prepare(self) -> None:
        mariadb.require()
        if not self.data.exists():
            self._fill()
        password = self.cloud.passwords[mariadb.USER]
        sql = mariadb.sql_of_user(password)
        if self.cloud.ha:
            sql = f"CREATE DATABASE IF NOT EXISTS {DATABASE};\n{sql}"
        write_secret(self.folder / "init.sql", sql)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _fill(self) -> None:
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(databases.ensure(Keystone(self.cloud).environment()), fresh)
        os.replace(fresh, self.data)

    def command(self) -> list:
        # As who starts it, root too: others may not look into the lab's folder.
        user = pwd.getpwuid(os.geteuid()).pw_name
        return [*self._command(), f"--user={user}", f"--init-file={self.folder}/init.sql"]

    def _command(self) -> list:
        # What daemons have acknowledged outlives a kill -9 of the server.
        durable = ["--innodb-flush-log-at-trx-commit=1"] if self.cloud.ha else []
        return [*mariadb.command(self.folder, self.port), *durable]

    def healthy(self) -> bool:
        return mariadb.answers(self.folder)

    def ask(self, sql: str) -> str:
        return mariadb.execute(self.folder, sql)


class MariaDbNode(MariaDb):
    """One of a Galera cluster. The first begins it where no other one is there."""

    name = "mariadb-node"
    part = "cluster"

    def __init__(self, cloud: Cloud, node: int = 1):
        super().__init__(cloud)
        self.node = node
        self.name = f"mariadb-{node}"
        self.ports = (self.name, *(f"{port}-{node}" for port in galera.PORTS))
        # One gives all that it has to one that comes.
        self.after = (f"mariadb-{node - 1}",) if node > 1 else ()

    def prepare(self) -> None:
        galera.require()
        super().prepare()
        for path in (self.folder, *self.folder.rglob("*")):
            mariadb.own(path)

    def _fill(self) -> None:
        if self.node == 1:
            super()._fill()
        else:  # it gets all from the others
            self.data.mkdir(parents=True)

    def command(self) -> list:
        nodes = nodes_of(self.cloud)
        first = self.node == 1 and not any(one.process() for one in nodes)
        if first:
            galera.may_begin(self.folder)
        group = [one.galera_ports.group for one in nodes]
        options = galera.options(self.folder, self.name, self.galera_ports, group, first=first)
        words = [*galera.user(), *self._command(), *options]
        words += galera.position(self.folder, words)
        return [*words, f"--init-file={self.folder}/init.sql"] if first else words

    @property
    def galera_ports(self) -> galera.Ports:
        return galera.Ports(*(self.cloud.ports[port] for port in self.ports))

    def healthy(self) -> bool:
        return galera.is_ready(self.folder)


def nodes_of(cloud: Cloud) -> list[MariaDbNode]:
    """The nodes of its cluster, if it has one."""
    return [MariaDbNode(cloud, node) for node in cloud.nodes] if "cluster" in cloud.parts else []


def ask(cloud: Cloud, sql: str) -> str:
    """Rows as lines, their columns apart by tabs."""
    nodes = [node for node in nodes_of(cloud) if node.healthy()]
    return (nodes or [MariaDb(cloud)])[0].ask(sql)
