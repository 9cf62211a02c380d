"""A process of Nova or Cinder that works off messages."""

from pathlib import Path

from lab.services.mariadb import ask
from lab.services.service import Service


class RpcService(Service):
    """Its name is its program. Healthy when it has said so in the service's database, which it does
    every `report_interval` seconds, since it started."""

    environment_name = "services"
    #: That database.
    database = ""
    #: The column of its table `services` that says when it last did; empty the first time.
    said_at = "updated_at"

    @property
    def configuration(self) -> Path:
        return self.folder / f"{self.database}.conf"

    def command(self) -> list:
        return [self.environment().bin(self.name), "--config-file", self.configuration]

    def settings(self) -> dict[str, str]:
        return {"PYTHONDONTWRITEBYTECODE": "1"}

    def healthy(self) -> bool:
        process = self.process()
        if not process:
            return False
        age = f"TIMESTAMPDIFF(SECOND, COALESCE({self.said_at}, created_at), UTC_TIMESTAMP())"
        newest = min(process.uptime() + 1, 60)
        rows = f"{self.database}.services WHERE `binary` = '{self.name}' AND {age} < {newest:.0f}"
        return ask(self.cloud, f"SELECT COUNT(*) FROM {rows}").strip() != "0"
