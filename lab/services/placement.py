"""Placement, which Nova asks where a server fits."""

from lab import databases
from lab.services.wsgi import WsgiService, token_section
from lab.state import write_secret


class Placement(WsgiService):
    name = "placement"
    part = "placement"
    after = ("mariadb", "keystone")
    ports = ("placement",)
    user = "placement"
    catalog = ("placement", "placement")
    environment_name = "services"
    module = "placement.wsgi.api"
    probe = ("/", (200,))

    def prepare(self) -> None:
        write_secret(self.folder / "placement.conf", self._configuration())

    def settings(self) -> dict[str, str]:
        return {**super().settings(), "OS_PLACEMENT_CONFIG_DIR": str(self.folder)}

    def _configuration(self) -> str:
        return f"""\
[placement_database]
connection = {databases.url(self.cloud, "placement")}

[api]
auth_strategy = keystone

{token_section(self.cloud, self.user)}"""
