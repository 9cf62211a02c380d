"""The cloud's own MariaDB, with the database of each of its services."""

import os
import pwd
import shutil

from lab import databases, galera, mariadb
from lab.services.alliance import DATABASE
from lab.services.keystone import Keystone
from lab.services.service import Service
from lab.state import Cloud, write_secret


class MariaDb(Service):
    """Of a cluster, the node that the cloud's services work with, and the first daemon."""

    name = "mariadb"
    part = "database"
    ports = ("mariadb",)
    secrets = (mariadb.USER,)

    def __init__(self, cloud: Cloud):
        super().__init__(cloud)
        self._be_node(1)

    def _be_node(self, node: int) -> None:
        self.node = node
        if "cluster" in self.cloud.parts:
            ports = [f"{port}-{node}" for port in galera.PORTS]
            self.ports = ("mariadb" if node == 1 else f"mariadb-{node}", *ports)

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
    def data(self):
        return self.folder / "data"

    def _fill(self) -> None:
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(databases.ensure(Keystone(self.cloud).environment()), fresh)
        os.replace(fresh, self.data)

    def command(self) -> list:
        # As who starts it, root too: others may not look into the lab's folder.
        user = pwd.getpwuid(os.geteuid()).pw_name
        words = [*mariadb.command(self.folder, self.port), f"--user={user}"]
        if self.cloud.ha:
            # What daemons have acknowledged outlives a kill -9 of the server.
            words.append("--innodb-flush-log-at-trx-commit=1")
        if "cluster" in self.cloud.parts:
            words += self._of_cluster(words)
        if self._is_first:
            words.append(f"--init-file={self.folder}/init.sql")
        return words

    @property
    def _is_first(self) -> bool:
        """Whether there is no cluster that it joins."""
        nodes = [MariaDb(self.cloud), *nodes_beside(self.cloud)]
        return self.node == 1 and not any(one.process() for one in nodes)

    def _of_cluster(self, words: list) -> list[str]:
        if self._is_first:
            galera.may_begin(self.folder)
        nodes = [MariaDb(self.cloud), *nodes_beside(self.cloud)]
        group = [node.galera_ports.group for node in nodes]
        first = self._is_first
        options = galera.options(self.folder, self.name, self.galera_ports, group, first=first)
        return [*options, *galera.position(self.folder, [*words, *options])]

    @property
    def galera_ports(self) -> galera.Ports:
        return galera.Ports(*(self.cloud.ports[port] for port in self.ports))

    def healthy(self) -> bool:
        if "cluster" in self.cloud.parts:
            return galera.is_ready(self.folder)
        return mariadb.answers(self.folder)

    def ask(self, sql: str) -> str:
        return mariadb.execute(self.folder, sql)


class MariaDbNode(MariaDb):
    """Another node of the cluster: a daemon works with it."""

    name = "mariadb-node"
    part = "cluster"

    def __init__(self, cloud: Cloud, node: int = 2):
        super().__init__(cloud)
        self._be_node(node)
        self.name = f"mariadb-{node}"
        self.after = ("mariadb",)

    def _fill(self) -> None:
        """It gets all from another node."""
        self.data.mkdir(parents=True)


def nodes_beside(cloud: Cloud) -> list[MariaDbNode]:
    """The nodes of its cluster but for the first."""
    nodes = cloud.nodes[1:] if "cluster" in cloud.parts else ()
    return [MariaDbNode(cloud, node) for node in nodes]
