"""`alliance work` of a cloud: meters the use of its services, and makes what partners order."""

import sqlite3
import time

from lab import credentials
from lab.services import rabbitmq
from lab.services.alliance import DATABASE, Alliance
from lab.services.mariadb import ask
from lab.services.service import Service
from lab.state import write_secret


class AllianceWork(Service):
    name = "alliance-work"
    part = "messages"
    after = ("alliance", "rabbitmq")
    user = "alliance-work"
    roles = ("admin",)

    @property
    def _daemon(self) -> Alliance:
        return Alliance(self.cloud)

    def prepare(self) -> None:
        """Its application credential is made once and kept."""
        names = ("bus", "credential", "secret", "password")
        bus, known, secret, password = (self.folder / name for name in names)
        write_secret(password, self.cloud.passwords[self.user] + "\n")
        write_secret(bus, rabbitmq.url(self.cloud) + "\n")
        if not secret.exists():
            made = credentials.application_credential(self.cloud, self.user)
            write_secret(known, made["id"])
            write_secret(secret, made["secret"])
        work = {
            "amqp_url_file": str(bus),
            "credential_id": known.read_text(),
            "credential_secret_file": str(secret),
            "password_file": str(password),
            "region": self.cloud.name,
            "poll": 5,
            **self.cloud.settings.get(self.name, {}).get("work", {}),
        }
        write_secret(self.folder / "alliance.toml", self._daemon.text(work=work))

    def command(self) -> list:
        return [self._daemon.program, "work", "--config", self.folder / "alliance.toml"]

    def settings(self) -> dict[str, str]:
        return {"RUST_BACKTRACE": "1"}

    def healthy(self) -> bool:
        """It listens nowhere: whether it holds the lease is in the daemon's database."""
        if not self.process():
            return False
        if self.cloud.ha:
            held = f"{DATABASE}.leases WHERE name = 'work' AND till > UNIX_TIMESTAMP()"
            return ask(self.cloud, f"SELECT COUNT(*) FROM {held}").strip() == "1"
        database = self._daemon.state / "alliance.db"
        if not database.exists():
            return False
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            held = "SELECT COUNT(*) FROM leases WHERE name = 'work' AND till > ?"
            return connection.execute(held, (time.time(),)).fetchone()[0] == 1
