"""The cloud's own MariaDB, with the database of each of its services."""

import os
import pwd
import shutil

from lab import databases, mariadb
from lab.services.alliance import DATABASE
from lab.services.keystone import Keystone
from lab.services.service import Service
from lab.state import write_secret


class MariaDb(Service):
    name = "mariadb"
    part = "database"
    ports = ("mariadb",)
    secrets = (mariadb.USER,)

    def prepare(self) -> None:
        mariadb.require()
        data = self.folder / "data"
        if not data.exists():
            fresh = self.folder / "data.new"
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(databases.ensure(Keystone(self.cloud).environment()), fresh)
            os.replace(fresh, data)
        password = self.cloud.passwords[mariadb.USER]
        sql = mariadb.sql_of_user(password)
        if self.cloud.ha:
            sql = f"CREATE DATABASE IF NOT EXISTS {DATABASE};\n{sql}"
        write_secret(self.folder / "init.sql", sql)

    def command(self) -> list:
        # As who starts it, root too: others may not look into the lab's folder.
        user = pwd.getpwuid(os.geteuid()).pw_name
        # What daemons have acknowledged outlives a kill -9 of the server.
        durable = ["--innodb-flush-log-at-trx-commit=1"] if self.cloud.ha else []
        return [
            *mariadb.command(self.folder, self.port),
            *(f"--user={user}", f"--init-file={self.folder}/init.sql", *durable),
        ]

    def healthy(self) -> bool:
        return mariadb.answers(self.folder)

    def ask(self, sql: str) -> str:
        return mariadb.execute(self.folder, sql)
